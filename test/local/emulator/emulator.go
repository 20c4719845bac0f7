// Package emulator starts the local AWS: MiniStack with a SageMaker of our own in it, on a port of 127.0.0.1.
//
// What it is, what it proves and what it doesn't is in test/local/aws/README.md.
package emulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// The account and the region of the local AWS, and the keys that it takes: it checks none.
const (
	Account   = "000000000000"
	Region    = "us-east-1"
	AccessKey = "test"
	SecretKey = "test"
)

const (
	// readyWithin is how long the emulator may take to start. It takes about a second on an idle machine.
	readyWithin = 60 * time.Second
	// stopWithin is how long it may take to end before it is killed with everything that it started.
	stopWithin = 10 * time.Second
	// logTail is how much of the log an error quotes.
	logTail = 2000
)

// Options say how to start the emulator.
type Options struct {
	// Port of every service on 127.0.0.1. Default: a free one.
	Port int
	// StateDir is the folder of training jobs, endpoints and logs. It is created if it isn't there. Required.
	StateDir string
	// Python is the interpreter with the packages of test/local/aws/requirements.txt.
	// Default: .venv/bin/python of the repository, which `make tools` makes.
	Python string
	// Env is added to the environment of the emulator, and so of the functions that it runs, as KEY=value; what begins with
	// AWS_ is set by the emulator itself. SFN_WAIT_SCALE=0.1 shortens every Wait and retry interval of Step Functions, and the
	// waits of an endpoint's deployment, to a tenth; ALARM_PERIOD_SCALE=0.1 the periods of CloudWatch's alarms.
	Env []string
	// LogTo gets what the emulator prints before it logs to <StateDir>/emulator.log: what is wrong at its start.
	// Default: nowhere.
	LogTo io.Writer
}

// Emulator is a running local AWS.
type Emulator struct {
	// URL is the address of every service.
	URL string
	// LogFile is the file that it logs to.
	LogFile string

	command *exec.Cmd
	// lifeline is the emulator's standard input: it ends when this closes, which it does when this process is gone.
	lifeline io.Closer
	ended    chan struct{}
	stop     sync.Once
}

// Start starts the emulator and returns when it answers. It runs until Stop, or until this process ends in whatever way;
// ctx bounds the start only.
func Start(ctx context.Context, o Options) (*Emulator, error) {
	if o.StateDir == "" {
		return nil, errors.New("starting the local AWS: no StateDir: give it a folder for jobs, endpoints and logs")
	}
	launcher, err := launcherPath()
	if err != nil {
		return nil, fmt.Errorf("starting the local AWS: %w", err)
	}
	if o.Python == "" {
		o.Python = filepath.Join(filepath.Dir(launcher), "..", "..", "..", ".venv", "bin", "python")
	}
	if _, err := os.Stat(o.Python); err != nil {
		return nil, fmt.Errorf("starting the local AWS: there is no Python with its packages at %s: run `make tools`", filepath.Clean(o.Python))
	}
	port, err := choosePort(ctx, o.Port)
	if err != nil {
		return nil, fmt.Errorf("starting the local AWS: %w", err)
	}
	stateDir, err := filepath.Abs(o.StateDir)
	if err != nil {
		return nil, fmt.Errorf("starting the local AWS: finding the state folder: %w", err)
	}
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		return nil, fmt.Errorf("starting the local AWS: making the state folder: %w", err)
	}

	e := &Emulator{
		URL:     "http://127.0.0.1:" + strconv.Itoa(port),
		LogFile: filepath.Join(stateDir, "emulator.log"),
		ended:   make(chan struct{}),
	}
	// A log of an earlier start would be quoted as if it were this one's.
	if err := os.Remove(e.LogFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("starting the local AWS: removing the log of an earlier start: %w", err)
	}
	var said strings.Builder
	out := io.Writer(&said)
	if o.LogTo != nil {
		out = io.MultiWriter(&said, o.LogTo)
	}
	e.command = exec.CommandContext(context.WithoutCancel(ctx), o.Python, launcher,
		"--port", strconv.Itoa(port), "--state", stateDir, "--until-stdin-closes")
	e.command.Env = append(os.Environ(), o.Env...)
	e.command.Stdout, e.command.Stderr = out, out
	// A group of its own: Ctrl-C is for the one who started it, and Stop ends all of it at once.
	e.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if e.lifeline, err = e.command.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting the local AWS: %w", err)
	}
	if err := e.command.Start(); err != nil {
		return nil, fmt.Errorf("starting the local AWS: %w", err)
	}
	go func() {
		_ = e.command.Wait() // how it ended shows in its log
		close(e.ended)
	}()
	if err := e.awaitReady(ctx); err != nil {
		e.Stop()
		return nil, fmt.Errorf("starting the local AWS: %w\n%s", err, e.tail(said.String()))
	}
	return e, nil
}

// AWSConfig is the configuration of an AWS SDK client for this emulator. Clients of Amazon S3 need nothing more: the SDK
// writes a bucket into the path by itself when the address is an IP address.
func (e *Emulator) AWSConfig() aws.Config {
	return aws.Config{
		Region:       Region,
		BaseEndpoint: aws.String(e.URL),
		Credentials:  credentials.NewStaticCredentialsProvider(AccessKey, SecretKey, ""),
	}
}

// Environ is what a command-line tool (the AWS CLI, the CDK) needs in its environment to use this emulator.
func (e *Emulator) Environ() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + e.URL,
		"AWS_ENDPOINT_URL_S3=" + e.URL,
		"AWS_ACCESS_KEY_ID=" + AccessKey,
		"AWS_SECRET_ACCESS_KEY=" + SecretKey,
		"AWS_REGION=" + Region,
		"AWS_DEFAULT_REGION=" + Region,
	}
}

// Stop ends the emulator with its training jobs, endpoints and functions. It may be called more than once.
func (e *Emulator) Stop() {
	e.stop.Do(func() {
		group := -e.command.Process.Pid
		_ = syscall.Kill(e.command.Process.Pid, syscall.SIGTERM) // it may have ended already
		select {
		case <-e.ended:
		case <-time.After(stopWithin):
		}
		_ = syscall.Kill(group, syscall.SIGKILL) // what is left of the group, if anything is
		<-e.ended
		_ = e.lifeline.Close()
	})
}

// awaitReady returns when both MiniStack and the local SageMaker in it answer.
func (e *Emulator) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("it did not answer within %s", readyWithin))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if e.call(ctx, http.MethodGet, "health", nil, nil) == nil {
			return nil
		}
		select {
		case <-e.ended:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// tail is the end of what the emulator said and logged.
func (e *Emulator) tail(said string) string {
	b, err := os.ReadFile(e.LogFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		said += "reading its log: " + err.Error()
	}
	text := strings.TrimSpace(said + string(b))
	if len(text) > logTail {
		text = "…" + text[len(text)-logTail:]
	}
	return text
}

// choosePort is the wanted port if nobody has it, or a free one for 0.
func choosePort(ctx context.Context, wanted int) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(wanted)))
	if err != nil {
		return 0, fmt.Errorf("port %d of 127.0.0.1 is taken: stop what uses it (another local AWS?) or choose another port", wanted)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// launcherPath is test/local/aws/launch.py of the repository that this source file is in.
func launcherPath() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if ok && filepath.IsAbs(file) {
		path := filepath.Join(filepath.Dir(file), "..", "aws", "launch.py")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	// Built with -trimpath: look upwards from the working directory.
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for {
		path := filepath.Join(dir, "test", "local", "aws", "launch.py")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("there is no test/local/aws/launch.py here or above: run it in the repository")
		}
		dir = parent
	}
}
