package export

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"sagemaker-datapipeline/lambda/internal/columns"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/plan"
	"sagemaker-datapipeline/lambda/run"
)

// Database is the source of a pipeline.
type Database interface {
	// Connect opens a connection for a run. Each is for one goroutine, and has to be closed.
	Connect(ctx context.Context, id run.ID) (Session, error)
}

// Session is one connection to the source.
type Session interface {
	// Survey says who the server is and what the source looks like there, without reading a row of it.
	Survey(ctx context.Context) (Survey, error)
	// Describe gives the columns that reading with this selection will give.
	Describe(ctx context.Context, selected []sqlserver.Selected) ([]sqlserver.Column, error)
	// Rowversions gives the bound below which no transaction is open. What is read with it has to begin afterwards.
	Rowversions(ctx context.Context) (sqlserver.Rowversions, error)
	// Blocker says in words who holds the bound back.
	Blocker(ctx context.Context) (string, error)
	// Highest gives the highest value of a column of the source's table; there is none in an empty table.
	Highest(ctx context.Context, column sqlserver.Column) (string, bool, error)
	// Boundaries divides the source's table into about as many ranges, and says how it knew. It needs a Survey before.
	Boundaries(ctx context.Context, column sqlserver.Column, ranges int) ([]string, string, error)
	// BeginSnapshot begins the SNAPSHOT transaction that what is read afterwards belongs to.
	BeginSnapshot(ctx context.Context) error
	// Count counts what a Reading without a page reads.
	Count(ctx context.Context, r Reading) (int64, error)
	// Read begins to read.
	Read(ctx context.Context, r Reading) (Rows, error)
	Close() error
}

// Survey is what is known of a source before it is read.
type Survey struct {
	Identity sqlserver.Identity
	// Table is the source's table; nil for a query.
	Table *sqlserver.Table
	// Hidden is what the login doesn't see as it is.
	Hidden []sqlserver.Hidden
	// Columns are all columns of the source.
	Columns []sqlserver.Column
	// Query is the text that the source is known by.
	Query string
	// From names the source in messages.
	From string
	// Uncommitted says that the query reads what isn't committed.
	Uncommitted bool
	// Window is where the run's window is; nil without one.
	Window *manifest.Window
}

// Reading is one statement's worth of the source.
type Reading struct {
	// Columns of the SELECT; nil reads the source as it is.
	Columns []sqlserver.Selected
	// Bounds and Cursor of an append load; nil for a full one.
	Bounds *manifest.Bounds
	Cursor *sqlserver.Column
	// Page is one page of a range; nil reads everything.
	Page *Page
}

// Page is the next rows of a range, in the order of its column.
type Page struct {
	Column sqlserver.Column
	// Unique says that no two rows have one value.
	Unique bool
	Range  plan.Range
	// After is the last value that was read; nil at the beginning of the range.
	After *string
	// Rows is how many rows it has at least, when there are as many: all rows with its last value are in it.
	Rows int64
}

// Rows is a result that is being read.
type Rows interface {
	Columns() []sqlserver.Column
	// Next gives the next row, which is overwritten by the call after, and io.EOF after the last.
	Next() ([]any, error)
	// Done is the number of rows that the server says it sent; it is known after the last.
	Done() int64
	Close() error
}

var _ Rows = (*sqlserver.Rows)(nil)

// Server is a SQL Server as a Database.
type Server struct {
	Spec   pipeline.Spec
	Secret Secret
	// Primary and Replica replace what the secret says of the address. A pipeline whose source reads from the replica connects there.
	Primary, Replica sqlserver.Overrides
}

var _ Database = Server{}

// Secret gives the text of the database secret as it is now.
type Secret interface {
	Text(ctx context.Context) ([]byte, error)
}

// The defaults of limits that a spec leaves at 0.
const (
	DefaultConnectTimeout   = 15 * time.Second
	DefaultStatementTimeout = 14 * time.Minute // Lambda's longest time is 15 minutes
	DefaultLockTimeout      = 30 * time.Second
	DefaultMaxValueBytes    = columns.DefaultMaxValueBytes
	// DefaultMaxScanRows is what a small RDS instance reads in about ten minutes.
	DefaultMaxScanRows = 50_000_000
	// DefaultPageRows takes a second or so to read, and seeks rarely.
	DefaultPageRows = 50_000
	// DefaultPartitionRows takes a few minutes to read.
	DefaultPartitionRows = 5_000_000
	// DefaultFunctionRows is what one function reads in its time with a wide margin: at the measured 300,000 rows a second, a fifth of it.
	DefaultFunctionRows = 50_000_000
)

// Connect logs in. A refused login may come from a secret that was rotated after it was read, so it is read once more; the same secret
// is not tried twice, because accounts lock out.
func (s Server) Connect(ctx context.Context, id run.ID) (Session, error) {
	selection, err := sqlserver.NewSelection(s.Spec.Source, s.Spec.Limits, id.Time())
	if err != nil {
		return nil, err
	}
	session, err := s.Open(ctx)
	if err != nil {
		return nil, err
	}
	return &connection{Session: session, selection: selection, source: s.Spec.Source}, nil
}

