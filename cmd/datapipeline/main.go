// The operator's commands: what a person asks of a pipeline besides its schedule.
//
//	datapipeline run          -environment dev -pipeline sales [-at TIME]
//	datapipeline run          -environment dev -pipeline sales -backfill TIME…
//	datapipeline run          -environment dev -pipeline sales -backfill -every 24h FROM TO
//	datapipeline status       -environment dev -pipeline sales
//	datapipeline doctor       -environment dev -pipeline sales
//	datapipeline pause        -environment dev -pipeline sales -reason TEXT [-for 24h | -until TIME] [-by NAME]
//	datapipeline resume       -environment dev -pipeline sales [-by NAME]
//	datapipeline accept       -environment dev -pipeline sales -reason TEXT [-by NAME] RUN
//	datapipeline rebase-drift -environment dev -pipeline sales -reason TEXT [-by NAME]
//	datapipeline approve      -environment dev -pipeline sales [-reason TEXT] [-by NAME] RUN
//	datapipeline refuse       -environment dev -pipeline sales -reason TEXT [-by NAME] RUN
//	datapipeline rerun        -environment dev -pipeline sales -from train|evaluate|deploy -reason TEXT [-by NAME] RUN
//	datapipeline rollback     -environment dev -pipeline sales -reason TEXT [-by NAME] [RUN]
//	datapipeline explain      -environment dev -pipeline sales [RUN]
//	datapipeline rebaseline   -environment dev -pipeline sales -reason TEXT [-by NAME] [-keep-watermark]
//	datapipeline sweep        -environment dev -pipeline sales
//	datapipeline preflight    -environment dev [-pipeline sales]
//	datapipeline destroy      -environment dev -pipeline sales -confirm ml-dev-sales [-data]
//
// It reads cdk.json for the names, and asks AWS with the credentials of the AWS tools (AWS_PROFILE and so on), or the local environment with
// AWS_ENDPOINT_URL. It exits with 0 when what was asked for is done, with 1 when the answer is that it isn't (a failure, "blocked", an error that the
// doctor found), and with 2 when nothing was asked.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"os/user"
	"slices"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // a schedule's time zone, on machines without a database of them

	"sagemaker-datapipeline/constructs/config"
	"sagemaker-datapipeline/lambda/run"
)

