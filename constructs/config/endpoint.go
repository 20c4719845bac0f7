package config

import (
	"fmt"
	"strings"
	"time"

	"sagemaker-datapipeline/lambda/pipeline"
)

// Endpoint is how the model is put to use.
type Endpoint struct {
	// `endpoint` serves on machines of its own, `serverless` on machines that come with the calls, at most 6 GB and without a VPC.
	// `batch` serves nobody: each run's rows are scored into S3.
	Kind pipeline.Deploy `json:"kind" default:"endpoint" enum:"endpoint,serverless,batch"`
	// The machines of the endpoint, or of the batch.
	InstanceType string `json:"instanceType" pattern:"^ml\\.[a-z][a-z0-9-]*\\.(medium|large|([0-9]+)?xlarge)$" form:"an instance type of SageMaker, such as ml.m6i.large" defaultText:"**needed** by endpoint; of batch, the first of the training"`
	// How many machines the endpoint, or the batch, has. With two or more, SageMaker spreads an endpoint over zones.
	InstanceCount int `json:"instanceCount" min:"1" max:"100" defaultText:"autoscaling.min, or 1"`
	// How long the transform job of a batch may take, in seconds. A job that is stopped by this limit is a failed run. Of the kind
	// `batch`.
	MaxRuntimeSeconds int `json:"maxRuntimeSeconds" min:"1" max:"2419200" limit:"28 days" defaultText:"3600"`
	// The size of a serverless endpoint. Of the kind `serverless`, which needs it.
	Serverless *Serverless `json:"serverless"`
	// Changes the number of machines with the calls. A deployment keeps the number that it finds. Without it there are
	// `instanceCount`.
	Autoscaling *Autoscaling `json:"autoscaling"`
	// How calls go from the old model to the new one. Without it, all at once, when the new machines answer; with alarms, the old
	// machines stay for ten minutes then.
	Traffic *Traffic `json:"traffic"`
	// What puts the old model back while the new one is being put into service, and tells people at any other time. A serverless
	// endpoint's only tell people: SageMaker doesn't roll its updates back.
	Alarms *EndpointAlarms `json:"alarms"`
	// Keeps calls and answers in S3, below `<pipeline>/capture/`. They hold what callers send: `source` and `drop` don't reach there.
	Capture *Capture `json:"capture"`
	// How many endpoint configs and models stay, the one in service among them. Older ones are deleted, artifacts never.
	Keep int `json:"keep" default:"5" min:"2" max:"20" limit:"two are needed for a way back"`
}

// Serverless is the size of a serverless endpoint.
type Serverless struct {
	// The memory of a machine, in MiB.
	MemoryMiB int `json:"memoryMiB" default:"2048" enum:"1024,2048,3072,4096,5120,6144" limit:"SageMaker, CreateEndpointConfig"`
	// How many calls are answered at a time. More are refused.
	MaxConcurrency int `json:"maxConcurrency" default:"5" min:"1" max:"200" limit:"SageMaker, CreateEndpointConfig"`
}

// Autoscaling is within what bounds the number of machines follows the calls.
type Autoscaling struct {
	// The fewest machines.
	Min int `json:"min" required:"true" min:"1" max:"100"`
	// The most machines.
	Max int `json:"max" required:"true" min:"1" max:"100"`
	// How many calls a minute one machine should get.
	InvocationsPerInstance int `json:"invocationsPerInstance" required:"true" min:"1"`
}

// Traffic is how calls go from the old model to the new one.
type Traffic struct {
	// `canary` first sends a share of the calls to the new model, then all. `linear` goes on in steps of the share. `allAtOnce` sends
	// all. While it waits, an alarm puts the old model back.
	Kind string `json:"kind" default:"allAtOnce" enum:"allAtOnce,canary,linear"`
	// The share of the new machines that a canary, or each step, begins with.
	Percent int `json:"percent" min:"1" max:"50" limit:"SageMaker, half of the machines" defaultText:"that of one machine, at least 10"`
	// How long the alarms are watched after each step, in seconds.
	WaitSeconds int `json:"waitSeconds" default:"300" min:"0" max:"3600" limit:"SageMaker, UpdateEndpoint"`
	// How long the old machines stay when all calls go to the new ones, in seconds: a way back meanwhile.
	TerminationWaitSeconds int `json:"terminationWaitSeconds" default:"300" min:"0" max:"3600" limit:"SageMaker, UpdateEndpoint"`
}

// EndpointAlarms is what an endpoint must not do for two minutes in a row.
type EndpointAlarms struct {
	// The share of calls that the model may answer with an error (5XX).
	ErrorRate float64 `json:"errorRate" default:"0.01" min:"0.0001" max:"1"`
	// How long the slowest hundredth of the answers may take the model at least, in milliseconds.
	LatencyMilliseconds int `json:"latencyMilliseconds" min:"1" max:"60000" limit:"SageMaker ends an answer then" defaultText:"not watched"`
}

// Capture is how much of an endpoint's calls is kept.
type Capture struct {
	// The share of the calls, in percent.
	Percent int `json:"percent" required:"true" min:"1" max:"100"`
}

