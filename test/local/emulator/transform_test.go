package emulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"sagemaker-datapipeline/test/local/emulator"
)

// transformJob scores labelled rows below a prefix: the label is held back from the model, and joined to its answer.
func transformJob(name, model, uri string, change ...func(*sagemaker.CreateTransformJobInput)) *sagemaker.CreateTransformJobInput {
	in := &sagemaker.CreateTransformJobInput{
		TransformJobName: aws.String(name), ModelName: aws.String(model),
		TransformInput: &types.TransformInput{
			DataSource: &types.TransformDataSource{S3DataSource: &types.TransformS3DataSource{
				S3DataType: types.S3DataTypeS3Prefix, S3Uri: aws.String("s3://" + bucket + "/" + uri),
			}},
			ContentType: aws.String("text/csv"), SplitType: types.SplitTypeLine,
		},
		TransformOutput: &types.TransformOutput{
			S3OutputPath: aws.String("s3://" + bucket + "/scores/" + name), Accept: aws.String("text/csv"), AssembleWith: types.AssemblyTypeLine,
		},
		TransformResources: &types.TransformResources{InstanceType: types.TransformInstanceTypeMlM5Large, InstanceCount: aws.Int32(1)},
		DataProcessing: &types.DataProcessing{
			InputFilter: aws.String("$[1:]"), JoinSource: types.JoinSourceInput, OutputFilter: aws.String("$[0,-1]"),
		},
	}
	for _, c := range change {
		c(in)
	}
	return in
}

func transform(t *testing.T, in *sagemaker.CreateTransformJobInput) *sagemaker.DescribeTransformJobOutput {
	t.Helper()
	if _, err := local.sm.CreateTransformJob(t.Context(), in); err != nil {
		t.Fatalf("creating the transform job: %v", err)
	}
	return awaitTransform(t, *in.TransformJobName)
}

func awaitTransform(t *testing.T, name string) *sagemaker.DescribeTransformJobOutput {
	t.Helper()
	var out *sagemaker.DescribeTransformJobOutput
	await(t, "transform job "+name+" to end", func() bool {
		var err error
		if out, err = local.sm.DescribeTransformJob(t.Context(), &sagemaker.DescribeTransformJobInput{TransformJobName: aws.String(name)}); err != nil {
			t.Fatalf("describing the transform job: %v", err)
		}
		return out.TransformJobStatus != types.TransformJobStatusInProgress && out.TransformJobStatus != types.TransformJobStatusStopping
	})
	return out
}

// servable is the name of a model that the tests share.
func servable(t *testing.T) string {
	t.Helper()
	const name = "servable"
	_, err := local.sm.CreateModel(t.Context(), &sagemaker.CreateModelInput{
		ModelName: aws.String(name), ExecutionRoleArn: aws.String(role),
		PrimaryContainer: &types.ContainerDefinition{Image: aws.String(image), ModelDataUrl: aws.String(trained(t))},
	})
	if err != nil && !strings.Contains(err.Error(), "already existing") {
		t.Fatalf("creating the model: %v", err)
	}
	return name
}

func keys(t *testing.T, prefix string) []string {
	t.Helper()
	out, err := local.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket), Prefix: aws.String(prefix)})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, o := range out.Contents {
		found = append(found, strings.TrimPrefix(*o.Key, prefix))
	}
	slices.Sort(found)
	return found
}

