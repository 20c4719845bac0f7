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
	for _, pipeline := range []string{"plain", "guarded", "fastdisk", "invpc"} {
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

func TestASuccessfulRunTakesSeventeenTransitionsAndThreeMoreForEachLook(t *testing.T) {
	d := decode(t, "plain")
	state, path := d.StartAt, []string{}
	for state != "" {
		path = append(path, state)
		s := d.States[state]
		switch state {
		case "Input complete?", "Trained?", "A finite number?":
			state = s.Choices[0].Next
		case "What does the endpoint need?":
			if slices.Contains(path, "Create endpoint") {
				state = s.Choices[0].Next
			} else {
				state = s.Choices[1].Next
			}
		default:
			state = s.Next
		}
	}
	if len(path) != 17 {
		t.Fatalf("the shortest way has %d transitions, docs/workflow.md says 17: %s", len(path), strings.Join(path, " → "))
	}
	if loop := []string{d.States["Wait for endpoint"].Next, d.States["Look at endpoint"].Next}; !slices.Equal(loop, []string{"Look at endpoint", "What does the endpoint need?"}) {
		t.Fatalf("a look is not wait, look and decide: %s", loop)
	}
}

func TestTheLastAttemptOfThePipelineWithTheLongestNameFitsSageMaker(t *testing.T) {
	attempts := 1
	for _, retry := range decode(t, "plain").States["Train"].Retry {
		attempts += retry.MaxAttempts
	}
	name := strings.Repeat("x", constructs.MaxNameLength) + "-" + first + fmt.Sprintf("-a%d", attempts)
	if len(name) > 63 {
		t.Fatalf("%s has %d characters", name, len(name))
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
