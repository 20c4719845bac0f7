package workflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/constructs"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/run"
)

// definition is a state machine as CloudFormation will hand it to Step Functions.
type definition struct {
	StartAt string
	States  map[string]struct {
		Type, Resource, Next, Default string
		Arguments                     map[string]any
		Assign                        map[string]any
		Choices                       []struct {
			Condition, Next string
			Assign          map[string]any
		}
		Retry []struct {
			ErrorEquals []string
			MaxAttempts int
		}
		Catch []struct {
			ErrorEquals []string
			Next        string
			Assign      map[string]any
		}
		Seconds any
	}
}

func TestAWSsValidatorAcceptsTheDefinition(t *testing.T) {
	for _, pipeline := range []string{"plain", "guarded", "fastdisk", "invpc", "aok", "jspot", "stroubles", "gatedkey"} {
		t.Run(pipeline, func(t *testing.T) {
			out := node(t, `
const validate = require("asl-validator");
const result = validate(JSON.parse(require("fs").readFileSync(0)), {checkPaths: true, checkArn: true});
console.log(JSON.stringify(result.isValid ? "" : result.errorsText("\n")));`, []byte(definitionJSON(t, pipeline)))
			var problems string
			ok(t, json.Unmarshal(out, &problems))
			if problems != "" {
				t.Fatal(problems)
			}
		})
	}
}

func TestEveryTaskEndsInANoticeWhenItFails(t *testing.T) {
	d := decode(t, "plain")
	for name, state := range d.States {
		if state.Type != "Task" {
			continue
		}
		last := len(state.Catch) - 1
		if last < 0 || !slices.Equal(state.Catch[last].ErrorEquals, []string{"States.ALL"}) {
			t.Errorf("the last catch of %s does not catch everything", name)
		}
	}
}

// Each of the functions does nothing twice, so one that dies before it answers is asked again.
func TestAFunctionThatDiesIsAskedAgain(t *testing.T) {
	for name, state := range decode(t, "plain").States {
		if !strings.HasSuffix(state.Resource, ":states:::lambda:invoke") {
			continue
		}
		var again []string
		for _, retry := range state.Retry {
			again = append(again, retry.ErrorEquals...)
		}
		if !slices.Contains(again, "Runtime.ExitError") || !slices.Contains(again, "Lambda.ServiceException") {
			t.Errorf("%s is asked again after %v only", name, again)
		}
	}
}

func TestKeysAndNetworksReachEverythingThatTakesThem(t *testing.T) {
	at := func(pipeline, state string, path ...string) any {
		var v any = decode(t, pipeline).States[state].Arguments
		for _, member := range path {
			m, _ := v.(map[string]any)
			v = m[member]
		}
		return v
	}
	for _, c := range []struct {
		name, pipeline, state string
		path                  []string
		want                  any
	}{
		{"without a key nothing names one", "plain", "Train", []string{"OutputDataConfig", "KmsKeyId"}, nil},
		{"nor a volume", "plain", "Train", []string{"ResourceConfig", "VolumeKmsKeyId"}, nil},
		{"nor an endpoint", "plain", "Create endpoint config", []string{"KmsKeyId"}, nil},
		{"models are sealed with the key", "guarded", "Train", []string{"OutputDataConfig", "KmsKeyId"}, keyARN},
		{"so are the disks of jobs", "guarded", "Train", []string{"ResourceConfig", "VolumeKmsKeyId"}, keyARN},
		{"so are the disks of endpoints", "guarded", "Create endpoint config", []string{"KmsKeyId"}, keyARN},
		{"machines with local disks refuse a key: training", "fastdisk", "Train", []string{"ResourceConfig", "VolumeKmsKeyId"}, nil},
		{"machines with local disks refuse a key: endpoint", "fastdisk", "Create endpoint config", []string{"KmsKeyId"}, nil},
		{"their models are sealed all the same", "fastdisk", "Train", []string{"OutputDataConfig", "KmsKeyId"}, keyARN},
		{"without a VPC jobs are in none", "plain", "Train", []string{"VpcConfig"}, nil},
		{"jobs are in the VPC", "invpc", "Train", []string{"VpcConfig"}, vpcConfig},
		{"models are in the VPC", "invpc", "Create model", []string{"VpcConfig"}, vpcConfig},
		{"scores are sealed with the key", "gatedkey", "Score candidate", []string{"TransformOutput", "KmsKeyId"}, keyARN},
		{"so are the disks of transforms", "gatedkey", "Score candidate", []string{"TransformResources", "VolumeKmsKeyId"}, keyARN},
		{"nothing is retained, or a changed instance count would never apply", "plain", "Update endpoint", []string{"RetainAllVariantProperties"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := at(c.pipeline, c.state, c.path...); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Fatalf("%s of %s is %v, want %v", strings.Join(c.path, "."), c.state, got, c.want)
			}
		})
	}
}

