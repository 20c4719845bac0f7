package constructs

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/lambda/pipeline"
)

// functionRetries outlast a function that is being changed or a burst of the account's invocations.
const functionRetries = 4

// lambdaFaults are Lambda's own errors, after which the function may not have run: invoking it again is safe, as each of the
// workflow's functions does nothing twice. Source: the Step Functions developer guide, "Handle transient Lambda service
// exceptions". Runtime.ExitError is a process that died before it answered: of memory, or with its machine.
var lambdaFaults = []string{
	"Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.TooManyRequestsException",
	"Lambda.ClientExecutionTimeoutException", "Runtime.ExitError",
}

// invoke makes a state that calls a function of the pipeline with an event. Its answer is in $states.result.Payload; the error
// of a function is named by its Go type.
func (f *flow) invoke(id string, function awslambda.IFunction, event map[string]any, p taskProps) awsstepfunctions.CustomState {
	p.arguments = map[string]any{"FunctionName": function.FunctionArn(), "Payload": event}
	p.retries = append(p.retries, f.retry(functionRetries, lambdaFaults...))
	return f.task(id, "lambda:invoke", p)
}

// invokePermission lets the workflow call its functions. A batch has no endpoint to ask, and without a gate nothing is compared.
func (f *flow) invokePermission() awsiam.PolicyStatement {
	functions := []*string{f.props.Release.FunctionArn(), f.props.Notify.FunctionArn()}
	if f.props.Endpoint.Kind != pipeline.Batch || f.props.Gate != nil {
		functions = append(functions, f.props.Evaluate.FunctionArn())
	}
	return allow("CallItsFunctions", []string{"lambda:InvokeFunction"}, functions...)
}

// withFunctions fills in the functions that are called as those of every pipeline are.
func (p WorkflowProps) withFunctions(scope constructs.Construct) WorkflowProps {
	named := func(given awslambda.IFunction, kind string) awslambda.IFunction {
		if given != nil {
			return given
		}
		return awslambda.Function_FromFunctionName(scope, jsii.String(kind), jsii.String(p.Name+"-"+kind))
	}
	p.Evaluate, p.Release, p.Notify = named(p.Evaluate, "evaluate"), named(p.Release, "release"), named(p.Notify, "notify")
	return p
}
