package workflow

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// trouble is what AWS says when a job can't be made or doesn't end well, where it was seen to say so, and what the workflow has to
// take it for. A text of our own shows a wording that nobody has seen yet.
type trouble struct {
	name   string
	source string
	// code is the API's; empty for a job that was made.
	code, message string
	status        int
	// job is the status of a job that was made, secondary its SecondaryStatus, and message its FailureReason.
	job, secondary string
	// raw replaces the error and the cause that Step Functions makes of it.
	raw [2]string

	kind string
	// error and says have to be in the name and the text of the failure.
	error, says string
}

const (
	ours = "ours"
	// quotaZero is what a new account hears.
	quotaZero = "The account-level service limit 'ml.m5.large for training job usage' is 0 Instances, with current utilization of 0 Instances and a request delta of 1 Instances. Please contact AWS support to request an increase for this limit."
	// quotaInUse is what an account hears whose machines are busy.
	quotaInUse = "The account-level service limit 'ml.m5.large for training job usage' is 2 Instances, with current utilization of 2 Instances and a request delta of 1 Instances. Please contact AWS support to request an increase for this limit."
	noCapacity = "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type."
	internal   = "InternalServerError: We encountered an internal error. Please try again."
)

var troubles = []trouble{
	{name: "a name that is taken", source: "https://github.com/SuperCowPowers/workbench/issues/384", code: "ResourceInUse", status: 400,
		message: "Training job names must be unique within an AWS account and region, and a training job with this name already exists (arn:aws:sagemaker:us-east-1:000000000000:training-job/x)", kind: "taken"},
	{name: "a name that is taken, without its code", source: ours, code: "ValidationException", status: 400, message: "Job name is already in use", kind: "taken"},

	{name: "a quota of nothing", source: "https://github.com/gabehollombe-aws/jupyter-notebooks/issues/1", code: "ResourceLimitExceeded", status: 400, message: quotaZero,
		kind: "final", error: "Train.QuotaTooSmall", says: `the quota "ml.m5.large for training job usage" is 0, and the training job needs 1`},
	{name: "a quota below the request", source: "https://github.com/data-science-on-aws/data-science-on-aws/issues/200", code: "ResourceLimitExceeded", status: 400,
		message: "The account-level service limit 'Number of instances across all processing jobs' is 4 Instances, with current utilization of 0 Instances and a request delta of 11 Instances. Please contact AWS support to request an increase for this limit.",
		kind:    "final", error: "Train.QuotaTooSmall", says: "Ask for at least 11 in Service Quotas, Amazon SageMaker"},
	{name: "a quota that is in use, and overdrawn", source: "https://github.com/aws/amazon-sagemaker-examples/issues/1543", code: "ResourceLimitExceeded", status: 400,
		message: "The account-level service limit 'ml.p3.8xlarge for training job usage' is 2 Instances, with current utilization of 3 Instances and a request delta of 1 Instances. Please contact AWS support to request an increase for this limit.",
		kind:    "quota", error: "ResourceLimitExceeded", says: `the quota "ml.p3.8xlarge for training job usage" is used up`},
	{name: "the wording of 2017, without quotes", source: "https://github.com/aws/sagemaker-python-sdk/issues/35", code: "ResourceLimitExceeded", status: 400,
		message: "The account-level service limit for training-job/ml.p2.xlarge is 0 Instances, with current utilization of 0 Instances and a request delta of 2 Instances. Please contact AWS support to request an increase for this limit.",
		kind:    "final", error: "Train.QuotaTooSmall", says: `the quota "training-job/ml.p2.xlarge" is 0, and the training job needs 2`},
	{name: "the wording with Service Quotas", source: "https://github.com/aws/amazon-sagemaker-feedback/issues/157", code: "ResourceLimitExceeded", status: 400,
		message: "The account-level service limit 'ml.p3.2xlarge for training job usage' is 0 Instances, with current utilization of 0 Instances and a request delta of 1 Instances. Please use AWS Service Quotas to request an increase for this quota. If AWS Service Quotas is not available, contact AWS support to request an increase for this quota.",
		kind:    "final", error: "Train.QuotaTooSmall", says: "ml.p3.2xlarge for training job usage"},
	{name: "a large quota with a comma", source: ours, code: "ResourceLimitExceeded", status: 400,
		message: `The account-level service quota "ml.m5.large for training job usage" is 1,000 Instances, with current utilisation of 1,000 Instances and a request of 12 Instances.`, kind: "quota", error: "ResourceLimitExceeded", says: "ml.m5.large for training job usage"},
	{name: "a quota without figures", source: ours, code: "ResourceLimitExceeded", status: 400, message: "You have reached a limit.", kind: "quota", says: `the quota "ml.m5.large for training job usage" is used up`},
	{name: "a quota under another code", source: ours, code: "ServiceQuotaExceededException", status: 400, message: quotaInUse, kind: "quota"},

	{name: "throttling", source: "https://github.com/aws/sagemaker-python-sdk/issues/645", code: "ThrottlingException", status: 400, message: "Rate exceeded", kind: "again"},
	{name: "throttling of transforms", source: "https://github.com/facebookresearch/dynabench/issues/482", code: "ThrottlingException", status: 400, message: "Rate exceeded", kind: "again"},
	{name: "throttling without a text", source: "https://github.com/opensearch-project/ml-commons/issues/2429", code: "ThrottlingException", status: 400, message: "null", kind: "again"},
	{name: "throttling in HTTP's words", source: ours, code: "TooManyRequests", status: 429, message: "slow down", kind: "again"},
	{name: "an internal failure", source: "the API reference, Common Errors: InternalFailure", code: "InternalFailure", status: 500,
		message: "The request processing has failed because of an unknown error, exception or failure.", kind: "again"},
	{name: "an unavailable service", source: "the API reference, Common Errors: ServiceUnavailable", code: "ServiceUnavailable", status: 503,
		message: "The request has failed due to a temporary failure of the server.", kind: "again"},
	{name: "a lost answer", source: "AWS SDK for Java, SdkClientException", raw: [2]string{"SageMaker.SdkClientException", "Unable to execute HTTP request: Read timed out"}, kind: "again"},
	{name: "a lost answer of version 1", source: "AWS SDK for Java, AmazonHttpClient", raw: [2]string{"SageMaker.AmazonClientException", "Unable to execute HTTP request: api.sagemaker.us-east-1.amazonaws.com failed to respond"}, kind: "again"},
	{name: "an error that says nothing", source: ours, raw: [2]string{"SageMaker.AmazonSageMakerException", ""}, kind: "again"},

	{name: "a validation error", source: "https://github.com/aws/amazon-sagemaker-examples/issues/2267", code: "ValidationException", status: 400,
		message: `No S3 objects found under S3 URL "s3://b/p" given in input data source. Please ensure that the bucket exists in the selected region (us-east-1), that objects exist under that S3 prefix, and that the role "x" has "s3:ListBucket" permissions on bucket "b".`,
		kind:    "final", error: "SageMaker.AmazonSageMakerException", says: "No S3 objects found"},
	{name: "a validation error that speaks of a timeout", source: ours, code: "ValidationException", status: 400, message: "The timeout must be an integer.", kind: "final"},
	{name: "a denied call", source: "the API reference, Common Errors: AccessDeniedException", code: "AccessDeniedException", status: 400,
		message: "User: arn:aws:sts::000000000000:assumed-role/x is not authorized to perform: sagemaker:CreateTrainingJob", kind: "final", says: "not authorized"},
	{name: "a service that AWS has not enabled", source: "the API reference, Common Errors: OptInRequired", code: "OptInRequired", status: 403, message: "The AWS access key ID needs a subscription for the service.", kind: "final"},
	{name: "no capacity at once", source: ours, code: "InsufficientCapacityException", status: 400, message: "Insufficient capacity.", kind: "capacity", error: "CapacityError"},
	{name: "a task that took too long", source: "the Step Functions developer guide, States.Timeout", raw: [2]string{"States.Timeout", ""}, kind: "overdue", error: "Train.TimedOut", says: "it was stopped"},
	{name: "an error without a text", source: ours, raw: [2]string{"Something.New", ""}, kind: "final", error: "Something.New"},

	{name: "a job without a machine", source: "https://github.com/DIAGNijmegen/rse-grand-challenge/issues/2631", job: "Failed", message: noCapacity, kind: "capacity", error: "CapacityError", says: "Unable to provision"},
	{name: "a job without a machine, in other words", source: ours, job: "Failed", message: "InsufficientInstanceCapacity: there is no capacity in us-east-1a", kind: "capacity", error: "CapacityError"},
	{name: "a job that SageMaker broke", source: "https://github.com/aws/sagemaker-python-sdk/issues/70", job: "Failed", message: internal, kind: "internal", error: "InternalServerError"},
	{name: "an algorithm that failed", source: "https://github.com/aws/deep-learning-containers/issues/586", job: "Failed", message: "AlgorithmError: See job logs for more information",
		kind: "final", error: "AlgorithmError", says: "See job logs for more information Its log: https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#logStream:group=/aws/sagemaker/TrainingJobs;prefix=ml-test-plain-" + first},
	{name: "an algorithm that speaks of capacity and internal errors", source: ours, job: "Failed", message: "AlgorithmError: no capacity left in the queue: internal error, please try again, exit code: 1", kind: "final", error: "AlgorithmError"},
	{name: "data that can't be read", source: "https://github.com/aws/amazon-sagemaker-examples/issues/1620", job: "Failed", message: "ClientError: See job logs for more information", kind: "final", error: "ClientError"},
	{name: "a reason with quotes, backslashes and lines", source: ours, job: "Failed", message: "ClientError: \"a\\b\"\nnext line", kind: "final", error: "ClientError", says: `ClientError: "a\b" next line`},
	{name: "a reason of another kind", source: ours, job: "Failed", message: "NewError: something new", kind: "final", error: "NewError", says: "something new"},
	{name: "a job without a reason", source: ours, job: "Failed", kind: "final", error: "States.TaskFailed"},
	{name: "a job that a person stopped", source: "the API reference, DescribeTrainingJob: SecondaryStatus", job: "Stopped", secondary: "Stopped", kind: "final", error: "Train.Stopped"},
	{name: "a job that its time limit stopped", source: "the API reference, DescribeTrainingJob: SecondaryStatus", job: "Stopped", secondary: "MaxRuntimeExceeded", kind: "final", error: "Train.TimeLimit", says: "by its time limit"},
	{name: "spot machines that never came", source: "the API reference, DescribeTrainingJob: SecondaryStatus", job: "Stopped", secondary: "MaxWaitTimeExceeded", kind: "capacity", error: "CapacityError"},
	{name: "spot machines that were taken back", source: "the API reference, DescribeTrainingJob: SecondaryStatus", job: "Stopped", secondary: "Interrupted", kind: "capacity", error: "CapacityError"},
	{name: "a quota that a job runs into", source: ours, job: "Failed", message: "ResourceLimitExceeded: " + quotaInUse, kind: "capacity"},
	{name: "a quota that a job can never keep", source: ours, job: "Failed", message: "ResourceLimitExceeded: " + quotaZero, kind: "final", error: "Train.QuotaTooSmall"},
	{name: "a description that was cut off in its reason", source: ours, raw: [2]string{"States.TaskFailed", `{"TrainingJobStatus":"Failed","FailureReason":"AlgorithmError: ` + strings.Repeat("x", 900)}, kind: "final", error: "AlgorithmError", says: "xxx"},
	{name: "no JSON at all", source: ours, raw: [2]string{"States.TaskFailed", `{{"`}, kind: "final", error: "States.TaskFailed", says: `{{"`},
	{name: "other scripts", source: ours, job: "Failed", message: "AlgorithmError: 失敗しました 🙂 ¿qué?", kind: "final", error: "AlgorithmError", says: "失敗しました 🙂"},
	{name: "fifty thousand words", source: ours, raw: [2]string{"X", strings.Repeat("long ", 50_000)}, kind: "final", error: "X", says: "long long"},
}

