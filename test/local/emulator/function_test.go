package emulator_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

func TestAGoFunctionReachesTheEmulatorThatRunsIt(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "bootstrap")
	// For this machine: the emulator runs a function as a process of the host.
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "lambda.norpc", "-o", binary, "./testdata/function")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the function: %v\n%s", err, out)
	}
	client := lambda.NewFromConfig(local.emulator.AWSConfig())
	if _, err := client.CreateFunction(t.Context(), &lambda.CreateFunctionInput{
		FunctionName: aws.String("reaches"), Runtime: types.RuntimeProvidedal2023, Handler: aws.String("bootstrap"),
		Role: aws.String("arn:aws:iam::000000000000:role/function"), Code: &types.FunctionCode{ZipFile: zipped(t, binary)},
	}); err != nil {
		t.Fatalf("creating the function: %v", err)
	}
	out, err := client.Invoke(t.Context(), &lambda.InvokeInput{
		FunctionName: aws.String("reaches"), Payload: []byte(`{"Bucket":"` + bucket + `"}`),
	})
	if err != nil {
		t.Fatalf("invoking the function: %v", err)
	}
	var got struct {
		EndpointURL string
		Keys        int
	}
	if err := json.Unmarshal(out.Payload, &got); err != nil || out.FunctionError != nil {
		t.Fatalf("the function failed: %s", out.Payload)
	}
	if got.EndpointURL != local.emulator.URL || got.Keys == 0 {
		t.Errorf("the function found AWS at %q and %d objects there, want %q and the tests' objects", got.EndpointURL, got.Keys, local.emulator.URL)
	}
}

func zipped(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	h := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate}
	h.SetMode(0o755)
	f, err := w.CreateHeader(h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