var vpcConfig = map[string]any{"SecurityGroupIds": []any{"sg-0a"}, "Subnets": []any{"subnet-0a", "subnet-0b"}}

// The ways of the choices on the way of a successful run: their index, or -1 for the default.
var wayOfSuccess = map[string]int{
	"Input complete?": 1, "Trained?": 0, "Decided already?": -1,
	"May it be compared?": 1, "Candidate scored?": 0, "Champion to be scored?": -1, "Champion scored?": 0, "Good enough?": 0,
	"Approved?": 0, "Lease acquired?": 0, "Lease held?": 0, "How did it end?": -1,
}

func TestASuccessfulRunTakesAsManyTransitionsAsTheDocumentationSays(t *testing.T) {
	for _, c := range []struct {
		name, pipeline string
		ways           map[string]int
		want           int
	}{
		{"without a gate", "plain", nil, 26},
		{"with a gate, the first run", "sfirst", nil, 33},
		{"with a gate and a champion", "sfirst", map[string]int{"Champion to be scored?": 0}, 35},
		{"with an approval at once", "aok", map[string]int{"Champion to be scored?": 0}, 39},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := decode(t, c.pipeline)
			var path []string
			for state := d.StartAt; state != ""; {
				path = append(path, state)
				if len(path) > 60 {
					t.Fatalf("it goes in circles: %s", strings.Join(path, " → "))
				}
				s := d.States[state]
				if s.Type != "Choice" {
					state = s.Next
					continue
				}
				way, known := wayOfSuccess[state]
				if other, changed := c.ways[state]; changed {
					way = other
				}
				switch {
				case state == "What does the endpoint need?" && slices.Contains(path, "Create endpoint"):
					state = wayTo(t, d, state, "Smoke test")
				case state == "What does the endpoint need?":
					state = wayTo(t, d, state, "Create endpoint")
				case !known:
					t.Fatalf("which way does %q go in a successful run? %s", state, strings.Join(path, " → "))
				case way < 0:
					state = s.Default
				default:
					state = s.Choices[way].Next
				}
			}
			if len(path) != c.want || path[len(path)-1] != "Ended" {
				t.Fatalf("the shortest way has %d transitions, docs/workflow.md says %d: %s", len(path), c.want, strings.Join(path, " → "))
			}
		})
	}
	d := decode(t, "plain")
	if loop := []string{d.States["Wait for endpoint"].Next, d.States["Look at endpoint"].Next}; !slices.Equal(loop, []string{"Look at endpoint", "What does the endpoint need?"}) {
		t.Fatalf("a look is not wait, look and decide: %s", loop)
	}
}

// wayTo is the state, if the choice has a way to it.
func wayTo(t *testing.T, d definition, choice, state string) string {
	t.Helper()
	for _, way := range d.States[choice].Choices {
		if way.Next == state {
			return state
		}
	}
	t.Fatalf("%q has no way to %q", choice, state)
	return ""
}

func TestTheInputOfARunOfTenThousandFilesIsSmall(t *testing.T) {
	id, err := run.ParseID(first)
	ok(t, err)
	m := manifest.Manifest{Pipeline: "plain", Run: id, ScheduledTime: id.Time(), Attempt: "1", Channels: map[string]manifest.Channel{}, Smoke: manifest.Smoke{ContentType: "text/csv", Body: strings.Repeat("0.123456789,", 500)}}
	for n := range 10_000 {
		m.Files = append(m.Files, manifest.File{Object: manifest.Object{Key: manifest.DataKey("plain", id, "1", n)}})
	}
	for _, channel := range []string{manifest.Train, manifest.Validation, manifest.Test} {
		m.Channels[channel] = manifest.Channel{Manifest: manifest.Object{Key: manifest.ChannelManifestKey("plain", id, "1", channel)}, Files: 10_000}
	}
	b, err := json.Marshal(m.ExecutionInput(bucketName))
	ok(t, err)
	if t.Logf("%d bytes, with a row of 500 features", len(b)); len(b) > 16_384 {
		t.Errorf("the input has %d bytes: %.300s", len(b), b)
	}
}

