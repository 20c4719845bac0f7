package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/internal/columns"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/pipeline"
)

// tableInCatalog examines what the source's name stands for.
func (x *examination) tableInCatalog(ctx context.Context) {
	if x.source.Table == "" {
		return
	}
	t, err := x.session.Table(ctx, x.source.Table)
	if err != nil {
		x.unseen("table", err)
		return
	}
	x.table, x.identity.Kind = &t, t.Kind
	switch {
	case t.ObjectID == 0:
		x.add("table", findings.Warning, fmt.Sprintf("the catalog shows no %s to this login", x.source.Table),
			"check the name; a table without any right of the login isn't shown, and the finding \"select right\" says whether it is there")
	case x.source.Load == pipeline.Append && t.Kind != "table" && t.Kind != "":
		x.add("table", findings.Error, fmt.Sprintf("%s is a %s, and an append load needs a base table: what a %s shows can change without a new value of the cursor", x.source.Table, t.Kind, t.Kind),
			"name the base table, or load it full")
	default:
		x.ok("table", "%s is a %s", x.source.Table, orElse(t.Kind, "table or view"))
	}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// The errors of SQL Server about rights and names.
const (
	invalidObject    = 208
	permissionDenied = 229
	columnDenied     = 230
)

// columns describes the source, which needs the same rights as reading it, and gives its columns their roles, as a run does.
func (x *examination) columns(ctx context.Context) {
	described, err := x.session.DescribeColumns(ctx, x.selection.Describe())
	if err != nil {
		refused, _ := errors.AsType[*sqlserver.Error](err)
		switch {
		case refused != nil && (refused.Number == permissionDenied || refused.Number == columnDenied):
			x.add("select right", findings.Error, err.Error(),
				"GRANT SELECT ON it TO the login's role; queries/grants/export-login.sql makes a login with exactly the rights that a pipeline needs")
		case refused != nil && refused.Number == invalidObject:
			x.add("select right", findings.Error, err.Error(), "create it, correct the name, or grant the login SELECT: SQL Server hides what a login has no right to")
		default:
			x.add("columns", findings.Error, err.Error(), "")
		}
		return
	}
	x.described = described
	x.ok("select right", "%s can be read, it has %d columns", x.selection.From(), len(described))

	problems := x.named(described)
	selected, err := columns.Select(described, x.Spec.Dataset)
	if err == nil && selected != nil {
		described, err = x.session.DescribeColumns(ctx, x.selection.DescribeSelected(selected))
	}
	if err == nil {
		_, err = columns.Resolve(described, x.Spec.Dataset)
	}
	if err != nil {
		problems = append(problems, each(err)...)
	}
	for _, problem := range problems {
		x.add("columns", findings.Error, x.selection.From()+": "+problem.Error(), "")
	}
	if len(problems) == 0 {
		x.ok("columns", "all that the pipeline names are there, and each type has its place in Parquet")
	}
}

// named looks for the columns that the source's settings name, and whether they can be what they are named for.
func (x *examination) named(described []sqlserver.Column) []error {
	var problems []error
	if name := x.source.PartitionBy; name != "" {
		if c, found := find(described, name); !found {
			problems = append(problems, fmt.Errorf("source.partitionBy names %q, which isn't there: it has %s", name, names(described)))
		} else if err := sqlserver.CheckKey(c); err != nil {
			problems = append(problems, fmt.Errorf("source.partitionBy: %w", err))
		}
	}
	if cursor := x.source.Cursor; cursor != nil {
		c, found := find(described, cursor.Column)
		if !found {
			problems = append(problems, fmt.Errorf("source.cursor names %q, which isn't there: it has %s", cursor.Column, names(described)))
		} else if !x.fits(cursor.Kind, c) {
			problems = append(problems, fmt.Errorf("source.cursor names %s of type %s as its %s: take a column of %s", c.Name, c.SQLType(), cursor.Kind, typesOf[cursor.Kind]))
		} else if c.Nullable {
			problems = append(problems, fmt.Errorf("source.cursor names %s, which may be NULL: a row without a value would never be read; make the column NOT NULL, or follow another one", c.Name))
		}
	}
	return problems
}

// typesOf says which types a kind of cursor follows.
var typesOf = map[pipeline.CursorKind]string{
	pipeline.RowversionCursor: "type rowversion",
	pipeline.IdentityCursor:   "an integer type",
	pipeline.TimeCursor:       "a date and time type, in UTC",
}

// fits says whether a cursor of a kind can follow a column. A result shows a rowversion as binary(8), the catalog as what it is.
func (x *examination) fits(kind pipeline.CursorKind, c sqlserver.Column) bool {
	switch c.Type {
	case "binary", "timestamp", "rowversion":
		if x.table != nil {
			if inCatalog, known := x.table.Column(c.Name); known && inCatalog.Type != "timestamp" {
				return false
			}
		}
		return kind == pipeline.RowversionCursor && c.Length == 8
	case "tinyint", "smallint", "int", "bigint":
		return kind == pipeline.IdentityCursor
	case "date", "datetime", "smalldatetime", "datetime2", "datetimeoffset":
		return kind == pipeline.TimeCursor
	}
	return false
}

func find(described []sqlserver.Column, name string) (sqlserver.Column, bool) {
	for _, c := range described {
		if strings.EqualFold(c.Name, name) {
			return c, true
		}
	}
	return sqlserver.Column{}, false
}

func names(described []sqlserver.Column) string {
	all := make([]string, len(described))
	for i, c := range described {
		all[i] = c.Name
	}
	return strings.Join(all, ", ")
}

// hidden examines what the login would not see as it is.
func (x *examination) hidden(ctx context.Context) {
	hidden, err := x.session.Hidden(ctx, x.selection, x.table)
	if err != nil {
		x.unseen("hidden data", err)
		return
	}
	// A column of the table itself that isn't read is hidden from nobody.
	hidden = slices.DeleteFunc(hidden, func(h sqlserver.Hidden) bool {
		return h.Column != "" && x.table != nil && x.table.Kind == "table" && !x.Spec.Dataset.Reads(h.Column)
	})
	for _, h := range hidden {
		if x.source.Accepts(h.Consent) {
			x.add("hidden data", findings.Warning, fmt.Sprintf("%s; source.accept takes it so by %q", h.What, h.Consent), "")
			continue
		}
		x.add("hidden data", findings.Error, h.What+" [HiddenData]", h.Remedy)
	}
	if x.identity.PoliciesUnseen {
		x.add("hidden data", findings.Warning, "the login may not view definitions: row-level security that hides rows from it, and masked columns behind views and functions, can't be looked for",
			"GRANT VIEW DEFINITION on the database, and SELECT ON sys.sql_expression_dependencies, to the login's role (queries/grants/export-login.sql, See=policies), or know that there is none")
		return
	}
	if len(hidden) == 0 {
		x.ok("hidden data", "no column is masked or encrypted, and no security policy hides rows, as far as this login can see")
	}
}

// size examines whether a run scans more than it may.
func (x *examination) size(context.Context) {
	t, limit := x.table, x.limits.MaxScanRows
	if t == nil || t.ObjectID == 0 || limit <= 0 {
		return
	}
	how := "each run reads all of it"
	if c := x.source.Cursor; c != nil {
		if t.Led(c.Column) {
			return
		}
		how = fmt.Sprintf("no index begins with %s, so each run scans all of it", c.Column)
	}
	switch {
	case t.Rows < 0:
		x.add("size", findings.Warning, fmt.Sprintf("how many rows %s has could not be read, so export.maxScanRows (%d) refuses nothing", x.source.Table, limit), "")
	case t.Rows <= limit:
		x.ok("size", "%s has about %d rows: below export.maxScanRows, %d", x.source.Table, t.Rows, limit)
	case x.source.Accepts(pipeline.AcceptFullScan):
		x.add("size", findings.Warning, fmt.Sprintf("%s has about %d rows and %s; source.accept allows it by fullScan", x.source.Table, t.Rows, how), "")
	default:
		x.add("size", findings.Error, fmt.Sprintf("%s has about %d rows and %s: more than export.maxScanRows, %d [FullScan]", x.source.Table, t.Rows, how, limit),
			`give it an index or a query with a window, or add "fullScan" to source.accept`)
	}
}

// indexes examines whether what a run looks for by a column can be sought.
func (x *examination) indexes(context.Context) {
	if x.table == nil || x.table.ObjectID == 0 {
		if by := x.source.PartitionBy; by != "" {
			x.add("index", findings.Warning, fmt.Sprintf("%s is read in pages by %s: whether each page can be sought can't be seen from here", x.selection.From(), by),
				fmt.Sprintf("look at the plan of SELECT TOP (1000) … ORDER BY %s: without an index that gives this order, each page sorts everything", by))
		}
		return
	}
	for _, use := range []struct{ column, what string }{
		{x.cursorColumn(), "each run scans the table to find its new rows"},
		{x.source.PartitionBy, "each page scans and sorts the table"},
	} {
		switch {
		case use.column == "":
		case x.table.Led(use.column):
			x.ok("index", "an index of %s begins with %s", x.source.Table, use.column)
		default:
			x.add("index", findings.Warning, fmt.Sprintf("no index of %s begins with %s: %s", x.source.Table, use.column, use.what),
				fmt.Sprintf("CREATE INDEX %s ON %s (%s)", bracket("IX_"+use.column), x.source.Table, bracket(use.column)))
		}
	}
}

func (x *examination) cursorColumn() string {
	if x.source.Cursor == nil {
		return ""
	}
	return x.source.Cursor.Column
}

// boundaries tries to divide the table as a run would. Without an index it doesn't: that may read the whole table.
func (x *examination) boundaries(ctx context.Context) {
	by := x.source.PartitionBy
	if by == "" || x.table == nil || !x.table.Led(by) {
		return
	}
	c, found := find(x.described, by)
	if !found || sqlserver.CheckKey(c) != nil {
		return
	}
	values, how, err := x.session.Boundaries(ctx, *x.table, c, 4)
	switch {
	case err != nil:
		x.unseen("partitions", err)
	case how == sqlserver.Histogram:
		x.ok("partitions", "the statistics of %s divide %s", by, x.source.Table)
	case len(values) == 0 && x.table.Rows >= 0 && x.table.Rows < 1000:
		x.ok("partitions", "%s is too small to be divided", x.source.Table)
	default:
		x.add("partitions", findings.Warning, fmt.Sprintf("ranges of %s would come from: %s. Where its values are unevenly spread, so are the ranges", by, how),
			"GRANT VIEW DATABASE STATE (from SQL Server 2022 on VIEW DATABASE PERFORMANCE STATE) to the login, so that it may read the histogram, and UPDATE STATISTICS on the table where there is none")
	}
}
