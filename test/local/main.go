// The runner behind `make local`: it starts a local AWS and a local SQL Server, fills the database, deploys the app into it
// with the real CDK CLI, lets each of the four pipelines run, and says what happened.
//
//	local up [-keep]          everything, and then the table and report.html
//	local down                ends an environment that -keep left up
//	local sql QUERY           runs T-SQL in its database
//	local tick PIPELINE       fires the next run of a pipeline and follows it
//	local predict PIPELINE    asks a pipeline's endpoint, as a client would
//
// It runs in the repository's root, where cdk.json is.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	// A terminal's Ctrl-C and a supervisor's SIGTERM both mean: stop what was started, then go.
	ctx, stop := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		s := <-signals
		stop(interrupted{s})
	}()
	os.Exit(execute(ctx, os.Args[1:]))
}

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ signal os.Signal }

func (i interrupted) Error() string { return fmt.Sprintf("stopped by %v", i.signal) }

// options are what the flags say.
type options struct {
	dir     stateDir
	port    int
	sqlPort int
	keep    bool
	report  string
	json    string
}

func execute(ctx context.Context, args []string) int {
	command := "up"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	var o options
	var dir string
	flags := flag.NewFlagSet("local "+command, flag.ContinueOnError)
	flags.StringVar(&dir, "dir", ".local", "the folder for state and logs")
	flags.IntVar(&o.port, "port", 4566, "the emulator's port, 0 for a free one")
	flags.IntVar(&o.sqlPort, "sql-port", 14333, "the local SQL Server's port, 0 for a free one")
	flags.BoolVar(&o.keep, "keep", false, "leave everything up at the end")
	flags.StringVar(&o.report, "report", "report.html", "the report's file")
	flags.StringVar(&o.json, "json", "", "a file for the result as JSON")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		o.dir = stateDir(dir)
		err = dispatch(ctx, command, o, flags.Args())
	}
	switch {
	case err == nil:
		return 0
	case errors.As(err, &interrupted{}):
		fmt.Fprintln(os.Stderr, "local: "+err.Error()+"; everything that was started is stopped")
		return 130
	case errors.Is(err, errReported):
		return 1
	}
	fmt.Fprintln(os.Stderr, "local: "+err.Error())
	return 1
}

// errReported is a failure that the user has read already.
var errReported = errors.New("reported")

func dispatch(ctx context.Context, command string, o options, args []string) error {
	argument := strings.Join(args, " ")
	switch command {
	case "up":
		return up(ctx, o)
	case "down":
		return down(ctx, o)
	case "sql":
		return runSQL(ctx, o, argument)
	case "tick":
		return runTick(ctx, o, argument)
	case "predict":
		return runPredict(ctx, o, argument)
	case "serve":
		return serve(ctx, o)
	}
	return fmt.Errorf("there is no command %q: it is up, down, sql, tick or predict", command)
}
