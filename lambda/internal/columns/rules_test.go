package columns

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
)

func TestTheSelectListHasWhatIsIncludedNotDroppedAndCast(t *testing.T) {
	source := []sqlserver.Column{named("Id", "int"), named("Email", "nvarchar"), named("Amount", "money"), named("IsFraud", "bit"), named("Place", "geography")}
	base := pipeline.Dataset{Key: []string{"Id"}, Label: "IsFraud"}
	with := func(change func(*pipeline.Dataset)) pipeline.Dataset {
		d := base
		change(&d)
		return d
	}
	plain := func(list ...string) (all []sqlserver.Selected) {
		for _, name := range list {
			all = append(all, sqlserver.Selected{Name: name})
		}
		return all
	}
	for _, c := range []struct {
		name     string
		dataset  pipeline.Dataset
		want     []sqlserver.Selected
		problems []string
	}{
		{"without rules the source is read as it is", base, nil, nil},
		{"a rule that isn't the server's changes nothing", with(func(d *pipeline.Dataset) {
			d.Columns = map[string]pipeline.ColumnRule{"Email": {Hash: true}}
		}), nil, nil},
		{"what is dropped isn't read, whatever its case", with(func(d *pipeline.Dataset) { d.Drop = []string{"email", "PLACE"} }), plain("Id", "Amount", "IsFraud"), nil},
		{"what is included is read in its order", with(func(d *pipeline.Dataset) { d.Include = []string{"isfraud", "ID", "Amount"} }), plain("IsFraud", "Id", "Amount"), nil},
		{"a cast is the server's", with(func(d *pipeline.Dataset) {
			d.Columns = map[string]pipeline.ColumnRule{"amount": {Cast: "Float"}, "Place": {Cast: "nvarchar(max)"}}
		}), []sqlserver.Selected{{Name: "Id"}, {Name: "Email"}, {Name: "Amount", Cast: "float"}, {Name: "IsFraud"}, {Name: "Place", Cast: "nvarchar(max)"}}, nil},
		{"all problems at once", with(func(d *pipeline.Dataset) {
			d.Include = []string{"Id", "Id", "Emial", "Amount"}
			d.Drop = []string{"Amount"}
			d.Columns = map[string]pipeline.ColumnRule{"Email": {Hash: true}, "Id": {Cast: "text); DROP TABLE x--"}}
		}), nil, []string{
			`dataset.include names "Id" twice`, `dataset.include names "Emial"`, `did you mean "Email"?`, `dataset.drop names "Amount", which dataset.include includes`,
			`dataset.label names "IsFraud", which dataset.include leaves out`, `dataset.columns has a rule for "Email", which dataset.include leaves out`,
			`dataset.columns.Id: "text); DROP TABLE x--" is not of the form of a type`,
		}},
		{"a dropped key", with(func(d *pipeline.Dataset) { d.Drop = []string{"Id"} }), nil, []string{`dataset.key names "Id", which dataset.drop leaves out`}},
		{"a dropped column that isn't there", with(func(d *pipeline.Dataset) { d.Drop = []string{"Contry"} }), nil, []string{`dataset.drop names "Contry"`}},
		{"a dropped column that the split needs", with(func(d *pipeline.Dataset) {
			d.Drop, d.Split.Time = []string{"Amount"}, &pipeline.TimeSplit{Column: "Amount"}
		}), nil, []string{`dataset.split.time.column names "Amount", which dataset.drop leaves out`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Select(source, c.dataset)
			if len(c.problems) == 0 && (err != nil || !slices.Equal(got, c.want)) {
				t.Fatalf("got %v, %v, want %v", got, err, c.want)
			}
			for _, want := range c.problems {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v\nwant an error with %s", err, want)
				}
			}
		})
	}
}