// The exit codes.
const (
	done     = 0
	notDone  = 1
	notAsked = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// command is one of the commands: the flags and words that it has beside everybody's, and what it does.
type command struct {
	flags, what string
	do          func(context.Context, options, *site, io.Writer) error
	// words is how many words it takes behind its flags at most, and needs says that it takes no fewer.
	words int
	needs bool
}

var commands = map[string]command{
	"run":          {flags: "[-at TIME | -backfill TIME… | -backfill -every 24h FROM TO]", what: "make a run now, that of a scheduled time, or those of past ones", do: runs, words: math.MaxInt},
	"status":       {what: "show the head and the newest run", do: status},
	"doctor":       {what: "examine the database and the login", do: doctor},
	"pause":        {flags: "-reason TEXT [-for 24h | -until TIME] [-by NAME]", what: "let no tick export or train until then, or until resume; a deploy doesn't undo it", do: pause},
	"resume":       {flags: "[-by NAME]", what: "end a pause", do: resume},
	"accept":       {flags: "-reason TEXT [-by NAME] RUN", what: "let a run be trained on that the quality gate has rejected", do: accept, words: 1, needs: true},
	"rebase-drift": {flags: "-reason TEXT [-by NAME]", what: "compare the next runs with the newest one, not with the last accepted", do: rebaseDrift},
	"approve":      {flags: "[-reason TEXT] [-by NAME] RUN", what: "let a model that waits go into service", do: approve, words: 1, needs: true},
	"refuse":       {flags: "-reason TEXT [-by NAME] RUN", what: "keep a model that waits out of service", do: refuse, words: 1, needs: true},
	"rerun":        {flags: "-from train|evaluate|deploy -reason TEXT [-by NAME] RUN", what: "execute the workflow of a run again from a step", do: rerun, words: 1, needs: true},
	"rollback":     {flags: "-reason TEXT [-by NAME] [RUN]", what: "put the model before into service, or that of a run", do: rollback, words: 1},
	"explain":      {flags: "[RUN]", what: "show what serves, or a run's model, down to the query and the rows it was trained on", do: explain, words: 1},
	"rebaseline":   {flags: "-reason TEXT [-by NAME] [-keep-watermark]", what: "begin a generation, or take a restored database for the one before", do: rebaseline},
	"sweep":        {what: "remove objects that no head reaches", do: sweep},
	"preflight":    {what: "check account, quotas, secret and network before a deploy", do: preflight},
	"destroy":      {flags: "-confirm NAME [-data]", what: "take down what the workflow has made: endpoint, configs, models; with -data also runs and artifacts", do: destroy},
}

// order is that in which the commands are explained.
var order = []string{
	"run", "status", "doctor", "pause", "resume", "accept", "rebase-drift", "approve", "refuse", "rerun", "rollback", "explain", "rebaseline", "sweep", "preflight", "destroy",
}

// options are what the command line says.
type options struct {
	config, environment, pipeline string

	json          bool
	at            string
	backfill      bool
	every         time.Duration
	words         []string
	reason, by    string
	keepWatermark bool
	pauseFor      time.Duration
	until         string
	from          string
	confirm       string
	data          bool

	// scheduleZone is the time zone in which the pipeline's schedule counts days.
	scheduleZone *time.Location
}

func execute(ctx context.Context, args []string, out, errs io.Writer) int {
	err := dispatch(ctx, args, out, errs)
	switch {
	case err == nil:
		return done
	case errors.Is(err, flag.ErrHelp):
		return notAsked
	}
	say(errs, "datapipeline: "+err.Error()+"\n")
	if _, answered := errors.AsType[*answerError](err); answered {
		return notDone
	}
	return notAsked
}

// say writes for people. There is nobody to tell when that can't be read.
func say(errs io.Writer, text string) { _, _ = io.WriteString(errs, text) }

func dispatch(ctx context.Context, args []string, out, errs io.Writer) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		say(errs, usage())
		return flag.ErrHelp
	}
	name := args[0]
	c, ok := commands[name]
	if !ok {
		return fmt.Errorf("there is no command %q: it is %s", name, strings.Join(order, ", "))
	}
	o, err := parse(name, c, args[1:], errs)
	if err != nil {
		return err
	}
	s, err := find(ctx, &o)
	if err != nil {
		return err
	}
	return c.do(ctx, o, s, out)
}

func usage() string {
	var b strings.Builder
	b.WriteString("usage: go run ./cmd/datapipeline COMMAND -environment NAME -pipeline NAME [-json]\n\n")
	for _, name := range order {
		fmt.Fprintf(&b, "  %-12s  %s\n", name, commands[name].what)
		if flags := commands[name].flags; flags != "" {
			fmt.Fprintf(&b, "                %s\n", flags)
		}
	}
	b.WriteString("\nTIME is of the form 2026-01-01T02:00:00Z. docs/runbook.md says when to use which.\n")
	return b.String()
}

// parse reads what follows the command's name. Each command knows its own flags only, so that a misplaced one is an error.
func parse(name string, c command, args []string, errs io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.config, "config", "cdk.json", "the configuration's `file`")
	flags.StringVar(&o.environment, "environment", "", "the environment's `name` in the configuration")
	flags.StringVar(&o.pipeline, "pipeline", "", "the pipeline's `name` in the configuration")
	flags.BoolVar(&o.json, "json", false, "print the function's answer as it is")
	switch name {
	case "run":
		flags.StringVar(&o.at, "at", "", "the scheduled `time` whose run to make, such as 2026-01-01T02:00:00Z (default now)")
		flags.BoolVar(&o.backfill, "backfill", false, "make the runs of past times, which follow as arguments, beside the newest one")
		flags.DurationVar(&o.every, "every", 0, "with -backfill FROM TO: how far the times between are apart; whole days are counted in the schedule's time zone")
	case "rebaseline":
		flags.BoolVar(&o.keepWatermark, "keep-watermark", false, "go on in the same generation from the same watermark: only the database is accepted as the one before")
	case "pause":
		flags.DurationVar(&o.pauseFor, "for", 0, "how long, 30 days at most (default 24h)")
		flags.StringVar(&o.until, "until", "", "the `time` at which it ends by itself, such as 2026-01-02T08:00:00Z")
	case "rerun":
		flags.StringVar(&o.from, "from", "", "the `step`: train makes another job, evaluate compares the run's model again, deploy puts it into service")
	case "destroy":
		flags.StringVar(&o.confirm, "confirm", "", "the pipeline's whole `name`, such as ml-dev-sales, so that nothing is destroyed by mistake")
		flags.BoolVar(&o.data, "data", false, "delete the pipeline's runs, models and clocks in S3 too, all versions")
	}
	if slices.Contains(signed, name) {
		flags.StringVar(&o.reason, "reason", "", "why, for whoever reads it later")
		flags.StringVar(&o.by, "by", "", "who asks (default the user of this machine)")
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		say(errs, fmt.Sprintf("usage: go run ./cmd/datapipeline %s -environment NAME -pipeline NAME %s\n\n%s; flags:\n", name, c.flags, c.what))
		flags.SetOutput(errs)
		flags.PrintDefaults()
		return o, err
	} else if err != nil {
		return o, fmt.Errorf("%s: %w: see %s -help", name, err, name)
	}
	o.words = flags.Args()
	return o, o.check(name, c)
}

