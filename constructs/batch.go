package constructs

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
)

// scoreBatch makes the states that score the run's rows into the bucket.
func (f *flow) scoreBatch(awsstepfunctions.IChainable) awsstepfunctions.IChainable {
	panic(fmt.Errorf("the workflow %s is of the kind %q, which can't be deployed yet: use an endpoint", f.props.Name, f.props.Endpoint.Kind))
}

func (f *flow) batchPermissions() []awsiam.PolicyStatement { return nil }
