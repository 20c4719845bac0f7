package export

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"sagemaker-datapipeline/lambda/internal/columns"
	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/plan"
	"sagemaker-datapipeline/lambda/run"
)

// RefusalError is a named reason why a run is not made. A person has to decide.
type RefusalError struct {
	// Name is what the runbook lists it by.
	Name    string
	message string
}

func (r *RefusalError) Error() string { return r.message + " [" + r.Name + "]" }

// The names of refusals.
const (
	QueryChanged        = "QueryChanged"
	SchemaChanged       = "SchemaChanged"
	TableRecreated      = "TableRecreated"
	DatabaseRestored    = "DatabaseRestored"
	BoundBelowWatermark = "BoundBelowWatermark"
	DuplicateKey        = "DuplicateKey"
	HiddenData          = "HiddenData"
	FullScan            = "FullScan"
	ReadOnlyDatabase    = "ReadOnlyDatabase"
	NotABaseTable       = "NotABaseTable"
	NotAReplica         = "NotAReplica"
	HashKeyChanged      = "HashKeyChanged"
	NoHistory           = "NoHistory"
)

func refuse(name, format string, args ...any) error {
	return &RefusalError{Name: name, message: fmt.Sprintf(format, args...)}
}

// nothingToDoError is a deliberate end of a run without a commit.
type nothingToDoError struct {
	outcome Outcome
	detail  string
}

func (n *nothingToDoError) Error() string { return string(n.outcome) + ": " + n.detail }

// makePlan decides what the run is going to read. Nothing is read before the plan that it gives is frozen, except what is
// needed to decide; and the bound of an append load is read before any transaction that rows are read in.
func (e *Exporter) makePlan(ctx context.Context, session Session, h ledger.Head, id run.ID, attempt string) (plan.Plan, error) {
	source := e.Spec.Source
	if source.Consistency == pipeline.Snapshot && source.PartitionBy != "" {
		return plan.Plan{}, errors.New("source.consistency is snapshot and source.partitionBy is set: a snapshot is of one connection, and its partitions would be of several; keep one of the two")
	}
	p := plan.Plan{
		Version: plan.Version, Pipeline: e.Spec.Pipeline, Run: id, ScheduledTime: id.Time(), Attempt: attempt, CreatedAt: time.Now().UTC(),
		SpecSHA256: e.Spec.Hash(), Load: source.Load, Generation: h.Generation, Parent: h.Manifest, HeadETag: h.ETag,
	}
	if p.Load == "" {
		p.Load = pipeline.Full
	}
	survey, err := session.Survey(ctx)
	if err != nil {
		return plan.Plan{}, err
	}
	if err := e.checkSource(survey); err != nil {
		return plan.Plan{}, err
	}
	if err := e.checkRules(); err != nil {
		return plan.Plan{}, err
	}
	p.QuerySHA256 = hash(e.Spec.ReadsAs(survey.Query))
	selected, err := columns.Select(survey.Columns, e.Spec.Dataset)
	if err != nil {
		return plan.Plan{}, fmt.Errorf("%s: %w", survey.From, err)
	}
	result := survey.Columns
	if selected != nil {
		if result, err = session.Describe(ctx, selected); err != nil {
			return plan.Plan{}, err
		}
	}
	resolved, err := columns.Resolve(result, e.Spec.Dataset)
	if err != nil {
		return plan.Plan{}, fmt.Errorf("%s: %w", survey.From, err)
	}
	p.Columns = resolved.Manifest()
	p.SchemaSHA256 = schemaHash(p.Columns)
	p.Quality = e.Spec.Quality
	if _, err := e.gate(ledger.Frozen{Plan: p}); err != nil {
		return plan.Plan{}, err
	}
	if p.HashKey, err = e.fingerprint(ctx, resolved); err != nil {
		return plan.Plan{}, err
	}
	p.Window = survey.Window
	p.Source = e.describeSource(survey)
	if err := e.compare(h, &p, survey); err != nil {
		return plan.Plan{}, err
	}
	if p.Load == pipeline.Append {
		if p.Bounds, err = e.bounds(ctx, session, h, &p, survey); err != nil {
			return plan.Plan{}, err
		}
	}
	return p, e.partition(ctx, session, &p, survey)
}

