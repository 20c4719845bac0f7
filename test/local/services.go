package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// services is the process that holds the emulator and the local SQL Server: this program again, as `local serve`. It is a
// process of its own so that an environment can outlive the run that made it, and it has a process group of its own so that
// a Ctrl-C on the terminal reaches the run alone, which then stops things in order.
type services struct {
	process *exec.Cmd
	stdin   io.WriteCloser
	exited  chan struct{}
	err     error
	ready   ready
}

// ready is what the services say on their standard output once they can be used.
type ready struct {
	PID int `json:"pid"`
	// Endpoint is the emulator's address.
	Endpoint string `json:"endpoint"`
	// Host, Port, the logins and CA describe the local SQL Server; they are empty when there is none.
	Host   string `json:"host,omitempty"`
	Port   int    `json:"port,omitempty"`
	Owner  login  `json:"owner"`
	Export login  `json:"export"`
	CA     string `json:"ca,omitempty"`
}

// login is a name with its password.
type login struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// keepWord on the services' standard input tells them to go on when it ends.
const keepWord = "keep"

// startServices starts the process and waits until it can be used.
func startServices(ctx context.Context, o options) (*services, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	log, err := os.Create(o.dir.log("services"))
	if err != nil {
		return nil, fmt.Errorf("creating the log: %w", err)
	}
	defer log.Close()
	s := &services{
		// Not ended by the context: stop and keep decide what becomes of it.
		process: exec.CommandContext(context.WithoutCancel(ctx), self, "serve", "-dir", string(o.dir), "-port", strconv.Itoa(o.port), "-sql-port", strconv.Itoa(o.sqlPort)),
		exited:  make(chan struct{}),
	}
	s.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.process.Stderr = log
	stdout, err := s.process.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the services: %w", err)
	}
	if s.stdin, err = s.process.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting the services: %w", err)
	}
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("starting the services: %w", err)
	}

	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(stdout).ReadString('\n')
		line <- text
		// Wait closes the pipe, so it comes after reading from it.
		s.err = s.process.Wait()
		close(s.exited)
	}()
	select {
	case text := <-line:
		if err := json.Unmarshal([]byte(text), &s.ready); err != nil {
			<-s.exited
			return nil, withLog(errors.New(trimProgram(lastLine(o.dir.log("services"), "the services ended without a word"))), o.dir.log("services"))
		}
		return s, nil
	case <-ctx.Done():
		s.stop()
		return nil, ctx.Err()
	}
}

// stopTimeout is how long the services have between being asked to end and being killed: longer than the 10 seconds that they
// give the emulator.
const stopTimeout = 15 * time.Second

// stop ends the services and all their children, and waits until they are gone.
func (s *services) stop() {
	s.stdin.Close() // the end of its input is the request to stop
	select {
	case <-s.exited:
	case <-time.After(stopTimeout):
	}
	killGroup(s.process.Process.Pid)
	<-s.exited
}

// keep lets the services go on when this process ends.
func (s *services) keep() error {
	if _, err := io.WriteString(s.stdin, keepWord+"\n"); err != nil {
		return fmt.Errorf("leaving the services up: %w", err)
	}
	return nil
}

// killGroup kills what is left of a process group. There is nothing to do when nothing is left.
func killGroup(pid int) {
	_ = syscall.Kill(-pid, syscall.SIGKILL)
}

// lastLine is the last line of a log that says something.
func lastLine(path, otherwise string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return otherwise
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return last
	}
	return otherwise
}
