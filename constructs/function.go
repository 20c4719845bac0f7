package constructs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3assets"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"sagemaker-datapipeline/constructs/gobuild"
	"sagemaker-datapipeline/lambda/pipeline"
)

// Architecture is the processor that functions are compiled for.
type Architecture string

// The architectures of Lambda. HostArchitecture is the one of the machine that synthesises: for an emulator that runs
// functions as processes of that machine.
const (
	Arm64            Architecture = "arm64"
	X86_64           Architecture = "x86_64"
	HostArchitecture Architecture = "host"
)

// Placement puts functions or jobs into a VPC.
type Placement struct {
	Vpc            awsec2.IVpc
	Subnets        *awsec2.SubnetSelection
	SecurityGroups []awsec2.ISecurityGroup
}

// functionProps is what the functions of a pipeline have in common.
type functionProps struct {
	name        string
	description string
	// goPackage is the import path of the function's main package.
	goPackage    string
	architecture Architecture
	code         awslambda.Code
	spec         pipeline.Spec
	environment  map[string]*string
	memoryMiB    int
	timeout      awscdk.Duration
	placement    *Placement
	logRetention awslogs.RetentionDays
	logRemoval   awscdk.RemovalPolicy
	statements   []awsiam.PolicyStatement
}

// goFunction is a Go function with its own role and log group.
type goFunction struct {
	awslambda.Function
	role     awsiam.Role
	logGroup awslogs.LogGroup
}

// newGoFunction makes a function whose role may write to its log group, and do what props.statements say.
func newGoFunction(scope constructs.Construct, props functionProps) goFunction {
	logGroup := awslogs.NewLogGroup(scope, jsii.String("Logs"), &awslogs.LogGroupProps{
		Retention:     props.logRetention,
		RemovalPolicy: props.logRemoval,
	})
	statements := append([]awsiam.PolicyStatement{
		allow("WriteItsLog", []string{"logs:CreateLogStream", "logs:PutLogEvents"}, logGroup.LogGroupArn()),
	}, props.statements...)
	if props.placement != nil {
		statements = append(statements, allow("AttachToTheVpc", vpcActions, jsii.String("*")))
	}
	role := awsiam.NewRole(scope, jsii.String("Role"), &awsiam.RoleProps{
		Description:    jsii.String(props.description),
		AssumedBy:      awsiam.NewServicePrincipal(jsii.String("lambda.amazonaws.com"), nil),
		InlinePolicies: &map[string]awsiam.PolicyDocument{"function": policy(statements...)},
	})
	function := &awslambda.FunctionProps{
		FunctionName: optional(props.name),
		Description:  jsii.String(props.description),
		Runtime:      awslambda.Runtime_PROVIDED_AL2023(),
		Handler:      jsii.String("bootstrap"),
		Architecture: props.architecture.lambda(),
		Code:         props.code,
		Role:         role,
		Environment:  &props.environment,
		MemorySize:   jsii.Number(props.memoryMiB),
		Timeout:      props.timeout,
		LogGroup:     logGroup,
	}
	if p := props.placement; p != nil {
		function.Vpc, function.VpcSubnets, function.SecurityGroups = p.Vpc, p.Subnets, &p.SecurityGroups
	}
	if function.Code == nil {
		files, hash := packageFiles(scope, props)
		defer os.RemoveAll(files) // the asset has been copied by then
		function.Code = awslambda.Code_FromAsset(&files, &awss3assets.AssetOptions{AssetHash: &hash})
	}
	return goFunction{
		Function: awslambda.NewFunction(scope, jsii.String("Function"), function),
		role:     role,
		logGroup: logGroup,
	}
}

// vpcActions are what Lambda does as the function's role to attach it to a VPC. Lambda requires them on every resource:
// the network interfaces don't exist yet.
var vpcActions = []string{
	"ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface",
	"ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
}

func (a Architecture) lambda() awslambda.Architecture {
	if a.goarch() == "amd64" {
		return awslambda.Architecture_X86_64()
	}
	return awslambda.Architecture_ARM_64()
}

func (a Architecture) goarch() string {
	switch a {
	case "", Arm64:
		return "arm64"
	case X86_64:
		return "amd64"
	case HostArchitecture:
		return runtime.GOARCH
	default:
		panic(fmt.Errorf("architecture %q is none of %s, %s and %s", string(a), Arm64, X86_64, HostArchitecture))
	}
}

// packageFiles makes the directory that becomes the deployment package: the binary and the pipeline's spec beside it. Its
// hash is made of theirs; the CDK would read the same binary again for every pipeline.
//
// Where the command line selects stacks with --exclusively, the others get a placeholder: nothing of them is deployed.
func packageFiles(scope constructs.Construct, props functionProps) (dir, hash string) {
	program := gobuild.Program{Binary: []byte("not compiled: the stack was not selected\n")}
	if *awscdk.Stack_Of(scope).BundlingRequired() {
		program = must(gobuild.Compile(props.goPackage, props.architecture.goarch()))
	}
	spec := append(must(json.MarshalIndent(props.spec, "", "  ")), '\n')
	dir = must(os.MkdirTemp("", "function-"))
	check(os.WriteFile(filepath.Join(dir, "bootstrap"), program.Binary, 0o755))
	check(os.WriteFile(filepath.Join(dir, pipeline.FileName), spec, 0o644))
	sum := sha256.Sum256(append(program.SHA256[:], spec...))
	return dir, hex.EncodeToString(sum[:])
}

// must and check panic with the error itself: construct constructors have no other way to say what is wrong, in Go as in
// the CDK's other languages. The app turns a panic into one message.
func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