func (e *Exporter) describeSource(survey Survey) manifest.Source {
	s := manifest.Source{
		Identity: survey.Identity.Identity, Address: survey.Identity.Address, ServerVersion: survey.Identity.Version,
		Consistency: string(pipeline.Statement), ClockSkewSeconds: math.Round(survey.Identity.Skew.Seconds()*10) / 10,
	}
	switch {
	case e.Spec.Source.Consistency == pipeline.Snapshot:
		s.Consistency = string(pipeline.Snapshot)
	case e.Spec.Source.PartitionBy != "":
		s.Consistency = pages
	}
	s.Isolation, s.Guarantee = survey.Identity.Guarantee(e.Spec.Source, s.Consistency == pages, survey.Uncommitted)
	for _, h := range e.hidden(survey) {
		s.Accepted = append(s.Accepted, string(h.Consent)+": "+h.What)
	}
	return s
}

// pages is the consistency of a load that is read in pages.
const pages = "pages"

// checkSource refuses what the database's owner or the pipeline's owner has to allow by name.
func (e *Exporter) checkSource(survey Survey) error {
	source := e.Spec.Source
	var hidden []string
	for _, h := range e.hidden(survey) {
		if !source.Accepts(h.Consent) {
			hidden = append(hidden, h.What+": "+h.Remedy)
		}
	}
	if len(hidden) > 0 {
		return refuse(HiddenData, "%s would not be exported as it is: %s", survey.From, strings.Join(hidden, "; "))
	}
	if source.Load == pipeline.Append && survey.Identity.ReadOnly {
		return refuse(ReadOnlyDatabase, "the database %s is a read-only replica, and an append load needs the primary: a bound that is read on a replica doesn't know the primary's open transactions; correct the host", survey.Identity.Database)
	}
	if source.Replica && survey.Identity.Writable {
		return refuse(NotAReplica, "the database %s at %s takes writes, and the pipeline is to read from a replica (source.readFrom): correct database.replica in the environment, so that the primary is left alone", survey.Identity.Database, survey.Identity.Address)
	}
	if t := survey.Table; source.Load == pipeline.Append && t != nil && t.Kind != "" && t.Kind != "table" {
		return refuse(NotABaseTable, "%s is a %s, and an append load reads a base table of this database: behind another object its rows may change, or have the row versions of another database; name the table itself",
			survey.From, t.Kind)
	}
	limit := orDefault(e.Spec.Limits.MaxScanRows, DefaultMaxScanRows)
	if t := survey.Table; t != nil && t.Rows > limit && !source.Accepts(pipeline.AcceptFullScan) {
		how := "the whole table is read"
		if c := source.Cursor; c != nil {
			if t.Led(c.Column) {
				return nil
			}
			how = fmt.Sprintf("no index begins with %s, so each run scans the table", c.Column)
		}
		return refuse(FullScan, "%s has %d rows and %s: more than export.maxScanRows, %d: give it an index or a window, or add %q to source.accept",
			survey.From, t.Rows, how, limit, pipeline.AcceptFullScan)
	}
	return nil
}

// hidden is what the run would read otherwise than it is stored. A column of the table itself that isn't read is hidden from nobody.
func (e *Exporter) hidden(survey Survey) []sqlserver.Hidden {
	return slices.DeleteFunc(slices.Clone(survey.Hidden), func(h sqlserver.Hidden) bool {
		return h.Column != "" && survey.Table != nil && survey.Table.Kind == "table" && !e.Spec.Dataset.Reads(h.Column)
	})
}

