package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"sagemaker-datapipeline/constructs/config"
)

// stage selects the local environment's stacks; the CLI's --all doesn't reach into a stage.
const stage = "local/**"

// cdk runs the CDK CLI in a folder as a user would, with its output in a log, and gives each line to show.
func cdk(ctx context.Context, o options, dir, endpoint string, show func(line string), args ...string) error {
	path := o.dir.log("cdk-" + args[0])
	log, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("creating the log: %w", err)
	}
	defer log.Close()
	command, err := filepath.Abs(cdkCommand)
	if err != nil {
		return fmt.Errorf("finding the CDK CLI: %w", err)
	}
	c := exec.CommandContext(ctx, command, args...)
	c.Dir = dir
	c.Env = cliEnvironment(endpoint)
	// The CLI starts the app and compilers: all of them are stopped together.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
	c.WaitDelay = 3 * time.Second
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting the CDK CLI: %w", err)
	}
	defer r.Close()
	c.Stdout, c.Stderr = w, w
	if err := c.Start(); err != nil {
		w.Close()
		return fmt.Errorf("starting the CDK CLI: %w", err)
	}
	w.Close()
	var said []string
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			line := ansi.ReplaceAllString(lines.Text(), "")
			_, _ = fmt.Fprintln(log, line) // a log that can't be written must not stop the CLI
			said = append(said, line)
			if show != nil {
				show(line)
			}
		}
	}()
	err = c.Wait()
	if ctx.Err() != nil {
		killGroup(c.Process.Pid)
	}
	<-read
	if err != nil {
		return withLog(errors.New(cdkCause(said, err)), path)
	}
	return nil
}

var ansi = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// cdkCause finds in the CLI's output the line that says why it failed.
func cdkCause(said []string, err error) string {
	for _, line := range said {
		line = strings.TrimSpace(line)
		if strings.Contains(line, "CREATE_FAILED") || strings.HasPrefix(line, "❌") || strings.HasPrefix(line, "Error:") || strings.HasPrefix(line, "error:") {
			return line
		}
	}
	for _, line := range slices.Backward(said) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return err.Error()
}

// assembly is where synth leaves the templates and deploy finds them.
func assembly(o options) string { return o.dir.file("cdk.out") }

// synth makes the templates and the functions' packages. It needs no AWS, so it runs beside the emulator's start.
func synth(ctx context.Context, o options) error {
	return cdk(ctx, o, ".", "http://127.0.0.1:9", nil,
		"synth", stage, "--quiet", "--no-notices", "-c", "environment=local", "--output", assembly(o))
}

// bootstrap runs beside cdk.json's folder and not in it: there the CLI would synthesise the whole app first.
func bootstrap(ctx context.Context, o options, endpoint string) error {
	return cdk(ctx, o, string(o.dir), endpoint, nil, "bootstrap", "aws://"+account+"/"+region, "--no-notices")
}

// deploy deploys what synth made, stacks that don't wait for each other at once, and returns the stacks' outputs.
func deploy(ctx context.Context, o options, endpoint string, deployed func(stack string)) (map[string]map[string]string, error) {
	outputs := o.dir.file("outputs.json")
	done := regexp.MustCompile(`✅\s+(\S+)`)
	err := cdk(ctx, o, ".", endpoint, func(line string) {
		if m := done.FindStringSubmatch(line); m != nil {
			deployed(m[1])
		}
	}, "deploy", stage, "--app", assembly(o), "--build", "true", "--require-approval", "never", "--no-notices",
		"--concurrency", "4", "--progress", "events", "--outputs-file", outputs)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(outputs)
	if err != nil {
		return nil, fmt.Errorf("reading the stacks' outputs: %w", err)
	}
	var stacks map[string]map[string]string
	if err := json.Unmarshal(b, &stacks); err != nil {
		return nil, fmt.Errorf("reading the stacks' outputs: %w", err)
	}
	return stacks, nil
}

// describe fills the environment with the outputs of the stacks.
func (e *environment) describe(c *config.Config, stacks map[string]map[string]string) error {
	prefix := c.Project + "-local-"
	output := func(stack, name string) (string, error) {
		v, ok := stacks[prefix+stack][name]
		if !ok {
			return "", fmt.Errorf("stack %s%s has no output %s", prefix, stack, name)
		}
		return v, nil
	}
	var err error
	get := func(stack, name string) string {
		v, problem := output(stack, name)
		err = errors.Join(err, problem)
		return v
	}
	e.Bucket, e.Topic = get("foundation", "DataBucketName"), get("foundation", "TopicArn")
	e.Pipelines = map[string]deployed{}
	for _, u := range useCases() {
		d := deployed{
			ExportFunction: get(u.name, "ExportFunctionName"),
			ExportMap:      get(u.name, "ExportMapArn"),
			Schedule:       get(u.name, "ScheduleName"),
			ScheduleGroup:  strings.TrimSuffix(prefix, "-"),
		}
		if !u.exportOnly {
			d.StateMachine, d.Endpoint = get(u.name, "StateMachineArn"), get(u.name, "EndpointName")
		}
		e.Pipelines[u.name] = d
	}
	return err
}