// said gives the error and the cause that Step Functions hands to a catch: the optimized integration's form, on version 1 of the SDK.
func (c trouble) said(t *testing.T) map[string]any {
	t.Helper()
	if c.raw[0] != "" {
		return map[string]any{"Error": c.raw[0], "Cause": c.raw[1]}
	}
	if c.job != "" {
		b, err := json.Marshal(c.description("TrainingJob"))
		ok(t, err)
		return map[string]any{"Error": "States.TaskFailed", "Cause": string(b)}
	}
	name := "SageMaker.AmazonSageMakerException"
	if c.code == "ResourceInUse" || c.code == "ResourceLimitExceeded" {
		name = "SageMaker." + c.code + "Exception"
	}
	return map[string]any{"Error": name, "Cause": fmt.Sprintf("%s (Service: AmazonSageMaker; Status Code: %d; Error Code: %s; Request ID: 0a1b; Proxy: null)", c.message, c.status, c.code)}
}

// description is that of the job, as its kind of operations gives it.
func (c trouble) description(operation string) map[string]any {
	d := map[string]any{operation + "Name": "x", operation + "Status": c.job, "Tags": strings.Repeat("t", 3000)}
	if c.message != "" {
		d["FailureReason"] = c.message
	}
	if c.secondary != "" {
		d["SecondaryStatus"] = c.secondary
		d["SecondaryStatusTransitions"] = []any{map[string]any{"Status": "Starting"}, map[string]any{"Status": c.secondary}}
	}
	return d
}

