package workflow

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/test/local/emulator"
)

// The functions of the state machine of large exports: one program under two names.
const (
	readerName = "large-export"
	tellerName = "large-notify"
)

// TestALargeExport runs the state machine of large exports against functions that answer as each situation says.
func TestALargeExport(t *testing.T) {
	w := newMapWorld(t)
	for _, c := range []struct {
		name string
		// answers are what the functions answer, by partition or "commit": one call after the other, the last one again and again.
		answers map[string]string
		calls   map[string]int
		status  sfntypes.ExecutionStatus
		// cause is a part of why the execution failed, and of what is told.
		cause string
	}{
		{
			"every partition is read as often as it needs, and one step commits",
			map[string]string{
				"p00000": `[{"done":true,"segments":1}]`,
				"p00001": `[{"done":false,"segments":2},{"done":false,"segments":5},{"done":true,"segments":6}]`,
				"p00002": `[{"done":true,"segments":1}]`,
				"commit": `[{"outcome":"committed"}]`,
			},
			map[string]int{"p00000": 1, "p00001": 3, "p00002": 1, "commit": 1}, sfntypes.ExecutionStatusSucceeded, "",
		},
		{
			"a partition of which nothing could be read waits, and goes on",
			map[string]string{
				"p00000": `[{"done":false,"segments":0},{"done":false,"segments":0},{"done":true,"segments":1}]`,
				"commit": `[{"outcome":"committed"}]`,
			},
			map[string]int{"p00000": 3, "commit": 1}, sfntypes.ExecutionStatusSucceeded, "",
		},
		{
			"a partition that is refused ends the execution, and is told in its own words",
			map[string]string{
				"p00000": `[{"done":true,"segments":1}]`,
				"p00001": `["partition p00001 (Id from 5): the database is not \"shop\": it says “nö”"]`,
				"commit": `[{"outcome":"committed"}]`,
			},
			map[string]int{"p00000": 1, "p00001": 1, "commit": 0}, sfntypes.ExecutionStatusFailed, `partition p00001 (Id from 5): the database is not "shop": it says “nö”`,
		},
		{
			"a commit that is refused ends the execution, and is told",
			map[string]string{"p00000": `[{"done":true,"segments":1}]`, "commit": `["two keys come twice"]`},
			map[string]int{"p00000": 1, "commit": 1}, sfntypes.ExecutionStatusFailed, "two keys come twice",
		},
		{
			"a list that isn't there is told",
			map[string]string{}, map[string]int{"commit": 0}, sfntypes.ExecutionStatusFailed, "key does not exist",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := w.start(t, c.answers)
			if run.status != c.status {
				t.Fatalf("the execution ended %s: %s", run.status, run.cause)
			}
			if c.status == sfntypes.ExecutionStatusSucceeded && !sameJSON(t, run.output, `{"run":"20260101t020000z","outcome":"committed"}`) {
				t.Errorf("its output is %s", run.output)
			}
			for what, want := range c.calls {
				calls := w.calls(t, run.plan, what)
				if len(calls) != want {
					t.Errorf("%s was called %d times, want %d: %q", what, len(calls), want, calls)
				}
				for _, call := range calls {
					if want := event(run.plan, what); !sameJSON(t, call, want) {
						t.Errorf("%s got %s, want %s", what, call, want)
					}
				}
			}
			w.told(t, run, c.cause)
		})
	}
}

// mapWorld is a local AWS with the state machine and its functions: one that answers by the test's script, and the one that people
// hear of failures by.
type mapWorld struct {
	*lab
	machine string
	runs    int
}

func newMapWorld(t *testing.T) *mapWorld {
	t.Helper()
	w := &mapWorld{lab: newLab(t, "0.002")}
	spec, err := json.Marshal(pipeline.Spec{Version: pipeline.Version, Project: "ml", Environment: "test", Pipeline: "large"})
	ok(t, err)
	functions := lambda.NewFromConfig(w.emulator.AWSConfig())
	for name, program := range map[string]string{readerName: "./testdata/export", tellerName: "sagemaker-datapipeline/lambda/notify"} {
		_, err := functions.CreateFunction(t.Context(), &lambda.CreateFunctionInput{
			FunctionName: aws.String(name), Runtime: lambdatypes.RuntimeProvidedal2023, Handler: aws.String("bootstrap"),
			Role: aws.String("arn:aws:iam::" + emulator.Account + ":role/function"), Timeout: aws.Int32(30),
			Code:        &lambdatypes.FunctionCode{ZipFile: zipped(t, map[string][]byte{"bootstrap": compiled(t, program), pipeline.FileName: spec})},
			Environment: &lambdatypes.Environment{Variables: map[string]string{"BUCKET": bucketName, "DATA_BUCKET": bucketName, "TOPIC_ARN": topicARN}},
		})
		ok(t, err)
	}
	w.machine = w.deploy(t, "large") + "-export"
	return w
}

