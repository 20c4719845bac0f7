package emulator_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"sagemaker-datapipeline/test/local/emulator"
)

// arguments are the arguments of a task that trains the job.
func arguments(name string) map[string]any {
	channelOf := func(name string) map[string]any {
		return map[string]any{
			"ChannelName": name, "ContentType": "text/csv",
			"DataSource": map[string]any{"S3DataSource": map[string]any{
				"S3DataType": "ManifestFile", "S3Uri": "s3://" + bucket + "/data/" + name + ".manifest",
			}},
		}
	}
	return map[string]any{
		"TrainingJobName":        name,
		"RoleArn":                role,
		"AlgorithmSpecification": map[string]any{"TrainingImage": image, "TrainingInputMode": "File"},
		"HyperParameters":        map[string]any{"num_round": "5", "objective": "binary:logistic", "eval_metric": "auc"},
		"InputDataConfig":        []any{channelOf("train"), channelOf("validation")},
		"OutputDataConfig":       map[string]any{"S3OutputPath": "s3://" + bucket + "/models/"},
		"ResourceConfig":         map[string]any{"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
		"StoppingCondition":      map[string]any{"MaxRuntimeInSeconds": 600},
	}
}

// start runs a state machine of one task and returns the execution's ARN.
func start(t *testing.T, name, resource string, arguments any) string {
	t.Helper()
	definition, err := json.Marshal(map[string]any{
		"QueryLanguage": "JSONata", "StartAt": "Task",
		"States": map[string]any{"Task": map[string]any{
			"Type": "Task", "Resource": "arn:aws:states:::" + resource, "Arguments": arguments, "End": true,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	machine, err := local.sfn.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
		Name: aws.String(name), Definition: aws.String(string(definition)), RoleArn: aws.String("arn:aws:iam::000000000000:role/states"),
	})
	if err != nil {
		t.Fatalf("creating the state machine: %v", err)
	}
	execution, err := local.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: machine.StateMachineArn})
	if err != nil {
		t.Fatalf("starting the execution: %v", err)
	}
	return *execution.ExecutionArn
}

func awaitExecution(t *testing.T, arn string) *sfn.DescribeExecutionOutput {
	t.Helper()
	var out *sfn.DescribeExecutionOutput
	await(t, "the execution to end", func() bool {
		var err error
		if out, err = local.sfn.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
			t.Fatalf("describing the execution: %v", err)
		}
		return out.Status != sfntypes.ExecutionStatusRunning
	})
	return out
}

func TestATaskThatWaitsForItsJobGetsTheDescriptionOfTheCompletedJob(t *testing.T) {
	out := awaitExecution(t, start(t, "states-completed", "sagemaker:createTrainingJob.sync", arguments("states-completed")))
	if out.Status != sfntypes.ExecutionStatusSucceeded {
		t.Fatalf("the execution %s: %s: %s", out.Status, aws.ToString(out.Error), aws.ToString(out.Cause))
	}
	var got struct {
		TrainingJobStatus   string
		CreationTime        int64
		ModelArtifacts      struct{ S3ModelArtifacts string }
		FinalMetricDataList []struct{ MetricName string }
	}
	if err := json.Unmarshal([]byte(*out.Output), &got); err != nil {
		t.Fatalf("decoding the output: %v\n%s", err, *out.Output)
	}
	want := "s3://" + bucket + "/models/states-completed/output/model.tar.gz"
	if got.TrainingJobStatus != "Completed" || got.ModelArtifacts.S3ModelArtifacts != want || len(got.FinalMetricDataList) == 0 {
		t.Errorf("the output is %s", *out.Output)
	}
	// The optimized integration gives times in milliseconds.
	if got.CreationTime < 1_000_000_000_000 {
		t.Errorf("CreationTime is %d, want milliseconds", got.CreationTime)
	}
}