func get(t *testing.T, key string) string {
	t.Helper()
	out, err := local.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if err != nil {
		t.Fatalf("reading %s: %v", key, err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestATransformScoresExactlyTheManifestsRowsAsAnEndpointDoes(t *testing.T) {
	for key, body := range map[string]string{
		"holdout/a.csv": rows(3, 30), "holdout/deep/b.csv": rows(4, 12), "holdout/unlisted.csv": "no,number\n",
		"holdout.manifest": `[{"prefix":"s3://` + bucket + `/holdout/"},"a.csv","deep/b.csv"]`,
	} {
		if err := put(t.Context(), key, body); err != nil {
			t.Fatal(err)
		}
	}
	out := transform(t, transformJob("transform-manifest", servable(t), "holdout.manifest", func(in *sagemaker.CreateTransformJobInput) {
		in.TransformInput.DataSource.S3DataSource.S3DataType = types.S3DataTypeManifestFile
	}))
	if out.TransformJobStatus != types.TransformJobStatusCompleted {
		t.Fatalf("the job ended %s: %s", out.TransformJobStatus, aws.ToString(out.FailureReason))
	}
	if out.TransformStartTime == nil || out.TransformEndTime == nil {
		t.Error("its description has no times of start and end")
	}
	if got, want := keys(t, "scores/transform-manifest/"), []string{"a.csv.out", "deep/b.csv.out"}; !slices.Equal(got, want) {
		t.Errorf("it wrote %v, want %v", got, want)
	}

	deployable(t, "transform-endpoint", trained(t))
	createEndpoint(t, "transform-endpoint", "transform-endpoint")
	awaitEndpoint(t, "transform-endpoint", types.EndpointStatusInService)
	var features, labels []string
	for line := range strings.Lines(rows(3, 30)) {
		label, rest, _ := strings.Cut(line, ",")
		labels, features = append(labels, label), append(features, rest)
	}
	want := scores(t, "transform-endpoint", strings.Join(features, ""))
	got := strings.Split(strings.TrimSuffix(get(t, "scores/transform-manifest/a.csv.out"), "\n"), "\n")
	if len(got) != len(want) {
		t.Fatalf("it wrote %d rows, want %d", len(got), len(want))
	}
	for i, line := range got {
		label, score, _ := strings.Cut(line, ",")
		if value, err := strconv.ParseFloat(score, 64); err != nil || label != labels[i] || value != want[i] {
			t.Errorf("row %d is %q, want the label %s and the endpoint's score %v", i, line, labels[i], want[i])
		}
	}
}

func TestATransformSplitsAndAssembles(t *testing.T) {
	var large strings.Builder
	for range 5 {
		large.WriteString(rows(6, 20_000))
	}
	for key, body := range map[string]string{
		"split/small/a.csv": rows(5, 20), "split/large/a.csv": large.String(), "split/features/a.csv": "0.95,0.5\n0.05,0.5",
	} {
		if err := put(t.Context(), key, body); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		uri    string
		change func(*sagemaker.CreateTransformJobInput)
		rows   int
		// columns is how many columns a row of the output has.
		columns int
	}{
		{"a record a request", "split/small/", func(in *sagemaker.CreateTransformJobInput) { in.BatchStrategy = types.BatchStrategySingleRecord }, 20, 2},
		{"as many as fit into a payload", "split/large/", func(in *sagemaker.CreateTransformJobInput) {
			in.BatchStrategy, in.MaxPayloadInMB = types.BatchStrategyMultiRecord, aws.Int32(1)
		}, 100_000, 2},
		{"the whole object at once, as it is", "split/features/", func(in *sagemaker.CreateTransformJobInput) {
			in.DataProcessing, in.TransformInput.SplitType, in.TransformOutput.AssembleWith = nil, types.SplitTypeNone, ""
		}, 2, 1},
		{"the whole row with its score", "split/small/", func(in *sagemaker.CreateTransformJobInput) { in.DataProcessing.OutputFilter = nil }, 20, 4},
		{"the score alone", "split/small/", func(in *sagemaker.CreateTransformJobInput) {
			in.DataProcessing.JoinSource, in.DataProcessing.OutputFilter = "", nil
		}, 20, 1},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			name := fmt.Sprintf("transform-split-%d", i)
			if out := transform(t, transformJob(name, servable(t), test.uri, test.change)); out.TransformJobStatus != types.TransformJobStatusCompleted {
				t.Fatalf("the job ended %s: %s", out.TransformJobStatus, aws.ToString(out.FailureReason))
			}
			got := strings.Split(strings.TrimSuffix(get(t, "scores/"+name+"/a.csv.out"), "\n"), "\n")
			if len(got) != test.rows {
				t.Fatalf("it wrote %d rows, want %d", len(got), test.rows)
			}
			for i, row := range got {
				if n := len(strings.Split(row, ",")); n != test.columns {
					t.Fatalf("row %d is %q with %d columns, want %d", i, row, n, test.columns)
				}
			}
		})
	}
}

func TestATransformThatFailsKeepsWhatWasTransformed(t *testing.T) {
	for key, body := range map[string]string{"partly/a.csv": "1,0.5,not a number\n", "partly/b.csv": rows(8, 10)} {
		if err := put(t.Context(), key, body); err != nil {
			t.Fatal(err)
		}
	}
	out := transform(t, transformJob("transform-partly", servable(t), "partly/"))
	if got := aws.ToString(out.FailureReason); out.TransformJobStatus != types.TransformJobStatusFailed || got != "ClientError: See job logs for more information" {
		t.Errorf("the job ended %s: %s", out.TransformJobStatus, got)
	}
	if got := keys(t, "scores/transform-partly/"); !slices.Equal(got, []string{"b.csv.out"}) {
		t.Errorf("it wrote %v, want b.csv.out alone", got)
	}
	log, err := os.ReadFile(filepath.Join(filepath.Dir(local.emulator.LogFile), "transform-jobs", "transform-partly", "transform.log"))
	if err != nil || !strings.Contains(string(log), "partly/a.csv: Bad HTTP status received from algorithm: 415") {
		t.Errorf("its log does not say what was wrong (%v):\n%s", err, log)
	}
}

func TestATransformEndsAsOrdered(t *testing.T) {
	if err := put(t.Context(), "ordered/a.csv", rows(9, 10)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		fault  emulator.Fault
		stop   bool
		want   types.TransformJobStatus
		reason string
	}{
		{"for lack of capacity", emulator.Fault{Outcome: emulator.TransformFailed}, false, types.TransformJobStatusFailed, "CapacityError: Unable to provision requested ML compute capacity."},
		{"with the reason ordered", emulator.Fault{Outcome: emulator.TransformFailed, Reason: "InternalServerError: We encountered an internal error. Please try again."}, false, types.TransformJobStatusFailed, "InternalServerError"},
		{"stopped by another", emulator.Fault{Outcome: emulator.TransformStopped}, false, types.TransformJobStatusStopped, ""},
		{"stopped by a call", emulator.Fault{Outcome: emulator.TransformSlow, Seconds: 60}, true, types.TransformJobStatusStopped, ""},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			name := fmt.Sprintf("transform-ordered-%d", i)
			test.fault.Match = map[string]string{"TransformJobName": name}
			if err := local.emulator.OrderFault(t.Context(), test.fault); err != nil {
				t.Fatal(err)
			}
			if _, err := local.sm.CreateTransformJob(t.Context(), transformJob(name, servable(t), "ordered/")); err != nil {
				t.Fatal(err)
			}
			if test.stop {
				if _, err := local.sm.StopTransformJob(t.Context(), &sagemaker.StopTransformJobInput{TransformJobName: aws.String(name)}); err != nil {
					t.Fatal(err)
				}
			}
			out := awaitTransform(t, name)
			if got := aws.ToString(out.FailureReason); out.TransformJobStatus != test.want || !strings.Contains(got, test.reason) {
				t.Errorf("the job ended %s: %s\nwant %s: %s", out.TransformJobStatus, got, test.want, test.reason)
			}
		})
	}
}