// fingerprint names the key of the hashed columns without giving it away; "" without such columns.
func (e *Exporter) fingerprint(ctx context.Context, resolved *columns.Plan) (string, error) {
	if !resolved.Hashes() {
		return "", nil
	}
	key, err := e.HashKey(ctx)
	if err != nil {
		return "", err
	}
	// A key that can't be used is refused before it is in a plan.
	batcher, err := columns.NewBatcher(resolved, columns.BatchOptions{HashKey: key})
	if err != nil {
		return "", err
	}
	batcher.Release()
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("the name of this key"))
	return hex.EncodeToString(mac.Sum(nil)[:8]), nil
}

// checkRules refuses rules that change a column by whose values rows are found: what is compared on the server would not be what was read.
func (e *Exporter) checkRules() error {
	check := func(where, column string) error {
		for name, rule := range e.Spec.Dataset.Columns {
			if strings.EqualFold(name, column) && (rule.Cast != "" || rule.Hash) {
				return fmt.Errorf("dataset.columns changes %s, which is %s: rows are found by the column as it is, so leave it; a copy of it in the query can be changed", column, where)
			}
		}
		return nil
	}
	if c := e.Spec.Source.Cursor; c != nil && c.Kind != pipeline.RowversionCursor {
		if err := check("source.cursor", c.Column); err != nil {
			return err
		}
	}
	return check("source.partitionBy", e.Spec.Source.PartitionBy)
}

// compare says whether this source is the one that the runs before read. It may begin a new generation.
func (e *Exporter) compare(h ledger.Head, p *plan.Plan, survey Survey) error {
	if h.Manifest == nil {
		return nil
	}
	name, what := "", ""
	switch differs := h.Identity.Differs(survey.Identity.Identity); {
	case h.QuerySHA256 != "" && h.QuerySHA256 != p.QuerySHA256:
		name, what = QueryChanged, "the query or table, its cursor, its partition column or, of an append load, its key was changed in the configuration since the last run"
	case strings.Contains(differs, "the table"):
		name, what = TableRecreated, differs
	case differs != "":
		name, what = DatabaseRestored, differs
	}
	if name != "" {
		if err := e.changed(h, p, name, what); err != nil {
			return err
		}
	}
	// Another query has other columns on purpose.
	if name == QueryChanged || h.SchemaSHA256 == "" || h.SchemaSHA256 == p.SchemaSHA256 {
		return nil
	}
	if e.Spec.Source.OnSchemaChange == pipeline.AcceptSchemaChange {
		return nil
	}
	return &schemaChangeError{from: survey.From, now: p.Columns}
}

// schemaChangeError becomes a RefusalError when the columns of the run before are known.
type schemaChangeError struct {
	from string
	now  []manifest.Column
}

func (s *schemaChangeError) Error() string {
	return s.from + " has other columns than in the run before"
}

// refusal shows both schemas where they differ.
func (s *schemaChangeError) refusal(before []manifest.Column) error {
	was, is := map[string]string{}, map[string]string{}
	for _, c := range before {
		was[strings.ToLower(c.Name)] = c.SQLType
	}
	var differences []string
	for _, c := range s.now {
		is[strings.ToLower(c.Name)] = c.SQLType
		switch old, there := was[strings.ToLower(c.Name)]; {
		case !there:
			differences = append(differences, fmt.Sprintf("%s %s is new", c.Name, c.SQLType))
		case old != c.SQLType:
			differences = append(differences, fmt.Sprintf("%s was %s and is %s", c.Name, old, c.SQLType))
		}
	}
	for _, c := range before {
		if _, there := is[strings.ToLower(c.Name)]; !there {
			differences = append(differences, fmt.Sprintf("%s %s is gone", c.Name, c.SQLType))
		}
	}
	if len(differences) == 0 {
		differences = []string{"their order or their Parquet types differ"}
	}
	return refuse(SchemaChanged, "%s has other columns than in the run before: %s: name the columns that the pipeline needs in dataset.include or in the query, or set source.onSchemaChange to accept", s.from, strings.Join(differences, ", "))
}