func TestTheErrorsOfTasksHaveTheNamesThatAWSGivesThem(t *testing.T) {
	quota := "The account-level service limit 'ml.m5.large for training job usage' is 0 Instances, with current utilization of 0 Instances " +
		"and a request delta of 1 Instances. Please contact AWS support to request an increase for this limit."
	misspelt := arguments("states-misspelt")
	misspelt["TrainingJobname"] = "x"
	tests := []struct {
		name      string
		fault     *emulator.Fault
		resource  string
		arguments any
		error     string
		cause     string
	}{
		{
			name:     "a quota is ResourceLimitExceededException",
			fault:    &emulator.Fault{Operation: "CreateTrainingJob", Code: "ResourceLimitExceeded", Message: quota},
			resource: "sagemaker:createTrainingJob.sync", arguments: arguments("states-quota"),
			error: "SageMaker.ResourceLimitExceededException", cause: "current utilization of 0 Instances",
		},
		{
			name:     "throttling is AmazonSageMakerException, its code in the cause",
			fault:    &emulator.Fault{Operation: "CreateTrainingJob", Code: "ThrottlingException", Message: "Rate exceeded"},
			resource: "sagemaker:createTrainingJob.sync", arguments: arguments("states-throttled"),
			error: "SageMaker.AmazonSageMakerException", cause: "Rate exceeded (Service: AmazonSageMaker; Status Code: 400; Error Code: ThrottlingException;",
		},
		{
			name:     "a job that fails is States.TaskFailed, the job's description its cause",
			fault:    &emulator.Fault{Outcome: emulator.TrainingFailed},
			resource: "sagemaker:createTrainingJob.sync", arguments: arguments("states-failed"),
			error: "States.TaskFailed", cause: `"FailureReason":"CapacityError: Unable to provision requested ML compute capacity.`,
		},
		{
			name:     "a job that is stopped is States.TaskFailed too",
			fault:    &emulator.Fault{Outcome: emulator.TrainingStopped},
			resource: "sagemaker:createTrainingJob.sync", arguments: arguments("states-stopped"),
			error: "States.TaskFailed", cause: `"TrainingJobStatus":"Stopped"`,
		},
		{
			name:     "a field that Step Functions does not know is States.Runtime",
			resource: "sagemaker:createTrainingJob.sync", arguments: misspelt,
			error: "States.Runtime", cause: `The field "TrainingJobname" is not supported by Step Functions`,
		},
		{
			name:     "an endpoint that isn't there is the SDK's base exception",
			resource: "aws-sdk:sagemaker:describeEndpoint", arguments: map[string]any{"EndpointName": "states-nowhere"},
			error: "SageMaker.SageMakerException",
			cause: `Could not find endpoint "arn:aws:sagemaker:us-east-1:000000000000:endpoint/states-nowhere". (Service: SageMaker, Status Code: 400,`,
		},
		{
			name:     "a quota has its name in the SDK's integration too",
			fault:    &emulator.Fault{Operation: "CreateEndpoint", Code: "ResourceLimitExceeded"},
			resource: "aws-sdk:sagemaker:createEndpoint", arguments: map[string]any{"EndpointName": "x", "EndpointConfigName": "x"},
			error: "SageMaker.ResourceLimitExceededException",
		},
		{
			name:     "an invocation of nothing is the runtime's ValidationErrorException",
			resource: "aws-sdk:sagemakerruntime:invokeEndpoint", arguments: map[string]any{"EndpointName": "states-nowhere", "Body": "1"},
			error: "SageMakerRuntime.ValidationErrorException", cause: "Endpoint states-nowhere of account 000000000000 not found.",
		},
		{
			name:     "an operation that the local SageMaker does not have says so",
			resource: "aws-sdk:sagemaker:createProcessingJob", arguments: map[string]any{"TransformJobName": "x"},
			error: "SageMaker.SageMakerException", cause: "The local SageMaker does not have the operation CreateProcessingJob.",
		},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.fault != nil {
				if err := local.emulator.OrderFault(t.Context(), *test.fault); err != nil {
					t.Fatal(err)
				}
			}
			out := awaitExecution(t, start(t, fmt.Sprintf("states-error-%d", i), test.resource, test.arguments))
			if got := aws.ToString(out.Error); got != test.error {
				t.Errorf("the error is %q, want %q (cause: %s)", got, test.error, aws.ToString(out.Cause))
			}
			if got := aws.ToString(out.Cause); !strings.Contains(got, test.cause) {
				t.Errorf("the cause is %s\nwant in it: %s", got, test.cause)
			}
		})
	}
}

