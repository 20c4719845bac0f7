package emulator_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"sagemaker-datapipeline/test/local/emulator"
)

func TestErrorsHaveTheCodesAndTextsOfAWS(t *testing.T) {
	deployable(t, "errors", trained(t))
	const arn = "arn:aws:sagemaker:us-east-1:000000000000:"
	tests := []struct {
		name string
		call func(context.Context) error
		code string
		text string
	}{
		{
			name: "the name of a job is taken for ever",
			call: func(ctx context.Context) error {
				_, err := local.sm.CreateTrainingJob(ctx, job("shared"))
				return err
			},
			code: "ResourceInUse",
			text: "Training job names must be unique within an AWS account and region, and a training job with this name already exists (" + arn + "training-job/shared)",
		},
		{
			name: "a job that isn't there",
			call: func(ctx context.Context) error {
				_, err := local.sm.DescribeTrainingJob(ctx, &sagemaker.DescribeTrainingJobInput{TrainingJobName: aws.String("nowhere")})
				return err
			},
			code: "ValidationException", text: "Requested resource not found.",
		},
		{
			name: "a job that has ended can't be stopped",
			call: func(ctx context.Context) error {
				_, err := local.sm.StopTrainingJob(ctx, &sagemaker.StopTrainingJobInput{TrainingJobName: aws.String("shared")})
				return err
			},
			code: "ValidationException", text: "The request was rejected because the training job is in status Completed.",
		},
		{
			name: "a channel without objects",
			call: func(ctx context.Context) error {
				_, err := local.sm.CreateTrainingJob(ctx, job("no-objects", func(in *sagemaker.CreateTrainingJobInput) {
					in.InputDataConfig[0].DataSource.S3DataSource.S3DataType = types.S3DataTypeS3Prefix
					in.InputDataConfig[0].DataSource.S3DataSource.S3Uri = aws.String("s3://" + bucket + "/nothing/")
				}))
				return err
			},
			code: "ValidationException", text: `No S3 objects found under S3 URL "s3://` + bucket + `/nothing/" given in input data source.`,
		},
		{
			name: "a manifest that is none",
			call: func(ctx context.Context) error {
				if err := put(ctx, "bad.manifest", `["a.csv"]`); err != nil {
					return err
				}
				_, err := local.sm.CreateTrainingJob(ctx, job("bad-manifest", func(in *sagemaker.CreateTrainingJobInput) {
					in.InputDataConfig[0].DataSource.S3DataSource.S3Uri = aws.String("s3://" + bucket + "/bad.manifest")
				}))
				return err
			},
			code: "ValidationException", text: `the manifest s3://` + bucket + `/bad.manifest must be a list that begins with {"prefix": "s3://…"}`,
		},
		{
			name: "spot without a time to wait",
			call: func(ctx context.Context) error {
				_, err := local.sm.CreateTrainingJob(ctx, job("spot", func(in *sagemaker.CreateTrainingJobInput) {
					in.EnableManagedSpotTraining = aws.Bool(true)
				}))
				return err
			},
			code: "ValidationException", text: "Invalid MaxWaitTimeInSeconds.",
		},
		{
			name: "the name of a model is taken",
			call: func(ctx context.Context) error {
				_, err := local.sm.CreateModel(ctx, &sagemaker.CreateModelInput{
					ModelName: aws.String("errors"), PrimaryContainer: &types.ContainerDefinition{Image: aws.String(image)},
				})
				return err
			},
			code: "ValidationException", text: `Cannot create already existing model "` + arn + `model/errors".`,
		},
		{
			name: "a model without its artifact",
			call: func(ctx context.Context) error {
				_, err := local.sm.CreateModel(ctx, &sagemaker.CreateModelInput{
					ModelName: aws.String("no-artifact"), ExecutionRoleArn: aws.String(role),
					PrimaryContainer: &types.ContainerDefinition{Image: aws.String(image), ModelDataUrl: aws.String("s3://" + bucket + "/nowhere.tar.gz")},
				})
				return err
			},
			code: "ValidationException", text: "Could not find model data at s3://" + bucket + "/nowhere.tar.gz.",
		},
		{
			name: "a configuration of a model that isn't there",
			call: func(ctx context.Context) error {
				_, err := local.sm.CreateEndpointConfig(ctx, &sagemaker.CreateEndpointConfigInput{
					EndpointConfigName: aws.String("no-model"),
					ProductionVariants: []types.ProductionVariant{{VariantName: aws.String("primary"), ModelName: aws.String("nowhere")}},
				})
				return err
			},
			code: "ValidationException", text: `Could not find model "` + arn + `model/nowhere".`,
		},
		{
			name: "the name of a configuration is taken",
			call: func(ctx context.Context) error {
				_, err := local.sm.CreateEndpointConfig(ctx, &sagemaker.CreateEndpointConfigInput{
					EndpointConfigName: aws.String("errors"),
					ProductionVariants: []types.ProductionVariant{{VariantName: aws.String("primary"), ModelName: aws.String("errors")}},
				})
				return err
			},
			code: "ValidationException", text: `Cannot create already existing endpoint configuration "` + arn + `endpoint-config/errors".`,
		},
		{
			name: "an endpoint of a configuration that isn't there",
			call: func(ctx context.Context) error {
				_, err := local.sm.CreateEndpoint(ctx, &sagemaker.CreateEndpointInput{
					EndpointName: aws.String("no-config"), EndpointConfigName: aws.String("nowhere"),
				})
				return err
			},
			code: "ValidationException", text: `Could not find endpoint configuration "` + arn + `endpoint-config/nowhere".`,
		},
		{
			name: "an endpoint that isn't there",
			call: func(ctx context.Context) error {
				_, err := local.sm.DeleteEndpoint(ctx, &sagemaker.DeleteEndpointInput{EndpointName: aws.String("nowhere")})
				return err
			},
			code: "ValidationException", text: `Could not find endpoint "` + arn + `endpoint/nowhere".`,
		},
		{
			name: "a name that SageMaker does not allow, and one that is too long, in one answer",
			call: func(ctx context.Context) error {
				_, err := local.sm.DescribeEndpoint(ctx, &sagemaker.DescribeEndpointInput{EndpointName: aws.String("under_score" + strings.Repeat("x", 60))})
				return err
			},
			code: "ValidationException", text: "2 validation errors detected: Value 'under_score",
		},
		{
			name: "an operation that the local SageMaker does not have",
			call: func(ctx context.Context) error {
				_, err := local.sm.ListNotebookInstances(ctx, &sagemaker.ListNotebookInstancesInput{})
				return err
			},
			code: "UnknownOperationException", text: "The local SageMaker does not have the operation ListNotebookInstances. It has: AddTags,",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantError(t, test.call(t.Context()), test.code, test.text)
		})
	}
}

