package constructs

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"
)

// policy is a document of statements that are written by hand: the roles of this package hold what their parts call and
// nothing else, which the L2 constructs' grants can't promise.
func policy(statements ...awsiam.PolicyStatement) awsiam.PolicyDocument {
	return awsiam.NewPolicyDocument(&awsiam.PolicyDocumentProps{Statements: &statements})
}

// allow lets actions happen on the resources.
func allow(sid string, actions []string, resources ...*string) awsiam.PolicyStatement {
	return allowIf(sid, actions, nil, resources...)
}

// allowIf is allow under conditions.
func allowIf(sid string, actions []string, conditions map[string]any, resources ...*string) awsiam.PolicyStatement {
	props := &awsiam.PolicyStatementProps{
		Sid:       jsii.String(sid),
		Actions:   jsii.Strings(actions...),
		Resources: &resources,
	}
	if conditions != nil {
		props.Conditions = &conditions
	}
	return awsiam.NewPolicyStatement(props)
}

// optional is nil for the empty string: the CDK's way of saying "not given".
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return jsii.String(s)
}