func TestATaskInvokesAnEndpointWithJSONAndGetsText(t *testing.T) {
	deployable(t, "states-invoke", trained(t))
	createEndpoint(t, "states-invoke", "states-invoke")
	awaitEndpoint(t, "states-invoke", types.EndpointStatusInService)
	out := awaitExecution(t, start(t, "states-invoke", "aws-sdk:sagemakerruntime:invokeEndpoint", map[string]any{
		"EndpointName": "states-invoke", "ContentType": "text/libsvm", "Body": " 0:0.95 1:0.5 ",
	}))
	var got struct{ Body, ContentType, InvokedProductionVariant string }
	if err := json.Unmarshal([]byte(aws.ToString(out.Output)), &got); err != nil {
		t.Fatalf("the execution %s: %s: %s", out.Status, aws.ToString(out.Error), aws.ToString(out.Cause))
	}
	if !strings.HasPrefix(got.Body, "0.9") || got.InvokedProductionVariant != "primary" {
		t.Errorf("the output is %s", *out.Output)
	}

	// Step Functions puts a text into quotes, which CSV doesn't survive.
	out = awaitExecution(t, start(t, "states-invoke-csv", "aws-sdk:sagemakerruntime:invokeEndpoint", map[string]any{
		"EndpointName": "states-invoke", "ContentType": "text/csv", "Body": "0.95,0.5",
	}))
	if got := aws.ToString(out.Error); got != "SageMakerRuntime.ModelErrorException" {
		t.Errorf("a row of CSV ends with the error %q (output: %s), want SageMakerRuntime.ModelErrorException", got, aws.ToString(out.Output))
	}

	out = awaitExecution(t, start(t, "states-describe", "aws-sdk:sagemaker:describeEndpoint", map[string]any{"EndpointName": "states-invoke"}))
	var described struct{ EndpointConfigName, EndpointStatus, CreationTime string }
	if err := json.Unmarshal([]byte(aws.ToString(out.Output)), &described); err != nil {
		t.Fatalf("the execution %s: %s: %s", out.Status, aws.ToString(out.Error), aws.ToString(out.Cause))
	}
	if described.EndpointConfigName != "states-invoke" || described.EndpointStatus != "InService" || !strings.HasSuffix(described.CreationTime, "Z") {
		t.Errorf("the output is %s", *out.Output)
	}
}

func TestStoppingAnExecutionStopsItsJob(t *testing.T) {
	if err := local.emulator.OrderFault(t.Context(), emulator.Fault{
		Outcome: emulator.TrainingSlow, Seconds: 60, Match: map[string]string{"TrainingJobName": "states-abort"},
	}); err != nil {
		t.Fatal(err)
	}
	arn := start(t, "states-abort", "sagemaker:createTrainingJob.sync", arguments("states-abort"))
	await(t, "the job to be there", func() bool {
		_, err := local.sm.DescribeTrainingJob(t.Context(), &sagemaker.DescribeTrainingJobInput{TrainingJobName: aws.String("states-abort")})
		return err == nil
	})
	if _, err := local.sfn.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
		t.Fatalf("stopping the execution: %v", err)
	}
	if out := awaitJob(t, "states-abort"); out.TrainingJobStatus != types.TrainingJobStatusStopped {
		t.Errorf("the job ended %s, want Stopped", out.TrainingJobStatus)
	}
	if out := awaitExecution(t, arn); out.Status != sfntypes.ExecutionStatusAborted {
		t.Errorf("the execution is %s, want ABORTED", out.Status)
	}
}