// Open opens a session that reads nothing yet.
func (s Server) Open(ctx context.Context) (*sqlserver.Session, error) {
	login, err := s.login(ctx)
	if err != nil {
		return nil, err
	}
	options := sqlserver.Options{
		AppName:        s.Spec.Limits.ApplicationName,
		ConnectTimeout: seconds(s.Spec.Limits.ConnectTimeoutSeconds, DefaultConnectTimeout),
		LockTimeout:    seconds(s.Spec.Limits.LockTimeoutSeconds, DefaultLockTimeout),
		// A secondary may take only those who say so, and a listener sends them there.
		ReadOnlyIntent: s.Spec.Source.Replica,
		MaxValueBytes:  orDefault(s.Spec.Limits.MaxValueBytes, DefaultMaxValueBytes),
	}
	if options.AppName == "" {
		options.AppName = "sagemaker-datapipeline " + s.Spec.Name()
	}
	session, err := sqlserver.Open(ctx, login, options)
	if err == nil || !sqlserver.LoginFailed(err) {
		return session, err
	}
	again, secretErr := s.login(ctx)
	if secretErr != nil {
		return nil, errors.Join(err, secretErr)
	}
	if again == login {
		return nil, err
	}
	return sqlserver.Open(ctx, again, options)
}

func (s Server) login(ctx context.Context) (sqlserver.Login, error) {
	text, err := s.Secret.Text(ctx)
	if err != nil {
		return sqlserver.Login{}, err
	}
	overrides := s.Primary
	if s.Spec.Source.Replica {
		if s.Replica.Host == "" {
			return sqlserver.Login{}, errors.New("the pipeline reads from the read replica (source.readFrom), and the function knows no replica: give the environment a database.replica and deploy again")
		}
		overrides = s.Replica
	}
	return sqlserver.DecodeLogin(text, overrides)
}

// HashKey gives the key of hashed columns, which is in the database secret as hashKey.
func (s Server) HashKey(ctx context.Context) ([]byte, error) {
	text, err := s.Secret.Text(ctx)
	if err != nil {
		return nil, err
	}
	var keys struct {
		HashKey string `json:"hashKey"`
	}
	if err := json.Unmarshal(text, &keys); err != nil {
		// The decoder's own message may quote what it met.
		return nil, errors.New("the database secret is not a JSON object whose hashKey is a text")
	}
	return []byte(keys.HashKey), nil
}

// connection is a session that knows the source.
type connection struct {
	*sqlserver.Session
	selection *sqlserver.Selection
	source    pipeline.Source
	table     *sqlserver.Table
}

func (c *connection) Survey(ctx context.Context) (Survey, error) {
	s := Survey{Query: c.selection.QueryText(), From: c.selection.From()}
	var err error
	if s.Identity, err = c.Identify(ctx); err != nil {
		return Survey{}, err
	}
	if c.source.Table != "" {
		table, err := c.Table(ctx, c.source.Table)
		if err != nil {
			return Survey{}, err
		}
		s.Table, s.Identity.Kind = &table, table.Kind
		s.Identity.Table, s.Identity.ObjectID, s.Identity.TableCreated = table.Name, table.ObjectID, table.Created
	}
	if s.Hidden, err = c.Hidden(ctx, c.selection, s.Table); err != nil {
		return Survey{}, err
	}
	if s.Columns, err = c.DescribeColumns(ctx, c.selection.Describe()); err != nil {
		return Survey{}, err
	}
	if s.Table != nil {
		s.Table.Collate(s.Columns)
	}
	if err := c.CollateResult(ctx, c.selection.Describe(), s.Columns); err != nil {
		return Survey{}, err
	}
	s.Uncommitted, s.Window = c.selection.Dirty(), c.selection.Window()
	c.table = s.Table
	return s, nil
}

func (c *connection) Describe(ctx context.Context, selected []sqlserver.Selected) ([]sqlserver.Column, error) {
	return c.DescribeColumns(ctx, c.selection.DescribeSelected(selected))
}

func (c *connection) Highest(ctx context.Context, column sqlserver.Column) (string, bool, error) {
	return c.Session.Highest(ctx, c.source.Table, column)
}

func (c *connection) Boundaries(ctx context.Context, column sqlserver.Column, ranges int) ([]string, string, error) {
	if c.table == nil {
		return nil, sqlserver.OnePartition, nil // a query has no statistics
	}
	return c.Session.Boundaries(ctx, *c.table, column, ranges)
}

func (c *connection) Count(ctx context.Context, r Reading) (int64, error) {
	return c.Session.Count(ctx, c.selection.Count(r.Bounds, r.Cursor))
}

func (c *connection) Read(ctx context.Context, r Reading) (Rows, error) {
	statement := c.selection.All(r.Columns, r.Bounds, r.Cursor)
	if p := r.Page; p != nil {
		statement = c.selection.Page(r.Columns, p.Column, p.Unique, p.Range, p.After, r.Bounds, r.Cursor, p.Rows)
	}
	return c.Query(ctx, statement)
}

// findColumn finds a column by its name, as SQL Server compares names.
func findColumn(columns []sqlserver.Column, name string) (sqlserver.Column, bool) {
	for _, c := range columns {
		if strings.EqualFold(c.Name, name) {
			return c, true
		}
	}
	return sqlserver.Column{}, false
}

func seconds(n int, otherwise time.Duration) time.Duration {
	if n <= 0 {
		return otherwise
	}
	return time.Duration(n) * time.Second
}

func orDefault(n, otherwise int64) int64 {
	if n <= 0 {
		return otherwise
	}
	return n
}
