package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"sagemaker-datapipeline/lambda/pipeline"
)

// Training is the training job.
type Training struct {
	// The built-in algorithm of SageMaker.
	Algorithm string `json:"algorithm" default:"xgboost" enum:"xgboost"`
	// The version of the algorithm's image.
	Version string `json:"version" default:"3.2-0" enum:"3.2-0,3.0-5,1.7-1" limit:"the versions that AWS maintains"`
	// An image of one's own in the place of the built-in algorithm: it trains and serves by SageMaker's container contract.
	Image *Image `json:"image"`
	// The machine of the job.
	InstanceType string `json:"instanceType" oneOf:"machines" pattern:"^ml\\.[a-z][a-z0-9-]*\\.(medium|large|([0-9]+)?xlarge)$" form:"an instance type of SageMaker, such as ml.m6i.large"`
	// The machines of the job in order of preference: where AWS has no room for one, the next is tried.
	InstanceTypes []string `json:"instanceTypes" oneOf:"machines" most:"5" pattern:"^ml\\.[a-z][a-z0-9-]*\\.(medium|large|([0-9]+)?xlarge)$" form:"an instance type of SageMaker, such as ml.m6i.large"`
	// How many machines the job has.
	InstanceCount int `json:"instanceCount" default:"1" min:"1" max:"100"`
	// The size of the job's disk, in GiB: the training and validation files have to fit.
	VolumeGiB int `json:"volumeGiB" default:"30" min:"1" max:"16384" limit:"SageMaker, CreateTrainingJob"`
	// How long the job may take, in seconds. A job that is stopped by this limit is a failed run.
	MaxRuntimeSeconds int `json:"maxRuntimeSeconds" default:"3600" min:"1" max:"2419200" limit:"SageMaker, CreateTrainingJob: 28 days"`
	// Trains on spot machines, which cost less and may be taken away. Checkpoints are kept in S3, for an image that goes on from
	// its last one. SageMaker's own XGBoost begins again: it writes one checkpoint and looks for numbered ones.
	Spot *Spot `json:"spot"`
	// How long a run waits for a machine, a quota that others use up, or a service that is out of order, in minutes. A quota
	// that never allows the request fails at once.
	PatienceMinutes int `json:"patienceMinutes" default:"360" min:"1" max:"40320" limit:"28 days"`
	// Which runs train. Without it each does whose data is accepted.
	When *When `json:"when"`
	// The algorithm's hyperparameters, all written as strings. `num_round` is needed. An image of one's own has its own.
	Hyperparameters map[string]string `json:"hyperparameters" defaultText:"**needed**, unless there is an image"`
}

// Image is an image of one's own.
type Image struct {
	// Where the image is in Amazon ECR, with a tag or a digest, in the environment's region. A model is served by the image that
	// trained it, so the tag must not move: `latest` is refused.
	URI string `json:"uri" required:"true" pattern:"^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.[a-z0-9.-]+/[a-z0-9]+([._/-][a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})$" form:"an image of Amazon ECR with its tag or digest, such as 111111111111.dkr.ecr.eu-central-1.amazonaws.com/fraud:1.4"`
	// What the image takes in hyperparameters.json, all written as strings. Nothing of it is checked.
	Hyperparameters ImageParameters `json:"hyperparameters"`
}

// ImageParameters are hyperparameters that only their image knows.
type ImageParameters map[string]string

// Spot is how spot machines are waited for.
type Spot struct {
	// How long the job may take in all, in seconds: waiting for spot machines, and training. At least `maxRuntimeSeconds`.
	MaxWaitSeconds int `json:"maxWaitSeconds" min:"1" max:"2419200" limit:"28 days" defaultText:"an hour more than maxRuntimeSeconds"`
}

// When says which runs train: exactly one of its keys. Data and models may have different rhythms: near-real-time data doesn't
// mean a training job every five minutes.
type When struct {
	// Trains when the last training was started at least so many hours before, by the runs' scheduled times.
	EveryHours int `json:"everyHours" oneOf:"when" min:"1" max:"8760" limit:"a year"`
	// Trains when the last training was started at least so many minutes before, by the runs' scheduled times.
	EveryMinutes int `json:"everyMinutes" oneOf:"when" min:"1" max:"525600" limit:"a year"`
	// Trains when so many rows came since the last training. Of append loads: a full load reads all of its rows each time.
	AfterRows int `json:"afterRows" oneOf:"when" min:"1"`
}

// Machines are the job's instance types in order of preference.
func (t Training) Machines() []string {
	if t.InstanceTypes != nil {
		return t.InstanceTypes
	}
	return []string{t.InstanceType}
}

// Parameters are the hyperparameters of the algorithm, or of the image.
func (t Training) Parameters() map[string]string {
	if t.Image != nil {
		return t.Image.Hyperparameters
	}
	return t.Hyperparameters
}

func (t *Training) complete() {
	if t != nil && t.Spot != nil && t.Spot.MaxWaitSeconds == 0 {
		t.Spot.MaxWaitSeconds = min(t.MaxRuntimeSeconds+int(time.Hour/time.Second), longestJobSeconds)
	}
}

// longestJobSeconds is SageMaker's limit of 28 days.
const longestJobSeconds = 28 * 24 * 60 * 60

// every is the time between two trainings; 0 where it is none.
func (w *When) every() time.Duration {
	if w == nil {
		return 0
	}
	return time.Duration(inSeconds(0, w.EveryHours, w.EveryMinutes)) * time.Second
}

