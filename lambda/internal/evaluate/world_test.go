package evaluate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/smithy-go"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/objects/memory"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/signature"
)

const (
	thisRun   = run.ID("20260102t020000z")
	beforeRun = run.ID("20260101t020000z")
	candidate = "ml-dev-fraud-" + string(thisRun)
	champion  = "ml-dev-fraud-" + string(beforeRun)
	prefix    = "fraud/runs/"
)

// world is a pipeline with a committed run, a trained candidate and a champion. A run before is in the training window, so that the hold-out has
// files of two runs.
type world struct {
	*Evaluator
	t        *testing.T
	endpoint *endpoint
	log      strings.Builder
	// names are the hold-out's files below prefix, rows of each are label and features.
	names []string
	rows  map[string][]string
}

func newWorld(t *testing.T, change ...func(*pipeline.Spec)) *world {
	t.Helper()
	spec := pipeline.Spec{
		Version: pipeline.Version, Project: "ml", Environment: "dev", Pipeline: "fraud",
		Dataset: pipeline.Dataset{Task: pipeline.Binary, Label: "IsFraud", Format: pipeline.CSV},
		Gate:    &pipeline.Gate{Metric: "auc", Holdout: "test", Worse: 0.02, Threshold: 0.5},
		Deploy:  pipeline.Endpoint,
	}
	for _, c := range change {
		c(&spec)
	}
	w := &world{t: t, endpoint: &endpoint{name: spec.Name()}, rows: map[string][]string{}}
	w.endpoint.serve(champion, champion)
	w.Evaluator = &Evaluator{
		Spec: spec, Bucket: objects.NewBucket(memory.New().Client(), "data", "", 0),
		SageMaker: w.endpoint, Runtime: w.endpoint, Log: slog.New(slog.NewJSONHandler(&w.log, nil)),
	}
	w.commit(40, 60)
	w.sign(candidate, theSignature())
	w.sign(champion, theSignature())
	return w
}

func theSignature() signature.Signature {
	return signature.Signature{
		Version: signature.Version, Task: "binary", Label: "IsFraud", ContentType: contentType,
		Features: []signature.Feature{{Name: "Amount", SQLType: "decimal(12,2)"}, {Name: "Country", SQLType: "nvarchar(2)", Encoding: &signature.Encoding{Kind: signature.OneHot, Categories: []string{"CH", "DE"}}}},
	}
}