// signed are the commands that say who gave them and why, and needReason those that want a reason.
var (
	signed     = []string{"pause", "resume", "accept", "rebase-drift", "approve", "refuse", "rerun", "rollback", "rebaseline"}
	needReason = []string{"pause", "accept", "rebase-drift", "refuse", "rerun", "rollback", "rebaseline"}
)

// check says what the flags lack or have too much of.
func (o *options) check(name string, c command) error {
	switch {
	case o.environment == "":
		return fmt.Errorf("%s: -environment is missing: name one of the configuration's, such as -environment dev", name)
	case o.pipeline == "" && name != "preflight":
		return fmt.Errorf("%s: -pipeline is missing: name one of the configuration's, such as -pipeline fraud", name)
	case o.backfill && o.at != "":
		return errors.New("run: -at and -backfill exclude each other: -backfill takes its times as arguments")
	case o.backfill && len(o.words) == 0:
		return errors.New("run: -backfill needs times: run … -backfill 2026-01-01T02:00:00Z 2026-01-02T02:00:00Z, or with -every 24h the first and the last")
	case o.every != 0 && (!o.backfill || len(o.words) != 2):
		return errors.New("run: -every is for -backfill with two times, the first and the last")
	case o.every != 0 && o.every < time.Minute:
		return fmt.Errorf("run: -every is %s: it is a minute at least, as a schedule's", o.every)
	case len(o.words) > c.words || name == "run" && !o.backfill && len(o.words) > 0:
		return fmt.Errorf("%s: what does %q mean? Flags begin with a hyphen and stand before other words", name, o.words[min(c.words, len(o.words)-1)])
	case c.needs && len(o.words) == 0:
		return fmt.Errorf("%s: which run? Name it behind the flags, such as 20260101t020000z", name)
	case slices.Contains(needReason, name) && strings.TrimSpace(o.reason) == "":
		return fmt.Errorf("%s: -reason is missing: say why, for whoever reads it later", name)
	case name == "rerun" && !slices.Contains([]string{"train", "evaluate", "deploy"}, o.from):
		return fmt.Errorf("rerun: -from is %q: it is train, evaluate or deploy", o.from)
	case o.pauseFor != 0 && o.until != "":
		return errors.New("pause: -for and -until exclude each other")
	}
	if c.words == 1 && len(o.words) == 1 {
		if _, err := run.ParseID(o.words[0]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if slices.Contains(signed, name) && o.by == "" {
		u, err := user.Current()
		if err != nil {
			return fmt.Errorf("%s: finding out who asks: %w: say -by NAME", name, err)
		}
		o.by = u.Username
	}
	if o.at != "" {
		if _, err := run.ParseScheduledTime(o.at); err != nil {
			return fmt.Errorf("run: -at: %w", err)
		}
	}
	return nil
}

// find finds the pipeline in the configuration, and AWS.
func find(ctx context.Context, o *options) (*site, error) {
	c, err := config.FromFile(o.config)
	if err != nil {
		return nil, err
	}
	o.scheduleZone = time.UTC
	if o.pipeline == "" {
		environment, _, err := c.For(o.environment)
		if err != nil {
			return nil, err
		}
		return newSite(ctx, c, o.environment, "", environment)
	}
	environment, p, err := c.Find(o.environment, o.pipeline)
	if err != nil {
		return nil, err
	}
	if zone, err := time.LoadLocation(p.Schedule.TimeZone); err == nil {
		o.scheduleZone = zone
	}
	return newSite(ctx, c, o.environment, o.pipeline, environment)
}