// twoSteps keeps a variable, then looks at an endpoint and tells both.
func twoSteps(t *testing.T, name string) string {
	t.Helper()
	definition, err := json.Marshal(map[string]any{
		"QueryLanguage": "JSONata", "StartAt": "Look",
		"States": map[string]any{
			"Look": map[string]any{
				"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:sagemaker:listModels", "Arguments": map[string]any{"MaxResults": 1},
				"Assign": map[string]any{"kept": "{% $states.input.run & '!' %}"}, "Output": "{% {'endpoint': $states.input.run} %}", "Next": "Describe",
			},
			"Describe": map[string]any{
				"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:sagemaker:describeEndpoint",
				"Arguments": map[string]any{"EndpointName": "{% $states.input.endpoint %}"},
				"Output":    "{% {'kept': $kept, 'status': $states.result.EndpointStatus, 'run': $states.context.Execution.Input.run} %}", "End": true,
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	machine, err := local.sfn.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
		Name: aws.String(name), Definition: aws.String(string(definition)), RoleArn: aws.String("arn:aws:iam::000000000000:role/states"),
	})
	if err != nil {
		t.Fatal(err)
	}
	execution, err := local.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{
		StateMachineArn: machine.StateMachineArn, Input: aws.String(`{"run":"` + name + `"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	return *execution.ExecutionArn
}

func TestAnExecutionGoesOnWhereItFailed(t *testing.T) {
	arn := twoSteps(t, "redriven")
	out := awaitExecution(t, arn)
	if out.Status != sfntypes.ExecutionStatusFailed || out.RedriveStatus != sfntypes.ExecutionRedriveStatusRedrivable || out.Output != nil {
		t.Fatalf("the execution %s (%s) with the output %s", out.Status, out.RedriveStatus, aws.ToString(out.Output))
	}
	deployable(t, "redriven", trained(t))
	createEndpoint(t, "redriven", "redriven")
	awaitEndpoint(t, "redriven", types.EndpointStatusInService)
	if _, err := local.sfn.RedriveExecution(t.Context(), &sfn.RedriveExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
		t.Fatalf("redriving: %v", err)
	}
	out = awaitExecution(t, arn)
	if got, want := aws.ToString(out.Output), `{"kept":"redriven!","status":"InService","run":"redriven"}`; strings.ReplaceAll(got, ": ", ":") != strings.ReplaceAll(want, ",", ", ") {
		t.Errorf("the execution %s with %s, want %s (%s)", out.Status, got, want, aws.ToString(out.Cause))
	}
	if aws.ToInt32(out.RedriveCount) != 1 {
		t.Errorf("it was redriven %d times, want once", aws.ToInt32(out.RedriveCount))
	}
	history, err := local.sfn.GetExecutionHistory(t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(arn)})
	if err != nil {
		t.Fatal(err)
	}
	var entered []string
	for _, e := range history.Events {
		if e.StateEnteredEventDetails != nil {
			entered = append(entered, *e.StateEnteredEventDetails.Name)
		}
	}
	if want := "Look Describe Describe"; strings.Join(entered, " ") != want {
		t.Errorf("the states entered are %v, want %s", entered, want)
	}

	_, err = local.sfn.RedriveExecution(t.Context(), &sfn.RedriveExecutionInput{ExecutionArn: aws.String(arn)})
	wantError(t, err, "ExecutionNotRedrivable", "Execution is SUCCEEDED and cannot be redriven")
}

func TestAStoppedExecutionGoesOnWhereItWas(t *testing.T) {
	if err := local.emulator.OrderFault(t.Context(), emulator.Fault{
		Outcome: emulator.TrainingSlow, Seconds: 60, Match: map[string]string{"TrainingJobName": "states-redrive"},
	}); err != nil {
		t.Fatal(err)
	}
	arn := start(t, "states-redrive", "sagemaker:createTrainingJob.sync", arguments("states-redrive"))
	await(t, "the job to be there", func() bool {
		_, err := local.sm.DescribeTrainingJob(t.Context(), &sagemaker.DescribeTrainingJobInput{TrainingJobName: aws.String("states-redrive")})
		return err == nil
	})
	if _, err := local.sfn.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
		t.Fatal(err)
	}
	if _, err := local.sfn.RedriveExecution(t.Context(), &sfn.RedriveExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
		t.Fatalf("redriving: %v", err)
	}
	// The job's name stays taken, as on AWS.
	if out := awaitExecution(t, arn); aws.ToString(out.Error) != "SageMaker.ResourceInUseException" {
		t.Errorf("the execution %s: %s: %s", out.Status, aws.ToString(out.Error), aws.ToString(out.Cause))
	}
	if out := awaitJob(t, "states-redrive"); out.TrainingJobStatus != types.TrainingJobStatusStopped {
		t.Errorf("the job of the stopped execution is %s, want Stopped", out.TrainingJobStatus)
	}
}