func TestWaitsDoubleUpToTheirMost(t *testing.T) {
	d := decode(t, "aok")
	for _, c := range []struct {
		choice, next string
		delay, want  float64
	}{
		{"Trained?", "Wait to train", 1, 2}, {"Trained?", "Wait to train", 40, 60}, {"Trained?", "Wait to train", 60, 60},
		{"Trained?", "Wait for training job", 1, 2}, {"Trained?", "Wait for training job", 8, 10},
		{"Approved?", "Wait for approval", 1, 2}, {"Approved?", "Wait for approval", 512, 900}, {"Approved?", "Wait for approval", 900, 900},
	} {
		for _, way := range d.States[c.choice].Choices {
			if way.Next != c.next {
				continue
			}
			e := evaluate(t, []evaluation{{Expression: way.Assign["delay"].(string), Variables: map[string]any{"delay": c.delay}}})[0]
			if e.Error != "" || e.Value != c.want {
				t.Errorf("after %v, %s waits %v %s, want %v", c.delay, c.next, e.Value, e.Error, c.want)
			}
			break // the first way there is the most patient one
		}
	}
	var expressions []evaluation
	for range 50 {
		expressions = append(expressions, evaluation{Expression: d.States["Wait to train"].Seconds.(string), Variables: map[string]any{"delay": 100}})
	}
	for _, e := range evaluate(t, expressions) {
		if seconds, _ := e.Value.(float64); e.Error != "" || seconds < 75 || seconds > 125 || seconds != float64(int(seconds)) {
			t.Errorf("it waits %v seconds, %s", e.Value, e.Error)
		}
	}
}

func TestTheLastAttemptOfThePipelineWithTheLongestNameFitsSageMaker(t *testing.T) {
	d := decode(t, "sfirst")
	for state, member := range map[string]string{"Train": "TrainingJobName", "Score candidate": "TransformJobName", "Score champion": "TransformJobName"} {
		e := evaluate(t, []evaluation{{Expression: d.States[state].Arguments[member].(string), Variables: map[string]any{"run": first, "attempt": 90}}})[0]
		suffix, found := strings.CutPrefix(fmt.Sprint(e.Value), prefix("sfirst"))
		if name := strings.Repeat("x", constructs.MaxNameLength) + suffix; !found || len(name) > 63 {
			t.Errorf("%s makes a job called %s, of %d characters: %s", state, name, len(name), e.Error)
		}
	}
}

// Every way out of a job's loop but waiting is bounded: by names, by tries or by the patience.
func TestNoJobIsAskedForForEver(t *testing.T) {
	choice := decode(t, "sfirst").States["Trained?"]
	variables := func(kind string, change map[string]any) map[string]any {
		v := map[string]any{
			"trouble": map[string]any{"kind": kind, "error": "E", "cause": "c"}, "attempt": 1, "machine": 0, "tries": 0, "delay": 1,
			"patienceEnds": 1_767_232_800_000, // 2026-01-01T02:00:00Z
		}
		maps.Copy(v, change)
		return v
	}
	at := func(time string) map[string]any {
		return map[string]any{"context": map[string]any{"State": map[string]any{"EnteredTime": time}}}
	}
	const early, late = "2026-01-01T01:59:59Z", "2026-01-01T02:00:01Z"
	cases := []struct {
		kind   string
		change map[string]any
		time   string
		want   string
	}{
		{"taken", nil, late, "Look at training job"},
		{"busy", nil, late, "Wait for training job"},
		{"other", nil, late, "Train"},
		{"other", map[string]any{"attempt": 90}, early, "Explain"},
		{"capacity", nil, early, "Wait to train"},
		{"capacity", nil, late, "Explain"},
		{"capacity", map[string]any{"attempt": 90}, early, "Explain"},
		{"quota", nil, early, "Wait to train"},
		{"quota", nil, late, "Explain"},
		{"again", nil, late, "Wait to train"},
		{"again", map[string]any{"tries": 8}, early, "Explain"},
		{"internal", nil, late, "Wait to train"},
		{"internal", map[string]any{"tries": 8}, early, "Explain"},
		{"internal", map[string]any{"attempt": 90}, early, "Explain"},
		{"overdue", nil, early, "Stop training job"},
		{"final", nil, early, "Explain"},
		{"nobody knows", nil, early, "Explain"},
	}
	var expressions []evaluation
	for _, c := range cases {
		for _, way := range choice.Choices {
			expressions = append(expressions, evaluation{Expression: way.Condition, States: at(c.time), Variables: variables(c.kind, c.change)})
		}
	}
	done := evaluate(t, expressions)
	for _, c := range cases {
		next := choice.Default
		for i, way := range choice.Choices {
			if done[i].Error != "" {
				t.Fatalf("%s: %s", c.kind, done[i].Error)
			}
			if done[i].Value == true {
				next = way.Next
				break
			}
		}
		done = done[len(choice.Choices):]
		if next != c.want {
			t.Errorf("%s with %v at %s goes to %s, want %s", c.kind, c.change, c.time, next, c.want)
		}
	}
}

