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

	"github.com/aws/aws-sdk-go-v2/service/s3"

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
	target, err := env.pipeline(pipeline)
	if err != nil {
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
	p := pipelines[pipeline]
	one := l.runner(u, report.Pipeline{Name: pipeline, Task: string(p.Dataset.Task), Endpoint: target.Endpoint, Schedule: p.Schedule.Expression})
	at, err := one.nextTime(ctx)
	if err != nil {
		return err
	}
	t := report.Tick{Run: string(run.NewID(at)), Start: r.since(time.Now())}
	if err := one.invoke(ctx, at); err != nil {
		return err
	}
	if err := one.follow(ctx, &t, 0); err != nil {
		return err
	}
	if err := one.measure(ctx, &t, 0, nil); err != nil {
		return err
	}
	r.console.text("\n" + summary(r.result))
	return nil
}

func (e environment) pipeline(name string) (deployed, error) {
	target, ok := e.Pipelines[name]
	if !ok {
		return target, fmt.Errorf("there is no pipeline %q: say P=%s", name, strings.Join(pipelineNames(), ", P="))
	}
	return target, nil
}

// nextTime is the scheduled time of the next run: a day, a week or a minute after the newest one.
func (r *runner) nextTime(ctx context.Context) (time.Time, error) {
	newest, err := newestRun(ctx, r.s3, r.bucket, r.name)
	if err != nil {
		return time.Time{}, err
	}
	if r.first.IsZero() {
		return time.Now().UTC().Truncate(time.Second), nil
	}
	return newest.Time().Add(r.second.Sub(r.first)), nil
}

// newestRun is the pipeline's newest run with a manifest.
func newestRun(ctx context.Context, client *s3.Client, bucket, pipeline string) (run.ID, error) {
	prefix, delimiter := pipeline+"/runs/", "/"
	var newest run.ID
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix, Delimiter: &delimiter})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return "", fmt.Errorf("listing the runs of %s: %w", pipeline, err)
		}
		for _, p := range page.CommonPrefixes {
			id, err := run.ParseID(strings.TrimSuffix(strings.TrimPrefix(*p.Prefix, prefix), "/"))
			if err == nil && id > newest {
				newest = id
			}
		}
	}
	if newest == "" {
		return "", fmt.Errorf("pipeline %s has no run yet", pipeline)
	}
	return newest, nil
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
