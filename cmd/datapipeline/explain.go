package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/smithy-go"

	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
)

// origin is where a model comes from, link by link. A link that is gone ends the chain: Missing says which and why.
type origin struct {
	Endpoint *servedModel `json:"endpoint,omitempty"`
	Model    string       `json:"model"`
	Image    string       `json:"image,omitempty"`
	Artifact string       `json:"artifact,omitempty"`
	Job      *trainedBy   `json:"job,omitempty"`
	// Manifest is the key of the manifest that the job read.
	Manifest string             `json:"manifest,omitempty"`
	Run      *manifest.Manifest `json:"run,omitempty"`
	// Evaluation is the report of its comparison, as the evaluation wrote it.
	Evaluation json.RawMessage `json:"evaluation,omitempty"`
	Missing    string          `json:"missing,omitempty"`
}

// servedModel is what an endpoint serves.
type servedModel struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Config string `json:"config"`
}

// trainedBy is the training job of a model.
type trainedBy struct {
	Name         string            `json:"name"`
	Status       string            `json:"status"`
	Started      time.Time         `json:"started,omitzero"`
	Ended        time.Time         `json:"ended,omitzero"`
	InstanceType string            `json:"instanceType"`
	Parameters   map[string]string `json:"parameters"`
}

// explain shows the chain from what serves, or from a run's model, down to the query.
func explain(ctx context.Context, o options, s *site, out io.Writer) error {
	found, err := s.trace(ctx, o.words)
	if err != nil {
		return err
	}
	if o.json {
		answer, err := json.Marshal(found)
		if err != nil {
			return fmt.Errorf("encoding the answer: %w", err)
		}
		err = show(out, true, answer)
		if err == nil && found.Missing != "" {
			err = &answerError{found.Missing}
		}
		return err
	}
	if _, err := io.WriteString(out, found.text()); err != nil {
		return fmt.Errorf("printing the answer: %w", err)
	}
	if found.Missing != "" {
		return &answerError{found.Missing}
	}
	return nil
}

// trace follows the chain: of the endpoint, or of the run in words.
func (s *site) trace(ctx context.Context, words []string) (origin, error) {
	var found origin
	if len(words) == 0 {
		served, model, err := s.serving(ctx)
		if err != nil {
			return origin{}, err
		}
		found.Endpoint, found.Model = served, model
	} else {
		model, err := s.modelOf(ctx, words[0])
		if err != nil {
			return origin{}, err
		}
		found.Model = model
	}
	return found, s.follow(ctx, &found)
}

// serving is what the endpoint serves, or nil and the model that scores batches.
func (s *site) serving(ctx context.Context) (*servedModel, string, error) {
	// An endpoint that the pipeline had before it scored batches may be there still.
	scores, err := s.scoring(ctx)
	if err != nil || scores != "" {
		return nil, scores, err
	}
	e, err := s.sagemaker.DescribeEndpoint(ctx, &sagemaker.DescribeEndpointInput{EndpointName: &s.name})
	if absent(err) {
		return nil, "", &answerError{fmt.Sprintf("there is no endpoint %s: nothing serves; explain RUN shows the model of a run", s.name)}
	}
	if err != nil {
		return nil, "", fmt.Errorf("looking at the endpoint %s: %w", s.name, err)
	}
	served := &servedModel{Name: s.name, Status: string(e.EndpointStatus), Config: aws.ToString(e.EndpointConfigName)}
	c, err := s.sagemaker.DescribeEndpointConfig(ctx, &sagemaker.DescribeEndpointConfigInput{EndpointConfigName: e.EndpointConfigName})
	if err != nil {
		return nil, "", fmt.Errorf("looking at the endpoint config %s: %w", served.Config, err)
	}
	if len(c.ProductionVariants) == 0 {
		return nil, "", &answerError{fmt.Sprintf("the endpoint config %s has no production variant: a person made it", served.Config)}
	}
	return served, aws.ToString(c.ProductionVariants[0].ModelName), nil
}

// scoring is the model that scores batches; empty when what was put to use last is no batch.
func (s *site) scoring(ctx context.Context) (string, error) {
	recorded, err := s.history(ctx)
	if err != nil {
		return "", err
	}
	if now, ok := recorded.Now(); ok && now.Kind == pipeline.Batch {
		return now.Model, nil
	}
	return "", nil
}

// absent says whether SageMaker doesn't know what was asked for: a text, of an error that means much else.
func absent(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && (strings.Contains(api.ErrorMessage(), "Could not find") || api.ErrorCode() == "ResourceNotFound")
}

// groupGone says whether there is no such model package group.
func groupGone(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && strings.Contains(api.ErrorMessage(), "does not exist")
}

// modelOf is the newest model of a run.
func (s *site) modelOf(ctx context.Context, id string) (string, error) {
	prefix := s.name + "-" + id
	models, err := s.sagemaker.ListModels(ctx, &sagemaker.ListModelsInput{
		NameContains: &prefix, SortBy: types.ModelSortKeyCreationTime, SortOrder: types.OrderKeyDescending,
	})
	if err != nil {
		return "", fmt.Errorf("listing the models of run %s: %w", id, err)
	}
	for _, m := range models.Models {
		if name := aws.ToString(m.ModelName); name == prefix || strings.HasPrefix(name, prefix+"-") {
			return name, nil
		}
	}
	return "", &answerError{fmt.Sprintf("there is no model named %s…: run %s was not trained, or its model was deleted; the artifact may be below s3://…/%s", prefix, id, manifest.ModelPrefix(s.pipeline))}
}

