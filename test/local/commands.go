package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"sagemaker-datapipeline/constructs/config"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/test/local/report"
)

// down ends an environment that was left up.
func down(ctx context.Context, o options) error {
	env, err := o.dir.read()
	if err != nil {
		return err
	}
	if err := syscall.Kill(env.PID, syscall.SIGTERM); err != nil {
		return fmt.Errorf("ending process %d: %w", env.PID, err)
	}
	err = poll(ctx, stopTimeout, fmt.Sprintf("process %d to end", env.PID), func() (bool, error) { return !o.dir.held("serve.lock"), nil })
	killGroup(env.PID)
	if err != nil && ctx.Err() != nil {
		return err
	}
	if err := os.Remove(o.dir.file("environment.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the environment's state: %w", err)
	}
	fmt.Println("the local environment is down")
	return nil
}

// runTick fires the next run of a pipeline in an environment that was left up, and follows it.
func runTick(ctx context.Context, o options, pipeline string) error {
	env, err := o.dir.read()
	if err != nil {
		return err
	}
	if _, err := env.pipeline(pipeline); err != nil {
		return err
	}
	c, err := config.FromFile("cdk.json")
	if err != nil {
		return err
	}
	_, pipelines, err := c.For("local")
	if err != nil {
		return err
	}
	r := newRecorder(newConsole(os.Stdout))
	l := &localRun{options: o, recorder: r, environment: env, clients: newClients(env.Endpoint)}
	if l.inbox, err = subscribe(ctx, l.clients, env.Topic, r); err != nil {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	go l.inbox.read(reading)

	var u useCase
	for _, u = range useCases() {
		if u.name == pipeline {
			break
		}
	}
	one := l.runner(u, pipelines[pipeline])
	if u.exportOnly {
		err = r.step(ctx, pipeline, func(ctx context.Context) (string, error) { return one.appendNext(ctx, 0, "", nil) })
	} else {
		err = one.once(ctx)
	}
	if err != nil {
		return err
	}
	r.console.text("\n" + summary(r.result))
	return nil
}

// once makes the next run and follows it to the endpoint.
func (r *runner) once(ctx context.Context) error {
	at, err := r.nextTime(ctx)
	if err != nil {
		return err
	}
	t := report.Tick{Run: string(run.NewID(at)), Start: r.recorder.since(time.Now())}
	if err := r.invoke(ctx, at); err != nil {
		return err
	}
	if err := r.follow(ctx, &t, 0); err != nil {
		return err
	}
	if err := r.followExecution(ctx, &t); err != nil {
		return err
	}
	return r.measure(ctx, &t, 0, nil)
}

func (e environment) pipeline(name string) (deployed, error) {
	target, ok := e.Pipelines[name]
	if !ok {
		return target, fmt.Errorf("there is no pipeline %q: say P=%s", name, strings.Join(pipelineNames(), ", P="))
	}
	return target, nil
}

// nextTime is the scheduled time of the next run: a day or a week after the newest one, or now, where the schedule fires every minute.
func (r *runner) nextTime(ctx context.Context) (time.Time, error) {
	h, err := readHead(ctx, r.s3, r.bucket, r.name)
	if err != nil {
		return time.Time{}, err
	}
	if h.Run == "" {
		return time.Time{}, fmt.Errorf("pipeline %s has no run yet", r.name)
	}
	if !r.first.IsZero() {
		return h.Run.Time().Add(r.second.Sub(r.first)), nil
	}
	// A run's id has seconds, and a run that committed nothing took one too.
	now := time.Now().UTC().Truncate(time.Second)
	for _, taken := range []time.Time{h.Run.Time(), r.latest} {
		if !now.After(taken) {
			now = taken.Add(time.Second)
		}
	}
	r.latest = now
	return now, nil
}

// runPredict asks an endpoint for the example row of its model's signature, by the client that stands as an example in
// docs/client.
func runPredict(ctx context.Context, o options, pipeline string) error {
	env, err := o.dir.read()
	if err != nil {
		return err
	}
	target, err := env.pipeline(pipeline)
	if err != nil {
		return err
	}
	_, model, err := serves(ctx, newClients(env.Endpoint).sagemaker, target.Endpoint)
	if err != nil {
		return err
	}
	if target.Endpoint == "" {
		return fmt.Errorf("pipeline %s trains no model, so there is nothing to ask", pipeline)
	}
	// The workflow puts a model's signature beside its artifact, in the folder of its training job, which has its name.
	signatureURI := "s3://" + env.Bucket + "/" + manifest.ModelPrefix(pipeline) + model + "/signature.json"
	c := exec.CommandContext(ctx, "go", "run", "./docs/client", "-endpoint", target.Endpoint, "-signature", signatureURI)
	c.Env = cliEnvironment(env.Endpoint)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("asking endpoint %s: %w", target.Endpoint, err)
	}
	return nil
}
