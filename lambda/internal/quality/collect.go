package quality

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"sagemaker-datapipeline/lambda/internal/exact"
	"sagemaker-datapipeline/lambda/internal/keys"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/verdict"
)

const (
	// MaxCategories is how many different values a column may have to be compared by the shares of its values.
	MaxCategories = 50
	// countedCategories is how many are counted: more than MaxCategories, so that it is seen how far a run with more of them has gone.
	countedCategories = 200
	// categoryBytes is the length of the longest value that is a category.
	categoryBytes = 64
	// Rest is the category of the values that are none of those that the dataset declares (dataset.columns, oneHot and ordinal).
	Rest = "…"
)

// Collector counts a segment's rows. It holds 2 MiB for each set of columns that has to be unique, and twice that while it writes digests; 2 KiB for
// each column that is added up; and 200 values for each that is counted by its values. It is for one goroutine.
type Collector struct {
	gate    *Gate
	rows    int64
	columns []counter
	checks  []checker
	bags    []*keys.Bag
	unique  []int64 // rows with a value
	text    []byte
}

type counter struct {
	nulls      int64
	scale      int32
	moments    *exact.Moments
	categories *categories
}

type checker struct {
	check
	test     []tester
	nullOK   bool
	private  bool
	failed   int64
	nulls    int64
	examples []string
}

// NewCollector makes the Collector of a segment. key gives the keys of what it writes (manifest.KeysKey).
func (g *Gate) NewCollector(ctx context.Context, bucket *objects.Bucket, key func(name string) string) *Collector {
	c := &Collector{gate: g, columns: make([]counter, len(g.columns)), unique: make([]int64, len(g.unique))}
	for i, of := range g.columns {
		if of.numbers {
			c.columns[i].moments = &exact.Moments{}
		}
		if of.categories {
			c.columns[i].categories = newCategories(of)
		}
	}
	for _, one := range g.checks {
		of := g.columns[one.column]
		k := checker{check: one, private: of.private}
		for _, r := range one.rules {
			k.test = append(k.test, testerOf(r, of, g.now))
			k.nullOK = k.nullOK || nullSatisfies(r)
		}
		c.checks = append(c.checks, k)
	}
	for i := range g.unique {
		c.bags = append(c.bags, keys.NewBag(ctx, bucket, key, fmt.Sprintf("unique-%d", i)))
	}
	return c
}

// Add counts the rows of a batch.
func (c *Collector) Add(batch arrow.RecordBatch) error {
	c.rows += batch.NumRows()
	for i := range c.columns {
		c.columns[i].add(batch.Column(i))
	}
	for i := range c.checks {
		c.checks[i].add(batch.Column(c.checks[i].column))
	}
	for i, columns := range c.gate.unique {
		if err := c.addUnique(i, columns, batch); err != nil {
			return err
		}
	}
	return nil
}

func (n *counter) add(values arrow.Array) {
	n.nulls += int64(values.NullN())
	if n.moments != nil {
		n.scale = gather(n.moments, values)
	}
	if n.categories != nil {
		n.categories.add(values)
	}
}

// gather adds the values that aren't NULL, a decimal's in units of its last digit. It gives how many of them are behind the point.
func gather(m *exact.Moments, values arrow.Array) int32 {
	some := values.NullN() == 0
	has := func(row int) bool { return some || values.IsValid(row) }
	switch a := values.(type) {
	case *array.Boolean:
		for row := range a.Len() {
			if has(row) && a.Value(row) {
				m.Int(1)
			}
		}
	case *array.Int16:
		for row, v := range a.Int16Values() {
			if has(row) {
				m.Int(int64(v))
			}
		}
	case *array.Int32:
		for row, v := range a.Int32Values() {
			if has(row) {
				m.Int(int64(v))
			}
		}
	case *array.Int64:
		for row, v := range a.Int64Values() {
			if has(row) {
				m.Int(v)
			}
		}
	case *array.Float32:
		for row, v := range a.Float32Values() {
			if has(row) {
				m.Float(float64(v))
			}
		}
	case *array.Float64:
		for row, v := range a.Float64Values() {
			if has(row) && !math.IsInf(v, 0) && !math.IsNaN(v) { // SQL Server has neither
				m.Float(v)
			}
		}
	case *array.Decimal128:
		for row, v := range a.Values() {
			if has(row) {
				m.Wide(v.HighBits(), v.LowBits())
			}
		}
		return a.DataType().(*arrow.Decimal128Type).Scale
	}
	return 0
}