func TestRulesAreChecked(t *testing.T) {
	result := []sqlserver.Column{named("Id", "int"), named("Country", "varchar"), decimal(4, 2), named("At", "datetime2"), named("Outcome", "varchar")}
	result[2].Name = "Level"
	for _, c := range []struct {
		name    string
		change  func(*pipeline.Dataset)
		problem string
	}{
		{"rules that fit", func(d *pipeline.Dataset) {
			d.Columns = map[string]pipeline.ColumnRule{"country": {OneHot: []string{"DE", "FR"}}, "LEVEL": {Ordinal: []string{"1.5", "2"}}}
			d.Split.Time = &pipeline.TimeSplit{Column: "at"}
		}, ""},
		{"two rules for one column", func(d *pipeline.Dataset) {
			d.Columns = map[string]pipeline.ColumnRule{"country": {Hash: true}, "Country": {Hash: true}}
		}, `two rules for "Country"`},
		{"a rule of two kinds", func(d *pipeline.Dataset) {
			d.Columns = map[string]pipeline.ColumnRule{"Country": {Hash: true, OneHot: []string{"DE"}}}
		}, "exactly one of hash, cast, oneHot and ordinal"},
		{"a rule for a column that isn't there", func(d *pipeline.Dataset) {
			d.Columns = map[string]pipeline.ColumnRule{"Contry": {Hash: true}}
		}, `did you mean "Country"?`},
		{"a hashed label", func(d *pipeline.Dataset) {
			d.Columns = map[string]pipeline.ColumnRule{"Outcome": {Hash: true}}
		}, "a hashed label can't be learned from"},
		{"categories of a key", func(d *pipeline.Dataset) {
			d.Columns = map[string]pipeline.ColumnRule{"Id": {Ordinal: []string{"1"}}}
		}, "ordinal makes a feature, and the column is the key"},
		{"a category that the type can't have", func(d *pipeline.Dataset) {
			d.Columns = map[string]pipeline.ColumnRule{"Level": {OneHot: []string{"1.5", "high"}}}
		}, `dataset.columns.Level: "high" is no value of a column of type decimal(4,2)`},
		{"one category in two spellings", func(d *pipeline.Dataset) {
			d.Columns = map[string]pipeline.ColumnRule{"Level": {OneHot: []string{"1.5", "1.50"}}}
		}, `the category "1.50" twice`},
		{"a rule for unknown values that doesn't exist", func(d *pipeline.Dataset) {
			d.Columns = map[string]pipeline.ColumnRule{"Country": {OneHot: []string{"DE"}, Unknown: "ignore"}}
		}, `unknown is "ignore"`},
		{"a split by a column without time", func(d *pipeline.Dataset) { d.Split.Time = &pipeline.TimeSplit{Column: "Country"} }, `names "Country", a varchar`},
		{"positive values of a number to predict", func(d *pipeline.Dataset) { d.Task = pipeline.Regression }, "dataset.task is regression"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := pipeline.Dataset{Task: pipeline.Binary, Key: []string{"Id"}, Label: "Outcome", Positive: []string{"fraud"}, Features: []string{"Country", "Level"}}
			c.change(&d)
			p, err := Resolve(result, d)
			if c.problem == "" {
				if err != nil {
					t.Fatal(err)
				}
				if err := p.CheckNumbers([]any{int64(1), "DE", []byte("1.50"), time.Now(), "ok"}); err != nil {
					t.Errorf("columns with rules were refused: %v", err)
				}
				if p.Time != 3 {
					t.Errorf("rows are split by column %d", p.Time)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v, want an error with %q", err, c.problem)
			}
		})
	}
}

func TestTheColumnOfASplitByTimeIsNoFeatureByItself(t *testing.T) {
	d := pipeline.Dataset{Key: []string{"Id"}, Label: "L", Split: pipeline.Split{Time: &pipeline.TimeSplit{Column: "at"}}}
	p, err := Resolve([]sqlserver.Column{named("Id", "int"), named("L", "bit"), named("At", "date"), named("F", "int")}, d)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Features, []int{3}) || p.Time != 2 || p.Columns[2].Role != manifest.OtherRole {
		t.Fatalf("features %v, split by %d", p.Features, p.Time)
	}
}

func TestADatasetWithoutChannelsNeedsNoRoles(t *testing.T) {
	p, err := Resolve([]sqlserver.Column{named("Id", "int"), named("Note", "nvarchar")}, pipeline.Dataset{Format: pipeline.NoChannels})
	if err != nil {
		t.Fatal(err)
	}
	if p.Label != -1 || len(p.Features) > 0 || p.Columns[0].Role != manifest.OtherRole || p.Columns[1].Role != manifest.OtherRole {
		t.Fatalf("got %+v", p)
	}
}