// changed fails the run, or begins a new generation where that is configured.
func (e *Exporter) changed(h ledger.Head, p *plan.Plan, name, what string) error {
	policy := e.Spec.Source.OnChange
	if policy == "" {
		policy = pipeline.NewGeneration
		if p.Load == pipeline.Append {
			policy = pipeline.FailOnChange
		}
	}
	if policy == pipeline.NewGeneration {
		p.Generation, p.NewGeneration = h.Generation+1, name+": "+what
		return nil
	}
	remedy := "begin a new generation with the command rebaseline, or set source.onChange to newGeneration"
	if name != QueryChanged {
		remedy += "; if it is a failover and no row was lost, the command rebaseline with keepWatermark accepts the database"
	}
	return refuse(name, "%s: rows of before and after can't be one training set: %s", what, remedy)
}

// bounds freezes which values of the cursor the run reads.
func (e *Exporter) bounds(ctx context.Context, session Session, h ledger.Head, p *plan.Plan, survey Survey) (*manifest.Bounds, error) {
	cursor := e.Spec.Source.Cursor
	if cursor == nil {
		return nil, errors.New("the source's load is append and it has no cursor: deploy the pipeline again")
	}
	column, ok := findColumn(survey.Columns, cursor.Column)
	if !ok {
		return nil, fmt.Errorf("source.cursor names %q, which %s doesn't have", cursor.Column, survey.From)
	}
	if err := cursorFits(*cursor, column, survey.Table); err != nil {
		return nil, err
	}
	if column.Nullable {
		return nil, fmt.Errorf("source.cursor names %s, which may be NULL: a row without a value would never be read; make the column NOT NULL, or follow another one", column.Name)
	}
	b := &manifest.Bounds{Kind: string(cursor.Kind), Column: column.Name, SQLType: column.SQLType()}
	watermark := ""
	if h.Watermark != nil && p.NewGeneration == "" {
		watermark = h.Watermark.Value
	}
	b.From = watermark
	overlap := cursor.Overlap
	if watermark != "" && cursor.Kind != pipeline.RowversionCursor {
		// What was read further below isn't remembered: with a larger overlap it would be exported twice.
		before, err := e.ledger().Read(ctx, *h.Manifest)
		if err != nil {
			return nil, err
		}
		if before.Bounds != nil {
			overlap = min(overlap, before.Bounds.Remembered)
		}
	}
	b.Remembered = cursor.Overlap
	switch cursor.Kind {
	case pipeline.RowversionCursor:
		return b, e.rowversionBounds(ctx, session, h, p, b)
	case pipeline.IdentityCursor:
		return b, e.identityBounds(ctx, session, column, b, watermark, overlap)
	case pipeline.TimeCursor:
		return b, timeBounds(p.Run, column, b, watermark, overlap)
	}
	return nil, fmt.Errorf("the source's cursor is of kind %q: deploy the pipeline again", cursor.Kind)
}

func (e *Exporter) rowversionBounds(ctx context.Context, session Session, h ledger.Head, p *plan.Plan, b *manifest.Bounds) error {
	versions, err := session.Rowversions(ctx)
	if err != nil {
		return err
	}
	b.To = sqlserver.RowversionText(versions.MinActive)
	pinned := versions.MinActive <= versions.Last
	if pinned {
		who, err := session.Blocker(ctx)
		if err != nil {
			return err
		}
		b.Lag = fmt.Sprintf("%d row versions wait behind an open transaction: %s", versions.Last-versions.MinActive+1, who)
	}
	if b.From == "" {
		return nil
	}
	from, err := sqlserver.ParseRowversion(b.From)
	if err != nil {
		return fmt.Errorf("the head's watermark: %w", err)
	}
	switch {
	case versions.MinActive < from:
		err := e.changed(h, p, BoundBelowWatermark, fmt.Sprintf("the database's row versions are at %s, below the watermark %s of the last run: it was restored, or a failover lost rows", b.To, b.From))
		if err == nil {
			b.From = ""
		}
		return err
	case versions.MinActive == from && pinned:
		return &nothingToDoError{Blocked, b.Lag}
	case versions.MinActive == from:
		return &nothingToDoError{NoNewData, fmt.Sprintf("no row of the database was written since the last run (row version %s)", b.To)}
	}
	return nil
}

