package notice

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/pipeline"
)

// advice is what to do about a run that failed or was rolled back.
type advice struct {
	// step begins the name of the step; "" is every step.
	step string
	// sign is a part of the error's name or text; "" is every error.
	sign string
	// do is what to do. In braces is what is filled in.
	do string
}

const (
	denied      = "A role, or the policy of the key or the bucket, refuses what the text names. If somebody changed one by hand, deploy the stack again. {again}"
	trainingLog = "Read its log in CloudWatch, group /aws/sagemaker/TrainingJobs, streams that begin with the job's name."
	scoringLog  = "Read its log in CloudWatch, group /aws/sagemaker/TransformJobs, streams that begin with the job's name."
	endpointLog = "Read the container's log in CloudWatch, group /aws/sagemaker/Endpoints/{name}."
)

// advices are tried in their order.
var advices = []advice{
	{"Read input", "", `Start the workflow through the export function, with {"scheduledTime": "2026-01-01T02:00:00Z"}, or with the input of an earlier execution.`},
	{"", "AccessDenied", denied},
	{"", "not authorized", denied},
	{"Train", "AlgorithmError", "The algorithm refuses the data or a hyperparameter. " + trainingLog + " Correct the query, the columns or the hyperparameters, deploy, and let the next run train, if there will be one with new data. {again}"},
	{"Train", "ClientError", "The job can't read its data or its settings. " + trainingLog + " Correct what it names, deploy, and let the next run train."},
	{"Train", "QuotaTooSmall", "{quota} {again}"},
	{"Train", "ResourceLimitExceeded", "{quota} {again}"},
	{"Train", "CapacityError", "AWS has no free machine of the types that are asked for at the moment. Name further types in training.instanceTypes, or try later. {again}"},
	{"Train", "Train.TimeLimit", "The job reached its time limit: allow it more time (training.maxRuntimeSeconds), a larger machine or fewer rounds, and deploy. {again}"},
	{"Train", "Train.Stopped", "A person stopped the job, or it reached its time limit (training.maxRuntimeSeconds): then allow it more time, a larger machine or fewer rounds. {again}"},
	{"Train", "TimedOut", "The job waited too long for its machine, or its time limit did not stop it. Look at the job in the SageMaker console. {again}"},
	{"Train", "States.Timeout", "The job waited too long for its machine, or its time limit did not stop it. Look at the job in the SageMaker console. {again}"},
	{"Train", "ResourceInUse", "Too many jobs of this run were started: every name is taken. Let the next run train."},
	{"Train", "", "Nothing was deployed. If the text speaks of an internal error or of throttling, try again; else correct what it names first. {again}"},
	{"Publish signature", "", "The model is trained, but can't be published without its signature. See that the export's object is still in the bucket. {again}"},
	{"Create model", "", "The model is trained, but SageMaker refuses to register it. Correct what the text names. {again}"},
	{"Create endpoint config", "", "The model is there, but SageMaker refuses its endpoint config. Correct what the text names, often the endpoint's instance type. {again}"},
	{"Score", "QuotaTooSmall", "{quota} {again}"},
	{"Score", "ResourceLimitExceeded", "{quota} {again}"},
	{"Score", "CapacityError", "The model is trained, and AWS has no free machine to score it on at the moment. Try later. {again}"},
	{"Score", "AlgorithmError", "The model is trained, but its container doesn't answer the hold-out. " + scoringLog + " {again}"},
	{"Score", "ClientError", "The scoring job can't read the hold-out or the model. " + scoringLog + " {again}"},
	{"Score", "", "The model is trained, and is not in service because it couldn't be scored on the hold-out. " + scoringLog + " {again}"},
	{"Find champion", "", "The model is trained, and is not in service because what it is compared with couldn't be found. Correct what the text names. {again}"},
	{"Decide", "", "The model is trained, and is not in service because the scores couldn't be compared. Correct what the text names. {again}"},
	{"Register", "", "The model is better, and is not in service because it couldn't be registered. See that the model package group {name} exists: deploy the stack again. {again}"},
	{"Approv", "", "Nobody was asked, or the answer couldn't be read. Correct what the text names. {again}"},
	{"Acquire lease", "", "Another execution holds the deploy lease, or it couldn't be read. If no other execution of {name} runs, delete {pipeline}/deploy-lease.json from the bucket. {again}"},
	{"Deploy", "ResourceLimitExceeded", "{quota} An update runs old and new machines side by side and needs room for both. {again}"},
	{"Deploy", "RolledBack", "The new model did not come up, and the one before it still serves. " + endpointLog + " {again}"},
	{"Deploy", "Replaced", "If what serves now is newer than this run, do nothing. Else:{rollback}"},
	{"Deploy", "EndpointFailed", "Nothing serves. " + endpointLog + " {again}\nIt deletes the failed endpoint and creates it anew."},
	{"Deploy", "NeedsAPerson", "No request of a workflow can help an endpoint in this state. " + endpointLog + " If it doesn't recover:\n  aws sagemaker delete-endpoint --endpoint-name {name}\n{again}"},
	{"Deploy", "TimedOut", "Somebody or something else keeps the endpoint busy, or SageMaker is slow today. Wait until the endpoint is InService. {again}"},
	{"Smoke test", "", "The endpoint serves the new model, which doesn't answer as it should. " + endpointLog +
		" To serve the model before it again, if there was one:{before}\nor by hand:\n  aws sagemaker update-endpoint --endpoint-name {name} --endpoint-config-name NAME\nwith the name of its config, which is below."},
	{"Put back", "", "The model before could not be put back into service, so look at once what serves. " + endpointLog +
		" Then:{before}\nor by hand:\n  aws sagemaker update-endpoint --endpoint-name {name} --endpoint-config-name NAME\nwith the name of its config, which is below."},
	{"Autoscaling", "", "The endpoint serves the new model, but with a fixed number of machines: its scaling could not be registered. Correct what the text names. {again}"},
	{"Record service", "", "The endpoint serves the new model, but the pipeline's history doesn't know it, and a rollback wouldn't find it. Correct what the text names. {again}"},
	{"", "", "Correct what the text names. {again}"},
}