func TestATransformIsRefusedAsByAWS(t *testing.T) {
	if err := put(t.Context(), "refused/a.csv", rows(10, 10)); err != nil {
		t.Fatal(err)
	}
	model := servable(t)
	transform(t, transformJob("transform-taken", model, "refused/"))
	with := func(change func(*sagemaker.CreateTransformJobInput)) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := local.sm.CreateTransformJob(ctx, transformJob("transform-refused", model, "refused/", change))
			return err
		}
	}
	for _, test := range []struct {
		name string
		call func(context.Context) error
		code string
		text string
	}{
		{"a name that is taken", with(func(in *sagemaker.CreateTransformJobInput) { in.TransformJobName = aws.String("transform-taken") }), "ResourceInUse", "already exists"},
		{"a model that isn't there", with(func(in *sagemaker.CreateTransformJobInput) { in.ModelName = aws.String("nowhere") }), "ValidationException", `Could not find model "arn:aws:sagemaker:us-east-1:000000000000:model/nowhere".`},
		{"no objects", with(func(in *sagemaker.CreateTransformJobInput) {
			in.TransformInput.DataSource.S3DataSource.S3Uri = aws.String("s3://" + bucket + "/nothing/")
		}), "ValidationException", "No S3 objects found under S3 URL"},
		{"a payload above the limit", with(func(in *sagemaker.CreateTransformJobInput) {
			in.MaxPayloadInMB, in.MaxConcurrentTransforms = aws.Int32(26), aws.Int32(4)
		}), "ValidationException", "cannot be greater than 100 MB"},
		{"a name as filter of CSV", with(func(in *sagemaker.CreateTransformJobInput) { in.DataProcessing.InputFilter = aws.String("$.features") }), "ValidationException", "The InputFilter of DataProcessing is not valid: '$.features' selects no columns of CSV"},
		{"a job that isn't there", func(ctx context.Context) error {
			_, err := local.sm.DescribeTransformJob(ctx, &sagemaker.DescribeTransformJobInput{TransformJobName: aws.String("nowhere")})
			return err
		}, "ValidationException", "Requested resource not found."},
		{"a stop of a job that has ended", func(ctx context.Context) error {
			_, err := local.sm.StopTransformJob(ctx, &sagemaker.StopTransformJobInput{TransformJobName: aws.String("transform-taken")})
			return err
		}, "ValidationException", "in status Completed"},
	} {
		t.Run(test.name, func(t *testing.T) { wantError(t, test.call(t.Context()), test.code, test.text) })
	}
}