// alarmSeconds is how long the alarms of an endpoint take to see what is wrong: two minutes of datapoints, and one for these to
// arrive.
const alarmSeconds = 180

// watchedSeconds is how long each wait of an update is where the configuration doesn't say: the default of Traffic.
const watchedSeconds = 300

// leastPercent is the smallest step of a linear shift that SageMaker takes, and the smallest share that is taken without being asked for.
const leastPercent = 10

func (e *Endpoint) complete(t *Training) {
	if e == nil {
		return
	}
	if e.InstanceCount == 0 && e.Kind != pipeline.Serverless {
		e.InstanceCount = 1
		if e.Autoscaling != nil {
			e.InstanceCount = max(e.Autoscaling.Min, 1)
		}
	}
	if e.Kind == pipeline.Batch {
		if e.InstanceType == "" && t != nil {
			e.InstanceType = append(t.Machines(), "")[0]
		}
		if e.MaxRuntimeSeconds == 0 {
			e.MaxRuntimeSeconds = int(time.Hour / time.Second)
		}
	}
	if e.Traffic == nil && e.Alarms != nil && e.Kind == pipeline.Endpoint {
		// Alarms are watched while an update waits. One that doesn't wait ends before they see anything.
		e.Traffic = &Traffic{Kind: "allAtOnce", WaitSeconds: watchedSeconds, TerminationWaitSeconds: watchedSeconds}
	}
	if e.Traffic != nil && e.Traffic.Percent == 0 && e.Traffic.shifts() {
		e.Traffic.Percent = max(leastPercent, e.oneMachine())
	}
}

// oneMachine is the share of one machine in percent, rounded up.
func (e *Endpoint) oneMachine() int { return (100 + e.fewest() - 1) / e.fewest() }

// fewest is how many machines there are at least.
func (e *Endpoint) fewest() int {
	if e.Autoscaling != nil {
		return max(min(e.Autoscaling.Min, e.InstanceCount), 1)
	}
	return max(e.InstanceCount, 1)
}

// longestShiftSeconds is SageMaker's limit of a deployment, less ten minutes for the machines to start. Source: UpdateEndpoint,
// MaximumExecutionTimeoutInSeconds.
const longestShiftSeconds = 28_800 - 600

// steps is how many steps the calls go in.
func (t *Traffic) steps() int {
	if t.Kind == "linear" && t.Percent > 0 {
		return (100 + t.Percent - 1) / t.Percent
	}
	return 1
}

// shifts says whether calls go to the new model by and by.
func (t *Traffic) shifts() bool { return t != nil && t.Kind != "allAtOnce" }

func (v validator) endpoint(p *Pipeline, n *node) {
	e := p.Endpoint
	if e == nil {
		return
	}
	path := func(keys ...any) string { return n.at(append([]any{"endpoint"}, keys...)...) }
	if e.Kind != pipeline.Endpoint {
		v.otherKind(e, n)
		return
	}
	if e.MaxRuntimeSeconds != 0 {
		v.add(path("maxRuntimeSeconds"), fmt.Sprintf(`got %d beside the kind "endpoint"`, e.MaxRuntimeSeconds), "leave it out: it bounds the job of a batch; a training's is training.maxRuntimeSeconds")
	}
	if e.Serverless != nil {
		v.add(path("serverless"), `is beside the kind "endpoint"`, `write "kind": "serverless", or leave it out`)
	}
	if e.InstanceType == "" {
		v.add(path("instanceType"), "is missing", `write an instance type of SageMaker, such as ml.m6i.large; or another kind: "serverless", or "batch" for scores in S3`)
	}
	v.autoscaling(e, path)
	v.traffic(e, path)
}

// otherKind finds what only an endpoint on machines of its own has.
func (v validator) otherKind(e *Endpoint, n *node) {
	said := n.member("endpoint")
	why := map[string]string{
		"serverless":  "nothing serves",
		"autoscaling": "nothing serves", "traffic": "nothing serves", "alarms": "nothing serves", "capture": "nothing serves",
	}
	if e.Kind == pipeline.Serverless {
		why = map[string]string{
			"instanceType":      "the machines come with the calls",
			"instanceCount":     "the machines come with the calls",
			"maxRuntimeSeconds": "it bounds the job of a batch",
			"autoscaling":       "serverless endpoints grow up to serverless.maxConcurrency by themselves",
			"traffic":           "SageMaker's deployment guardrails are for endpoints on machines of their own",
			"capture":           "SageMaker captures nothing of serverless endpoints",
		}
		if e.Serverless == nil {
			v.add(n.at("endpoint", "serverless"), "is missing", `write {"memoryMiB": …, "maxConcurrency": …}, or {} for 2048 and 5`)
		}
	}
	for _, key := range []string{"instanceType", "instanceCount", "maxRuntimeSeconds", "serverless", "autoscaling", "traffic", "alarms", "capture"} {
		if reason, foreign := why[key]; foreign && !said.member(key).absent() {
			v.add(n.at("endpoint", key), fmt.Sprintf("%s beside the kind %q", said.member(key).said(), e.Kind), "leave it out: "+reason)
		}
	}
}