func (w *world) put(key string, content any) manifest.Object {
	w.t.Helper()
	body, is := content.([]byte)
	if !is {
		var err error
		if body, err = json.MarshalIndent(content, "", "  "); err != nil {
			w.t.Fatal(err)
		}
	}
	o, err := w.Bucket.Put(w.t.Context(), key, "text/plain", body)
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// commit writes the hold-out and the manifest of the run: rows of the run before and of this one.
func (w *world) commit(before, now int) {
	w.names = []string{string(beforeRun) + "/test/a-00000.csv", string(thisRun) + "/test/b-00000.csv"}
	random := rand.New(rand.NewPCG(1, 1))
	for i, n := range []int{before, now} {
		var lines []string
		for range n {
			lines = append(lines, fmt.Sprintf("%d,%.2f,secret%d,1", random.IntN(2), random.Float64(), random.IntN(1e6)))
		}
		w.rows[w.names[i]] = lines
		w.put(prefix+w.names[i], []byte(strings.Join(lines, "\n")+"\n"))
	}
	w.manifest(int64(before + now))
}

func (w *world) manifest(rows int64) {
	list := w.put(manifest.ChannelManifestKey("fraud", thisRun, "b", "test"), []any{map[string]string{"prefix": "s3://data/" + prefix}, w.names[0], w.names[1]})
	m := manifest.Manifest{
		Version: manifest.Version, Project: "ml", Environment: "dev", Pipeline: "fraud", Run: thisRun, Attempt: "b", Generation: 1,
		SpecSHA256: "s", Plan: manifest.Plan{Key: "p", ETag: "e"}, Rows: rows,
		Files: []manifest.File{{Object: manifest.Object{Key: prefix + w.names[1]}, Channel: "test", Rows: int64(len(w.rows[w.names[1]]))}},
		Channels: map[string]manifest.Channel{
			"train": {Manifest: manifest.Object{Key: "t"}, Rows: 1, Files: 1},
			"test":  {Manifest: list, Rows: rows, Files: 2},
		},
		Signature: &manifest.Object{Key: "s"},
		Smoke:     manifest.Smoke{ContentType: contentType, Body: "0.5,1,0"},
	}
	key := manifest.Key("fraud", thisRun, "b")
	o := w.put(key, m)
	w.put(head.Key("fraud"), head.Head{Version: head.Version, Pipeline: "fraud", Generation: 1, Manifest: &head.Ref{Run: thisRun, Key: key, VersionID: o.VersionID, SHA256: o.SHA256}})
}

func (w *world) sign(job string, s signature.Signature) {
	w.put(manifest.ModelPrefix("fraud")+job+"/signature.json", s)
}

// score writes what a batch transform of the hold-out would: a model that knows as much as knowledge says answers.
func (w *world) score(job, model string, knowledge float64) {
	random := rand.New(rand.NewPCG(9, uint64(knowledge*1000)))
	for _, name := range w.names {
		var lines []string
		for _, row := range w.rows[name] {
			label, _ := strconv.ParseFloat(row[:1], 64)
			score := 1 / (1 + math.Exp(-knowledge*(label-.5)-random.NormFloat64()))
			lines = append(lines, fmt.Sprintf("%s,%v", row[:1], float32(score)))
		}
		w.output(job, model, name, lines)
	}
}

func (w *world) output(job, model, name string, lines []string) {
	w.put(evaluation.ScoresPrefix("fraud", job, model)+name+".out", []byte(strings.Join(lines, "\n")+"\n"))
}

func (w *world) event(command evaluation.Command) evaluation.Event {
	e := evaluation.Event{Command: command, Run: thisRun, Job: candidate, Model: candidate, Manifest: manifest.Key("fraud", thisRun, "b")}
	if command == evaluation.Decide {
		e.Champion = champion
	}
	return e
}

// quiet fails the test when a value of a row is in the log or in an error.
func (w *world) quiet(err error) {
	w.t.Helper()
	text := w.log.String()
	if err != nil {
		text += err.Error()
	}
	if strings.Contains(text, "secret") {
		w.t.Errorf("a row is in %s", text)
	}
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// endpoint is SageMaker with one endpoint, or none.
type endpoint struct {
	name    string
	there   bool
	status  types.EndpointStatus
	config  string
	configs map[string][]string // the models of their variants
	deleted string              // a model that somebody has deleted
	problem error

	runtime
}

func (e *endpoint) serve(config string, models ...string) {
	e.there, e.status, e.config = true, types.EndpointStatusInService, config
	e.configs = map[string][]string{config: models}
}

func (e *endpoint) DescribeEndpoint(_ context.Context, in *sagemaker.DescribeEndpointInput, _ ...func(*sagemaker.Options)) (*sagemaker.DescribeEndpointOutput, error) {
	switch {
	case e.problem != nil:
		return nil, e.problem
	case !e.there || *in.EndpointName != e.name:
		// The text as in test/local/aws/sagemaker_local/aws_errors.json.
		return nil, &smithy.GenericAPIError{Code: "ValidationException", Message: `Could not find endpoint "arn:aws:sagemaker:us-east-1:000000000000:endpoint/` + *in.EndpointName + `".`}
	}
	return &sagemaker.DescribeEndpointOutput{EndpointName: in.EndpointName, EndpointStatus: e.status, EndpointConfigName: aws.String(e.config)}, nil
}

func (e *endpoint) DescribeEndpointConfig(_ context.Context, in *sagemaker.DescribeEndpointConfigInput, _ ...func(*sagemaker.Options)) (*sagemaker.DescribeEndpointConfigOutput, error) {
	models, there := e.configs[*in.EndpointConfigName]
	if !there {
		return nil, &smithy.GenericAPIError{Code: "ValidationException", Message: `Could not find endpoint configuration "arn:aws:sagemaker:us-east-1:000000000000:endpoint-config/` + *in.EndpointConfigName + `".`}
	}
	out := &sagemaker.DescribeEndpointConfigOutput{EndpointConfigName: in.EndpointConfigName}
	for _, m := range models {
		out.ProductionVariants = append(out.ProductionVariants, types.ProductionVariant{ModelName: aws.String(m)})
	}
	return out, nil
}

func (e *endpoint) DescribeModel(_ context.Context, in *sagemaker.DescribeModelInput, _ ...func(*sagemaker.Options)) (*sagemaker.DescribeModelOutput, error) {
	if e.deleted == *in.ModelName {
		return nil, &smithy.GenericAPIError{Code: "ValidationException", Message: `Could not find model "arn:aws:sagemaker:us-east-1:000000000000:model/` + *in.ModelName + `".`}
	}
	return &sagemaker.DescribeModelOutput{ModelName: in.ModelName}, nil
}

func (w *world) remove(key string) {
	w.t.Helper()
	if err := w.Bucket.Delete(w.t.Context(), key); err != nil {
		w.t.Fatal(err)
	}
}

// list replaces the list of the hold-out's files; relist writes it anew. The manifest names the new version.
func (w *world) list(body []byte) {
	w.t.Helper()
	key := manifest.Key("fraud", thisRun, "b")
	stored, err := w.Bucket.Read(w.t.Context(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := manifest.Decode(stored.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	channel := m.Channels["test"]
	channel.Manifest = w.put(channel.Manifest.Key, body)
	m.Channels["test"] = channel
	w.put(key, m)
}

func (w *world) relist() {
	w.t.Helper()
	entries := []any{map[string]string{"prefix": "s3://data/" + prefix}}
	for _, name := range w.names {
		entries = append(entries, name)
	}
	body, err := json.Marshal(entries)
	if err != nil {
		w.t.Fatal(err)
	}
	w.list(body)
}

func (w *world) report(job string) evaluation.Report {
	w.t.Helper()
	r, found, err := w.Evaluator.report(w.t.Context(), job)
	if err != nil || !found {
		w.t.Fatalf("no report of %s: %v", job, err)
	}
	return r
}

func contains(t *testing.T, err error, problem string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), problem) {
		t.Fatalf("got  %v\nwant an error with %q", err, problem)
	}
}

var errDown = errors.New("the network is down")
