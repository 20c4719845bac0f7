package stacks

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/constructs"
	"sagemaker-datapipeline/lambda/pipeline"
)

// services are the names of services in IAM, by those in the resources of tasks, where they differ.
var services = map[string]string{"sagemakerruntime": "sagemaker", "applicationautoscaling": "application-autoscaling", "sfn": "states"}

// A task whose action isn't called like its operation needs these, on the objects that its arguments name.
var otherwise = map[string]func(w *workflowNeeds, arguments map[string]any) []string{
	"s3:copyObject": func(w *workflowNeeds, arguments map[string]any) []string {
		if key := fmt.Sprint(arguments["Key"]); !strings.Contains(key, "'"+w.pipeline+"/models/'") || !strings.Contains(key, "'/signature.json'") {
			w.t.Fatalf("a signature is copied to %s", key)
		}
		return []string{
			"s3:GetObject on arn:aws:s3:::" + w.bucket + "/" + w.pipeline + "/runs/*",
			"s3:PutObject on arn:aws:s3:::" + w.bucket + "/" + w.pipeline + "/models/*/signature.json",
		}
	},
}

// besides is what a task needs that its request doesn't show.
var besides = map[string]struct {
	source string
	needs  []string
}{
	"sagemaker:createTrainingJob.sync": {
		"Step Functions developer guide, \"Create and manage Amazon SageMaker AI jobs\", IAM", []string{
			"sagemaker:DescribeTrainingJob on TrainingJobName", "sagemaker:StopTrainingJob on TrainingJobName", "sagemaker:ListTags on TrainingJobName",
			"events:PutTargets on " + jobsRule + "TrainingJobsRule", "events:PutRule on " + jobsRule + "TrainingJobsRule", "events:DescribeRule on " + jobsRule + "TrainingJobsRule",
		}},
	"sagemaker:createTransformJob.sync": {
		"Step Functions developer guide, \"Create and manage Amazon SageMaker AI jobs\", IAM", []string{
			"sagemaker:DescribeTransformJob on TransformJobName", "sagemaker:StopTransformJob on TransformJobName", "sagemaker:ListTags on TransformJobName",
			"events:PutTargets on " + jobsRule + "TransformJobsRule", "events:PutRule on " + jobsRule + "TransformJobsRule", "events:DescribeRule on " + jobsRule + "TransformJobsRule",
		}},
	"aws-sdk:applicationautoscaling:registerScalableTarget": {
		"Application Auto Scaling user guide, \"Identity-based policy examples\", \"Permissions needed for SageMaker\" and \"Service-linked roles\"", []string{
			"sagemaker:DescribeEndpoint on EndpointName", "sagemaker:DescribeEndpointConfig on EndpointConfigName", "sagemaker:UpdateEndpointWeightsAndCapacities on EndpointName",
			"iam:CreateServiceLinkedRole on arn:aws:iam::%[2]s:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
		}},
	"aws-sdk:applicationautoscaling:putScalingPolicy": {
		"Application Auto Scaling user guide, \"Identity-based policy examples\": target tracking keeps alarms as the caller", []string{
			"cloudwatch:PutMetricAlarm on " + scalingAlarms, "cloudwatch:DescribeAlarms on " + scalingAlarms, "cloudwatch:DeleteAlarms on " + scalingAlarms,
		}},
}

const (
	jobsRule      = "arn:aws:events:%[3]s:%[2]s:rule/StepFunctionsGetEventsForSageMaker"
	scalingAlarms = "arn:aws:cloudwatch:%[3]s:%[2]s:alarm:TargetTracking-endpoint/%[1]s/variant/primary-*"
)

// keyNeeds is what a workflow needs for its key: to copy signatures and publish on an encrypted topic, and for disks.
var keyNeeds = []string{
	"kms:Decrypt on arn:aws:kms:::key/DataLakeKey", "kms:GenerateDataKey on arn:aws:kms:::key/DataLakeKey", "kms:CreateGrant on arn:aws:kms:::key/DataLakeKey",
}

// logNeeds is what a workflow needs for its log. Source: the Step Functions developer guide, "Using CloudWatch Logs to log execution history".
var logNeeds = []string{
	"logs:CreateLogDelivery on *", "logs:DeleteLogDelivery on *", "logs:DescribeLogGroups on *", "logs:DescribeResourcePolicies on *",
	"logs:GetLogDelivery on *", "logs:ListLogDeliveries on *", "logs:PutResourcePolicy on *", "logs:UpdateLogDelivery on *",
}