func TestAFoundJobIsTakenOverOrLeftAlone(t *testing.T) {
	d := decode(t, "plain")
	channels := map[string]any{"train": "s3://b/t", "validation": "s3://b/v"}
	of := func(change map[string]any) map[string]any {
		channel := func(name, uri string) map[string]any {
			return map[string]any{"ChannelName": name, "DataSource": map[string]any{"S3DataSource": map[string]any{"S3Uri": uri}}}
		}
		described := map[string]any{
			"TrainingJobStatus": "Completed", "CreationTime": "2026-01-01T02:00:05.123Z",
			"InputDataConfig":        []any{channel("validation", "s3://b/v"), channel("train", "s3://b/t")},
			"AlgorithmSpecification": map[string]any{"TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"},
		}
		maps.Copy(described, change)
		return described
	}
	const before = "2025-12-31T02:00:00Z"
	cases := []struct {
		name string
		job  map[string]any
		from string
		want string
	}{
		{"a job of this execution that has completed", of(nil), "", "done"},
		{"a job of an execution before that has completed", of(map[string]any{"CreationTime": before}), "", "done"},
		{"the same, for a person who wants another", of(map[string]any{"CreationTime": before}), "train", "other"},
		{"a job of this execution, for a person who wanted another", of(nil), "train", "done"},
		{"a job that runs", of(map[string]any{"TrainingJobStatus": "InProgress"}), "", "busy"},
		{"a job that is being stopped", of(map[string]any{"TrainingJobStatus": "Stopping", "CreationTime": "2026-01-01T01:00:00Z"}), "", "busy"},
		{"a job that hangs", of(map[string]any{"TrainingJobStatus": "InProgress", "CreationTime": before}), "", "overdue"},
		{"a job of this execution that has failed", of(map[string]any{"TrainingJobStatus": "Failed", "FailureReason": noCapacity}), "", "capacity"},
		{"a job of an execution before that has failed", of(map[string]any{"TrainingJobStatus": "Failed", "FailureReason": noCapacity, "CreationTime": before}), "", "other"},
		{"a job that was stopped before", of(map[string]any{"TrainingJobStatus": "Stopped", "CreationTime": before}), "", "other"},
		{"a job of another image", of(map[string]any{"AlgorithmSpecification": map[string]any{"TrainingImage": "x"}}), "", "other"},
		{"a job without an image", of(map[string]any{"AlgorithmSpecification": nil}), "", "other"},
		{"a job without inputs", of(map[string]any{"InputDataConfig": nil}), "", "other"},
		{"a job with fewer inputs", of(map[string]any{"InputDataConfig": of(nil)["InputDataConfig"].([]any)[:1]}), "", "other"},
		{"a job with inputs that are text", of(map[string]any{"InputDataConfig": "train"}), "", "other"},
		{"a job that nobody knows the time of", of(map[string]any{"CreationTime": nil}), "", "done"},
		{"a job with a time that is none", of(map[string]any{"CreationTime": 7, "TrainingJobStatus": "Failed"}), "", "other"},
		{"a job without a status", of(map[string]any{"TrainingJobStatus": nil, "CreationTime": before}), "", "other"},
		{"nothing", map[string]any{}, "", "other"},
	}
	var expressions []evaluation
	for _, c := range cases {
		in := map[string]any{"channels": channels}
		if c.from != "" {
			in["resume"] = map[string]any{"from": c.from}
		}
		expressions = append(expressions, evaluation{
			Expression: d.States["Look at training job"].Assign["trouble"].(string),
			States: map[string]any{"result": c.job, "context": map[string]any{
				"Execution": map[string]any{"Input": in, "StartTime": "2026-01-01T02:00:00Z"}, "State": map[string]any{"EnteredTime": "2026-01-01T02:01:00Z"},
			}},
			Variables: map[string]any{"run": first, "attempt": 1, "machine": 0},
		})
	}
	for i, e := range evaluate(t, expressions) {
		t.Run(cases[i].name, func(t *testing.T) {
			if got, _ := e.Value.(map[string]any); e.Error != "" || got["kind"] != cases[i].want {
				t.Fatalf("it is %v %s, want %s", e.Value, e.Error, cases[i].want)
			}
		})
	}
}