// add judges the rows of a batch.
func (k *checker) add(values arrow.Array) {
	tests := make([]test, len(k.test))
	for i, one := range k.test {
		tests[i] = one(values)
	}
	satisfied := tests[0]
	if len(tests) > 1 {
		satisfied = func(row int) bool {
			return slices.ContainsFunc(tests, func(one test) bool { return one(row) })
		}
	}
	for row := range values.Len() {
		if values.IsNull(row) {
			if !k.nullOK {
				k.failed++
				k.nulls++
			}
			continue
		}
		if satisfied(row) {
			continue
		}
		if k.failed++; !k.private && len(k.examples) < verdict.MaxExamples {
			if v := shown(values, row, verdict.MaxExampleLength); !slices.Contains(k.examples, v) {
				k.examples = append(k.examples, v)
			}
		}
	}
}

// addUnique remembers the values of some columns. Rows in which all of them are NULL count for nothing, and one NULL is as another, as in Deequ's
// frequencies.
func (c *Collector) addUnique(i int, columns []int, batch arrow.RecordBatch) error {
	for row := range int(batch.NumRows()) {
		c.text = c.text[:0]
		some := false
		for _, at := range columns {
			values := batch.Column(at)
			if values.IsNull(row) {
				c.text = append(c.text, 'N')
				continue
			}
			some = true
			c.text = appendValue(c.text, values, row)
		}
		if !some {
			continue
		}
		c.unique[i]++
		if err := c.bags[i].Add(keys.Of(c.text)); err != nil {
			return err
		}
	}
	return nil
}

// appendValue writes a value so that no two of a column are written alike: a text byte for byte, as Spark compares it.
func appendValue(dst []byte, values arrow.Array, row int) []byte {
	word := func(v uint64) []byte { return binary.BigEndian.AppendUint64(append(dst, 'V'), v) }
	switch a := values.(type) {
	case *array.Boolean:
		if a.Value(row) {
			return word(1)
		}
		return word(0)
	case *array.Int16:
		return word(uint64(a.Value(row)))
	case *array.Int32:
		return word(uint64(a.Value(row)))
	case *array.Int64:
		return word(uint64(a.Value(row)))
	case *array.Float32:
		return word(math.Float64bits(float64(a.Value(row)) + 0)) // -0 is 0
	case *array.Float64:
		return word(math.Float64bits(a.Value(row) + 0))
	case *array.Date32:
		return word(uint64(a.Value(row)))
	case *array.Time64:
		return word(uint64(a.Value(row)))
	case *array.Timestamp:
		return word(uint64(a.Value(row)))
	case *array.Decimal128:
		dst = word(a.Value(row).LowBits())
		return binary.BigEndian.AppendUint64(dst, uint64(a.Value(row).HighBits()))
	case *array.Binary:
		v := a.Value(row)
		return append(binary.BigEndian.AppendUint32(append(dst, 'B'), uint32(len(v))), v...)
	}
	v := values.(*array.String).Value(row)
	return append(binary.BigEndian.AppendUint32(append(dst, 'S'), uint32(len(v))), v...)
}

// Close gives what was counted.
func (c *Collector) Close() (*manifest.Statistics, error) {
	s := &manifest.Statistics{Rows: c.rows}
	for i, of := range c.gate.columns {
		if !of.counted && !of.numbers && !of.categories {
			continue
		}
		n := &c.columns[i]
		one := manifest.ColumnStatistics{Nulls: n.nulls, Scale: n.scale}
		if n.moments != nil {
			one.Sum, one.Squares = n.moments.Sums()
		}
		if n.categories != nil {
			one.Categories, one.TooMany = n.categories.counts(of.private)
		}
		if s.Columns == nil {
			s.Columns = map[string]manifest.ColumnStatistics{}
		}
		s.Columns[of.Name] = one
	}
	for _, k := range c.checks {
		s.Checks = append(s.Checks, manifest.CheckStatistics{Failed: k.failed, Nulls: k.nulls, Examples: k.examples})
	}
	for i, bag := range c.bags {
		files, err := bag.Close()
		if err != nil {
			return nil, err
		}
		s.Unique = append(s.Unique, manifest.UniqueStatistics{Rows: c.unique[i], Files: files})
	}
	return s, nil
}

// categories counts the different values of a column, until there are too many.
type categories struct {
	// declared are the categories of the dataset, to which the others are Rest; nil where it declares none.
	declared map[string]bool
	texts    map[string]*category
	numbers  map[int64]*category
	// lastText and lastNumber are the categories of the values before, which often come again.
	lastText, lastNumber *category
	tooMany              bool
}

type category struct {
	text   string
	number int64
	n      int64
}

func newCategories(of column) *categories {
	c := &categories{texts: map[string]*category{}, numbers: map[int64]*category{}}
	if n := len(of.declared); n > 0 && n < countedCategories {
		c.declared = map[string]bool{}
		for _, one := range of.declared {
			c.declared[strings.TrimRight(one, " ")] = true
		}
	}
	return c
}

