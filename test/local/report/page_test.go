package report

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sagemaker-datapipeline/lambda/evaluation"
	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/plan"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/signature"
	"sagemaker-datapipeline/lambda/verdict"
	"sagemaker-datapipeline/test/local/data"
	"sagemaker-datapipeline/test/local/heldout"
)

// sample is a result with everything in it that a page can show.
func sample() Result {
	before := .41
	roc := []heldout.Point{}
	for i := range 101 {
		x := float64(i) / 100
		roc = append(roc, heldout.Point{X: x, Y: math.Pow(x, .15)})
	}
	scatter := []heldout.Point{}
	for i := range 300 {
		x := float64(i%60) + 1
		scatter = append(scatter, heldout.Point{X: x, Y: x * (1 + .3*math.Sin(float64(i)))})
	}
	var probes []Probe
	for i := range 28 {
		p := Probe{At: 30 + float64(i)*.3, Score: .41}
		if i > 19 {
			p.Score = .77
		}
		probes = append(probes, p)
	}
	tick := func(run string, start float64, h heldout.Metrics, s signature.Signature) Tick {
		at := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
		return Tick{
			Run: run, FiredBy: "invoked with its scheduled time", Start: start, End: start + 9, Outcome: "succeeded", Export: "committed",
			Manifest: manifest.Manifest{
				Load: "full", Generation: 1, Rows: 207_506, Bytes: 31_004_120, StartedAt: at, CommittedAt: at.Add(2300 * time.Millisecond),
				Source: manifest.Source{Guarantee: "Each row that was committed when the statement began, once."},
				Files: []manifest.File{
					{Object: manifest.Object{Key: "fraud/runs/x/data/a/part-00000.parquet", Bytes: 9_812_223, SHA256: strings.Repeat("3fa9", 16)}, Format: "parquet", Rows: 207_506},
					{Object: manifest.Object{Key: "fraud/runs/x/channels/a/train/part-00000.csv", Bytes: 19_812_223, SHA256: strings.Repeat("9c01", 16)}, Format: "csv", Channel: "train", Rows: 166_000},
				},
				Channels: map[string]manifest.Channel{"train": {Rows: 166_000}, "validation": {Rows: 20_750}, "test": {Rows: 20_756}},
			},
			Signature: s,
			States: []State{
				{Name: "Train", Start: start + 2, Seconds: .4, Visits: 1}, {Name: "Copy the signature", Start: start + 6, Seconds: .4, Visits: 1},
				{Name: "Create model", Start: start + 6, Seconds: .4, Visits: 1}, {Name: "Create endpoint config", Start: start + 6, Seconds: .4, Visits: 1},
				{Name: "Update endpoint", Start: start + 6.2, Seconds: .4, Visits: 1}, {Name: "Look at endpoint", Start: start + 6.4, Seconds: .4, Visits: 3},
				{Name: "Ask endpoint", Start: start + 8.7, Seconds: .4, Visits: 1}, {Name: "Tell", Start: start + 8.8, Seconds: .4, Visits: 1},
			},
			TrainingJob: "ml-local-fraud-" + run, Training: []Metric{{"train:auc", .9312}, {"validation:auc", .9011}, {"validation:logloss", .0581}},
			ConfigAfter: "ml-local-fraud-" + run, Model: "ml-local-fraud-" + run, HeldOut: h,
			Prediction: Prediction{Request: "120.50,38.2000,3.1545,23,2,0,3,2,1,1,811,,4,0", Score: .77, Actual: 1},
		}
	}
	fraud := signature.Signature{Task: "binary", Label: "IsFraud", Features: []signature.Feature{
		{Name: "Amount"}, {Name: "AvgAmount30d"}, {Name: "AmountToUsual"}, {Name: "HourOfDay"}, {Name: "DayOfWeek"}, {Name: "CardPresent"}, {Name: "ChannelCode"},
		{Name: "CountryGroup"}, {Name: "ForeignCurrency"}, {Name: "MerchantGroup"}, {Name: "CustomerAgeDays"}, {Name: "DistanceKm"}, {Name: "TxLastHour"}, {Name: "KnownDevice"},
	}}
	auc := heldout.Metrics{Task: "binary", Rows: 20_756, AUC: .901, LogLoss: .06, BaseRate: .021, Threshold: .5, Precision: .31, Recall: .66, Plot: roc}
	one, two := tick("20260105t010000z", 20, auc, fraud), tick("20260106t010000z", 30, auc, fraud)
	two.ConfigBefore, two.Probes, two.Prediction.Before = one.ConfigAfter, probes, &before
	one.Verdict = &verdict.Verdict{Decision: verdict.Accepted, Rules: []verdict.Rule{{Name: "RowCount > 1000", Passed: true}}}
	one.Evaluation = &evaluation.Report{Verdict: evaluation.Verdict{
		Decision: evaluation.First, Reason: "the auc is 0.893 (0.879 to 0.905), and nothing is in service", Metric: evaluation.AUC,
		Estimate: evaluation.Estimate{Value: .893, Low: .879, High: .905},
	}}
	two.Verdict = &verdict.Verdict{Decision: verdict.Rejected, Rules: []verdict.Rule{
		{Name: "RowCount > 1000", Passed: true}, {Name: `IsComplete "Amount"`, Expected: "no NULL", Actual: "12 of 207,506 rows are NULL"},
	}}
	champion := .893
	two.Evaluation = &evaluation.Report{
		Verdict: evaluation.Verdict{
			Decision: evaluation.Better, Reason: "the auc is 0.901 (0.888 to 0.913), 0.893 (0.879 to 0.905) in service", Metric: evaluation.AUC,
			Estimate: evaluation.Estimate{Value: .901, Low: .888, High: .913}, ChampionValue: &champion,
			Metrics:         map[evaluation.Metric]evaluation.Estimate{evaluation.AUC: {Value: .901, Low: .888, High: .913}, evaluation.F1: {Value: .42, Low: .39, High: .45}},
			ChampionMetrics: map[evaluation.Metric]evaluation.Estimate{evaluation.AUC: {Value: .893, Low: .879, High: .905}},
		},
		Compared: &evaluation.Compared{Served: evaluation.Served{Model: "m", Run: "20260105t010000z"}},
	}
	two.Changes = []data.Change{
		{What: "A day's new transactions", Rows: 1250},
		{What: "Chargebacks arrive: betting terminals had been tampered with since November", Statement: "UPDATE dbo.Transactions SET IsFraud = 1 WHERE MerchantCategory = 7995 AND Channel = 'pos' AND OccurredAt >= '20251101' AND IsFraud = 0", Rows: 982},
	}
	demand := tick("20261122t201500z", 24, heldout.Metrics{Task: "regression", Rows: 8600, RMSE: 5.82, MAE: 3.7, WAPE: .288, Naive: "QuantityLag7", NaiveWAPE: .423, Plot: scatter},
		signature.Signature{Task: "regression", Label: "Quantity", Features: []signature.Feature{{Name: "Price"}, {Name: "Promo"}}})
	demand.Prediction = Prediction{Request: "4.99,1", Score: 31.84, Actual: 33}
	at := func(run run.ID, moves int64) head.Head {
		return head.Head{Generation: 1, Run: run, Moves: moves, Manifest: &head.Ref{Run: run}}
	}
	everything := Tick{
		Run: "20261122t201500z", FiredBy: "fired by its schedule, rate(1 minute)", Outcome: "succeeded", Export: "committed", Head: at("20261122t201500z", 1),
		Plan: plan.Plan{PartitionColumn: &manifest.Column{Name: "RowVer"}, Boundaries: "histogram", Partitions: make([]plan.Partition, 4)},
		Map:  &MapRun{Execution: "20261122t201500z-3fa93fa9", Status: "SUCCEEDED", Partitions: 4, AtOnce: 2, Succeeded: 4},
		Manifest: manifest.Manifest{
			Load: "append", Generation: 1, Rows: 98_950, Counts: manifest.Counts{Done: 98_950, Decoded: 98_950, Parquet: 98_950},
			Source: manifest.Source{Isolation: "READ COMMITTED SNAPSHOT (row versions, per statement)", Guarantee: "Every row with a version within the bounds, once."},
			Bounds: &manifest.Bounds{Column: "RowVer", To: "0x0000000000018A57"},
			Files:  []manifest.File{{Object: manifest.Object{Key: "sales/runs/x/data/a-00000.parquet", SHA256: strings.Repeat("77ab", 16)}, Format: "parquet", Rows: 98_950}},
		},
	}
	held, blocked := everything, Tick{
		Run: "20261122t201503z", Outcome: "succeeded", Export: "blocked", Detail: "1300 row versions wait behind session 54", Head: at("20261122t201502z", 2),
	}
	held.Run, held.Head, held.Map = "20261122t201502z", at("20261122t201502z", 2), nil
	held.Plan.Partitions = held.Plan.Partitions[:1]
	held.Manifest.Bounds = &manifest.Bounds{Column: "RowVer", From: "0x0000000000018A57", To: "0x0000000000018D45", Lag: "1300 row versions wait behind an open transaction: session 54"}
	held.Changes = []data.Change{{What: "A till's transaction stays open", Rows: 1050}}
	return Result{
		StartedAt: time.Date(2026, 11, 22, 20, 15, 3, 0, time.UTC), Seconds: 61.4,
		Versions: []Version{{"machine", "linux/amd64, 2 CPUs"}, {"go", "1.26.8"}, {"node", "22.11.0"}, {"python", "3.11.7"}, {"cdk", "2.1148.1"}},
		Database: "local TDS server over SQLite",
		Steps: []Step{
			{"tools", "", Done, 0, .6}, {"synth", "", Done, .6, 9.4}, {"services", "", Done, .6, 2.9}, {"bootstrap", "", Done, 2.9, 5}, {"data", "345,000 rows", Done, 2.9, 9},
			{"deploy", "", Done, 9.4, 18}, {"fraud 1", "", Done, 18, 31}, {"churn 1", "", Done, 18, 25}, {"demand 1", "", Done, 18, 29},
			{"fraud 2", "", Done, 31, 45}, {"churn 2", "", Done, 25, 36}, {"demand 2", "", Stopped, 29, 61},
		},
		Pipelines: []Pipeline{
			{Name: "fraud", Task: "binary", Endpoint: "ml-local-fraud", Schedule: "cron(0 2 * * ? *)", Ticks: []Tick{one, two}, Clocks: []Clock{
				{Name: "tick processed", Run: "20260106t010000z", Outcome: "succeeded", Age: 12, Limit: 37.5 * 3600}, {Name: "age of the model", Age: 90, Limit: 87 * 3600},
			}},
			{Name: "demand", Task: "regression", Endpoint: "ml-local-demand", Schedule: "rate(1 minute)", Ticks: []Tick{demand}},
			{
				Name: "sales", Schedule: "rate(1 minute)", Ticks: []Tick{everything, held, blocked}, Ledger: &Ledger{Runs: 2, Table: 99_200, Files: 99_200},
				Doctor: findings.Report{Findings: []findings.Finding{{Check: "index", Severity: findings.OK, Found: "IX_Sales_RowVer begins with RowVer"}}},
			},
		},
		Notices: []Notice{{31, "[ml-local-fraud] run 20260105t010000z is in service", "Endpoint ml-local-fraud serves the model of run 20260105t010000z.\nIt was trained on 166,000 rows.", "fraud", "20260105t010000z", "succeeded"}},
	}
}