// follow goes from the model to the manifest.
func (s *site) follow(ctx context.Context, found *origin) error {
	m, err := s.sagemaker.DescribeModel(ctx, &sagemaker.DescribeModelInput{ModelName: &found.Model})
	if absent(err) {
		found.Missing = "the model " + found.Model + " was deleted"
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at the model %s: %w", found.Model, err)
	}
	if m.PrimaryContainer == nil {
		found.Missing = "the model " + found.Model + " has no container of its own: a person made it"
		return nil
	}
	found.Image, found.Artifact = aws.ToString(m.PrimaryContainer.Image), aws.ToString(m.PrimaryContainer.ModelDataUrl)
	job, ok := jobOf(found.Artifact)
	if !ok {
		found.Missing = fmt.Sprintf("the artifact %q is of no training job of this pipeline", found.Artifact)
		return nil
	}
	j, err := s.sagemaker.DescribeTrainingJob(ctx, &sagemaker.DescribeTrainingJobInput{TrainingJobName: &job})
	if absent(err) {
		found.Missing = "the training job " + job + " is not known: the artifact is of another account or region"
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at the training job %s: %w", job, err)
	}
	found.Job = &trainedBy{
		Name: job, Status: string(j.TrainingJobStatus), Started: aws.ToTime(j.TrainingStartTime), Ended: aws.ToTime(j.TrainingEndTime), Parameters: j.HyperParameters,
	}
	if j.ResourceConfig != nil {
		found.Job.InstanceType = string(j.ResourceConfig.InstanceType)
	}
	bucket, key, ok := manifestOf(j.InputDataConfig)
	if !ok {
		found.Missing = "the training job " + job + " did not read the files of a run"
		return nil
	}
	found.Manifest = key
	body, err := s.read(ctx, bucket, key)
	if errors.Is(err, errNoObject) {
		found.Missing = err.Error() + ": the run's data was deleted"
		return nil
	}
	if err != nil {
		return err
	}
	run, err := manifest.Decode(body)
	if err != nil {
		return fmt.Errorf("reading s3://%s/%s: %w", bucket, key, err)
	}
	found.Run = &run
	report, err := s.read(ctx, bucket, s.pipeline+"/evaluations/"+job+".json")
	if err == nil {
		found.Evaluation = report
	} else if !errors.Is(err, errNoObject) {
		return err
	}
	return nil
}

// jobOf takes the training job out of s3://bucket/pipeline/models/<job>/output/model.tar.gz.
func jobOf(artifact string) (string, bool) {
	u, err := url.Parse(artifact)
	if err != nil || u.Scheme != "s3" || path.Base(u.Path) != "model.tar.gz" {
		return "", false
	}
	parts := strings.Split(u.Path, "/")
	if len(parts) < 4 {
		return "", false
	}
	return parts[len(parts)-3], true
}

// manifestOf finds the manifest of the run whose list of files a job's channels name: it is beside the list.
func manifestOf(channels []types.Channel) (bucket, key string, ok bool) {
	for _, c := range channels {
		if aws.ToString(c.ChannelName) != manifest.Train || c.DataSource == nil || c.DataSource.S3DataSource == nil {
			continue
		}
		u, err := url.Parse(aws.ToString(c.DataSource.S3DataSource.S3Uri))
		if err != nil || u.Scheme != "s3" {
			continue
		}
		return u.Host, strings.TrimPrefix(path.Dir(u.Path), "/") + "/manifest.json", true
	}
	return "", "", false
}

// text is the chain for people.
func (o origin) text() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s %s\n", name, fmt.Sprintf(format, args...))
	}
	if e := o.Endpoint; e != nil {
		line("endpoint", "%s is %s", e.Name, e.Status)
		line("config", "%s", e.Config)
	}
	line("model", "%s", o.Model)
	if o.Artifact != "" {
		line("artifact", "%s", o.Artifact)
		line("image", "%s", o.Image)
	}
	if j := o.Job; j != nil {
		line("training job", "%s, %s, on %s", j.Name, j.Status, j.InstanceType)
		if !j.Ended.IsZero() {
			line("trained", "%s to %s", moment(j.Started), moment(j.Ended))
		}
	}
	if m := o.Run; m != nil {
		line("manifest", "%s", o.Manifest)
		line("run", "%s, generation %d, %s, committed %s", m.Run, m.Generation, m.Load, moment(m.CommittedAt))
		line("rows", "%d of the run", m.Rows)
		for _, name := range []string{manifest.Train, manifest.Validation, manifest.Test} {
			if c, ok := m.Channels[name]; ok {
				line(name, "%d rows in %d files", c.Rows, c.Files)
			}
		}
		if w := m.Window; w != nil {
			line("window", "%s to %s", moment(w.Start), moment(w.End))
		}
		if bounds := m.Bounds; bounds != nil {
			line("bounds", "%s from %q to below %s", bounds.Column, bounds.From, bounds.To)
		}
		line("query", "SHA-256 %s", m.QuerySHA256)
		line("schema", "SHA-256 %s", m.SchemaSHA256)
		line("database", "%s at %s, %s", m.Source.Database, m.Source.Address, m.Source.Isolation)
		line("guarantee", "%s", m.Source.Guarantee)
	}
	var report struct {
		Decision string `json:"decision"`
		Reason   string `json:"reason"`
	}
	if json.Unmarshal(o.Evaluation, &report) == nil && report.Decision != "" {
		line("compared", "%s: %s", report.Decision, report.Reason)
	}
	return b.String()
}