func (c *categories) add(values arrow.Array) {
	if c.tooMany {
		return
	}
	var number func(row int) int64
	switch a := values.(type) {
	case *array.String:
		for row := range a.Len() {
			if a.IsValid(row) {
				c.text(a.Value(row))
			}
		}
		return
	case *array.Boolean:
		number = func(row int) int64 {
			if a.Value(row) {
				return 1
			}
			return 0
		}
	case *array.Int16:
		number = func(row int) int64 { return int64(a.Value(row)) }
	case *array.Int32:
		number = func(row int) int64 { return int64(a.Value(row)) }
	case *array.Int64:
		number = a.Value
	}
	for row := range values.Len() {
		if values.IsValid(row) {
			c.number(number(row))
		}
	}
}

func (c *categories) number(v int64) {
	if c.lastNumber != nil && v == c.lastNumber.number {
		c.lastNumber.n++
		return
	}
	one := c.numbers[v]
	if one == nil {
		switch {
		case c.declared != nil && !c.declared[strconv.FormatInt(v, 10)]:
			c.text(Rest)
			return
		case c.tooMany || len(c.numbers) == countedCategories:
			c.tooMany = true
			return
		}
		one = &category{number: v}
		c.numbers[v] = one
	}
	one.n++
	c.lastNumber = one
}

func (c *categories) text(v string) {
	if c.lastText != nil && v == c.lastText.text {
		c.lastText.n++
		return
	}
	plain := strings.TrimRight(v, " ") // as SQL Server compares
	if c.declared != nil && !c.declared[plain] {
		plain = Rest
	}
	one := c.texts[plain]
	if one == nil {
		if c.tooMany || len(plain) > categoryBytes || len(c.texts) == countedCategories {
			c.tooMany = true
			return
		}
		one = &category{text: strings.Clone(plain)}
		c.texts[one.text] = one
	}
	one.n++
	if v == one.text {
		c.lastText = one
	}
}

// counts gives the counts by value; of a private column by a digest of it.
func (c *categories) counts(private bool) (counts map[string]int64, tooMany bool) {
	if c.tooMany {
		return nil, true
	}
	counts = map[string]int64{}
	add := func(v string, n int64) {
		if private {
			sum := sha256.Sum256([]byte(v))
			v = hex.EncodeToString(sum[:8])
		}
		counts[v] += n
	}
	for v, one := range c.texts {
		add(v, one.n)
	}
	for v, one := range c.numbers {
		add(strconv.FormatInt(v, 10), one.n)
	}
	return counts, false
}

// Add adds what was counted of one segment to what was counted of those before it.
func Add(sum, o *manifest.Statistics) *manifest.Statistics {
	switch {
	case o == nil:
		return sum
	case sum == nil:
		sum = &manifest.Statistics{}
	}
	all := manifest.Statistics{Rows: sum.Rows + o.Rows, Columns: map[string]manifest.ColumnStatistics{}}
	maps.Copy(all.Columns, sum.Columns)
	for name, c := range o.Columns {
		if before, ok := all.Columns[name]; ok {
			c = addColumns(before, c)
		}
		all.Columns[name] = c
	}
	for i := range max(len(sum.Checks), len(o.Checks)) {
		all.Checks = append(all.Checks, addChecks(at(sum.Checks, i), at(o.Checks, i)))
	}
	for i := range max(len(sum.Unique), len(o.Unique)) {
		a, b := at(sum.Unique, i), at(o.Unique, i)
		all.Unique = append(all.Unique, manifest.UniqueStatistics{Rows: a.Rows + b.Rows, Files: slices.Concat(a.Files, b.Files)})
	}
	return &all
}

func at[T any](all []T, i int) (none T) {
	if i < len(all) {
		return all[i]
	}
	return none
}

func addColumns(a, b manifest.ColumnStatistics) manifest.ColumnStatistics {
	all := manifest.ColumnStatistics{Nulls: a.Nulls + b.Nulls, Sum: a.Sum.Add(b.Sum), Squares: a.Squares.Add(b.Squares), Scale: max(a.Scale, b.Scale), TooMany: a.TooMany || b.TooMany}
	if all.TooMany || a.Categories == nil && b.Categories == nil {
		return all
	}
	all.Categories = map[string]int64{}
	for _, counts := range []map[string]int64{a.Categories, b.Categories} {
		for v, n := range counts {
			all.Categories[v] += n
		}
	}
	if len(all.Categories) > countedCategories {
		all.Categories, all.TooMany = nil, true
	}
	return all
}

func addChecks(a, b manifest.CheckStatistics) manifest.CheckStatistics {
	all := manifest.CheckStatistics{Failed: a.Failed + b.Failed, Nulls: a.Nulls + b.Nulls, Examples: slices.Clone(a.Examples)}
	for _, v := range b.Examples {
		if len(all.Examples) < verdict.MaxExamples && !slices.Contains(all.Examples, v) {
			all.Examples = append(all.Examples, v)
		}
	}
	return all
}
