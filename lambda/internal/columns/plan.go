package columns

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"

	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/signature"
)

// Column is a column that is written.
type Column struct {
	// Name as the server spells it.
	Name string
	// Type of what is written. SQL is the server's name of what it sent, whatever a rule made of it.
	Type     Type
	Nullable bool
	Role     manifest.Role

	// source is the column's place in the result, and sent the type of the values there.
	source   int
	sent     Type
	hashed   bool
	encoding *encoding
}

// Plan is what the columns of a result are to the dataset.
type Plan struct {
	// Columns that are written, in the order of the result.
	Columns []Column
	// Key, Label and Features are places in Columns; the features in the order in which the model gets them.
	Key []int
	// Label is -1 for a dataset without channels that names none.
	Label    int
	Features []int
	// Time is the column that the rows are split by; -1 where they are split by their key.
	Time int

	// positive are the label's values that mean 1; nil: the label is a number.
	positive map[string]bool
	schema   *arrow.Schema
}

// Schema is the schema of the batches and of the Parquet files.
func (p *Plan) Schema() *arrow.Schema { return p.schema }

// Hashes says whether a column is hashed, for which a Batcher needs the key.
func (p *Plan) Hashes() bool {
	return slices.ContainsFunc(p.Columns, func(c Column) bool { return c.hashed })
}

// Resolve finds the dataset's columns in a result, without regard to case as SQL Server does, and gives them their types, roles and rules.
// What the dataset drops may be missing from the result, as Select leaves it out. All problems are reported at once.
func Resolve(result []sqlserver.Column, d pipeline.Dataset) (*Plan, error) {
	r := resolution{dataset: d, result: result, roles: map[int]manifest.Role{}}
	r.names, r.problems = newNames(result)
	r.dropColumns()
	r.findRules()
	r.giveRoles()
	return r.plan()
}

// resolution is a Resolve on its way.
type resolution struct {
	dataset  pipeline.Dataset
	result   []sqlserver.Column
	names    names
	problems []error

	dropped       []bool
	rules         map[int]pipeline.ColumnRule
	roles         map[int]manifest.Role
	key, features []int
}

func (r *resolution) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf(format, args...))
}

// find gives a column's place, or -1 after it noted the problem.
func (r *resolution) find(where, name string) int {
	i, err := r.names.find(where, name)
	if err != nil {
		r.problems = append(r.problems, err)
	}
	return i
}

func (r *resolution) dropColumns() {
	r.dropped = make([]bool, len(r.result))
	if len(r.dataset.Include) > 0 {
		for i := range r.dropped {
			r.dropped[i] = true
		}
		for _, name := range r.dataset.Include {
			if i := r.find("dataset.include", name); i >= 0 {
				r.dropped[i] = false
			}
		}
	}
	for _, name := range r.dataset.Drop {
		if i, ok := r.names.place[fold(name)]; ok {
			r.dropped[i] = true
		}
	}
}

func (r *resolution) findRules() {
	r.rules = map[int]pipeline.ColumnRule{}
	for _, name := range slices.Sorted(maps.Keys(r.dataset.Columns)) {
		i := r.find("dataset.columns", name)
		if i < 0 {
			continue
		}
		if _, twice := r.rules[i]; twice {
			r.problem("dataset.columns has two rules for %q", r.result[i].Name)
		}
		r.rules[i] = r.dataset.Columns[name]
	}
}

func (r *resolution) giveRoles() {
	d := r.dataset
	trains := d.Format != pipeline.NoChannels
	if len(d.Key) == 0 && trains {
		r.problem("dataset.key is empty: name the columns that identify a row, their hash decides its split")
	}
	for _, name := range d.Key {
		if i := r.take("dataset.key", name, manifest.KeyRole); i >= 0 {
			r.key = append(r.key, i)
		}
	}
	if trains || d.Label != "" {
		r.take("dataset.label", d.Label, manifest.LabelRole)
	}
	for _, name := range d.Features {
		if i := r.take("dataset.features", name, manifest.FeatureRole); i >= 0 {
			r.features = append(r.features, i)
		}
	}
	if len(d.Features) > 0 || !trains && d.Label == "" {
		return
	}
	for i, c := range r.result {
		if _, taken := r.roles[i]; taken || r.dropped[i] || c.Name == "" || r.rules[i].Hash || r.splits(c) {
			continue
		}
		r.roles[i] = manifest.FeatureRole
		r.features = append(r.features, i)
	}
	if len(r.features) == 0 && len(r.problems) == 0 {
		r.problem("no feature is left: the result has only key, label and dropped columns")
	}
}

// splits says whether the rows are split by a column: it has to be read, and nobody asked to learn from it.
func (r *resolution) splits(c sqlserver.Column) bool {
	split := r.dataset.Split.Time
	return split != nil && fold(split.Column) == fold(c.Name)
}

func (r *resolution) take(where, name string, role manifest.Role) int {
	i := r.find(where, name)
	if i < 0 {
		return -1
	}
	if before, taken := r.roles[i]; taken {
		r.problem("%s names %q, which is the %s already", where, name, before)
		return -1
	}
	if r.dropped[i] {
		r.problem("%s names %q, which dataset.drop or dataset.include leaves out", where, name)
	}
	r.roles[i] = role
	return i
}