// TestTheWorkflowsRoleAllowsWhatItsTasksCall takes each task of each workflow from its definition, looks up in AWS's table what the request needs and
// on what, and holds it against the role: nothing is missing, nothing is spare. A resource is named by the argument that the table's ARN names it by.
func TestTheWorkflowsRoleAllowsWhatItsTasksCall(t *testing.T) {
	table := readActions(t)
	for environment, account := range map[string]string{"staging": "222222222222", "prod": "333333333333"} {
		for stack, tpl := range templates[environment] {
			if stack == "Foundation" || stack == onlyExports {
				continue
			}
			t.Run(environment+"/"+stack, func(t *testing.T) {
				w := workflowNeeds{
					t: t, table: table, name: "ml-" + environment + "-" + stack, pipeline: stack, bucket: "DataLakeBucket",
					account: account, region: "eu-central-1", found: map[string]string{},
				}
				w.compare(tpl, "Pipeline", slices.Concat(keyNeeds, logNeeds))
			})
		}
	}
}

// TestEveryKindOfEndpointHasTheRoleThatItNeeds is what the pipelines of cdk.json don't show.
func TestEveryKindOfEndpointHasTheRoleThatItNeeds(t *testing.T) {
	table := readActions(t)
	for name, change := range map[string]func(props *constructs.RetrainingPipelineProps){
		"an endpoint and nothing else": func(*constructs.RetrainingPipelineProps) {},
		"a serverless endpoint": func(props *constructs.RetrainingPipelineProps) {
			props.Spec.Deploy = pipeline.Serverless
			props.Endpoint = &constructs.EndpointProps{Serverless: &constructs.ServerlessProps{MemoryMiB: 2048, MaxConcurrency: 5}}
			props.EndpointAlarms = &constructs.EndpointAlarmProps{}
		},
		"a batch": func(props *constructs.RetrainingPipelineProps) {
			props.Spec.Deploy, props.Spec.Dataset.Key = pipeline.Batch, []string{"CustomerId"}
		},
		"a batch behind a gate": func(props *constructs.RetrainingPipelineProps) {
			props.Spec.Deploy, props.Spec.Dataset.Key = pipeline.Batch, []string{"CustomerId"}
			props.Spec.Gate = &pipeline.Gate{Metric: "auc", Holdout: "test"}
		},
		"a gate and an approval": func(props *constructs.RetrainingPipelineProps) {
			props.Spec.Gate = &pipeline.Gate{Metric: "auc", Holdout: "test"}
			props.Approval = &constructs.ApprovalProps{}
		},
		"spot machines in an order": func(props *constructs.RetrainingPipelineProps) {
			props.Training.InstanceTypes = []string{"ml.m6i.large", "ml.m5.large"}
			props.Training.Spot = &constructs.SpotProps{MaxWait: awscdk.Duration_Hours(jsii.Number(2))}
		},
		"an image of one's own": func(props *constructs.RetrainingPipelineProps) {
			props.Training.Image = "444444444444.dkr.ecr.eu-west-1.amazonaws.com/team/returns:1.4"
			props.Training.Hyperparameters = nil
		},
		"autoscaling and capture, rolled back by alarms": func(props *constructs.RetrainingPipelineProps) {
			props.Endpoint.InstanceCount = 2
			props.Endpoint.Autoscaling = &constructs.AutoscalingProps{MinInstances: 2, MaxInstances: 4, InvocationsPerInstance: 100}
			props.Endpoint.Traffic = &constructs.TrafficProps{Kind: "linear", Percent: 50, Wait: awscdk.Duration_Minutes(jsii.Number(5))}
			props.Endpoint.Capture = &constructs.CaptureProps{Percent: 10}
			props.EndpointAlarms = &constructs.EndpointAlarmProps{Latency: awscdk.Duration_Millis(jsii.Number(100))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			stack, bucket, topic, code := somebodysStack()
			props := minimal(bucket, topic, code)
			props.Spec.Deploy = pipeline.Endpoint
			change(props)
			constructs.NewRetrainingPipeline(stack, "Returns", props)
			b, err := json.Marshal(assertions.Template_FromStack(stack, nil).ToJSON())
			if err != nil {
				t.Fatal(err)
			}
			var tpl template
			if err := json.Unmarshal(b, &tpl); err != nil {
				t.Fatal(err)
			}
			w := workflowNeeds{
				t: t, table: table, name: "shop-live-returns", pipeline: "returns", bucket: "shop-data",
				account: "444444444444", region: "eu-west-1", found: map[string]string{},
			}
			w.compare(tpl, "Returns", logNeeds)
			for id, statements := range identityStatements(tpl) {
				for _, s := range statements {
					for _, problem := range table.problems(tpl, s) {
						t.Errorf("%s, %s: %s", withoutHash(id), s["Sid"], problem)
					}
				}
			}
		})
	}
}