func TestWhateverStopsAJobIsOneOfTheKindsOfTrouble(t *testing.T) {
	d := decode(t, "plain")
	caught := d.States["Train"].Catch[0].Assign["trouble"].(string)
	described := d.States["Train"].Assign["trouble"].(string)
	variables := map[string]any{"run": first, "attempt": 1, "machine": 0}
	var expressions []evaluation
	for _, c := range troubles {
		expressions = append(expressions, evaluation{Expression: caught, States: map[string]any{"errorOutput": c.said(t)}, Variables: variables})
		if c.job != "" {
			// The same from a job that the integration gives as a result.
			expressions = append(expressions, evaluation{Expression: described, States: map[string]any{"result": c.description("TrainingJob")}, Variables: variables})
		}
	}
	done := evaluate(t, expressions)
	next := func(t *testing.T, c trouble) {
		e := done[0]
		done = done[1:]
		got, _ := e.Value.(map[string]any)
		name, cause := fmt.Sprint(got["error"]), fmt.Sprint(got["cause"])
		if e.Error != "" || got["kind"] != c.kind || !strings.Contains(name, c.error) || !strings.Contains(cause, c.says) || len([]rune(cause)) > 2200 {
			t.Errorf("it is %.60v, %s: %.600s %s\nwant %s, %s: … %s …", got["kind"], name, cause, e.Error, c.kind, c.error, c.says)
		}
	}
	for _, c := range troubles {
		t.Run(c.name, func(t *testing.T) {
			next(t, c)
			if c.job != "" {
				next(t, c)
			}
		})
	}
}
