package main

import (
	"sagemaker-datapipeline/constructs/config"
	"sagemaker-datapipeline/lambda/pipeline"
)

// machines are what a pipeline uses of a quota of SageMaker. Source of the quotas' names: AWS General Reference, "Amazon SageMaker AI endpoints and
// quotas".
type machines struct {
	instanceType, usage string
	count               int
}

// machinesOf are the machines of a pipeline at their most. An update of an endpoint runs the new ones beside the old ones.
func machinesOf(p config.Pipeline) []machines {
	var all []machines
	t, e := p.Training, p.Endpoint
	if t == nil || e == nil {
		return nil
	}
	usage := "training job usage"
	if t.Spot != nil {
		usage = "spot training job usage"
	}
	for _, instanceType := range t.Machines() {
		all = append(all, machines{instanceType, usage, t.InstanceCount})
	}
	scoring := machines{t.Machines()[0], "transform job usage", 1}
	switch e.Kind {
	case pipeline.Batch:
		all = append(all, machines{e.InstanceType, "transform job usage", e.InstanceCount})
		scoring.instanceType = e.InstanceType
	case pipeline.Endpoint:
		most := e.InstanceCount
		if e.Autoscaling != nil {
			most = max(most, e.Autoscaling.Max)
		}
		all = append(all, machines{e.InstanceType, "endpoint usage", 2 * most})
	}
	return append(all, scoring)
}
