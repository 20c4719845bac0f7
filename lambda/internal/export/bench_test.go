package export_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/secret"
	"sagemaker-datapipeline/lambda/internal/workflow"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/test/local/data"
	"sagemaker-datapipeline/test/local/emulator"
)

// child is what a measured process is told, and benchmark what it answers.
type child struct {
	URL, Bucket, Secret, Machine string
	Spec                         pipeline.Spec
}

type benchmark struct {
	Rows, Bytes, PeakBytes int64
	Seconds                float64
}

const childVariable = "EXPORT_BENCH_CHILD"

// TestPeakMemory shows that an export's memory doesn't grow with its rows: the same export of 200,000 rows and of 5 and 20 times
// as many, each in a process of its own without a memory limit, measured by the peak that the kernel saw.
// Run it with: BENCH=1 go test ./lambda/internal/export -run TestPeakMemory -v -timeout 20m
func TestPeakMemory(t *testing.T) {
	if os.Getenv("BENCH") == "" {
		t.Skip("set BENCH=1 to measure: it takes minutes")
	}
	execute(t, "CREATE TABLE dbo.Numbers (N bigint NOT NULL PRIMARY KEY)")
	var numbers []string
	for i := range 20 {
		numbers = append(numbers, fmt.Sprintf("(%d)", i))
	}
	execute(t, "INSERT INTO dbo.Numbers (N) VALUES "+strings.Join(numbers, ", "))
	if err := data.Create(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	if err := data.Load(t.Context(), database, data.Transactions(), nil); err != nil {
		t.Fatal(err)
	}

	var results []benchmark
	for _, times := range []int{1, 5, 20} {
		w := newWorld(t)
		s := spec(pipeline.Source{Query: fmt.Sprintf(`SELECT t.TransactionId * 20 + n.N AS TransactionId, t.CustomerId, t.MerchantId, t.OccurredAt, t.Amount,
			t.Currency, t.Channel, t.Country, t.CardPresent, t.MerchantCategory, t.CustomerAgeDays, t.DistanceKm, t.AvgAmount30d, t.TxLastHour, t.DeviceId, t.Note, t.IsFraud
			FROM dbo.Transactions AS t CROSS JOIN dbo.Numbers AS n WHERE n.N < %d AND t.TransactionId <= 200000`, times)},
			pipeline.Dataset{Task: pipeline.Binary, Key: []string{"TransactionId"}, Label: "IsFraud", Features: []string{
				"Amount", "CardPresent", "MerchantCategory", "CustomerAgeDays", "DistanceKm", "AvgAmount30d", "TxLastHour",
			}})
		s.Limits.StatementTimeoutSeconds = 840
		told, err := json.Marshal(child{URL: local.URL, Bucket: w.bucket, Secret: w.secretID, Machine: w.machine, Spec: s})
		w.must(err)
		command := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestExportOfAChild$", "-test.v")
		command.Env = append(os.Environ(), childVariable+"="+string(told))
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		line := regexp.MustCompile(`(?m)^answer (.*)$`).FindSubmatch(out)
		if line == nil {
			t.Fatalf("no answer: %s", out)
		}
		var r benchmark
		w.must(json.Unmarshal(line[1], &r))
		t.Logf("%9d rows, %6.1f MB written, %5.1f s (%.0f rows/s), peak %.1f MB", r.Rows, float64(r.Bytes)/1e6, r.Seconds, float64(r.Rows)/r.Seconds, float64(r.PeakBytes)/1e6)
		results = append(results, r)
	}
	// The first ends after a second, before the heap has grown to what the garbage collector lets it (twice what is live); from
	// then on it stays, but for the collector's timing.
	small, middle, large := results[0], results[1], results[2]
	if large.Rows != 20*small.Rows || float64(large.PeakBytes) > 1.25*float64(small.PeakBytes) || float64(large.PeakBytes) > 1.1*float64(middle.PeakBytes) {
		t.Fatalf("20 times the rows took %.2f times the memory, %.2f times that of 5 times the rows",
			float64(large.PeakBytes)/float64(small.PeakBytes), float64(large.PeakBytes)/float64(middle.PeakBytes))
	}
}

// TestExportOfAChild is the measured process: nothing but the export runs in it.
func TestExportOfAChild(t *testing.T) {
	var c child
	if err := json.Unmarshal([]byte(os.Getenv(childVariable)), &c); err != nil {
		t.Skip("only TestPeakMemory runs this")
	}
	config := aws.Config{
		Region: emulator.Region, BaseEndpoint: &c.URL,
		Credentials: credentials.NewStaticCredentialsProvider(emulator.AccessKey, emulator.SecretKey, ""),
	}
	e := export.Exporter{
		Spec:     c.Spec,
		Bucket:   objects.NewBucket(s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true }), c.Bucket, "", export.Streams(c.Spec)),
		Database: export.Server{Spec: c.Spec, Secret: secret.Secret{API: secretsmanager.NewFromConfig(config), ID: c.Secret}},
		Workflow: workflow.StateMachine{API: sfn.NewFromConfig(config), ARN: c.Machine},
		Log:      slog.New(slog.DiscardHandler),
	}
	started := time.Now()
	result, err := e.Run(t.Context(), event(tick), "bench")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := json.Marshal(benchmark{Rows: result.Rows, Bytes: result.Bytes, PeakBytes: peak(t), Seconds: time.Since(started).Seconds()})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("answer %s\n", answer)
}

// peak is the largest resident set that the kernel saw of this process, in bytes.
func peak(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		if fields := strings.Fields(string(line)); len(fields) == 3 && fields[0] == "VmHWM:" {
			kb, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("/proc/self/status has no VmHWM")
	return 0
}