func TestAHashedColumnHoldsTheHashOfItsText(t *testing.T) {
	p, err := Resolve([]sqlserver.Column{named("Id", "bigint"), named("Email", "nvarchar"), named("L", "bit"), named("F", "int")}, pipeline.Dataset{
		Key: []string{"Id"}, Label: "L", Columns: map[string]pipeline.ColumnRule{"Id": {Hash: true}, "Email": {Hash: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !p.Hashes() || len(p.Features) != 1 || p.Columns[p.Features[0]].Name != "F" {
		t.Errorf("a hashed column became a feature: %v", p.Features)
	}
	secret := []byte("0123456789abcdef")
	b := batcherOf(t, p, BatchOptions{HashKey: secret, MaxValueBytes: 20})
	for _, row := range [][]any{{int64(7), "ann@example.com ", true, int64(1)}, {int64(8), nil, true, int64(1)}} {
		if err := b.Append(row); err != nil {
			t.Fatal(err)
		}
	}
	batch := b.Batch()
	defer batch.Release()
	if !batch.Schema().Equal(p.Schema()) {
		t.Fatalf("the batch has the schema %s", batch.Schema())
	}
	hash := func(text string) string {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(text))
		return hex.EncodeToString(mac.Sum(nil))
	}
	id, email := batch.Column(0).(*array.String), batch.Column(1).(*array.String)
	if id.Value(0) != hash("7") || id.Value(1) != hash("8") || email.Value(0) != hash("ann@example.com") || !email.IsNull(1) {
		t.Errorf("got %v and %v", id, email)
	}
	if got, want := string(p.AppendKey(nil, batch, 0)), "S\x00\x00\x00\x40"+hash("7"); got != want {
		t.Errorf("the key is %q, want %q", got, want)
	}
	if m := p.Manifest()[1]; m.Parquet != "string" || m.SQLType != "nvarchar" {
		t.Errorf("the manifest says %+v", m)
	}
	err = b.Append([]any{int64(9), strings.Repeat("x", 21), true, int64(1)})
	if err == nil || !strings.Contains(err.Error(), `"Email"`) || !strings.Contains(err.Error(), "Id="+hash("9")[:40]) || strings.Contains(err.Error(), "Id=9") {
		t.Errorf("a message has to name the row by what is written of it: %v", err)
	}
}

func TestHashingNeedsAKey(t *testing.T) {
	p, err := Resolve([]sqlserver.Column{named("Id", "int"), named("Email", "nvarchar")}, pipeline.Dataset{
		Format: pipeline.NoChannels, Key: []string{"Id"}, Columns: map[string]pipeline.ColumnRule{"Email": {Hash: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for key, problem := range map[string]string{"": "has no hashKey", "short": "has a hashKey of 5 bytes"} {
		if _, err := NewBatcher(p, BatchOptions{HashKey: []byte(key)}); err == nil || !strings.Contains(err.Error(), problem) || !strings.Contains(err.Error(), "Email") {
			t.Errorf("with the key %q: got %v", key, err)
		}
	}
}

func TestAValueThatIsTooLargeIsNamedWithItsRow(t *testing.T) {
	p, err := Resolve([]sqlserver.Column{named("Id", "int"), named("Day", "date"), named("Note", "nvarchar"), named("Photo", "varbinary")},
		pipeline.Dataset{Format: pipeline.NoChannels, Key: []string{"Id", "Day"}})
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		row     []any
		problem []string
	}{
		{"as large as may be", []any{int64(1), day, "ääää", make([]byte, 8)}, nil},
		{"a text counts in UTF-8", []any{int64(1), day, "ääääx", nil}, []string{`column "Note" (nvarchar)`, "9 bytes", "export.maxValueBytes is 8", "Id=1, Day=2026-01-02", "dataset.drop", "LEFT"}},
		{"bytes", []any{nil, day, nil, make([]byte, 9)}, []string{`column "Photo" (varbinary)`, "9 bytes", "Id=NULL, Day=2026-01-02"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := batcherOf(t, p, BatchOptions{MaxValueBytes: 8}).Append(c.row)
			if len(c.problem) == 0 && err != nil {
				t.Fatal(err)
			}
			for _, want := range c.problem {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want an error with %s", err, want)
				}
			}
		})
	}
}

func TestReplacedCharactersAreCounted(t *testing.T) {
	p, err := Resolve([]sqlserver.Column{named("Id", "int"), named("Note", "nvarchar")}, pipeline.Dataset{Format: pipeline.NoChannels, Key: []string{"Id"}})
	if err != nil {
		t.Fatal(err)
	}
	b := batcherOf(t, p, BatchOptions{})
	for i, note := range []any{"plain", "a😀", nil, "half \uFFFD and half \uFFFD", "not UTF-8: \xFF\xFE"} {
		if err := b.Append([]any{int64(i), note}); err != nil {
			t.Fatal(err)
		}
	}
	batch := b.Batch()
	defer batch.Release()
	if b.Replaced() != 3 {
		t.Errorf("counted %d", b.Replaced())
	}
	if got := batch.Column(1).(*array.String).Value(4); got != "not UTF-8: \uFFFD" {
		t.Errorf("bytes that are no UTF-8 became %q", got)
	}
}

func TestFeaturesAndLabelsByTheirRules(t *testing.T) {
	hot := pipeline.ColumnRule{OneHot: []string{"DE", "FR"}, Unknown: pipeline.MissingUnknown}
	place := pipeline.ColumnRule{Ordinal: []string{"low", "high"}}
	for _, c := range []struct {
		name    string
		column  sqlserver.Column
		rule    pipeline.ColumnRule
		value   any
		want    string
		unknown bool
		problem string
	}{
		{"the first category", named("V", "varchar"), hot, "DE", "1,0", false, ""},
		{"the second", named("V", "varchar"), hot, "FR", "0,1", false, ""},
		{"the padding of a char doesn't count", sized("char", 5), hot, "FR   ", "0,1", false, ""},
		{"case counts", named("V", "varchar"), hot, "fr", "0,0", true, ""},
		{"NULL is no category, and isn't unknown", named("V", "varchar"), hot, nil, "0,0", false, ""},
		{"a category's place", named("V", "varchar"), place, "high", "1", false, ""},
		{"no place for NULL", named("V", "varchar"), place, nil, "", false, ""},
		{"an unknown value fails unless a rule says otherwise", named("V", "varchar"), place, "medium", "", false, `the value "medium", which is none of its categories (low, high)`},
		{"an unknown value without a place", named("V", "varchar"), pipeline.ColumnRule{Ordinal: []string{"low"}, Unknown: pipeline.MissingUnknown}, "high", "", true, ""},
		{"numbers are categories by value", decimal(4, 2), pipeline.ColumnRule{OneHot: []string{"1.5", "2"}}, []byte("2.00"), "0,1", false, ""},
		{"floats too", named("V", "float"), pipeline.ColumnRule{Ordinal: []string{"0.5", "1e3"}}, 1000.0, "1", false, ""},
		{"bits too", named("V", "bit"), pipeline.ColumnRule{Ordinal: []string{"1", "0"}}, false, "1", false, ""},
		{"a uniqueidentifier in lower case", named("V", "uniqueidentifier"), pipeline.ColumnRule{Ordinal: []string{"00000000-0000-0000-0000-0000000000ab"}},
			append(make([]byte, 15), 0xAB), "0", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.column.Name = "V"
			p, err := Resolve([]sqlserver.Column{named("Id", "int"), named("L", "bit"), c.column},
				pipeline.Dataset{Key: []string{"Id"}, Label: "L", Columns: map[string]pipeline.ColumnRule{"V": c.rule}})
			if err != nil {
				t.Fatal(err)
			}
			batch := batchOf(t, p, []any{int64(1), true, c.value})
			defer batch.Release()
			got, known, err := p.Columns[2].AppendFeature(nil, batch.Column(2), 0)
			if c.problem != "" {
				if err == nil || !strings.Contains(err.Error(), c.problem) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil || string(got) != c.want || known == c.unknown {
				t.Fatalf("got %q, known %v, %v", got, known, err)
			}
		})
	}
}

func TestPositiveValuesMakeTheLabel(t *testing.T) {
	p, err := Resolve([]sqlserver.Column{named("Id", "int"), named("Outcome", "varchar"), named("F", "int")},
		pipeline.Dataset{Key: []string{"Id"}, Label: "Outcome", Positive: []string{"fraud", "chargeback"}})
	if err != nil {
		t.Fatal(err)
	}
	batch := batchOf(t, p, []any{int64(1), "chargeback ", int64(1)}, []any{int64(1), "Fraud", int64(1)}, []any{int64(1), nil, int64(1)})
	defer batch.Release()
	for row, want := range []string{"1", "0", ""} {
		if got, err := p.AppendLabel(nil, batch, row); err != nil || string(got) != want {
			t.Errorf("row %d is %q, %v", row, got, err)
		}
	}
}

func FuzzDecimal(f *testing.F) {
	for _, seed := range []string{"-12.50", "", ".", "99999999999999999999999999999999999999", "170141183460469231731687303715884105728", "0.00000000000000000000000000000000000001"} {
		f.Add([]byte(seed), uint8(2))
	}
	f.Fuzz(func(t *testing.T, text []byte, scale uint8) {
		n, err := parseDecimal(text, int32(scale%39))
		if err != nil {
			return
		}
		back, err := parseDecimal(appendDecimal(nil, n, int32(scale%39)), int32(scale%39))
		if err != nil || back != n {
			t.Fatalf("%q was read as %v and then as %v, %v", text, n, back, err)
		}
	})
}