// identityBounds reads everything that is there, and again the last values below the watermark: a value that is taken early can be committed late.
func (e *Exporter) identityBounds(ctx context.Context, session Session, column sqlserver.Column, b *manifest.Bounds, watermark string, overlap int64) error {
	highest, found, err := session.Highest(ctx, column)
	if err != nil {
		return err
	}
	if !found {
		if watermark != "" {
			return refuse(BoundBelowWatermark, "the table is empty, and the watermark of the last run is %s %s: its rows were deleted, the table was truncated or the database restored: use the command rebaseline", column.Name, watermark)
		}
		return &nothingToDoError{NoNewData, "the table is empty"}
	}
	least, most := integers(column.Type)
	top, err := strconv.ParseInt(highest, 10, 64)
	if err != nil {
		return fmt.Errorf("the cursor %s has the value %s: an identity cursor is an integer below 2^63-1", column.Name, highest)
	}
	if top >= most {
		return fmt.Errorf("the cursor %s has the value %s, the last that its type %s has: no later row can be told from it; make the column a bigint", column.Name, highest, column.SQLType())
	}
	b.To = strconv.FormatInt(top+1, 10)
	if watermark == "" {
		return nil
	}
	mark, err := strconv.ParseInt(watermark, 10, 64)
	if err != nil {
		return fmt.Errorf("the head's watermark: %w", err)
	}
	if top+1 < mark {
		return refuse(BoundBelowWatermark, "the highest value of %s is %d, below the watermark %d of the last run: rows were deleted, the table was truncated or the database restored: use the command rebaseline", column.Name, top, mark)
	}
	from := least
	if mark-least > overlap || mark-least < 0 { // below 0 the difference overflowed
		from = mark - overlap
	}
	b.From, b.Overlap = strconv.FormatInt(from, 10), watermark
	return nil
}

// integers is the range of an integer type. A decimal without fraction is taken for a bigint.
func integers(sqlType string) (least, most int64) {
	switch sqlType {
	case "tinyint":
		return 0, math.MaxUint8
	case "smallint":
		return math.MinInt16, math.MaxInt16
	case "int":
		return math.MinInt32, math.MaxInt32
	}
	return math.MinInt64, math.MaxInt64
}

// cursorFits says why a column can't be followed as a cursor of its kind. A rowversion comes as binary(8) in a result: only the catalog tells it
// from another.
func cursorFits(c pipeline.Cursor, column sqlserver.Column, table *sqlserver.Table) error {
	known := column.Type
	if table != nil {
		if there, ok := table.Column(column.Name); ok {
			known = there.Type
		}
	}
	var fitting []string
	switch c.Kind {
	case pipeline.RowversionCursor:
		// Another binary(8) has no row versions of this database: without the catalog's word nothing is followed.
		fitting = []string{"timestamp", "rowversion"}
	case pipeline.IdentityCursor:
		fitting = []string{"tinyint", "smallint", "int", "bigint", "decimal", "numeric"}
	case pipeline.TimeCursor:
		fitting = []string{"date", "smalldatetime", "datetime", "datetime2", "datetimeoffset"}
	}
	if slices.Contains(fitting, known) && (c.Kind != pipeline.IdentityCursor || column.Scale <= 0) {
		return nil
	}
	return fmt.Errorf("source.cursor names %s as a cursor of the kind %s, and it is of type %s: name a column of type %s", column.Name, c.Kind, known, strings.Join(fitting, ", "))
}

