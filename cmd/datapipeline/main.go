// The operator's commands: what a person asks of a pipeline's export function besides its schedule.
//
//	datapipeline run        -environment dev -pipeline sales [-at TIME]
//	datapipeline run        -environment dev -pipeline sales -backfill TIME…
//	datapipeline run        -environment dev -pipeline sales -backfill -every 24h FROM TO
//	datapipeline status     -environment dev -pipeline sales
//	datapipeline doctor     -environment dev -pipeline sales
//	datapipeline rebaseline -environment dev -pipeline sales -reason TEXT [-by NAME] [-keep-watermark]
//	datapipeline sweep      -environment dev -pipeline sales
//
// It reads cdk.json for the names, and invokes the function with the credentials of the AWS tools (AWS_PROFILE and so on), or in
// the local environment with AWS_ENDPOINT_URL. It exits with 0 when what was asked for is done, with 1 when the function's answer is that it
// isn't (a failure, "blocked", an error that the doctor found), and with 2 when the function wasn't asked.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
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

// command is one of the commands: the flags that it has beside everybody's, and what it does.
type command struct {
	flags, what string
	do          func(context.Context, options, asker, io.Writer) error
}

var commands = map[string]command{
	"run":        {"[-at TIME | -backfill TIME… | -backfill -every 24h FROM TO]", "make a run now, that of a scheduled time, or those of past ones", runs},
	"status":     {"", "show the head and the newest run", status},
	"doctor":     {"", "examine the database and the login", doctor},
	"rebaseline": {"-reason TEXT [-by NAME] [-keep-watermark]", "begin a generation, or take a restored database for the one before", rebaseline},
	"sweep":      {"", "remove objects that no head reaches", sweep},
}

// options are what the command line says.
type options struct {
	config, environment, pipeline string

	json          bool
	at            string
	backfill      bool
	every         time.Duration
	times         []string
	reason, by    string
	keepWatermark bool

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
		return fmt.Errorf("there is no command %q: it is %s", name, strings.Join(names(), ", "))
	}
	o, err := parse(name, c, args[1:], errs)
	if err != nil {
		return err
	}
	f, err := find(ctx, &o)
	if err != nil {
		return err
	}
	return c.do(ctx, o, f, out)
}

func usage() string {
	var b strings.Builder
	b.WriteString("usage: go run ./cmd/datapipeline COMMAND -environment NAME -pipeline NAME [-json]\n\n")
	for _, name := range names() {
		fmt.Fprintf(&b, "  %-10s  %s\n", name, commands[name].what)
		if flags := commands[name].flags; flags != "" {
			fmt.Fprintf(&b, "              %s\n", flags)
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
		flags.StringVar(&o.reason, "reason", "", "why, for whoever reads the pipeline's head later (required)")
		flags.StringVar(&o.by, "by", "", "who asks (default the user of this machine)")
		flags.BoolVar(&o.keepWatermark, "keep-watermark", false, "go on in the same generation from the same watermark: only the database is accepted as the one before")
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		say(errs, fmt.Sprintf("usage: go run ./cmd/datapipeline %s -environment NAME -pipeline NAME %s\n\n%s; flags:\n", name, c.flags, c.what))
		flags.SetOutput(errs)
		flags.PrintDefaults()
		return o, err
	} else if err != nil {
		return o, fmt.Errorf("%s: %w: see %s -help", name, err, name)
	}
	o.times = flags.Args()
	return o, o.check(name)
}

// check says what the flags lack or have too much of.
func (o *options) check(name string) error {
	switch {
	case o.environment == "":
		return fmt.Errorf("%s: -environment is missing: name one of the configuration's, such as -environment dev", name)
	case o.pipeline == "":
		return fmt.Errorf("%s: -pipeline is missing: name one of the configuration's, such as -pipeline fraud", name)
	case o.backfill && o.at != "":
		return errors.New("run: -at and -backfill exclude each other: -backfill takes its times as arguments")
	case o.backfill && len(o.times) == 0:
		return errors.New("run: -backfill needs times: run … -backfill 2026-01-01T02:00:00Z 2026-01-02T02:00:00Z, or with -every 24h the first and the last")
	case o.every != 0 && (!o.backfill || len(o.times) != 2):
		return errors.New("run: -every is for -backfill with two times, the first and the last")
	case o.every != 0 && o.every < time.Minute:
		return fmt.Errorf("run: -every is %s: it is a minute at least, as a schedule's", o.every)
	case !o.backfill && len(o.times) > 0:
		return fmt.Errorf("%s: what does %q mean? Flags begin with a hyphen and stand before other words", name, o.times[0])
	case name == "rebaseline" && strings.TrimSpace(o.reason) == "":
		return errors.New("rebaseline: -reason is missing: say why, for whoever reads the pipeline's head later")
	}
	if name == "rebaseline" && o.by == "" {
		u, err := user.Current()
		if err != nil {
			return fmt.Errorf("rebaseline: finding out who asks: %w: say -by NAME", err)
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

// names are those of the commands, in the order in which they are explained.
func names() []string { return []string{"run", "status", "doctor", "rebaseline", "sweep"} }

// find finds the pipeline in the configuration, and its function.
func find(ctx context.Context, o *options) (asker, error) {
	c, err := config.FromFile(o.config)
	if err != nil {
		return nil, err
	}
	environment, p, err := c.Find(o.environment, o.pipeline)
	if err != nil {
		return nil, err
	}
	o.scheduleZone = time.UTC
	if zone, err := time.LoadLocation(p.Schedule.TimeZone); err == nil {
		o.scheduleZone = zone
	}
	return newFunction(ctx, c.Project, o.environment, o.pipeline, environment)
}