// workflowNeeds collects what a workflow needs, with the state that does.
type workflowNeeds struct {
	t                      *testing.T
	table                  actions
	name, pipeline, bucket string
	account, region        string
	found                  map[string]string
}

// compare holds the role of the workflow of a construct against what its tasks need, and needs besides.
func (w *workflowNeeds) compare(tpl template, construct string, needs []string) {
	for id, state := range workflowTasks(w.t, tpl, construct) {
		w.task(id, state)
	}
	for _, need := range needs {
		w.found[need] = "the workflow"
	}
	granted := grantedTo(tpl, construct+"WorkflowRole")
	for _, need := range slices.Sorted(maps.Keys(w.found)) {
		if !slices.Contains(granted, need) {
			w.t.Errorf("missing: %s, for %s", need, w.found[need])
		}
	}
	for _, allowed := range granted {
		if w.found[allowed] == "" {
			w.t.Errorf("spare: %s", allowed)
		}
	}
}

func (w *workflowNeeds) task(id string, state taskState) {
	integration := strings.TrimPrefix(state.Resource, "arn:aws:states:::")
	arguments, ok := state.Arguments.(map[string]any)
	if !ok {
		w.t.Fatalf("%s has arguments that are made whole: what they name can't be seen", id)
	}
	for _, alarm := range alarmsIn(text(arguments)) {
		w.add("cloudwatch:DescribeAlarms", arnOf("AWS::CloudWatch::Alarm", alarm), "the rollback by "+id)
	}
	for _, need := range besides[integration].needs {
		action, resource, _ := strings.Cut(need, " on ")
		if !strings.HasPrefix(resource, "arn:") {
			resource = w.named(action, resource, arguments)
		}
		w.add(action, w.fill(resource), id)
	}
	switch operation := strings.TrimSuffix(strings.TrimPrefix(integration, "aws-sdk:"), ".sync"); {
	case operation == "lambda:invoke":
		w.add("lambda:InvokeFunction", fmt.Sprint(arguments["FunctionName"]), id)
	case operation == "sns:publish":
		w.add("sns:Publish", fmt.Sprint(arguments["TopicArn"]), id)
	case otherwise[operation] != nil:
		for _, need := range otherwise[operation](w, arguments) {
			action, resource, _ := strings.Cut(need, " on ")
			w.add(action, resource, id)
		}
	default:
		w.request(id, operation, arguments)
	}
}

// request looks up what a request of an API needs.
func (w *workflowNeeds) request(id, operation string, arguments map[string]any) {
	service, name, _ := strings.Cut(operation, ":")
	if other := services[service]; other != "" {
		service = other
	}
	first := []rune(name)
	first[0] = unicode.ToUpper(first[0])
	action := service + ":" + string(first)
	privilege, known := w.table.find(action)
	if !known {
		w.t.Errorf("%s calls %s, which AWS's table doesn't know as %s", id, operation, action)
		return
	}
	arns := w.table.arns(action)
	if len(arns) == 0 {
		w.add(action, "*", id)
	}
	for kind, arn := range arns {
		if service == "application-autoscaling" {
			// A target has an id of AWS's own; the conditions say of which service.
			w.add(action, strings.NewReplacer("${Partition}", "aws", "${Region}", w.region, "${Account}", w.account, "${ResourceId}", "*").Replace(arn), id)
			continue
		}
		if resource := w.of(kind, arn, arguments); resource != "" {
			w.add(action, resource, id)
			if _, tagged := arguments["Tags"]; tagged && slices.Contains(privilege.ResourceTypes[kind].DependentActions, service+":AddTags") {
				w.add(service+":AddTags", resource, id)
			}
		} else if privilege.ResourceTypes[kind].Required {
			w.t.Errorf("%s needs %s on a %s (%s), which none of its arguments %v names", id, action, kind, arn, slices.Sorted(maps.Keys(arguments)))
		}
	}
	for _, key := range []string{"RoleArn", "ExecutionRoleArn"} {
		if role, passes := arguments[key]; passes {
			w.add("iam:PassRole", fmt.Sprint(role), id)
		}
	}
}

