package stacks

import (
	"encoding/json"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/constructs"
)

// mapDefinition is the state machine of large exports, as CloudFormation hands it to Step Functions.
type mapDefinition struct {
	StartAt        string
	TimeoutSeconds int
	States         map[string]mapState
}

type mapState struct {
	Type, Resource, Next, Default, QueryLanguage string
	Arguments, ItemReader, ItemSelector          map[string]any
	MaxConcurrency, Seconds                      int
	ResultPath                                   json.RawMessage
	OutputPath                                   json.RawMessage
	Choices                                      []struct{ Condition, Next string }
	Retry                                        []struct {
		ErrorEquals []string
		MaxAttempts int
	}
	Catch []struct {
		ErrorEquals []string
		Next        string
	}
	ItemProcessor struct {
		ProcessorConfig struct{ Mode, ExecutionType string }
		StartAt         string
		States          map[string]mapState
	}
}

func TestAWSsValidatorAcceptsTheMap(t *testing.T) {
	each(t, func(t *testing.T, _, stack string, tpl template) {
		if stack == "Foundation" {
			return
		}
		command := exec.Command("node", "-e", `
const validate = require("asl-validator");
const result = validate(JSON.parse(require("fs").readFileSync(0)), {checkPaths: true, checkArn: true});
console.log(JSON.stringify(result.isValid ? "" : result.errorsText("\n")));`)
		command.Dir = root
		command.Stdin = strings.NewReader(mapJSON(t, tpl))
		out, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		var problems string
		if err := json.Unmarshal(out, &problems); err != nil || problems != "" {
			t.Errorf("%v\n%s", err, problems)
		}
	})
}

func TestTheMapReadsThePartitionsOfTheList(t *testing.T) {
	d := decodeMap(t, templates["prod"]["fraud"])
	read := d.States[d.StartAt]
	if read.Type != "Map" || read.ItemProcessor.ProcessorConfig.Mode != "DISTRIBUTED" || read.ItemProcessor.ProcessorConfig.ExecutionType != "STANDARD" {
		t.Fatalf("the first state is a %s, %+v", read.Type, read.ItemProcessor.ProcessorConfig)
	}
	if got, want := text(read.ItemReader), `{"Parameters":{"Bucket.$":"$.open.bucket","Key.$":"$.open.key"},"ReaderConfig":{"InputType":"JSON"},"Resource":"arn:aws:states:::s3:getObject"}`; got != want {
		t.Errorf("the list is read by %s, want %s", got, want)
	}
	if string(read.ResultPath) != "null" || string(read.ItemProcessor.States["Done"].OutputPath) != "null" {
		t.Error("what the children give is kept: ten thousand of them would fill a state's output")
	}
	if d.TimeoutSeconds != 110*60*60 {
		t.Errorf("an export may take %d s, want 110 hours: what is read after five days can't be committed", d.TimeoutSeconds)
	}
	child := read.ItemProcessor.States["Read partition"]
	if got, want := text(child.Arguments["Payload"]), `{"command":"partition","partition":"{% $states.input.partition %}","plan":"{% $states.input.plan %}"}`; got != want {
		t.Errorf("a child sends %s, want %s", got, want)
	}
	if child.Catch != nil {
		t.Error("a child catches its failure, and the others would go on against a database that is down")
	}
	if got, want := text(d.States["Commit"].Arguments["Payload"]), `{"command":"commit","plan":"{% $states.input.plan %}"}`; got != want {
		t.Errorf("the commit sends %s, want %s", got, want)
	}
}

func TestAPartitionGoesOnUntilItIsDone(t *testing.T) {
	child := decodeMap(t, templates["prod"]["fraud"]).States["Read partitions"].ItemProcessor
	choice := child.States["Is it done?"]
	if child.StartAt != "Read partition" || child.States["Read partition"].Next != "Is it done?" ||
		choice.Choices[0].Next != "Done" || choice.Choices[1].Next != "Read partition" || choice.Default != "Wait" || child.States["Wait"].Next != "Read partition" {
		t.Errorf("the way of a child is %+v", child.States)
	}
}

func TestAPartitionMayWaitForItsHoursAsLongAsTheExportMayTake(t *testing.T) {
	d := decodeMap(t, templates["prod"]["fraud"])
	// Entered, scheduled, started, succeeded and exited for the call; entered and exited for the choice and for the pause.
	const eventsOfALook, mostEvents = 9, 25_000
	pause := d.States["Read partitions"].ItemProcessor.States["Wait"].Seconds
	if pause == 0 {
		t.Fatal("a child doesn't pause")
	}
	if events := d.TimeoutSeconds / pause * eventsOfALook; events > mostEvents/2 {
		t.Errorf("a child that only looks has %d events in its history, which ends at %d; the half is for what it reads and tries again", events, mostEvents)
	}
}

func TestAPartitionIsTriedAgainWithinBounds(t *testing.T) {
	for stack, want := range map[string]int{"fraud": 2, "sales": 0} {
		for name, state := range functionCalls(decodeMap(t, templates["prod"][stack])) {
			attempts := map[string]int{}
			for _, retry := range state.Retry {
				for _, e := range retry.ErrorEquals {
					attempts[e] = retry.MaxAttempts
				}
			}
			expected := map[string]int{
				"Lambda.TooManyRequestsException": 12, "Lambda.CodeArtifactUserPendingException": 12,
				"Lambda.ServiceException": 6, "Lambda.AWSLambdaException": 6, "Lambda.SdkClientException": 6, "Lambda.ClientExecutionTimeoutException": 6,
				"Refusal": 0, "States.TaskFailed": want, "States.Timeout": want,
			}
			if !maps.Equal(attempts, expected) {
				t.Errorf("%s of %s is tried again %v, want %v", name, stack, attempts, expected)
			}
		}
	}
}