func compiled(t *testing.T, program string) []byte {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "lambda.norpc", "-o", binary, program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", program, err, out)
	}
	b, err := os.ReadFile(binary)
	ok(t, err)
	return b
}

func zipped(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for name, content := range files {
		header := &zip.FileHeader{Name: name, Method: zip.Deflate}
		header.SetMode(0o755)
		file, err := archive.CreateHeader(header)
		ok(t, err)
		_, err = file.Write(content)
		ok(t, err)
	}
	ok(t, archive.Close())
	return out.Bytes()
}

// mapRun is one execution that has ended.
type mapRun struct {
	plan, arn     string
	status        sfntypes.ExecutionStatus
	output, cause string
}

// start lets one export happen: its answers are put into the bucket, and the list of its partitions.
func (w *mapWorld) start(t *testing.T, answers map[string]string) mapRun {
	t.Helper()
	w.runs++
	r := mapRun{plan: fmt.Sprintf("large/runs/%d", w.runs)}
	var open []map[string]string
	for what, script := range answers {
		w.put(t, called(r.plan, what)+".answers", script)
		if what != "commit" {
			open = append(open, map[string]string{"partition": what})
		}
	}
	if len(open) > 0 {
		list, err := json.Marshal(open)
		ok(t, err)
		w.put(t, r.plan+"/open.json", string(list))
	}
	input := fmt.Sprintf(`{"run":"20260101t020000z","scheduledTime":"2026-01-01T02:00:00Z","plan":{"key":%q,"etag":"e1"},"open":{"bucket":%q,"key":"%s/open.json"}}`, r.plan, bucketName, r.plan)
	started, err := w.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &w.machine, Name: aws.String(fmt.Sprint("run-", w.runs)), Input: &input})
	ok(t, err)
	r.arn = *started.ExecutionArn
	for {
		d, err := w.sfn.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: started.ExecutionArn})
		ok(t, err)
		if d.Status != sfntypes.ExecutionStatusRunning {
			r.status, r.output, r.cause = d.Status, aws.ToString(d.Output), aws.ToString(d.Error)+": "+aws.ToString(d.Cause)
			return r
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// calls are the events that a function got.
func (w *mapWorld) calls(t *testing.T, plan, what string) []string {
	t.Helper()
	return slices.Collect(strings.Lines(w.get(t, called(plan, what))))
}

// event is what a function should get.
func event(plan, what string) string {
	if what == "commit" {
		return fmt.Sprintf(`{"command":"commit","plan":{"key":%q,"etag":"e1"}}`, plan)
	}
	return fmt.Sprintf(`{"command":"partition","partition":%q,"plan":{"key":%q,"etag":"e1"}}`, what, plan)
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	ok(t, json.Unmarshal([]byte(a), &x))
	ok(t, json.Unmarshal([]byte(b), &y))
	return reflect.DeepEqual(x, y)
}

func called(plan, what string) string {
	if what == "commit" {
		return plan + "/commit"
	}
	return plan + "/partition-" + what
}

// told checks the one notice of a failure.
func (w *mapWorld) told(t *testing.T, run mapRun, cause string) {
	t.Helper()
	var got []notice
	for _, some := range w.notices(t) {
		got = append(got, some...)
	}
	if cause == "" {
		if len(got) > 0 {
			t.Errorf("something was told of a run that ended well: %+v", got)
		}
		return
	}
	if len(got) != 1 {
		t.Fatalf("%d notices, want one: %+v", len(got), got)
	}
	if n := got[0]; n.subject != "[ml-test-large] run 20260101t020000z failed at export" || n.attributes["outcome"] != "failed" {
		t.Errorf("the notice is %q, %v", n.subject, n.attributes)
	}
	for _, want := range []string{cause, readerName, run.arn, `{"scheduledTime":"2026-01-01T02:00:00Z"}`} {
		if !strings.Contains(got[0].message, want) {
			t.Errorf("the notice doesn't say %q:\n%s", want, got[0].message)
		}
	}
}

// get gives an object's text, "" where there is none.
func (w *mapWorld) get(t *testing.T, key string) string {
	t.Helper()
	listed, err := w.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucketName), Prefix: &key})
	ok(t, err)
	if len(listed.Contents) == 0 || *listed.Contents[0].Key != key {
		return ""
	}
	object, err := w.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucketName), Key: &key})
	ok(t, err)
	defer object.Body.Close()
	b, err := io.ReadAll(object.Body)
	ok(t, err)
	return string(b)
}