// An SDK can't send these: they are what a hand-written task or a misspelt template would.
func TestARequestThatDoesNotFitTheAPIIsRefused(t *testing.T) {
	tests := []struct {
		name      string
		operation string
		body      string
		code      string
		text      string
	}{
		{"an unknown member", "DescribeEndpoint", `{"EndpointName":"e","Endpointname":"e"}`, "ValidationException", `Unknown parameter in the request: "Endpointname"`},
		{"a member that is missing", "CreateEndpoint", `{"EndpointName":"e"}`, "ValidationException", "1 validation error detected: Value null at 'endpointConfigName' failed to satisfy constraint: Member must not be null"},
		{"a number for a string", "DescribeEndpoint", `{"EndpointName":1}`, "SerializationException", "NUMBER_VALUE can not be converted to a String"},
		{"no JSON", "DescribeEndpoint", `{`, "SerializationException", "is not JSON"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, local.emulator.URL, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Amz-Target", "SageMaker."+test.operation)
			req.Header.Set("Content-Type", "application/x-amz-json-1.1")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Type    string `json:"__type"`
				Message string
			}
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatalf("decoding %s: %v", b, err)
			}
			if resp.StatusCode != http.StatusBadRequest || got.Type != test.code || !strings.Contains(got.Message, test.text) {
				t.Errorf("the answer is %d %s\nwant 400 %s: …%s…", resp.StatusCode, b, test.code, test.text)
			}
		})
	}
}

