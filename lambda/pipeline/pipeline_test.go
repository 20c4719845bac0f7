package pipeline

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func spec() Spec {
	return Spec{
		Version: Version, Project: "ml", Environment: "dev", Pipeline: "fraud",
		Source:  Source{Query: "SELECT 1 AS a", QueryFile: "queries/fraud.sql", Load: Full, Consistency: Statement},
		Dataset: Dataset{Task: Binary, Format: CSV, Key: []string{"Id"}, Label: "IsFraud", Split: Split{Train: 1, Salt: "s"}},
		Limits:  Limits{LockTimeoutSeconds: 5},
	}
}

func TestTheHashIsOfWhatARunHolds(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*Spec)
		differs bool
	}{
		{"the query", func(s *Spec) { s.Source.Query += " " }, true},
		{"a table", func(s *Spec) { s.Source = Source{Table: "dbo.T"} }, true},
		{"the load", func(s *Spec) { s.Source.Load = Append }, true},
		{"the cursor", func(s *Spec) { s.Source.Cursor = &Cursor{Kind: RowversionCursor, Column: "Version"} }, true},
		{"a consent", func(s *Spec) { s.Source.Accept = []Consent{AcceptMasked} }, true},
		{"a rule for a column", func(s *Spec) { s.Dataset.Columns = map[string]ColumnRule{"a": {Hash: true}} }, true},
		{"the label", func(s *Spec) { s.Dataset.Label = "Other" }, true},
		{"the salt", func(s *Spec) { s.Dataset.Split.Salt = "t" }, true},
		{"the environment", func(s *Spec) { s.Environment = "prod" }, true},
		{"a limit", func(s *Spec) { s.Limits.LockTimeoutSeconds = 6 }, false},
		{"the name of the query's file", func(s *Spec) { s.Source.QueryFile = "sql/fraud.sql" }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := spec()
			c.change(&changed)
			if differs := changed.Hash() != spec().Hash(); differs != c.differs {
				t.Fatalf("another hash: %v", differs)
			}
			if changed.Limits == (Limits{}) && !c.differs {
				t.Fatal("hashing changed the spec")
			}
		})
	}
}

func TestSpecsAreReadStrictly(t *testing.T) {
	whole, err := json.Marshal(spec())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, text, problem string }{
		{"what the app writes", string(whole), ""},
		{"an unknown field", strings.Replace(string(whole), `{"version"`, `{"colour":1,"version"`, 1), "deploy the pipeline again"},
		{"another version", strings.Replace(string(whole), `"version":2`, `"version":1`, 1), "version 1"},
		{"no JSON", "spec", "decoding the pipeline spec"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), FileName)
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Read(path)
			if c.problem == "" {
				if err != nil || s.Hash() != spec().Hash() || s.Name() != "ml-dev-fraud" {
					t.Fatalf("got %+v, %v", s, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v, want an error with %q", err, c.problem)
			}
		})
	}
	if _, err := Read(filepath.Join(t.TempDir(), FileName)); err == nil {
		t.Error("a missing spec was read")
	}
}

func TestOnlyWhatWasAskedForIsAccepted(t *testing.T) {
	s := Source{Accept: []Consent{AcceptNoLock}}
	if !s.Accepts(AcceptNoLock) || s.Accepts(AcceptFullScan) {
		t.Fatalf("%v accepts something else", s.Accept)
	}
}

func FuzzDecode(f *testing.F) {
	b, _ := json.Marshal(spec())
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Decode(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Decode(again); err != nil || back.Hash() != s.Hash() {
			t.Fatalf("%s reads back as %s, %v", b, again, err)
		}
	})
}
