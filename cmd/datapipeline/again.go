package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/service"
	"sagemaker-datapipeline/lambda/verdict"
)

// rerun executes the workflow of a committed run again, from a step.
func rerun(ctx context.Context, o options, s *site, out io.Writer) error {
	id := o.words[0]
	resume := manifest.Resume{From: manifest.Step(o.from), By: o.by, Reason: o.reason}
	job, err := s.jobOf(ctx, id)
	if err != nil {
		return err
	}
	if resume.From != manifest.FromTrain {
		// The step goes on with the run's model, and that has the name of the job that made it.
		if resume.Model, err = s.modelOf(ctx, id); err != nil {
			return err
		}
	}
	return s.again(ctx, out, job, resume)
}

// rollback puts the model that served before, or that of a run, into service: through the workflow, so under its lease and with its smoke test.
func rollback(ctx context.Context, o options, s *site, out io.Writer) error {
	var model string
	var err error
	if len(o.words) == 1 {
		if model, err = s.modelOf(ctx, o.words[0]); err == nil {
			err = s.letIn(ctx, o.words[0], model)
		}
	} else {
		model, err = s.before(ctx)
	}
	if err != nil {
		return err
	}
	m, err := s.sagemaker.DescribeModel(ctx, &sagemaker.DescribeModelInput{ModelName: &model})
	if absent(err) {
		return &answerError{fmt.Sprintf("the model %s was deleted: name a run whose model is still there (aws sagemaker list-models --name-contains %s-)", model, s.name)}
	}
	if err != nil {
		return fmt.Errorf("looking at the model %s: %w", model, err)
	}
	job, ok := "", false
	if m.PrimaryContainer != nil {
		job, ok = jobOf(aws.ToString(m.PrimaryContainer.ModelDataUrl))
	}
	if !ok {
		return &answerError{fmt.Sprintf("the model %s is of no training job of this pipeline: serve it by hand (aws sagemaker update-endpoint)", model)}
	}
	return s.again(ctx, out, job, manifest.Resume{From: manifest.FromDeploy, Model: model, By: o.by, Reason: o.reason, Rollback: true})
}

// letIn refuses a model that people haven't let into service: a rollback asks nobody. One that the history names was in service, and of one
// without a package nobody was ever asked.
func (s *site) letIn(ctx context.Context, id, model string) error {
	recorded, err := s.history(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(recorded.History, func(e service.Entry) bool { return e.Model == model }) {
		return nil
	}
	p, err := s.packageOf(ctx, id)
	if _, none := errors.AsType[*answerError](err); none || groupGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if p.ModelApprovalStatus != types.ModelApprovalStatusApproved {
		return &answerError{fmt.Sprintf("the model of run %s was never in service, and is %s in the registry (%s): a rollback asks nobody; rerun -from deploy does",
			id, p.ModelApprovalStatus, orNone(aws.ToString(p.ApprovalDescription)))}
	}
	return nil
}

// before is the model that was put into service before the one that serves.
func (s *site) before(ctx context.Context) (string, error) {
	recorded, err := s.history(ctx)
	if err != nil {
		return "", err
	}
	if len(recorded.History) == 0 {
		return "", &answerError{"no run has put a model into service yet: there is nothing to go back to"}
	}
	for i, entry := range recorded.History {
		if i > 0 && entry.Model != recorded.History[0].Model {
			return entry.Model, nil
		}
	}
	return "", &answerError{"no other model was in service before: name a run, as in rollback … 20260101t020000z"}
}

// history is what was put into service; empty before the first time.
func (s *site) history(ctx context.Context) (service.Service, error) {
	bucket, err := s.bucket(ctx)
	if err != nil {
		return service.Service{}, err
	}
	body, err := s.read(ctx, bucket, service.Key(s.pipeline))
	if errors.Is(err, errNoObject) {
		return service.Service{}, nil
	}
	if err != nil {
		return service.Service{}, err
	}
	recorded, err := service.Decode(body)
	if err != nil {
		return service.Service{}, fmt.Errorf("reading s3://%s/%s: %w", bucket, service.Key(s.pipeline), err)
	}
	return recorded, nil
}

// jobOf is the newest training job of a run.
func (s *site) jobOf(ctx context.Context, id string) (string, error) {
	prefix := s.name + "-" + id
	jobs, err := s.sagemaker.ListTrainingJobs(ctx, &sagemaker.ListTrainingJobsInput{
		NameContains: &prefix, SortBy: types.SortByCreationTime, SortOrder: types.SortOrderDescending,
	})
	if err != nil {
		return "", fmt.Errorf("listing the training jobs of run %s: %w", id, err)
	}
	for _, j := range jobs.TrainingJobSummaries {
		if name := aws.ToString(j.TrainingJobName); name == prefix || strings.HasPrefix(name, prefix+"-") {
			return name, nil
		}
	}
	return "", &answerError{fmt.Sprintf("run %s has no training job: run -at TIME makes the run, or starts the workflow of a committed one; one that the quality gate has rejected has to be accepted", id)}
}

// again starts an execution with the input that the job's run had, from a step on.
func (s *site) again(ctx context.Context, out io.Writer, job string, resume manifest.Resume) error {
	j, err := s.sagemaker.DescribeTrainingJob(ctx, &sagemaker.DescribeTrainingJobInput{TrainingJobName: &job})
	if err != nil {
		return fmt.Errorf("looking at the training job %s: %w", job, err)
	}
	bucket, key, ok := manifestOf(j.InputDataConfig)
	if !ok {
		return &answerError{fmt.Sprintf("the training job %s did not read the files of a run", job)}
	}
	body, err := s.read(ctx, bucket, key)
	if err != nil {
		return err
	}
	m, err := manifest.Decode(body)
	if err != nil {
		return fmt.Errorf("reading s3://%s/%s: %w", bucket, key, err)
	}
	if err := s.accepted(ctx, bucket, m); err != nil {
		return err
	}
	input := m.ExecutionInput(bucket)
	input.Resume = &resume
	text, err := json.Marshal(input)
	if err != nil {
		return fmt.Errorf("encoding the execution's input: %w", err)
	}
	name := fmt.Sprintf("%s-%s-%s", m.Run, resume.From, strings.ReplaceAll(time.Now().UTC().Format("20060102t150405.000000z"), ".", ""))
	started, err := s.states.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: aws.String(s.machine()), Name: &name, Input: aws.String(string(text)),
	})
	if err != nil {
		return fmt.Errorf("starting the workflow %s: %w", s.machine(), err)
	}
	answer, err := json.Marshal(map[string]string{"execution": aws.ToString(started.ExecutionArn), "run": string(m.Run), "from": string(resume.From), "model": resume.Model})
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	return show(out, false, answer)
}

// accepted refuses a run whose data the quality gate has rejected, and that nobody has accepted since.
func (s *site) accepted(ctx context.Context, bucket string, m manifest.Manifest) error {
	if !m.Rejected {
		return nil
	}
	_, err := s.read(ctx, bucket, verdict.AcceptedKey(s.pipeline, m.Run))
	if errors.Is(err, errNoObject) {
		return &answerError{fmt.Sprintf("the quality gate rejected run %s: accept it first, with a reason (datapipeline accept)", m.Run)}
	}
	return err
}
