package columns

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"

	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
)

// Column is a column that is written.
type Column struct {
	// Name as the server spells it.
	Name     string
	Type     Type
	Nullable bool
	Role     manifest.Role
	// source is the column's place in the result.
	source int
}

// Plan is what the columns of a result are to the dataset.
type Plan struct {
	// Columns that are written, in the order of the result.
	Columns []Column
	// Key, Label and Features are places in Columns; the features in the order in which the model gets them.
	Key      []int
	Label    int
	Features []int
	schema   *arrow.Schema
}

// Schema is the schema of the batches and of the Parquet files.
func (p *Plan) Schema() *arrow.Schema { return p.schema }

// Resolve finds the dataset's columns in a result, without regard to case as SQL Server does. All problems are reported
// at once.
func Resolve(result []sqlserver.Column, d pipeline.Dataset) (*Plan, error) {
	var problems []error
	place := map[string]int{}
	var names []string
	for i, c := range result {
		if strings.TrimSpace(c.Name) == "" {
			problems = append(problems, fmt.Errorf("column %d of the result has no name: give it one with AS", i+1))
			continue
		}
		if at, ok := place[fold(c.Name)]; ok {
			problems = append(problems, fmt.Errorf("columns %d and %d of the result are both named %q: give one another name with AS", at+1, i+1, c.Name))
			continue
		}
		place[fold(c.Name)] = i
		names = append(names, c.Name)
	}

	roles := map[int]manifest.Role{}
	dropped := map[int]bool{}
	find := func(where, name string) (int, bool) {
		i, ok := place[fold(name)]
		if !ok {
			problems = append(problems, unknownColumn(where, name, names))
		}
		return i, ok
	}
	take := func(where, name string, role manifest.Role) (int, bool) {
		i, ok := find(where, name)
		if !ok {
			return 0, false
		}
		if before, taken := roles[i]; taken {
			problems = append(problems, fmt.Errorf("%s names %q, which is the %s already", where, name, before))
			return 0, false
		}
		roles[i] = role
		return i, true
	}
	var key, features []int
	label := -1
	if len(d.Key) == 0 {
		problems = append(problems, errors.New("dataset.key is empty: name the columns that identify a row, their hash decides its split"))
	}
	for _, name := range d.Key {
		if i, ok := take("dataset.key", name, manifest.KeyRole); ok {
			key = append(key, i)
		}
	}
	if i, ok := take("dataset.label", d.Label, manifest.LabelRole); ok {
		label = i
	}
	for _, name := range d.Drop {
		if i, ok := find("dataset.drop", name); ok {
			if role, taken := roles[i]; taken {
				problems = append(problems, fmt.Errorf("dataset.drop names %q, which is the %s", name, role))
			}
			dropped[i] = true
		}
	}
	for _, name := range d.Features {
		if i, ok := take("dataset.features", name, manifest.FeatureRole); ok {
			if dropped[i] {
				problems = append(problems, fmt.Errorf("dataset.features names %q, which dataset.drop drops", name))
			}
			features = append(features, i)
		}
	}
	if len(d.Features) == 0 {
		for i, c := range result {
			if _, taken := roles[i]; taken || dropped[i] || c.Name == "" {
				continue
			}
			roles[i] = manifest.FeatureRole
			features = append(features, i)
		}
		if len(features) == 0 && len(problems) == 0 {
			problems = append(problems, errors.New("no feature is left: the result has only key, label and dropped columns"))
		}
	}

	p := &Plan{}
	at := map[int]int{}
	var fields []arrow.Field
	for i, c := range result {
		if dropped[i] {
			continue
		}
		t, err := TypeOf(c)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		role := roles[i]
		if role == "" {
			role = manifest.OtherRole
		}
		at[i] = len(p.Columns)
		p.Columns = append(p.Columns, Column{Name: c.Name, Type: t, Nullable: c.Nullable, Role: role, source: i})
		// Optional in Parquet whatever the server says of NULL: a nullability that a view or an outer join hides would
		// otherwise shift every value after the first NULL.
		fields = append(fields, arrow.Field{Name: c.Name, Type: t.Arrow(), Nullable: true})
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	for _, i := range key {
		p.Key = append(p.Key, at[i])
	}
	p.Label = at[label]
	for _, i := range features {
		p.Features = append(p.Features, at[i])
	}
	p.schema = arrow.NewSchema(fields, nil)
	return p, nil
}

// CheckNumbers says whether the model can take label and features as they are. The first row serves as an example in the
// errors.
func (p *Plan) CheckNumbers(first []any) error {
	var problems []error
	if l := p.Columns[p.Label]; !l.Type.IsNumber() {
		problems = append(problems, fmt.Errorf("the label %q is of type %s (%s in the first row), not a number: turn it into one in the query, as in CASE WHEN … THEN 1 ELSE 0 END AS %s",
			l.Name, l.Type.SQL, example(first[l.source]), l.Name))
	}
	for _, i := range p.Features {
		if c := p.Columns[i]; !c.Type.IsNumber() {
			problems = append(problems, fmt.Errorf("the feature %q is of type %s (%s in the first row), not a number: turn it into one in the query with CASE or CAST, or list it under dataset.drop",
				c.Name, c.Type.SQL, example(first[c.source])))
		}
	}
	return errors.Join(problems...)
}

// example shows a value in a message, short.
func example(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case string:
		return fmt.Sprintf("%q", shorten(v))
	case []byte:
		if len(v) == 16 {
			return string(appendGUID(nil, v))
		}
		if len(v) > 16 {
			return fmt.Sprintf("0x%x…", v[:16])
		}
		return fmt.Sprintf("0x%x", v)
	case time.Time:
		return v.Format("2006-01-02 15:04:05")
	}
	return fmt.Sprint(v)
}

// exampleLength is how many bytes of a text a message shows.
const exampleLength = 40

func shorten(s string) string {
	if len(s) <= exampleLength {
		return s
	}
	end := exampleLength
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

func fold(name string) string { return strings.ToLower(name) }

func unknownColumn(where, name string, names []string) error {
	best, distance := "", len(name)/2+1
	for _, n := range names {
		if d := editDistance(fold(name), fold(n)); d < distance {
			best, distance = n, d
		}
	}
	hint := ""
	if best != "" {
		hint = fmt.Sprintf("; did you mean %q?", best)
	}
	return fmt.Errorf("%s names %q, which the result doesn't have: its columns are %s%s", where, name, strings.Join(names, ", "), hint)
}

// editDistance is the number of letters to insert, delete or replace.
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j := range y {
			cost := diagonal
			if x[i] != y[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(y)]
}

// Manifest describes the columns for the manifest.
func (p *Plan) Manifest() []manifest.Column {
	out := make([]manifest.Column, len(p.Columns))
	for i, c := range p.Columns {
		out[i] = manifest.Column{Name: c.Name, SQLType: c.Type.SQL, Nullable: c.Nullable, Parquet: c.Type.Parquet(), Role: c.Role}
	}
	return out
}
