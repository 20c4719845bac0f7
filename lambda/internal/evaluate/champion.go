package evaluate

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/smithy-go"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/service"
)

// Champion finds the model in service, and says whether the candidate is compared with it.
func (e *Evaluator) Champion(ctx context.Context, event evaluation.Event) (evaluation.Champion, error) {
	g, err := e.gate()
	if err != nil {
		return evaluation.Champion{}, err
	}
	m, err := e.manifest(ctx, event)
	if err != nil {
		return evaluation.Champion{}, err
	}
	h, err := e.holdout(ctx, m, g)
	if err != nil {
		return evaluation.Champion{}, err
	}
	answer := evaluation.Champion{Holdout: fmt.Sprintf("s3://%s/%s", e.Bucket.Name(), h.Manifest.Key), Content: contentType}
	answer.Champion, answer.Reason, err = e.served(ctx)
	if err != nil || answer.Champion == nil || answer.Champion.Run == "" {
		return answer, err
	}
	c, err := e.comparison(ctx, event.Job, event.Model, *answer.Champion)
	if err != nil {
		return evaluation.Champion{}, err
	}
	answer.Compare, answer.Reason = c.compare, c.reason
	if c.changed != "" && !g.SignatureChange {
		answer.Refused = refusal(c.changed)
	}
	if !answer.Compare {
		return answer, nil
	}
	if _, answer.Known, err = e.known(ctx, answer.Champion.Model, h, g); err != nil || answer.Known {
		return answer, err
	}
	return answer, e.scorable(ctx, &answer)
}

// scorable takes the comparison back where the champion can't score the hold-out any more: an endpoint goes on serving a model that somebody has
// deleted, and no run would get past it.
func (e *Evaluator) scorable(ctx context.Context, answer *evaluation.Champion) error {
	model := answer.Champion.Model
	_, err := e.SageMaker.DescribeModel(ctx, &sagemaker.DescribeModelInput{ModelName: aws.String(model)})
	if absent(err) {
		answer.Compare = false
		answer.Reason = fmt.Sprintf("the model in service, %s, was deleted in SageMaker, so it can't score the hold-out and isn't compared", model)
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at the model in service, %s: %w", model, err)
	}
	return nil
}

// contentType of a hold-out's files and of the endpoint's requests and answers.
const contentType = "text/csv"

func refusal(changed string) string {
	return fmt.Sprintf("the signature changed: %s; callers of the model in service would break: set gate.signatureChange to true to consent, and deploy the pipeline again", changed)
}

// served says which model is in service. Of nothing in service, and of what can't be told, the model is nil or has no run, and the reason says why.
func (e *Evaluator) served(ctx context.Context) (*evaluation.Served, string, error) {
	if e.Spec.Deploy == pipeline.Batch {
		return e.recorded(ctx)
	}
	name := e.Spec.Name()
	endpoint, err := e.SageMaker.DescribeEndpoint(ctx, &sagemaker.DescribeEndpointInput{EndpointName: aws.String(name)})
	if absent(err) {
		return nil, fmt.Sprintf("there is no endpoint %s yet, so there is no model in service", name), nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("looking at the endpoint %s: %w", name, err)
	}
	switch endpoint.EndpointStatus {
	case types.EndpointStatusCreating, types.EndpointStatusDeleting, types.EndpointStatusFailed:
		return nil, fmt.Sprintf("the endpoint %s is %s, so there is no model in service", name, endpoint.EndpointStatus), nil
	}
	config := aws.ToString(endpoint.EndpointConfigName)
	// The function may look at no other configs.
	if !strings.HasPrefix(config, name+"-") {
		return &evaluation.Served{Config: config}, fmt.Sprintf("the endpoint serves the config %s, which is none of the pipeline's", config), nil
	}
	found, err := e.SageMaker.DescribeEndpointConfig(ctx, &sagemaker.DescribeEndpointConfigInput{EndpointConfigName: aws.String(config)})
	if absent(err) {
		return &evaluation.Served{Config: config}, fmt.Sprintf("the endpoint serves the config %s, which was deleted, so its model can't be told", config), nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("looking at the endpoint config %s: %w", config, err)
	}
	if n := len(found.ProductionVariants); n != 1 {
		return &evaluation.Served{Config: config}, fmt.Sprintf("the endpoint config %s has %d variants, and the pipeline's have one", config, n), nil
	}
	model := aws.ToString(found.ProductionVariants[0].ModelName)
	s := &evaluation.Served{Model: model, Config: config, Run: e.runOf(model)}
	if s.Run == "" {
		return s, fmt.Sprintf("the endpoint serves the model %s, which is none of the pipeline's", model), nil
	}
	return s, "", nil
}

