package stacks

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// services are the names of services in IAM, by those in the resources of tasks, where they differ.
var services = map[string]string{"sagemakerruntime": "sagemaker", "applicationautoscaling": "application-autoscaling", "sfn": "states"}

// A task whose action isn't called like its operation needs these, on the objects that its arguments name.
var otherwise = map[string]func(t *testing.T, pipeline string, arguments map[string]any) []string{
	"s3:copyObject": func(t *testing.T, pipeline string, arguments map[string]any) []string {
		t.Helper()
		if key := fmt.Sprint(arguments["Key"]); !strings.Contains(key, "'"+pipeline+"/models/'") || !strings.Contains(key, "'/signature.json'") {
			t.Fatalf("a signature is copied to %s", key)
		}
		return []string{
			"s3:GetObject on arn:aws:s3:::DataLakeBucket/" + pipeline + "/runs/*",
			"s3:PutObject on arn:aws:s3:::DataLakeBucket/" + pipeline + "/models/*/signature.json",
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
	jobsRule      = "arn:aws:events:eu-central-1:%[2]s:rule/StepFunctionsGetEventsForSageMaker"
	scalingAlarms = "arn:aws:cloudwatch:eu-central-1:%[2]s:alarm:TargetTracking-endpoint/%[1]s/variant/primary-*"
)

// roleNeeds is what the whole workflow needs: for its key, and for its log.
var roleNeeds = []string{
	"kms:Decrypt on arn:aws:kms:::key/DataLakeKey", "kms:GenerateDataKey on arn:aws:kms:::key/DataLakeKey", // signatures, an encrypted topic
	"kms:CreateGrant on arn:aws:kms:::key/DataLakeKey", // disks
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
				name := "ml-" + environment + "-" + stack
				w := workflowNeeds{t: t, table: table, name: name, pipeline: stack, account: account, found: map[string]string{}}
				for id, state := range workflowTasks(t, tpl) {
					w.task(id, state)
				}
				for _, need := range roleNeeds {
					w.found[need] = "the workflow"
				}
				for _, alarm := range w.alarms {
					w.found["cloudwatch:DescribeAlarms on "+alarm] = "the rollback of an update"
				}
				granted := grantedTo(tpl, "PipelineWorkflowRole")
				for _, need := range slices.Sorted(maps.Keys(w.found)) {
					if !slices.Contains(granted, need) {
						t.Errorf("missing: %s, for %s", need, w.found[need])
					}
				}
				for _, allowed := range granted {
					if w.found[allowed] == "" {
						t.Errorf("spare: %s", allowed)
					}
				}
			})
		}
	}
}

// workflowNeeds collects what a workflow needs, with the state that does.
type workflowNeeds struct {
	t                       *testing.T
	table                   actions
	name, pipeline, account string
	found                   map[string]string
	alarms                  []string
}

func (w *workflowNeeds) task(id string, state taskState) {
	integration := strings.TrimPrefix(state.Resource, "arn:aws:states:::")
	arguments, ok := state.Arguments.(map[string]any)
	if !ok {
		w.t.Fatalf("%s has arguments that are made whole: what they name can't be seen", id)
	}
	for _, alarm := range alarmsIn(text(arguments)) {
		w.alarms = append(w.alarms, arnOf("AWS::CloudWatch::Alarm", alarm))
	}
	for _, need := range besides[integration].needs {
		action, resource, _ := strings.Cut(need, " on ")
		if !strings.HasPrefix(resource, "arn:") {
			resource = w.named(action, resource, arguments)
		}
		w.add(action, fill(resource, w.name, w.account), id)
	}
	switch operation := strings.TrimSuffix(strings.TrimPrefix(integration, "aws-sdk:"), ".sync"); {
	case operation == "lambda:invoke":
		w.add("lambda:InvokeFunction", fmt.Sprint(arguments["FunctionName"]), id)
	case operation == "sns:publish":
		w.add("sns:Publish", fmt.Sprint(arguments["TopicArn"]), id)
	case otherwise[operation] != nil:
		for _, need := range otherwise[operation](w.t, w.pipeline, arguments) {
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
			w.add(action, strings.NewReplacer("${Partition}", "aws", "${Region}", "eu-central-1", "${Account}", w.account, "${ResourceId}", "*").Replace(arn), id)
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
	return strings.NewReplacer("${Partition}", "aws", "${Region}", "eu-central-1", "${Account}", w.account, "${"+variable, name).Replace(arn)
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

// fill puts the pipeline's name and the account into a need.
func fill(need, name, account string) string {
	return strings.NewReplacer("%[1]s", name, "%[2]s", account).Replace(need)
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
func workflowTasks(t *testing.T, tpl template) map[string]taskState {
	t.Helper()
	machine := tpl.only(t, "AWS::StepFunctions::StateMachine", "PipelineWorkflow")
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