func TestACallWhoseAnswerIsLostIsCarriedOutAllTheSame(t *testing.T) {
	deployable(t, "lost", trained(t))
	if err := local.emulator.OrderFault(t.Context(), emulator.Fault{
		Operation: "CreateEndpoint", Code: "InternalFailure", Performed: true, Match: map[string]string{"EndpointName": "lost-*"},
	}); err != nil {
		t.Fatal(err)
	}
	in := &sagemaker.CreateEndpointInput{EndpointName: aws.String("lost-answer"), EndpointConfigName: aws.String("lost")}
	_, err := local.sm.CreateEndpoint(t.Context(), in)
	wantError(t, err, "InternalFailure", "")
	_, err = local.sm.CreateEndpoint(t.Context(), in)
	wantError(t, err, "ValidationException", "Cannot create already existing endpoint")
	awaitEndpoint(t, "lost-answer", types.EndpointStatusInService)

	calls, err := local.emulator.Calls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, c := range calls {
		if c.Operation == "CreateEndpoint" && strings.Contains(string(c.Request), "lost-answer") {
			codes = append(codes, c.Error.Code)
		}
	}
	if want := []string{"InternalFailure", "ValidationException"}; !slices.Equal(codes, want) {
		t.Errorf("the record has CreateEndpoint with the errors %v, want %v", codes, want)
	}
}

func TestAnAnswerCanTakeItsTime(t *testing.T) {
	deployable(t, "delayed", trained(t))
	for _, fault := range []emulator.Fault{
		{Operation: "DescribeModel", Seconds: 0.3, Match: map[string]string{"ModelName": "delayed"}},
		{Operation: "DescribeModel", Seconds: 0.3, Code: "ThrottlingException", Match: map[string]string{"ModelName": "delayed"}},
	} {
		if err := local.emulator.OrderFault(t.Context(), fault); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err := local.sm.DescribeModel(t.Context(), &sagemaker.DescribeModelInput{ModelName: aws.String("delayed")})
		if took := time.Since(began); took < 300*time.Millisecond {
			t.Errorf("the answer took %s, want at least what was ordered", took)
		}
		if fault.Code == "" && err != nil {
			t.Errorf("a call that is only slow: %v", err)
		}
		if fault.Code != "" {
			wantError(t, err, fault.Code, "")
		}
	}
}

func TestAnEndpointCanBePutIntoAStatus(t *testing.T) {
	deployable(t, "status", trained(t))
	createEndpoint(t, "status", "status")
	awaitEndpoint(t, "status", types.EndpointStatusInService)
	if err := local.emulator.OrderFault(t.Context(), emulator.Fault{
		Outcome: emulator.EndpointStatus, EndpointStatus: "UpdateRollbackFailed", Match: map[string]string{"EndpointName": "status"},
	}); err != nil {
		t.Fatal(err)
	}
	if got := describeEndpoint(t, "status").EndpointStatus; got != types.EndpointStatusUpdateRollbackFailed {
		t.Errorf("the endpoint is %s, want UpdateRollbackFailed", got)
	}
}

func TestAnOrderThatMakesNoSenseIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		fault emulator.Fault
		want  string
	}{
		"neither a call nor an outcome": {emulator.Fault{}, "either 'operation'"},
		"an outcome that isn't one":     {emulator.Fault{Outcome: "explodes"}, "unknown outcome 'explodes': there are training-failed"},
		"an endpoint without a name":    {emulator.Fault{Outcome: emulator.EndpointStatus, EndpointStatus: "Failed"}, "a match on EndpointName"},
		"slow, but not how slow":        {emulator.Fault{Outcome: emulator.TrainingSlow}, "needs 'seconds'"},
	} {
		t.Run(name, func(t *testing.T) {
			err := local.emulator.OrderFault(t.Context(), test.fault)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want in it: %s", err, test.want)
			}
		})
	}
}

func TestStartSaysWhatIsMissing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	for name, test := range map[string]struct {
		options emulator.Options
		want    string
	}{
		"no folder":     {emulator.Options{}, "no StateDir"},
		"a taken port":  {emulator.Options{StateDir: t.TempDir(), Port: port}, "is taken: stop what uses it"},
		"no tools":      {emulator.Options{StateDir: t.TempDir(), Python: filepath.Join(t.TempDir(), "python")}, "run `make tools`"},
		"a wrong start": {emulator.Options{StateDir: t.TempDir(), Python: "/bin/false"}, "it ended at once"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := emulator.Start(t.Context(), test.options)
			if err == nil {
				e.Stop()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want in it: %s", err, test.want)
			}
		})
	}
}