// of is the resource of a type that the arguments name; empty where they name none.
func (w *workflowNeeds) of(kind, arn string, arguments map[string]any) string {
	variable := arn[strings.LastIndex(arn, "${")+2:]
	argument, named := arguments[strings.TrimSuffix(variable, "}")]
	name := fmt.Sprint(argument)
	switch {
	case kind == "model-package" && arguments["ModelPackageGroupName"] != nil:
		name = fmt.Sprint(arguments["ModelPackageGroupName"]) + "/*" // versions of the group
	case !named:
		return ""
	case strings.HasPrefix(name, "{%"):
		name = w.name + "-????????t??????z*" // a run id follows the pipeline's name
	}
	return strings.NewReplacer("${Partition}", "aws", "${Region}", w.region, "${Account}", w.account, "${"+variable, name).Replace(arn)
}

// named is the resource that an action of besides is on, by the name of an argument that the task may not have itself.
func (w *workflowNeeds) named(action, argument string, arguments map[string]any) string {
	given := maps.Clone(arguments)
	if given[argument] == nil {
		given[argument] = map[string]string{"EndpointName": w.name, "EndpointConfigName": "{% $config %}"}[argument]
	}
	if strings.HasSuffix(action, ":ListTags") {
		kind := map[string]string{"TrainingJobName": "training-job", "TransformJobName": "transform-job"}[argument]
		return w.of(kind, w.table["sagemaker"].Resources[kind].ARN, given)
	}
	for kind, arn := range w.table.arns(action) {
		if resource := w.of(kind, arn, given); resource != "" {
			return resource
		}
	}
	w.t.Fatalf("%s is on nothing that %s names", action, argument)
	return ""
}

func (w *workflowNeeds) add(action, resource, state string) { w.found[action+" on "+resource] = state }

// fill puts the pipeline's name, the account and the region into a need.
func (w *workflowNeeds) fill(need string) string {
	return strings.NewReplacer("%[1]s", w.name, "%[2]s", w.account, "%[3]s", w.region).Replace(need)
}

// alarmsIn are the logical ids of the alarms that a text names.
func alarmsIn(text string) []string {
	var alarms []string
	for rest := text; ; {
		_, after, found := strings.Cut(rest, "'AlarmName': '"+alarmPrefix)
		if !found {
			return alarms
		}
		name, more, _ := strings.Cut(after, "'")
		alarms, rest = append(alarms, name), more
	}
}

// alarmPrefix is what a reference to an alarm becomes (resolve): its name is not its ARN, but tells which it is.
const alarmPrefix = "arn:aws:cloudwatch:::alarm:"

type taskState struct {
	Type, Resource string
	Arguments      any
}

// workflowTasks are the tasks of a stack's workflow, with what their arguments refer to.
func workflowTasks(t *testing.T, tpl template, construct string) map[string]taskState {
	t.Helper()
	machine := tpl.only(t, "AWS::StepFunctions::StateMachine", construct+"Workflow")
	var definition struct{ States map[string]taskState }
	if err := json.Unmarshal([]byte(resolve(tpl, machine.at("DefinitionString"))), &definition); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(definition.States, func(_ string, s taskState) bool { return s.Type != "Task" })
	if len(definition.States) == 0 {
		t.Fatal("the workflow has no tasks")
	}
	return definition.States
}

// grantedTo is what a role allows, as "action on resource".
func grantedTo(tpl template, role string) []string {
	var granted []string
	for id, statements := range identityStatements(tpl) {
		if !strings.HasPrefix(id, role) {
			continue
		}
		for _, s := range statements {
			for _, action := range list(s["Action"]) {
				for _, resource := range resolveAll(tpl, s["Resource"]) {
					granted = append(granted, action+" on "+resource)
				}
			}
		}
	}
	slices.Sort(granted)
	return slices.Compact(granted)
}