// functionCalls are the states that invoke the export function.
func functionCalls(d mapDefinition) map[string]mapState {
	return map[string]mapState{"Read partition": d.States["Read partitions"].ItemProcessor.States["Read partition"], "Commit": d.States["Commit"]}
}

func TestEveryFailureOfTheMapIsTold(t *testing.T) {
	d := decodeMap(t, templates["prod"]["fraud"])
	for _, name := range []string{"Read partitions", "Commit", "Find the map run", "Find the failed partition", "Why did it fail?"} {
		state, seen := d.States[name], []string{}
		for len(state.Catch) == 1 && !slices.Contains(seen, state.Catch[0].Next) {
			if !slices.Equal(state.Catch[0].ErrorEquals, []string{"States.ALL"}) {
				t.Errorf("%s doesn't catch everything", name)
			}
			seen = append(seen, state.Catch[0].Next)
			state = d.States[state.Catch[0].Next]
		}
		if !slices.Contains(seen, "Tell failure") || seen[len(seen)-1] != "Failed" {
			t.Errorf("a failure of %s goes by %v", name, seen)
		}
	}
	if got := d.States["Why did it fail?"].Next; got != "Tell failure" {
		t.Errorf("after the reason comes %s", got)
	}
	tell := d.States["Tell failure"].Arguments
	record, _ := tell["Payload"].(map[string]any)
	for _, member := range []string{"version", "timestamp", "requestContext", "requestPayload", "responsePayload"} {
		if record[member] == nil {
			t.Errorf("the record lacks %s, which Lambda's has", member)
		}
	}
	if tell["FunctionName"] != "PipelineNotifyFunction" {
		t.Errorf("it is told to %v", tell["FunctionName"])
	}
}

func TestTheMapTakesAsManyPartitionsAtATimeAsTheDatabaseAllows(t *testing.T) {
	for _, c := range []struct{ connections, want int }{{0, 1}, {4, 4}} {
		stack, bucket, _, _ := somebodysStack()
		props := someMap(stack, bucket)
		props.Connections = c.connections
		constructs.NewExportMap(stack, "Map", props)
		b, err := json.Marshal(assertions.Template_FromStack(stack, nil).ToJSON())
		if err != nil {
			t.Fatal(err)
		}
		var tpl template
		if err := json.Unmarshal(b, &tpl); err != nil {
			t.Fatal(err)
		}
		if got := decodeMap(t, tpl).States["Read partitions"].MaxConcurrency; got != c.want {
			t.Errorf("%d connections read %d partitions at a time, want %d", c.connections, got, c.want)
		}
	}
}

func TestAMapStandsAloneInSomebodysApp(t *testing.T) {
	stack, bucket, _, _ := somebodysStack()
	made := constructs.NewExportMap(stack, "Map", someMap(stack, bucket))
	if made.StateMachine == nil || made.Role == nil || made.LogGroup == nil {
		t.Fatal("a part of the map can't be reached")
	}
	tpl := assertions.Template_FromStack(stack, nil)
	for name, c := range map[string]struct {
		kind       string
		properties map[string]any
	}{
		"it has its name":                   {"AWS::StepFunctions::StateMachine", map[string]any{"StateMachineName": "shop-returns-export"}},
		"its log is kept for a month":       {"AWS::Logs::LogGroup", map[string]any{"RetentionInDays": 30}},
		"its role is for its account alone": {"AWS::IAM::Role", map[string]any{"AssumeRolePolicyDocument": assertions.Match_ObjectLike(&map[string]any{"Statement": []any{assertions.Match_ObjectLike(&map[string]any{"Condition": map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": "444444444444"}}, "Principal": map[string]any{"Service": "states.amazonaws.com"}})}})}},
	} {
		t.Run(name, func(t *testing.T) {
			if problem := recovered(func() { tpl.HasResourceProperties(jsii.String(c.kind), &c.properties) }); problem != "" {
				t.Error(problem)
			}
		})
	}
}

// someMap is a map around functions that somebody has already.
func someMap(stack awscdk.Stack, bucket awss3.IBucket) *constructs.ExportMapProps {
	function := func(name string) awslambda.IFunction {
		return awslambda.Function_FromFunctionArn(stack, jsii.String(name), jsii.String("arn:aws:lambda:eu-west-1:444444444444:function:"+name))
	}
	return &constructs.ExportMapProps{
		Name: "shop-returns-export", Pipeline: "returns", Bucket: bucket, Function: function("export"), OnFailure: function("notify"),
	}
}

func decodeMap(t *testing.T, tpl template) mapDefinition {
	t.Helper()
	var d mapDefinition
	if err := json.Unmarshal([]byte(mapJSON(t, tpl)), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// mapJSON is the definition with CloudFormation's functions carried out, as far as tests look at it: a reference is the name of
// what it refers to, an ARN is one of some function.
func mapJSON(t *testing.T, tpl template) string {
	t.Helper()
	for id, machine := range tpl.of("AWS::StepFunctions::StateMachine") {
		if !strings.Contains(id, "Map") {
			continue
		}
		joined := strings.Join(list(machine.at("DefinitionString")), "")
		joined = strings.ReplaceAll(joined, "AWS::Partition", "aws")
		return strings.ReplaceAll(functionARN.ReplaceAllString(joined, "$1"), "arn::states", "arn:aws:states")
	}
	t.Fatal("the stack has no state machine of large exports")
	return ""
}

var functionARN = regexp.MustCompile(`(Pipeline[A-Za-z]+Function)\.Arn`)