// timeBounds reads to the run's time, and again what is within the overlap below the watermark.
func timeBounds(id run.ID, column sqlserver.Column, b *manifest.Bounds, watermark string, overlap int64) error {
	var err error
	if b.To, err = sqlserver.KeyText(column, floor(column, id.Time())); err != nil {
		return fmt.Errorf("source.cursor: %w", err)
	}
	if watermark == "" {
		return nil
	}
	mark, err := parseMoment(watermark)
	if err != nil {
		return fmt.Errorf("the head's watermark: %w", err)
	}
	if to := floor(column, id.Time()); to.Before(mark) {
		return &nothingToDoError{Superseded, fmt.Sprintf("a later run has read to %s already", watermark)}
	} else if to.Equal(mark) {
		return &nothingToDoError{NoNewData, fmt.Sprintf("the last run has read to %s %s already", b.Column, watermark)}
	}
	b.Overlap = watermark
	b.From, err = sqlserver.KeyText(column, floor(column, mark.Add(-time.Duration(overlap)*time.Second)))
	return err
}

// floor is the last value of a column that isn't after a time. A bound that was rounded up would leave a part of a day or a minute to nobody.
func floor(column sqlserver.Column, t time.Time) time.Time {
	switch column.Type {
	case "date":
		return t.UTC().Truncate(24 * time.Hour)
	case "smalldatetime":
		return t.UTC().Truncate(time.Minute)
	}
	return t
}

// parseMoment reads the text of a date, or of a date and time, as bounds have it.
func parseMoment(text string) (time.Time, error) {
	for _, layout := range []string{"2006-01-02T15:04:05.9999999Z07:00", "2006-01-02T15:04:05.9999999", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a date and time", text)
}

// partition divides what is read into ranges.
func (e *Exporter) partition(ctx context.Context, session Session, p *plan.Plan, survey Survey) error {
	p.Boundaries = sqlserver.OnePartition
	// An increment is small beside its table: the catalog says nothing of its size. A function begins it, and hands over what it can't finish.
	increment := p.Bounds != nil && p.Bounds.From != ""
	if survey.Table != nil && survey.Table.Rows > 0 && !increment {
		p.EstimatedRows = survey.Table.Rows
	}
	by := e.Spec.Source.PartitionBy
	if by == "" {
		p.Partitions = []plan.Partition{{ID: plan.PartitionID(0), EstimatedRows: p.EstimatedRows}}
		return nil
	}
	column, ok := findColumn(survey.Columns, by)
	if !ok {
		return fmt.Errorf("source.partitionBy names %q, which %s doesn't have", by, survey.From)
	}
	if err := sqlserver.CheckKey(column); err != nil {
		return fmt.Errorf("source.partitionBy: %w", err)
	}
	p.PartitionColumn = &manifest.Column{Name: column.Name, SQLType: column.SQLType(), Nullable: column.Nullable}
	var values []string
	if !increment {
		want := int(min(p.EstimatedRows/orDefault(e.Spec.Limits.PartitionRows, DefaultPartitionRows)+1, sqlserver.MaxRanges))
		want = max(want, min(e.Spec.Limits.Connections, sqlserver.MaxRanges))
		if want > 1 {
			var err error
			if values, p.Boundaries, err = session.Boundaries(ctx, column, want); err != nil {
				return err
			}
		}
	}
	if column.Nullable {
		p.Partitions = append(p.Partitions, plan.Partition{Range: plan.Range{Null: true}})
	}
	var from *string
	for _, value := range values {
		p.Partitions = append(p.Partitions, plan.Partition{Range: plan.Range{From: from, To: &value}})
		from = &value
	}
	p.Partitions = append(p.Partitions, plan.Partition{Range: plan.Range{From: from}})
	for i := range p.Partitions {
		p.Partitions[i].ID = plan.PartitionID(i)
		p.Partitions[i].EstimatedRows = p.EstimatedRows / int64(len(values)+1)
	}
	return nil
}

// schemaHash is of what a column is: a NOT NULL that was dropped, or another role, changes nothing for the rows of before.
func schemaHash(all []manifest.Column) string {
	type known struct{ Name, SQLType, Parquet string }
	var list []known
	for _, c := range all {
		list = append(list, known{c.Name, c.SQLType, c.Parquet})
	}
	b, err := json.Marshal(list)
	if err != nil {
		panic(fmt.Sprintf("columns are text: %v", err))
	}
	return hash(string(b))
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
