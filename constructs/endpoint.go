package constructs

import (
	"fmt"
	"slices"
	"strings"

	"sagemaker-datapipeline/lambda/pipeline"
)

// withDefaults fills in what is left out, and refuses what SageMaker would refuse, or what it would silently not do. Sources: the
// SageMaker developer guide, "Deploy models with Amazon SageMaker Serverless Inference", feature exclusions, and "Blue/Green
// Deployments"; the limits are those of the API model.
func (p EndpointProps) withDefaults(name string) EndpointProps {
	refuse := func(format string, values ...any) {
		panic(fmt.Errorf("the workflow %s "+format, append([]any{name}, values...)...))
	}
	if p.Kind == "" {
		p.Kind = pipeline.Endpoint
	}
	if p.Keep == 0 {
		p.Keep = DefaultKeep
	}
	if p.InstanceCount == 0 {
		p.InstanceCount = 1
	}
	if !slices.Contains([]pipeline.Deploy{pipeline.Endpoint, pipeline.Serverless, pipeline.Batch}, p.Kind) {
		refuse("has an endpoint of the kind %q: use %q, %q or %q", p.Kind, pipeline.Endpoint, pipeline.Serverless, pipeline.Batch)
	}
	if p.Kind != pipeline.Endpoint && (p.Autoscaling != nil || p.Traffic != nil || len(p.Alarms) > 0 || p.Capture != nil) {
		refuse("is of the kind %q and has autoscaling, traffic, alarms or capture: SageMaker has these for the kind %q only, leave them out", p.Kind, pipeline.Endpoint)
	}
	if (p.Kind == pipeline.Serverless) != (p.Serverless != nil) {
		refuse("is of the kind %q: the size of a serverless endpoint comes with the kind %q, and only with it", p.Kind, pipeline.Serverless)
	}
	if p.Kind == pipeline.Batch {
		if p.KeyColumns < 1 {
			refuse("scores batches and says nothing of the key: KeyColumns is how many columns of it each row begins with")
		}
		return p // on the machines of its transforms
	}
	if s := p.Serverless; s != nil {
		if s.MemoryMiB < 1024 || s.MemoryMiB > 6144 || s.MemoryMiB%1024 != 0 {
			refuse("has a serverless endpoint of %d MiB: use 1024, 2048, 3072, 4096, 5120 or 6144", s.MemoryMiB)
		}
		if s.MaxConcurrency < 1 || s.MaxConcurrency > 200 {
			refuse("has a serverless endpoint that answers %d requests at once: use 1 to 200", s.MaxConcurrency)
		}
		return p
	}
	if !strings.HasPrefix(p.InstanceType, "ml.") {
		refuse("has the instance type %q: use one of SageMaker's, such as ml.m6i.large", p.InstanceType)
	}
	if a := p.Autoscaling; a != nil {
		if a.MinInstances < 1 || a.MaxInstances < a.MinInstances || a.InvocationsPerInstance < 1 {
			refuse("is scaled between %d and %d machines by %d invocations each: use at least 1 machine and 1 invocation, and a maximum not below the minimum", a.MinInstances, a.MaxInstances, a.InvocationsPerInstance)
		}
		p.InstanceCount = min(max(p.InstanceCount, a.MinInstances), a.MaxInstances)
	}
	if len(p.Alarms) > 10 {
		refuse("has %d alarms that roll an update back: SageMaker takes ten", len(p.Alarms))
	}
	if c := p.Capture; c != nil && (c.Percent < 1 || c.Percent > 100) {
		refuse("captures %d %% of the requests: use 1 to 100", c.Percent)
	}
	if t := p.Traffic; t != nil {
		p.refuseTraffic(*t, refuse)
	}
	return p
}

func (p EndpointProps) refuseTraffic(t TrafficProps, refuse func(string, ...any)) {
	least := map[string]int{AllAtOnce: 0, Canary: 1, Linear: 10}
	from, known := least[t.Kind]
	switch {
	case !known:
		refuse("moves traffic by %q: use %q, %q or %q", t.Kind, AllAtOnce, Canary, Linear)
	case t.Kind != AllAtOnce && (t.Percent < from || t.Percent > 50):
		refuse("moves %d %% of the machines at a time: use %d to 50", t.Percent, from)
	case t.Kind != AllAtOnce && p.InstanceCount < 2 && (p.Autoscaling == nil || p.Autoscaling.MinInstances < 2):
		refuse("moves traffic by %q with one machine: use at least 2, or %q", t.Kind, AllAtOnce)
	case inSeconds(t.Wait) > 3600 || inSeconds(t.TerminationWait) > 3600:
		refuse("waits %d s for a step of the traffic and %d s before it ends the old machines: SageMaker takes an hour each", inSeconds(t.Wait), inSeconds(t.TerminationWait))
	case p.deploymentSeconds() > longestDeployment-600:
		refuse("needs %d s for moving the traffic: SageMaker gives a deployment 8 hours, wait less or move more at a time", p.deploymentSeconds())
	}
}