// transformArguments are the arguments of a task that transforms.
func transformArguments(name, model string) map[string]any {
	return map[string]any{
		"TransformJobName": name, "ModelName": model,
		"TransformInput": map[string]any{
			"DataSource":  map[string]any{"S3DataSource": map[string]any{"S3DataType": "S3Prefix", "S3Uri": "s3://" + bucket + "/states-transform/"}},
			"ContentType": "text/csv", "SplitType": "Line",
		},
		"TransformOutput":    map[string]any{"S3OutputPath": "s3://" + bucket + "/scores/" + name, "AssembleWith": "Line"},
		"TransformResources": map[string]any{"InstanceType": "ml.m5.large", "InstanceCount": 1},
		"DataProcessing":     map[string]any{"InputFilter": "$[1:]"},
	}
}

func TestATaskWaitsForItsTransform(t *testing.T) {
	if err := put(t.Context(), "states-transform/a.csv", rows(11, 10)); err != nil {
		t.Fatal(err)
	}
	model := servable(t)
	out := awaitExecution(t, start(t, "states-transform", "sagemaker:createTransformJob.sync", transformArguments("states-transform", model)))
	var got struct {
		TransformJobStatus string
		TransformEndTime   int64
	}
	if err := json.Unmarshal([]byte(aws.ToString(out.Output)), &got); err != nil {
		t.Fatalf("the execution %s: %s: %s", out.Status, aws.ToString(out.Error), aws.ToString(out.Cause))
	}
	if got.TransformJobStatus != "Completed" || got.TransformEndTime < 1_000_000_000_000 {
		t.Errorf("the output is %s", *out.Output)
	}

	if err := local.emulator.OrderFault(t.Context(), emulator.Fault{
		Outcome: emulator.TransformFailed, Match: map[string]string{"TransformJobName": "states-transform-failed"},
	}); err != nil {
		t.Fatal(err)
	}
	out = awaitExecution(t, start(t, "states-transform-failed", "sagemaker:createTransformJob.sync", transformArguments("states-transform-failed", model)))
	if aws.ToString(out.Error) != "States.TaskFailed" || !strings.Contains(aws.ToString(out.Cause), `"FailureReason":"CapacityError:`) {
		t.Errorf("the execution %s: %s: %s", out.Status, aws.ToString(out.Error), aws.ToString(out.Cause))
	}
}

func TestStoppingAnExecutionStopsItsTransform(t *testing.T) {
	if err := put(t.Context(), "states-transform/a.csv", rows(11, 10)); err != nil {
		t.Fatal(err)
	}
	if err := local.emulator.OrderFault(t.Context(), emulator.Fault{
		Outcome: emulator.TransformSlow, Seconds: 60, Match: map[string]string{"TransformJobName": "states-transform-abort"},
	}); err != nil {
		t.Fatal(err)
	}
	arn := start(t, "states-transform-abort", "sagemaker:createTransformJob.sync", transformArguments("states-transform-abort", servable(t)))
	await(t, "the job to be there", func() bool {
		_, err := local.sm.DescribeTransformJob(t.Context(), &sagemaker.DescribeTransformJobInput{TransformJobName: aws.String("states-transform-abort")})
		return err == nil
	})
	if _, err := local.sfn.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
		t.Fatalf("stopping the execution: %v", err)
	}
	if out := awaitTransform(t, "states-transform-abort"); out.TransformJobStatus != types.TransformJobStatusStopped {
		t.Errorf("the job ended %s, want Stopped", out.TransformJobStatus)
	}
	if out := awaitExecution(t, arn); out.Status != sfntypes.ExecutionStatusAborted {
		t.Errorf("the execution is %s, want ABORTED", out.Status)
	}
	_, err := local.s3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("scores/states-transform-abort/a.csv.out")})
	if _, missing := errors.AsType[*s3types.NotFound](err); !missing {
		t.Errorf("a stopped job wrote an output: %v", err)
	}
}