// recorded says which model the batches are scored with.
func (e *Evaluator) recorded(ctx context.Context) (*evaluation.Served, string, error) {
	key := service.Key(e.Spec.Pipeline)
	stored, err := e.Bucket.Read(ctx, key)
	if errors.Is(err, objects.ErrNotFound) {
		return nil, "no model was recorded as in service yet", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("looking at what is in service: %w", err)
	}
	s, err := service.Decode(stored.Body)
	if err != nil {
		return nil, "", fmt.Errorf("s3://%s/%s: %w", e.Bucket.Name(), key, err)
	}
	now, recorded := s.Now()
	if !recorded {
		return nil, "no model was recorded as in service yet", nil
	}
	return &evaluation.Served{Model: now.Model, Config: now.Config, Run: now.Run}, "", nil
}

// absent says whether SageMaker doesn't know what it was asked for: a ValidationException with such a text.
func absent(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && strings.Contains(api.ErrorMessage(), "Could not find")
}

// runOf is the run whose data a model was trained on, by its name; empty for one that isn't the pipeline's.
func (e *Evaluator) runOf(model string) run.ID {
	suffix, ours := strings.CutPrefix(model, e.Spec.Name()+"-")
	if !ours || !modelSuffix.MatchString(suffix) {
		return ""
	}
	return run.ID(suffix[:run.IDLength])
}

// modelSuffix is what follows the pipeline's name in that of a training job and its model: the run, and the attempt from the second on.
var modelSuffix = regexp.MustCompile(`^[0-9]{8}t[0-9]{6}z(-a[0-9]+)?$`)

// comparison says whether two models are compared, and why not; changed says how their signatures differ, if they do.
type comparison struct {
	compare         bool
	reason, changed string
}

func (e *Evaluator) comparison(ctx context.Context, job, model string, champion evaluation.Served) (comparison, error) {
	switch {
	case champion.Model == model:
		return comparison{reason: fmt.Sprintf("the model in service is this one, %s, so there is nothing to compare it with", model)}, nil
	case champion.Run == "":
		return comparison{reason: fmt.Sprintf("the model in service, %s, is none of the pipeline's, so it isn't compared", champion.Model)}, nil
	}
	candidate, err := e.signature(ctx, job)
	if err != nil {
		return comparison{}, fmt.Errorf("reading the candidate's signature: %w", err)
	}
	before, err := e.signature(ctx, champion.Model)
	if unreadable, is := errors.AsType[*unreadableError](err); is {
		return comparison{reason: fmt.Sprintf("the signature of the model in service, %s, can't be read, so it isn't compared: %v", champion.Model, unreadable)}, nil
	}
	if err != nil {
		return comparison{}, fmt.Errorf("reading the signature of the model in service: %w", err)
	}
	if changed := difference(candidate, before); changed != "" {
		return comparison{reason: fmt.Sprintf("the model in service, %s, has another signature, so it isn't compared: %s", champion.Model, changed), changed: changed}, nil
	}
	return comparison{compare: true, reason: fmt.Sprintf("the model in service, %s, has the same signature", champion.Model)}, nil
}

// known says whether the champion was measured on this hold-out already: its report names the same ManifestFile. What it was measured by is
// worth something when its scores are still there, or the gate's metric is among its values and means the same.
func (e *Evaluator) known(ctx context.Context, champion string, h holdout, g pipeline.Gate) (evaluation.Report, bool, error) {
	r, found, err := e.report(ctx, champion)
	if err != nil || !found || r.Holdout.Manifest.SHA256 != h.Manifest.SHA256 || r.Task != e.Spec.Dataset.Task {
		return evaluation.Report{}, false, err
	}
	if hasValue(r, g) {
		return r, true, nil
	}
	outputs, err := e.Bucket.List(ctx, r.Holdout.Scores, "")
	return r, len(outputs) > 0, err
}

func hasValue(r evaluation.Report, g pipeline.Gate) bool {
	_, measured := r.Metrics[evaluation.Metric(g.Metric)]
	return measured && (evaluation.Metric(g.Metric) != evaluation.F1 || r.Gate.Threshold == g.Threshold)
}