func TestWhatCantBeDeployedIsRefusedWithTheRemedy(t *testing.T) {
	for _, c := range []struct {
		name   string
		region string
		change func(awscdk.Stack, *constructs.WorkflowProps)
		want   string
	}{
		{"a name that leaves SageMaker's names no room", "us-east-1", func(_ awscdk.Stack, p *constructs.WorkflowProps) { p.Name = "ml-" + strings.Repeat("x", 60) }, "shorten the project"},
		{"a stack without a region", "", nil, "give the stack an env"},
		{"a region without SageMaker's images", "mars-north-1", nil, "give the stack one of the regions"},
		{"a version that AWS doesn't have", "us-east-1", func(_ awscdk.Stack, p *constructs.WorkflowProps) { p.Training.Version = "9.9-9" }, "use one of 3.2-0, 3.0-5, 1.7-1"},
		{"an algorithm that isn't here", "us-east-1", func(_ awscdk.Stack, p *constructs.WorkflowProps) { p.Training.Algorithm = "lightgbm" }, `use "xgboost"`},
		{"an instance type of EC2", "us-east-1", func(_ awscdk.Stack, p *constructs.WorkflowProps) { p.Endpoint.InstanceType = "m5.large" }, "such as ml.m6i.large"},
		{"no instance type to train on", "us-east-1", func(_ awscdk.Stack, p *constructs.WorkflowProps) { p.Training.InstanceTypes = nil }, "give it one to 5"},
		{"more instance types than SageMaker's own list has", "us-east-1", func(_ awscdk.Stack, p *constructs.WorkflowProps) {
			p.Training.InstanceTypes = slices.Repeat([]string{"ml.m5.large"}, 6)
		}, "give it one to 5"},
		{"an instance type of EC2 to train on", "us-east-1", func(_ awscdk.Stack, p *constructs.WorkflowProps) { p.Training.InstanceTypes = []string{"m5.large"} }, "such as ml.m6i.large"},
		{"an image of one's own that isn't in ECR", "us-east-1", func(_ awscdk.Stack, p *constructs.WorkflowProps) { p.Training.Image = "docker.io/library/xgboost:1" }, "is no image in ECR"},
		{"an image of one's own without a tag", "us-east-1", func(_ awscdk.Stack, p *constructs.WorkflowProps) {
			p.Training.Image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/mine"
		}, "is no image in ECR"},
		{"a wait for spot machines that is shorter than the job", "us-east-1", func(_ awscdk.Stack, p *constructs.WorkflowProps) {
			p.Training.Spot = &constructs.SpotProps{MaxWait: awscdk.Duration_Minutes(jsii.Number(30))}
		}, "MaxWait is not below MaxRuntime"},
		{"checkpoints under a prefix that isn't one", "us-east-1", func(_ awscdk.Stack, p *constructs.WorkflowProps) {
			p.Training.Spot = &constructs.SpotProps{MaxWait: awscdk.Duration_Hours(jsii.Number(3)), CheckpointPrefix: "checkpoints"}
		}, "ends with a slash"},
		{"no number of rounds", "us-east-1", func(_ awscdk.Stack, p *constructs.WorkflowProps) { p.Training.Hyperparameters = nil }, "num_round"},
		{"a VPC without a security group", "us-east-1", func(stack awscdk.Stack, p *constructs.WorkflowProps) {
			p.Vpc = awsec2.Vpc_FromVpcAttributes(stack, jsii.String("Vpc"), &awsec2.VpcAttributes{
				VpcId: jsii.String("vpc-0a"), AvailabilityZones: jsii.Strings("us-east-1a"), PrivateSubnetIds: jsii.Strings("subnet-0a"),
			})
		}, "SageMaker has no default"},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := &awscdk.Environment{Account: jsii.String("000000000000")}
			if c.region != "" {
				env.Region = jsii.String(c.region)
			}
			stack := awscdk.NewStack(awscdk.NewApp(nil), jsii.String("refused"), &awscdk.StackProps{Env: env})
			props := &constructs.WorkflowProps{
				Name: "ml-test-refused", Pipeline: "refused",
				Bucket:   awss3.Bucket_FromBucketName(stack, jsii.String("Bucket"), jsii.String(bucketName)),
				Topic:    awssns.Topic_FromTopicArn(stack, jsii.String("Topic"), jsii.String(topicARN)),
				Training: constructs.TrainingProps{InstanceTypes: []string{"ml.m5.large"}, Hyperparameters: map[string]string{"num_round": "5"}},
				Endpoint: constructs.EndpointProps{InstanceType: "ml.m5.large"},
			}
			if c.change != nil {
				c.change(stack, props)
			}
			defer func() {
				if said := fmt.Sprint(recover()); !strings.Contains(said, c.want) {
					t.Errorf("it said %q, which does not contain %q", said, c.want)
				}
			}()
			constructs.NewWorkflow(stack, "Workflow", props)
		})
	}
}