func (w *When) spec() *pipeline.When {
	if w == nil {
		return nil
	}
	return &pipeline.When{EverySeconds: int64(w.every() / time.Second), AfterRows: int64(w.AfterRows)}
}

func (v validator) training(p *Pipeline, n *node) {
	t := p.Training
	if t == nil {
		return
	}
	said := n.member("training")
	path := func(keys ...any) string { return n.at(append([]any{"training"}, keys...)...) }
	if t.InstanceTypes != nil && len(t.InstanceTypes) == 0 {
		v.add(path("instanceTypes"), "is empty", "write one to five instance types, the preferred one first")
	}
	v.twice(t.InstanceTypes, n, "training", "instanceTypes")
	if w := t.When; w != nil && w.AfterRows > 0 && p.Source.Load != pipeline.Append {
		v.add(path("when", "afterRows"), fmt.Sprintf(`got %d with the load "full"`, w.AfterRows),
			"write everyHours or everyMinutes: a full load reads all of its rows in each run, so that their number says nothing of what is new")
	}
	v.spot(t, path)
	switch {
	case t.Image != nil:
		v.image(*t.Image, said, path)
	case t.Hyperparameters == nil:
		v.add(path("hyperparameters"), "is missing", `write an object: the algorithm's hyperparameters, such as {"objective": "binary:logistic", "num_round": "200"}`)
	case len(t.Hyperparameters) == 0:
		v.add(path("hyperparameters"), "is empty", `write an object: the algorithm's hyperparameters, such as {"objective": "binary:logistic", "num_round": "200"}`)
	default:
		v.hyperparameters(t, p.Dataset.Task, n)
	}
}

var movingTag = regexp.MustCompile(`:latest$`)

// image finds what an image of one's own makes meaningless, and a tag that another image will have.
func (v validator) image(image Image, training *node, path func(...any) string) {
	for _, key := range []string{"algorithm", "version", "hyperparameters"} {
		if said := training.member(key); !said.absent() {
			remedy := "leave it out: the image is what trains"
			if key == "hyperparameters" {
				remedy = "write them in image.hyperparameters: these are the built-in algorithm's"
			}
			v.add(said.path, said.said()+" beside an image", remedy)
		}
	}
	if movingTag.MatchString(image.URI) {
		v.add(path("image", "uri"), "got "+quote(image.URI), "write a tag that stays, or a digest: a model is served by the image that trained it, and `latest` will be another")
	}
	if len(image.Hyperparameters) > mostHyperparameters {
		v.add(path("image", "hyperparameters"), fmt.Sprintf("has %d hyperparameters", len(image.Hyperparameters)),
			fmt.Sprintf("keep at most %d (SageMaker, CreateTrainingJob)", mostHyperparameters))
	}
}

// uncheckpointedSeconds is how long SageMaker lets a spot job of a built-in algorithm take that keeps no checkpoints. Source: the
// SageMaker developer guide, "Managed Spot Training".
const uncheckpointedSeconds = 3600

// spot checks how long a job waits. SageMaker's XGBoost keeps checkpoints since 0.90-1, in all the versions here; but the way that
// Dask trains on several GPUs reads none (aws/sagemaker-xgboost-container, distributed_gpu_training.py: xgb.dask.train is given
// no xgb_model), so that an interrupted job begins anew.
func (v validator) spot(t *Training, path func(...any) string) {
	s := t.Spot
	if s == nil {
		return
	}
	at := path("spot", "maxWaitSeconds")
	switch {
	case s.MaxWaitSeconds < t.MaxRuntimeSeconds:
		v.add(at, fmt.Sprintf("got %d, with %d for maxRuntimeSeconds", s.MaxWaitSeconds, t.MaxRuntimeSeconds),
			fmt.Sprintf("write at least %d: it is the time of waiting and training together (SageMaker, CreateTrainingJob)", t.MaxRuntimeSeconds))
	case t.Image == nil && t.Hyperparameters["use_dask_gpu_training"] == "true" && s.MaxWaitSeconds > uncheckpointedSeconds:
		v.add(at, fmt.Sprintf(`got %d, with "use_dask_gpu_training": "true"`, s.MaxWaitSeconds),
			fmt.Sprintf("write at most %d, and maxRuntimeSeconds no more: XGBoost on Dask reads no checkpoint, and a built-in algorithm without checkpoints gets no longer (SageMaker, managed spot training)", uncheckpointedSeconds))
	}
}

// imageRegions finds images that an environment can't pull: SageMaker takes an image from its own region only.
func (v validator) imageRegions(e Environment, n *node, pipelines map[string]Pipeline) {
	for name, p := range pipelines {
		if p.Training == nil || p.Training.Image == nil || e.Region == "" {
			continue
		}
		// <account>.dkr.ecr.<region>.amazonaws.com
		if parts := strings.SplitN(p.Training.Image.URI, ".", 5); len(parts) == 5 && parts[3] != e.Region {
			v.add(n.at("region"), fmt.Sprintf("is %s, and the pipeline %q has an image in %s", e.Region, name, parts[3]),
				fmt.Sprintf(`replicate the image, and write for this environment "pipelines": {%q: {"training": {"image": {"uri": …}}}}: SageMaker pulls from its own region only`, name))
		}
	}
}

// burstable says whether a machine has CPU credits, which autoscaling can't go by.
func burstable(instanceType string) bool {
	return slices.ContainsFunc([]string{"ml.t2.", "ml.t3."}, func(family string) bool { return strings.HasPrefix(instanceType, family) })
}
