package config

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sagemaker-datapipeline/constructs/config/internal/field"
	"sagemaker-datapipeline/lambda/outcome"
	"sagemaker-datapipeline/lambda/pipeline"
)

// valid is a configuration without problems, which tests change in one place.
const valid = `{
	"project": "ml",
	"@aws-cdk/core:checkSecretUsage": true,
	"availability-zones:account=111111111111:region=eu-central-1": ["eu-central-1a"],
	"environments": {
		"dev": {
			"account": "111111111111",
			"region": "eu-central-1",
			"availabilityZones": ["eu-central-1a", "eu-central-1b"],
			"network": { "create": { "cidr": "10.40.0.0/20" } },
			"database": { "provision": {
				"engine": "sqlserver-se", "instanceType": "m6i.large", "name": "shop", "exportSecretName": "ml/dev/export"
			} },
			"notify": { "emails": ["team@example.com"] }
		},
		"prod": {
			"account": "222222222222",
			"region": "eu-central-1",
			"network": { "import": {
				"vpcId": "vpc-0a1b2c3d4e5f60718",
				"availabilityZones": ["eu-central-1a", "eu-central-1b"],
				"privateSubnetIds": ["subnet-0a1b2c3d", "subnet-0a1b2c3e"],
				"privateSubnetRouteTableIds": ["rtb-0a1b2c3d", "rtb-0a1b2c3e"]
			} },
			"database": { "import": {
				"host": "sqlserver.example.com", "port": 1433, "name": "shop", "securityGroupId": "sg-0a1b2c3d",
				"secretArn": "arn:aws:secretsmanager:eu-central-1:222222222222:secret:ml/prod/export-AbCdEf"
			} },
			"pipelines": {
				"fraud": { "training": { "hyperparameters": { "num_round": "300", "gamma": null } }, "endpoint": { "instanceCount": 2 } },
				"churn": { "enabled": false }
			}
		},
		"local": {
			"account": "000000000000",
			"region": "us-east-1",
			"network": { "none": true },
			"database": { "import": { "secretName": "ml/local/sqlserver" } },
			"architecture": "host",
			"removeData": true,
			"pollSeconds": 1
		}
	},
	"pipelines": {
		"fraud": {
			"schedule": { "expression": "cron(0 2 * * ? *)", "timeZone": "Europe/Berlin" },
			"source": { "query": "queries/fraud.sql" },
			"dataset": { "task": "binary", "key": ["TransactionId"], "label": "IsFraud" },
			"training": {
				"instanceType": "ml.m6i.large",
				"hyperparameters": { "objective": "binary:logistic", "num_round": "100", "gamma": "1" }
			},
			"endpoint": { "instanceType": "ml.m6i.large" }
		},
		"churn": {
			"schedule": { "expression": "rate(7 days)" },
			"source": { "table": "dbo.Customers" },
			"dataset": { "task": "regression", "key": ["CustomerId"], "label": "Spent" },
			"training": { "instanceType": "ml.m6i.large", "hyperparameters": { "num_round": "100" } },
			"endpoint": { "instanceType": "ml.m6i.large" }
		}
	}
}`