func (r *resolution) plan() (*Plan, error) {
	p := &Plan{Label: -1, Time: -1}
	at := map[int]int{} // places in p.Columns by place in the result
	var fields []arrow.Field
	for i, c := range r.result {
		if r.dropped[i] {
			continue
		}
		t, err := TypeOf(c)
		if err != nil {
			r.problems = append(r.problems, err)
			continue
		}
		role := r.roles[i]
		if role == "" {
			role = manifest.OtherRole
		}
		column := Column{Name: c.Name, Type: t, Nullable: c.Nullable, Role: role, source: i, sent: t}
		if rule, ok := r.rules[i]; ok {
			if err := column.apply(rule); err != nil {
				r.problem("dataset.columns.%s: %w", c.Name, err)
			}
		}
		at[i] = len(p.Columns)
		p.Columns = append(p.Columns, column)
		// Optional in Parquet whatever the server says of NULL: a nullability that a view or an outer join hides would
		// otherwise shift every value after the first NULL.
		fields = append(fields, arrow.Field{Name: c.Name, Type: column.Type.Arrow(), Nullable: true})
		if role == manifest.LabelRole {
			p.Label = at[i]
			r.label(p, column)
		}
	}
	if split := r.dataset.Split.Time; split != nil {
		if i := r.find("dataset.split.time.column", split.Column); i >= 0 {
			r.time(p, at, i)
		}
	}
	if len(r.problems) > 0 {
		return nil, errors.Join(r.problems...)
	}
	for _, i := range r.key {
		p.Key = append(p.Key, at[i])
	}
	for _, i := range r.features {
		p.Features = append(p.Features, at[i])
	}
	p.schema = arrow.NewSchema(fields, nil)
	return p, nil
}

// apply gives a column its rule. A cast was the server's.
func (c *Column) apply(rule pipeline.ColumnRule) error {
	set := 0
	for _, has := range []bool{rule.Hash, rule.Cast != "", len(rule.OneHot) > 0, len(rule.Ordinal) > 0} {
		if has {
			set++
		}
	}
	if set != 1 {
		return errors.New("a rule is exactly one of hash, cast, oneHot and ordinal")
	}
	kind, categories := signature.OneHot, rule.OneHot
	if len(rule.Ordinal) > 0 {
		kind, categories = signature.Ordinal, rule.Ordinal
	}
	switch {
	case rule.Hash && c.Role == manifest.LabelRole:
		return errors.New("a hashed label can't be learned from: take hash away")
	case rule.Hash:
		c.hashed = true
		c.Type = Type{SQL: c.sent.SQL, kind: stringKind}
	case rule.Cast != "":
		return pipeline.CheckCast(rule.Cast)
	case c.Role != manifest.FeatureRole:
		return fmt.Errorf("%s makes a feature, and the column is the %s", kind, c.Role)
	default:
		encoding, err := newEncoding(kind, categories, rule.Unknown, c.Type)
		if err != nil {
			return err
		}
		c.encoding = encoding
	}
	return nil
}

func (r *resolution) label(p *Plan, c Column) {
	if len(r.dataset.Positive) == 0 {
		return
	}
	if r.dataset.Task == pipeline.Regression {
		r.problem("dataset.positive makes a label of 0 and 1, and dataset.task is regression: take one of them away")
	}
	p.positive = map[string]bool{}
	for _, value := range r.dataset.Positive {
		plain, err := c.Type.plain(value)
		if err != nil {
			r.problem("dataset.positive: %w", err)
		}
		p.positive[plain] = true
	}
}

func (r *resolution) time(p *Plan, at map[int]int, i int) {
	place, ok := at[i]
	switch {
	case r.dropped[i]:
		r.problem("dataset.split.time.column names %q, which dataset.drop or dataset.include leaves out", r.result[i].Name)
	case ok && !p.Columns[place].Type.isMoment():
		r.problem("dataset.split.time.column names %q, a %s: rows are split by a date, datetime, smalldatetime, datetime2 or datetimeoffset", r.result[i].Name, p.Columns[place].Type.SQL)
	case ok:
		p.Time = place
	}
}

// CheckNumbers says whether the model can take label and features, as they are or by their rules. The first row serves as an example in
// the errors.
func (p *Plan) CheckNumbers(first []any) error {
	var problems []error
	if p.Label >= 0 && p.positive == nil {
		if l := p.Columns[p.Label]; !l.Type.IsNumber() {
			problems = append(problems, fmt.Errorf("the label %q is of type %s (%s in the first row), not a number: name the values that mean 1 under dataset.positive, or turn it into a number in the query, as in CASE WHEN … THEN 1 ELSE 0 END AS %s",
				l.Name, l.Type.SQL, l.example(first), l.Name))
		}
	}
	for _, i := range p.Features {
		c := p.Columns[i]
		switch {
		case c.hashed:
			problems = append(problems, fmt.Errorf("the feature %q is hashed, and a hash is nothing to learn from: list other columns under dataset.features", c.Name))
		case c.encoding == nil && !c.Type.IsNumber():
			problems = append(problems, fmt.Errorf("the feature %q is of type %s (%s in the first row), not a number: give it a rule under dataset.columns (oneHot, ordinal, cast), turn it into a number in the query with CASE or CAST, or list it under dataset.drop",
				c.Name, c.Type.SQL, c.example(first)))
		}
	}
	return errors.Join(problems...)
}

func (c Column) example(row []any) string { return example(row[c.source]) }

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

// Manifest describes the columns for the manifest.
func (p *Plan) Manifest() []manifest.Column {
	out := make([]manifest.Column, len(p.Columns))
	for i, c := range p.Columns {
		out[i] = manifest.Column{Name: c.Name, SQLType: c.Type.SQL, Nullable: c.Nullable, Parquet: c.Type.Parquet(), Role: c.Role}
	}
	return out
}
