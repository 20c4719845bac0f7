package main

import "sagemaker-datapipeline/constructs/config"

// machines are what a pipeline uses of a quota of SageMaker.
type machines struct {
	instanceType, usage string
	count               int
}

// machinesOf are the machines of a pipeline. An update of an endpoint runs the new ones beside the old ones.
func machinesOf(p config.Pipeline) []machines {
	var all []machines
	if t := p.Training; t != nil {
		all = append(all, machines{t.InstanceType, "training job usage", t.InstanceCount})
	}
	if e := p.Endpoint; e != nil {
		all = append(all, machines{e.InstanceType, "endpoint usage", 2 * e.InstanceCount})
	}
	return all
}