func render(t *testing.T, r Result) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.html")
	if err := Write(path, r); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if keep := os.Getenv("KEEP_REPORT"); keep != "" {
		if err := os.WriteFile(keep, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return string(b)
}

func TestThePageNeedsNothingBesideItself(t *testing.T) {
	html := render(t, sample())
	for _, outside := range []string{`(?i)<script`, `(?i)<link`, `(?i)<iframe`, `(?i)\b(src|href)\s*=`, `(?i)@import`, `(?i)url\(`, `https?://`} {
		if found := regexp.MustCompile(outside).FindString(html); found != "" {
			t.Errorf("the page has %q", found)
		}
	}
}

func TestThePageShowsTheRun(t *testing.T) {
	html := render(t, sample())
	if strings.Contains(html, "ZgotmplZ") {
		t.Error("a value was refused where it stands")
	}
	for _, want := range []string{
		"207,506", "0.901", "28.8 %", "ml-local-fraud-20260106t010000z", "982 rows", "0.41", "0.77", "run 2: AUC 0.901",
		strings.Repeat("3fa9", 16), "is in service", "cron(0 2 * * ? *)", "NULL", "Look at endpoint",
		"RowVer below 0x18A57", "4 partitions by histogram, read by the distributed map, 2 at a time", "sent = read = Parquet",
		"RowVer 0x18A57 to below 0x18D45", "wait behind an open transaction: session 54", "3, blocked", "one partition, in pages",
		"READ COMMITTED SNAPSHOT (row versions, per statement).", "is at move 2: run <code>20261122t201502z</code>", "each once",
		"rejected: 1 of 2 hold", "IsComplete &#34;Amount&#34;: expected no NULL, is 12 of 207,506 rows are NULL", "auc 0.901 (0.888 to 0.913)", "auc 0.893 (0.879 to 0.905), run 20260105t010000z",
		"f1 0.420 (0.390 to 0.450)", "tick processed", "38 h", "nothing yet",
		"1 check is fine", "IX_Sales_RowVer begins with RowVer", "Before run 2. A till&#39;s transaction stays open: 1,050 rows",
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
}

func TestARunThatFailedHasAPage(t *testing.T) {
	tests := []struct {
		name   string
		result Result
	}{
		{"before anything was started", Result{}},
		{"while the first run was exporting", Result{
			Steps:     []Step{{Name: "fraud 1", State: Failed}},
			Pipelines: []Pipeline{{Name: "fraud", Task: "binary", Ticks: []Tick{{Run: "20260105t010000z"}}}},
		}},
		{"in the second run", func() Result {
			r := sample()
			r.Pipelines[0].Ticks[1] = Tick{Run: "20260106t010000z", Outcome: "failed", States: []State{{Name: "Train", Failed: true}}}
			return r
		}()},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.result.Failure = &Failure{Step: "fraud 1", Cause: "no table <dbo.Nothing>", Logs: ".local/logs"}
			html := render(t, test.result)
			if !strings.Contains(html, "no table &lt;dbo.Nothing&gt;") {
				t.Error("the page does not say why")
			}
		})
	}
}