// takenBack are the advices for a model that was in service and no longer is, before all others.
var takenBack = []advice{
	{"Smoke test", "", "The new model came up but didn't answer as it should. Compare its answers with the scores of the batch transform, and look whether its container reads what the signature says. " + endpointLog},
	{"", "", "The new model did not come up or an alarm took it back, and the one before it still serves. " + endpointLog + " {again}"},
}

// advise chooses among the advices.
func advise(spec pipeline.Spec, end outcome.End) string {
	table := advices
	if end.Outcome == outcome.RolledBack {
		table = takenBack
	}
	said := end.Error + " " + end.Cause
	for _, a := range table {
		if strings.HasPrefix(end.Step, a.step) && strings.Contains(said, a.sign) {
			return filling(spec, end).Replace(a.do)
		}
	}
	return ""
}

// quotaText is how SageMaker says that a quota is used up:
//
//	The account-level service limit 'ml.m5.large for training job usage' is 0 Instances, with current utilization of 0 Instances and a request
//	delta of 1 Instances.
//
// Seen in https://github.com/gabehollombe-aws/jupyter-notebooks/issues/1.
var quotaText = regexp.MustCompile(`limit '([^']{1,200})' is ([0-9]{1,9}) [A-Za-z]+, with current utilization of ([0-9]{1,9}) [A-Za-z]+ and a request delta of ([0-9]{1,9})`)

// quotaSaid is how the workflow says that a quota can never allow the request.
var quotaSaid = regexp.MustCompile(`quota "([^"]{1,200})" is ([0-9]{1,9}), and the [a-z ]{1,40} needs ([0-9]{1,9})`)

// quotaAdvice tells a quota that is in use from one that can never allow the request.
func quotaAdvice(cause string) string {
	if found := quotaSaid.FindStringSubmatch(cause); found != nil {
		return fmt.Sprintf("However long one waits, it can never be. Service Quotas, Amazon SageMaker, %q: ask for %s or more, or choose another instance type.", found[1], found[3])
	}
	found := quotaText.FindStringSubmatch(cause)
	if found == nil {
		return "A quota of the account is used up or too low. Look at Service Quotas, Amazon SageMaker: wait for other jobs to end, or ask for more."
	}
	number := func(i int) int {
		n, _ := strconv.Atoi(found[i]) // nine digits at most
		return n
	}
	limit, used, asked := number(2), number(3), number(4)
	if asked > limit {
		return fmt.Sprintf("The account's quota allows %d and %d is asked for, so it can never be, however long one waits. Service Quotas, Amazon SageMaker, %q: ask for %d or more, or choose another instance type.",
			limit, asked, found[1], asked)
	}
	return fmt.Sprintf("The account's quota allows %d, of which %d are in use. Wait for other jobs and endpoints to end; or Service Quotas, Amazon SageMaker, %q: ask for %d or more.",
		limit, used, found[1], used+asked)
}