func (v validator) autoscaling(e *Endpoint, path func(...any) string) {
	a := e.Autoscaling
	if a == nil {
		return
	}
	switch {
	case a.Max < a.Min:
		v.add(path("autoscaling", "max"), fmt.Sprintf("got %d, with %d for min", a.Max, a.Min), fmt.Sprintf("write at least %d", a.Min))
	case e.InstanceCount < a.Min || e.InstanceCount > a.Max:
		v.add(path("instanceCount"), fmt.Sprintf("got %d beside autoscaling from %d to %d", e.InstanceCount, a.Min, a.Max),
			"leave it out, or write a number between them: it is how many the endpoint begins with")
	}
	if burstable(e.InstanceType) {
		v.add(path("instanceType"), "got "+quote(e.InstanceType)+" beside autoscaling", "write a machine without CPU credits, such as ml.m6i.large: SageMaker doesn't scale burstable ones")
	}
}

// traffic finds updates that SageMaker refuses, and those that it does otherwise than asked: where an endpoint has what the
// guardrails exclude, it falls back to all at once and watches no alarm. Source: the SageMaker developer guide, "Deployment guardrails,
// Exclusions".
func (v validator) traffic(e *Endpoint, path func(...any) string) {
	t := e.Traffic
	if (t.shifts() || e.Alarms != nil) && strings.HasPrefix(e.InstanceType, "ml.inf1.") {
		v.add(path("instanceType"), "got "+quote(e.InstanceType)+" beside traffic or alarms", "write another machine: SageMaker's deployment guardrails exclude Inf1, whose updates go all at once and are never rolled back")
	}
	if t == nil {
		return
	}
	if !t.shifts() {
		if t.Percent != 0 {
			v.add(path("traffic", "percent"), fmt.Sprintf(`got %d with the kind "allAtOnce"`, t.Percent), `leave it out, or write "kind": "canary"`)
		}
		if watched := t.WaitSeconds + t.TerminationWaitSeconds; e.Alarms != nil && watched < alarmSeconds {
			v.add(path("traffic", "waitSeconds"), fmt.Sprintf("got %d beside alarms, and %d for terminationWaitSeconds", t.WaitSeconds, t.TerminationWaitSeconds),
				fmt.Sprintf("wait for at least %d together: the alarms look at two minutes, and would see what is wrong when the old machines are gone", alarmSeconds))
		}
		return
	}
	if e.fewest() < 2 {
		key := path("instanceCount")
		if e.Autoscaling != nil {
			key = path("autoscaling", "min")
		}
		v.add(key, fmt.Sprintf("is %d beside the traffic %q", e.fewest(), t.Kind), "write at least 2: a step has at most half of the machines (SageMaker, UpdateEndpoint)")
		return
	}
	if e.Alarms == nil {
		v.add(path("alarms"), fmt.Sprintf("is missing beside the traffic %q", t.Kind), "write {} for what is watched by default: without an alarm nothing puts the old model back, and the steps only take time")
	}
	switch {
	case t.Kind == "linear" && t.Percent < leastPercent:
		v.add(path("traffic", "percent"), fmt.Sprintf("got %d", t.Percent), fmt.Sprintf("write %d to 50: the steps of a linear shift (SageMaker, UpdateEndpoint)", leastPercent))
	case t.Percent < e.oneMachine():
		v.add(path("traffic", "percent"), fmt.Sprintf("got %d of %d machines", t.Percent, e.fewest()), fmt.Sprintf("write at least %d: a step is one machine or more", e.oneMachine()))
	}
	if steps := t.steps(); steps*t.WaitSeconds+t.TerminationWaitSeconds > longestShiftSeconds {
		v.add(path("traffic", "waitSeconds"), fmt.Sprintf("got %d for each of %d steps, and %d for terminationWaitSeconds", t.WaitSeconds, steps, t.TerminationWaitSeconds),
			fmt.Sprintf("wait less or take larger steps: together they have %d seconds (SageMaker ends a deployment after 8 hours, of which the machines need some minutes to start)", longestShiftSeconds))
	}
	if t.WaitSeconds < alarmSeconds {
		v.add(path("traffic", "waitSeconds"), fmt.Sprintf("got %d", t.WaitSeconds), fmt.Sprintf("write at least %d: the alarms look at two minutes, and would see what is wrong after the step", alarmSeconds))
	}
}

// serverlessNetworks finds serverless endpoints in environments with a network: SageMaker puts none into a VPC.
func (v validator) serverlessNetworks(e Environment, n *node, pipelines map[string]Pipeline) {
	for name, p := range pipelines {
		if p.Endpoint != nil && p.Endpoint.Kind == pipeline.Serverless && !e.Network.outsideVPC() {
			v.add(n.at("network"), fmt.Sprintf("is beside the pipeline %q, whose endpoint is serverless", name),
				fmt.Sprintf(`write "network": {"none": true}, or for this environment "pipelines": {%q: {"endpoint": {"kind": "endpoint", "serverless": null, "instanceType": …}}}: SageMaker puts no serverless endpoint into a VPC`, name))
		}
	}
}