func TestImagesComeFromTheRegistryOfTheirRegion(t *testing.T) {
	for _, c := range []struct{ region, version, want string }{
		// https://docs.aws.amazon.com/sagemaker/latest/dg-ecr-paths/ecr-us-east-1.html and its neighbours
		{"us-east-1", "3.2-0", "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"},
		{"eu-central-1", "1.7-1", "492215442770.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-xgboost:1.7-1"},
		{"cn-north-1", "3.0-5", "450853457545.dkr.ecr.cn-north-1.amazonaws.com.cn/sagemaker-xgboost:3.0-5"},
		{"us-gov-west-1", "3.2-0", "414596584902.dkr.ecr.us-gov-west-1.amazonaws.com/sagemaker-xgboost:3.2-0"},
	} {
		image, err := constructs.XGBoostImage(c.region, c.version)
		if err != nil || image.URI != c.want {
			t.Errorf("the image in %s is %q, %v; want %q", c.region, image.URI, err, c.want)
		}
	}
}

// definitionJSON is the definition with CloudFormation's functions carried out.
func definitionJSON(t *testing.T, pipeline string) string {
	t.Helper()
	for _, resource := range resources(t, pipeline, "AWS::StepFunctions::StateMachine") {
		return text(t, resource["DefinitionString"])
	}
	t.Fatalf("the stack of %s has no state machine", pipeline)
	return ""
}

func decode(t *testing.T, pipeline string) definition {
	t.Helper()
	var d definition
	ok(t, json.Unmarshal([]byte(definitionJSON(t, pipeline)), &d))
	return d
}

// resources are the properties of the stack's resources of a type, by logical id.
func resources(t *testing.T, pipeline, kind string) map[string]map[string]any {
	t.Helper()
	found := map[string]map[string]any{}
	all, _ := templates[prefix(pipeline)]["Resources"].(map[string]any)
	for id, r := range all {
		if resource, _ := r.(map[string]any); resource["Type"] == kind {
			found[id], _ = resource["Properties"].(map[string]any)
		}
	}
	return found
}

// text carries out the functions of CloudFormation that the templates here use.
func text(t *testing.T, v any) string {
	t.Helper()
	switch v := v.(type) {
	case string:
		return v
	case map[string]any:
		if join, isJoin := v["Fn::Join"].([]any); isJoin {
			var b strings.Builder
			for _, part := range join[1].([]any) {
				b.WriteString(text(t, part))
			}
			return b.String()
		}
		if ref, isRef := v["Ref"].(string); isRef {
			return map[string]string{"AWS::Partition": "aws"}[ref]
		}
		if attribute, isGet := v["Fn::GetAtt"].([]any); isGet {
			return "arn:aws:iam::000000000000:role/" + attribute[0].(string)
		}
	}
	t.Fatalf("not known here: %v", slices.Collect(maps.Keys(v.(map[string]any))))
	return ""
}

// node runs a script with the input, in the repository's folder so that it finds the project's packages.
func node(t *testing.T, script string, input []byte) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "-e", script)
	cmd.Dir, cmd.Stdin = "../..", bytes.NewReader(input)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("running node: %v: %s", err, problems.String())
	}
	return out
}
