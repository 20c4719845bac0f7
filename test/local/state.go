package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stateDir is the folder of one local environment: its lock, its logs, and what the commands beside it must know.
type stateDir string

func (d stateDir) file(name string) string { return filepath.Join(string(d), name) }
func (d stateDir) logs() string            { return d.file("logs") }
func (d stateDir) log(name string) string  { return filepath.Join(d.logs(), name+".log") }

// environment is what one must know of a running environment to use it.
type environment struct {
	// PID is the process that holds the emulator and the SQL Server.
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"startedAt"`
	// Endpoint is the emulator's address, http://127.0.0.1:4566.
	Endpoint string `json:"endpoint"`
	// DatabaseURL is the go-mssqldb URL of the database, password included: the file is readable to its owner only.
	DatabaseURL string `json:"databaseUrl"`
	// Database says in words what stands for SQL Server.
	Database  string              `json:"database"`
	Pipelines map[string]deployed `json:"pipelines,omitempty"`
	Bucket    string              `json:"bucket,omitempty"`
	Topic     string              `json:"topic,omitempty"`
}

// deployed are the outputs of a pipeline's stack. StateMachine and Endpoint are empty for a pipeline that only exports.
type deployed struct {
	StateMachine   string `json:"stateMachine,omitempty"`
	ExportFunction string `json:"exportFunction"`
	ExportMap      string `json:"exportMap"`
	Endpoint       string `json:"endpoint,omitempty"`
	Schedule       string `json:"schedule"`
	ScheduleGroup  string `json:"scheduleGroup"`
}

func (d stateDir) write(e environment) error {
	b, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the environment's state: %w", err)
	}
	if err := os.WriteFile(d.file("environment.json"), append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the environment's state: %w", err)
	}
	return nil
}

// read gives the running environment, or an error that says that there is none.
func (d stateDir) read() (environment, error) {
	var e environment
	b, err := os.ReadFile(d.file("environment.json"))
	if errors.Is(err, os.ErrNotExist) || err == nil && !d.held("serve.lock") {
		return e, errors.New("no local environment is up: start one by `make local KEEP=1`")
	}
	if err != nil {
		return e, fmt.Errorf("reading the environment's state: %w", err)
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return e, fmt.Errorf("reading the environment's state: %w", err)
	}
	return e, nil
}

// lock takes a lock that the operating system frees when the process ends, however it ends. It holds the process's id for
// those who find it taken.
func (d stateDir) lock(name string) (release func(), err error) {
	if err := os.MkdirAll(d.logs(), 0o755); err != nil {
		return nil, fmt.Errorf("making the state folder: %w", err)
	}
	f, err := os.OpenFile(d.file(name), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("locking %s: %w", d.file(name), err)
	}
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("writing the lock: %w", err)
	}
	return func() { f.Close() }, nil
}

var errLocked = errors.New("locked")

// held says whether a process holds the lock.
func (d stateDir) held(name string) bool {
	f, err := os.Open(d.file(name))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// holder is the id of the process that wrote the lock last.
func (d stateDir) holder(name string) int {
	b, err := os.ReadFile(d.file(name))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return pid
}