// project makes a directory with the files of queries that valid and the tests name.
func project(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	queries := map[string]string{
		"fraud.sql":   "SELECT * FROM dbo.Transactions\n",
		"empty.sql":   "",
		"fraud.dqdl":  "\ufeffRules = [ RowCount > 0 ]\n",
		"empty.dqdl":  "",
		"comment.sql": "-- SELECT later\n/* not yet */\n",
		"utf16.sql":   "\xff\xfeS\x00E\x00",
		"bom.sql":     "\ufeffSELECT 1 AS A",
		"window.sql":  "SELECT * FROM dbo.Transactions WHERE OccurredAt >= @WindowStart AND OccurredAt < @windowEnd",
		"end.sql":     "SELECT '@windowStart' AS A, 1 AS [@windowStart] /* @windowStart /* */ @windowStart */ FROM dbo.T WHERE B < @windowEnd -- @windowStart",
		"with.sql":    "/* sums */\nWITH s AS (SELECT 1 AS A) SELECT * FROM s",
	}
	if err := os.Mkdir(filepath.Join(dir, "queries"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range queries {
		if err := os.WriteFile(filepath.Join(dir, "queries", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "queries", "link.sql")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func decodeValid(t *testing.T) *Config {
	t.Helper()
	c, err := Decode([]byte(valid), project(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAPipelineHasTheDefaultsOfWhatItDoesNotSay(t *testing.T) {
	fraud := decodeValid(t).Pipelines["fraud"]
	if want := (Export{MemoryMiB: 1769, TimeoutSeconds: 900, ConnectTimeoutSeconds: 15, StatementTimeoutSeconds: 780, LockTimeoutSeconds: 30, Connections: 1, PageRows: 50_000,
		PartitionRows: 5_000_000, FunctionRows: 50_000_000, MaxScanRows: 50_000_000, MaxValueBytes: 8 << 20, RetryAttempts: 2, MaxEventAgeSeconds: 3600}); fraud.Export != want {
		t.Errorf("export is %+v, want %+v", fraud.Export, want)
	}
	if want := (Split{Train: 0.8, Validation: 0.1, Test: 0.1, Salt: "fraud"}); fraud.Dataset.Split != want {
		t.Errorf("split is %+v, want %+v", fraud.Dataset.Split, want)
	}
	if got := fraud.Training; got.Algorithm != "xgboost" || got.Version != "3.2-0" || got.InstanceCount != 1 || got.VolumeGiB != 30 || got.MaxRuntimeSeconds != 3600 {
		t.Errorf("training is %+v", got)
	}
	if got := fraud.Training; got.PatienceMinutes != 360 || got.Spot != nil || got.When != nil || !slices.Equal(got.Machines(), []string{"ml.m6i.large"}) {
		t.Errorf("training is %+v", got)
	}
	if !*fraud.Enabled || !fraud.Schedule.Enabled {
		t.Error("pipeline and schedule are on unless somebody says otherwise")
	}
	if zone := decodeValid(t).Pipelines["churn"].Schedule.TimeZone; zone != "UTC" {
		t.Errorf("time zone is %q, want UTC", zone)
	}
	if fraud.Source.QueryText != "SELECT * FROM dbo.Transactions\n" {
		t.Errorf("the query's text is %q", fraud.Source.QueryText)
	}
}

func TestAnEnvironmentHasTheDefaultsOfWhatItDoesNotSay(t *testing.T) {
	c := decodeValid(t)
	dev := c.Environments["dev"]
	if dev.Architecture != "arm64" || dev.LogRetentionDays != 30 || dev.PollSeconds != 30 || dev.RemoveData {
		t.Errorf("dev is %+v", dev)
	}
	if p := dev.Database.Provision; p.Version != "16.00" || p.StorageGiB != 100 || p.MultiAZ {
		t.Errorf("the provisioned database is %+v", *p)
	}
	if !dev.TerminationProtection || c.Environments["local"].TerminationProtection {
		t.Error("an environment is protected unless its data may be removed")
	}
}

func TestAnEnvironmentGetsItsPipelinesWithItsOverrides(t *testing.T) {
	c := decodeValid(t)
	_, prod, err := c.For("prod")
	if err != nil {
		t.Fatal(err)
	}
	if names := slices.Sorted(maps.Keys(prod)); !slices.Equal(names, []string{"fraud"}) {
		t.Errorf("prod has the pipelines %v, want fraud alone", names)
	}
	fraud := prod["fraud"]
	want := map[string]string{"objective": "binary:logistic", "num_round": "300"}
	if !maps.Equal(fraud.Training.Hyperparameters, want) {
		t.Errorf("hyperparameters are %v, want %v", fraud.Training.Hyperparameters, want)
	}
	if *fraud.Endpoint != (Endpoint{Kind: pipeline.Endpoint, InstanceType: "ml.m6i.large", InstanceCount: 2, Keep: 5}) {
		t.Errorf("the endpoint is %+v", fraud.Endpoint)
	}
	if fraud.Source.QueryText == "" {
		t.Error("the query's text is missing")
	}

	_, dev, err := c.For("dev")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(dev["fraud"], c.Pipelines["fraud"]) || len(dev) != 2 {
		t.Error("an environment without overrides has the pipelines as they are")
	}
}

func TestAskingForAnEnvironmentThatIsNotThereNamesTheNearest(t *testing.T) {
	_, _, err := decodeValid(t).For("pord")
	if want := `the configuration has no environment "pord": did you mean "prod"? It has dev, local, prod`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestASpecSaysWhatTheFunctionNeeds(t *testing.T) {
	full := pipeline.Spec{
		Version: pipeline.Version, Project: "ml", Environment: "prod", Pipeline: "fraud",
		Source: pipeline.Source{
			QueryFile: "queries/fraud.sql", Query: "SELECT * FROM dbo.Transactions\n", Load: pipeline.Full, Consistency: pipeline.Statement,
			OnChange: pipeline.NewGeneration, OnSchemaChange: pipeline.FailOnSchemaChange,
		},
		Dataset: pipeline.Dataset{
			Task: pipeline.Binary, Format: pipeline.CSV, Key: []string{"TransactionId"}, Label: "IsFraud", NullLabel: pipeline.FailOnNullLabel,
			Split: pipeline.Split{Train: 0.8, Validation: 0.1, Test: 0.1, Salt: "fraud"},
		},
		Limits: pipeline.Limits{
			ConnectTimeoutSeconds: 15, StatementTimeoutSeconds: 780, LockTimeoutSeconds: 30, Connections: 1, PageRows: 50_000,
			PartitionRows: 5_000_000, FunctionRows: 50_000_000, MaxScanRows: 50_000_000, MaxValueBytes: 8 << 20,
		},
		Gate:   &pipeline.Gate{Metric: "auc", Holdout: "test", Worse: 0.02, Threshold: 0.5},
		Deploy: pipeline.Endpoint,
	}
	for name, test := range map[string]struct {
		edits edits
		want  func(*pipeline.Spec)
	}{
		"a query with all its defaults": {nil, func(*pipeline.Spec) {}},
		"a sliding window": {edits{"source.query", `"queries/window.sql"`, "source.window", `{"days": 90}`}, func(s *pipeline.Spec) {
			s.Source.QueryFile, s.Source.WindowSeconds = "queries/window.sql", 90*24*60*60
			s.Source.Query = "SELECT * FROM dbo.Transactions WHERE OccurredAt >= @WindowStart AND OccurredAt < @windowEnd"
		}},
		"a window in minutes": {edits{"source.query", `"queries/window.sql"`, "source.window", `{"minutes": 90}`}, func(s *pipeline.Spec) {
			s.Source.QueryFile, s.Source.WindowSeconds = "queries/window.sql", 90*60
			s.Source.Query = "SELECT * FROM dbo.Transactions WHERE OccurredAt >= @WindowStart AND OccurredAt < @windowEnd"
		}},
		"a table in one state, with consents": {edits{"source", `{"table": "dbo.T", "consistency": "snapshot", "onChange": "fail", "onSchemaChange": "accept", "accept": ["fullScan", "nolock"]}`}, func(s *pipeline.Spec) {
			s.Source = pipeline.Source{
				Table: "dbo.T", Load: pipeline.Full, Consistency: pipeline.Snapshot, OnChange: pipeline.FailOnChange,
				OnSchemaChange: pipeline.AcceptSchemaChange, Accept: []pipeline.Consent{pipeline.AcceptFullScan, pipeline.AcceptNoLock},
			}
		}},
		"a large table over several connections, from the replica, at night": {edits{
			"source", `{"table": "dbo.T", "partitionBy": "Id", "readFrom": "replica"}`,
			"export", `{"connections": 4, "rowsPerSecond": 20000, "pageRows": 10000, "partitionRows": 1000000, "functionRows": 2000000, "maxDop": 2, "maxScanRows": 7,
				"maxValueBytes": 9000, "applicationName": "nightly", "allowedHours": {"from": "22:00", "to": "05:30", "timeZone": "Europe/Berlin"}}`,
		}, func(s *pipeline.Spec) {
			s.Source = pipeline.Source{
				Table: "dbo.T", Load: pipeline.Full, Consistency: pipeline.Statement, PartitionBy: "Id", Replica: true,
				OnChange: pipeline.NewGeneration, OnSchemaChange: pipeline.FailOnSchemaChange,
			}
			s.Limits = pipeline.Limits{
				ConnectTimeoutSeconds: 15, StatementTimeoutSeconds: 780, LockTimeoutSeconds: 30, Connections: 4, RowsPerSecond: 20_000,
				PageRows: 10_000, PartitionRows: 1_000_000, FunctionRows: 2_000_000, MaxDOP: 2, MaxScanRows: 7, MaxValueBytes: 9000,
				ApplicationName: "nightly", AllowedHours: &pipeline.Hours{From: "22:00", To: "05:30", TimeZone: "Europe/Berlin"},
			}
		}},
		"what is added, by rowversion": {edits{"source", appending(`"cursor": {"rowversion": "V"}`), "dataset.trainingWindow", `{"days": 30}`}, func(s *pipeline.Spec) {
			s.Source = appended(pipeline.Cursor{Kind: pipeline.RowversionCursor, Column: "V"})
			s.Dataset.WindowSeconds = 30 * 24 * 60 * 60
		}},
		"what is added, by identity": {edits{"source", appending(`"cursor": {"identity": "Id"}`), "dataset.trainingWindow", `{"days": 1}`}, func(s *pipeline.Spec) {
			s.Source = appended(pipeline.Cursor{Kind: pipeline.IdentityCursor, Column: "Id", Overlap: 1000})
			s.Dataset.WindowSeconds = 24 * 60 * 60
		}},
		"what is added, by time": {edits{"source", appending(`"cursor": {"time": "At", "overlapMinutes": 5}`), "dataset.trainingWindow", `{"days": 1}`}, func(s *pipeline.Spec) {
			s.Source = appended(pipeline.Cursor{Kind: pipeline.TimeCursor, Column: "At", Overlap: 300})
			s.Dataset.WindowSeconds = 24 * 60 * 60
		}},
		"columns with rules, split by time": {edits{"dataset", `{
			"task": "binary", "key": ["Id"], "label": "L", "positive": ["yes"], "nullLabel": "skip", "include": ["Id", "L", "A", "B", "C", "D", "At"],
			"columns": {"A": {"hash": true}, "B": {"cast": "float"}, "C": {"oneHot": ["x", "y"], "unknown": "missing"}, "D": {"ordinal": ["low", "high"]}},
			"split": {"time": {"column": "At", "validationFrom": "2026-01-01T00:00:00Z", "testFrom": "2026-02-01T00:00:00Z"}}
		}`}, func(s *pipeline.Spec) {
			s.Dataset = pipeline.Dataset{
				Task: pipeline.Binary, Format: pipeline.CSV, Key: []string{"Id"}, Label: "L", Positive: []string{"yes"}, NullLabel: pipeline.SkipNullLabel,
				Include: []string{"Id", "L", "A", "B", "C", "D", "At"},
				Columns: map[string]pipeline.ColumnRule{
					"A": {Hash: true}, "B": {Cast: "float"}, "C": {OneHot: []string{"x", "y"}, Unknown: pipeline.MissingUnknown},
					"D": {Ordinal: []string{"low", "high"}, Unknown: pipeline.FailOnUnknown},
				},
				Split: pipeline.Split{Time: &pipeline.TimeSplit{Column: "At", ValidationFrom: "2026-01-01T00:00:00Z", TestFrom: "2026-02-01T00:00:00Z"}},
			}
		}},
		"files for people only": {edits{"dataset", `{"channels": "none", "key": ["Id"], "drop": ["Secret"]}`, "training", gone, "endpoint", gone}, func(s *pipeline.Spec) {
			s.Dataset = pipeline.Dataset{Format: pipeline.NoChannels, Key: []string{"Id"}, Drop: []string{"Secret"}}
			s.Gate, s.Deploy = nil, ""
		}},
		"data that is judged, by a file of rules": {edits{"quality", `{"rules": "queries/fraud.dqdl", "drift": {"rows": 0.2, "psi": 0}, "private": ["Email"]}`}, func(s *pipeline.Spec) {
			s.Quality = &pipeline.Quality{Rules: "Rules = [ RowCount > 0 ]\n", Private: []string{"Email"}, Drift: &pipeline.Drift{Rows: 0.2, Nulls: 0.1, Mean: 0.5}}
		}},
		"data that is judged, by rules alone": {edits{"quality", `{"rules": "Rules = [ RowCount > 0 ]"}`}, func(s *pipeline.Spec) {
			s.Quality = &pipeline.Quality{Rules: "Rules = [ RowCount > 0 ]"}
		}},
		"drift of a full load by default": {edits{"quality", `{"drift": {}}`}, func(s *pipeline.Spec) {
			s.Quality = &pipeline.Quality{Drift: &pipeline.Drift{Rows: 0.5, Nulls: 0.1, Mean: 0.5, PSI: 0.25}}
		}},
		"drift of an append load, whose runs have no size of their own": {edits{
			"source", appending(`"cursor": {"rowversion": "V"}`), "dataset.trainingWindow", `{"days": 1}`, "quality", `{"drift": {}}`,
		}, func(s *pipeline.Spec) {
			s.Source = appended(pipeline.Cursor{Kind: pipeline.RowversionCursor, Column: "V"})
			s.Dataset.WindowSeconds = 24 * 60 * 60
			s.Quality = &pipeline.Quality{Drift: &pipeline.Drift{Nulls: 0.1, Mean: 0.5, PSI: 0.25}}
		}},
		"a training every six hours": {edits{"training.when", `{"everyHours": 6}`}, func(s *pipeline.Spec) {
			s.When = &pipeline.When{EverySeconds: 6 * 60 * 60}
		}},
		"a training after so many rows": {edits{
			"source", appending(`"cursor": {"rowversion": "V"}`), "dataset.trainingWindow", `{"days": 1}`, "training.when", `{"afterRows": 1000}`,
		}, func(s *pipeline.Spec) {
			s.Source = appended(pipeline.Cursor{Kind: pipeline.RowversionCursor, Column: "V"})
			s.Dataset.WindowSeconds = 24 * 60 * 60
			s.When = &pipeline.When{AfterRows: 1000}
		}},
		"a gate with a threshold": {edits{"gate", `{"metric": "logloss", "holdout": "validation", "atMost": 0.4, "worse": 0, "signatureChange": true}`}, func(s *pipeline.Spec) {
			s.Gate = &pipeline.Gate{Metric: "logloss", Holdout: "validation", AtMost: new(0.4), Threshold: 0.5, SignatureChange: true}
		}},
		"a gate of a regression, without test rows": {edits{
			"dataset.task", `"regression"`, "dataset.split", `{"train": 0.8, "validation": 0.2, "test": 0}`, "training.hyperparameters.objective", `"reg:gamma"`,
		}, func(s *pipeline.Spec) {
			s.Dataset.Task, s.Dataset.Split = pipeline.Regression, pipeline.Split{Train: 0.8, Validation: 0.2, Salt: "fraud"}
			s.Gate = &pipeline.Gate{Metric: "rmse", Holdout: "validation", Worse: 0.02}
		}},
		"no gate":      {edits{"gate", `{"enabled": false}`}, func(s *pipeline.Spec) { s.Gate = nil }},
		"scores in S3": {edits{"endpoint", `{"kind": "batch"}`}, func(s *pipeline.Spec) { s.Deploy = pipeline.Batch }},
	} {
		t.Run(name, func(t *testing.T) {
			document := edit(t, valid, "environments.prod.pipelines", `{"churn": {"enabled": false}}`)
			for _, environment := range []string{"dev", "prod", "local"} {
				document = edit(t, document, "environments."+environment+".database.replica", `{"host": "replica.example.com"}`)
			}
			for i := 0; i < len(test.edits); i += 2 {
				document = edit(t, document, "pipelines.fraud."+test.edits[i], test.edits[i+1])
			}
			c, err := Decode([]byte(document), project(t))
			if err != nil {
				t.Fatal(err)
			}
			_, p, err := c.Find("prod", "fraud")
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Spec(c.Project, "prod", "fraud")
			if err != nil {
				t.Fatal(err)
			}
			want := full
			test.want(&want)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%+v\nwant\n%+v", got, want)
			}
		})
	}
	if _, err := (Pipeline{Source: Source{Query: "queries/fraud.sql"}}).Spec("ml", "prod", "fraud"); err == nil {
		t.Error("a spec without its query's text would export nothing")
	}
}

// appended is the source that appending writes.
func appended(c pipeline.Cursor) pipeline.Source {
	return pipeline.Source{
		Table: "dbo.T", Load: pipeline.Append, Consistency: pipeline.Statement, Cursor: &c,
		OnChange: pipeline.FailOnChange, OnSchemaChange: pipeline.FailOnSchemaChange,
	}
}

func TestAQueryIsReadWithoutTheMarkThatEditorsPutBeforeIt(t *testing.T) {
	c, err := Decode([]byte(edit(t, valid, "pipelines.fraud.source.query", `"queries/bom.sql"`)), project(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Pipelines["fraud"].Source.QueryText; got != "SELECT 1 AS A" {
		t.Errorf("got %q", got)
	}
}

func TestAnOverrideIsKeptAsItWasWritten(t *testing.T) {
	over := `{"dataset":{"drop":["A","B"],"split":{"train":0.7,"test":0.2}},"description":"say \"x\"","enabled":true,"export":null}`
	c, err := Decode([]byte(edit(t, valid, "environments.dev.pipelines", `{"fraud": `+over+`}`)), project(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(c.Environments["dev"].Pipelines["fraud"]); got != over {
		t.Errorf("got %s, want %s", got, over)
	}
	_, pipelines, err := c.For("dev")
	if err != nil {
		t.Fatal(err)
	}
	if got := pipelines["fraud"].Dataset.Split; got != (Split{Train: 0.7, Validation: 0.1, Test: 0.2, Salt: "fraud"}) {
		t.Errorf("the split is %+v", got)
	}
}

func TestTheProjectsOwnFileDecodes(t *testing.T) {
	c, err := FromFile("../../cdk.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, environment := range []string{"dev", "staging", "prod", "local"} {
		_, pipelines, err := c.For(environment)
		if err != nil {
			t.Fatal(err)
		}
		if names := slices.Sorted(maps.Keys(pipelines)); !slices.Equal(names, []string{"churn", "demand", "fraud", "sales"}) {
			t.Errorf("%s has %v", environment, names)
		}
	}
}

func TestAFileThatIsNoConfigurationIsRefused(t *testing.T) {
	for name, test := range map[string]struct{ file, want string }{
		"a file with a comma too many says where":      {"{\n  \"app\": \"bin/app\",\n}", "it is not JSON: line 3, column 1: invalid character '}'"},
		"a file that ends early says where":            {"{\n  \"context\": {", "it is not JSON: line 2, column "},
		"a list is no cdk.json":                        {"[]", "cannot unmarshal array"},
		"a file without a context says what belongs":   {`{"app": "bin/app"}`, `has no "context": put "environments" and "pipelines" there`},
		"the context is looked for in its exact case":  {`{"Context": {}}`, `has no "context"`},
		"a context that is a list is refused":          {`{"context": []}`, "the configuration is not an object"},
		"a file in another encoding says so":           {"\xff\xfe{}", "it is not UTF-8"},
		"the problems of a context come with the file": {`{"context": {}}`, `"context": the configuration has 2 problems`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "cdk.json")
			if err := os.WriteFile(path, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := FromFile(path)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want %q and the file's path", err, test.want)
			}
		})
	}
	if _, err := FromFile(filepath.Join(t.TempDir(), "cdk.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v for a file that isn't there", err)
	}
}

// A tag that can't be read, or a default outside its own limits, is a mistake here and would be found by a user otherwise.
func TestEveryDefaultFitsItsOwnLimits(t *testing.T) {
	for _, v := range []any{Config{}, Environment{}, CreateNetwork{}, ImportNetwork{}, ImportDatabase{}, ProvisionDatabase{}, Notify{},
		Replica{}, Pipeline{}, Schedule{}, Source{}, Window{}, Cursor{}, Dataset{}, ColumnRule{}, Split{}, TimeSplit{}, TrainingWindow{}, Export{},
		Hours{}, Quality{}, Drift{}, Training{}, Image{}, Spot{}, When{}, Gate{}, Endpoint{}, Serverless{}, Autoscaling{}, Traffic{}, EndpointAlarms{},
		Capture{}, Clocks{}, Approval{}} {
		t.Run(reflect.TypeOf(v).Name(), func(t *testing.T) {
			for _, f := range field.Of(reflect.TypeOf(v)) {
				if f.Default == "" {
					continue
				}
				if f.Required {
					t.Errorf("%s is required and has a default", f.Name)
				}
				literal := f.Default
				if f.Type.Kind() == reflect.String {
					literal = string(jsonString(f.Default))
				}
				var problems Problems
				n, err := parse([]byte(literal), &problems)
				if err != nil {
					t.Fatalf("the default of %s: %v", f.Name, err)
				}
				decoder{&problems}.value(n, f, reflect.New(f.Type).Elem())
				if len(problems) > 0 {
					t.Errorf("the default of %s: %v", f.Name, problems)
				}
			}
		})
	}
}

func TestMailCanBeAskedForEachOutcomeAndNoOther(t *testing.T) {
	var want []string
	for _, o := range outcome.All {
		want = append(want, string(o))
	}
	for _, f := range field.Of(reflect.TypeFor[Notify]()) {
		if f.Name == "outcomes" && !slices.Equal(f.Enum, want) {
			t.Errorf("notify.outcomes takes %v, want %v", f.Enum, want)
		}
	}
}

// A panic here would hide what is wrong with a file from the person who wrote it.
func FuzzDecode(f *testing.F) {
	cdk, err := os.ReadFile("../../cdk.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cdk)
	f.Add([]byte(valid))
	f.Add([]byte(`{"environments": {"dev": null}, "pipelines": {"": {"source": {"query": ".."}}}}`))
	f.Add([]byte(`{"environments": {"dev": {"pipelines": {"a": {"schedule": null}, "a": 1}}}, "pipelines": {"a": {"schedule": {"expression": "cron(0 0 31 2 ? *)"}}}}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, context []byte) {
		c, err := Decode(context, dir)
		problems, ok := errors.AsType[Problems](err)
		switch {
		case err == nil:
			for name := range c.Environments {
				if _, _, err := c.For(name); err != nil {
					t.Error(err)
				}
			}
		case ok:
			if len(problems) == 0 || problems.Error() == "" {
				t.Error("an error without a problem")
			}
			again, _ := errors.AsType[Problems](func() error { _, err := Decode(context, dir); return err }())
			if !slices.Equal(problems, again) {
				t.Errorf("the same file has other problems the second time:\n%v\n%v", problems, again)
			}
		}
	})
}

// edit changes one place of a JSON document; path is dotted, a value of nil takes the key away.
func edit(t *testing.T, document, path, value string) string {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal([]byte(document), &root); err != nil {
		t.Fatal(err)
	}
	keys := strings.Split(path, ".")
	at := root
	for _, key := range keys[:len(keys)-1] {
		next, ok := at[key].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[key] = next
		}
		at = next
	}
	last := keys[len(keys)-1]
	if value == gone {
		delete(at, last)
	} else {
		at[last] = json.RawMessage(value)
	}
	b, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// gone takes a key away.
const gone = ""
