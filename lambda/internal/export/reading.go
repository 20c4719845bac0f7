package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sagemaker-datapipeline/lambda/internal/columns"
	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/plan"
)

const (
	// SegmentTime is how long a segment is read before it is recorded: what an attempt that dies loses at most.
	SegmentTime = 3 * time.Minute
	// Reserve is what is left of the function's time when reading in pages stops: to end the files, and to commit or to hand over.
	Reserve = 45 * time.Second
)

// errNoTime says that there is no time for another page.
var errNoTime = errors.New("no time is left for another page")

// readAll reads the open partitions, over as many connections as are allowed, until the time ends. It says how many are left.
func (e *Exporter) readAll(ctx context.Context, log *slog.Logger, f ledger.Frozen, open []plan.Partition, attempt string, until time.Time) (int, error) {
	connections := max(1, min(e.Spec.Limits.Connections, len(open)))
	todo := make(chan plan.Partition, len(open))
	for _, one := range open {
		todo <- one
	}
	close(todo)
	var mu sync.Mutex
	left := 0
	group, ctx := errgroup.WithContext(ctx)
	for range connections {
		group.Go(func() error {
			pages := pageTime{until: until}
			for one := range todo {
				done, _, err := e.readPartition(ctx, log, f, one, attempt, connections, &pages)
				if err != nil {
					return err
				}
				if !done {
					mu.Lock()
					left++
					mu.Unlock()
				}
			}
			return nil
		})
	}
	return left, group.Wait()
}

// pageTime says whether there is time for another page on a connection. It goes from segment to segment and from partition to partition: a page
// that is begun in vain ends with the function, and what it gave is lost.
type pageTime struct {
	// until is when reading in pages has to stop.
	until time.Time
	// longest is how long the longest page took so far.
	longest time.Duration
}

func (p *pageTime) took(d time.Duration) { p.longest = max(p.longest, d) }

func (p *pageTime) left() bool { return !time.Now().Add(p.longest + p.longest/2).After(p.until) }

// readPartition reads what is not recorded yet of a partition, segment after segment, until the partition or the time ends. connections is
// how many share the pipeline's rate.
func (e *Exporter) readPartition(ctx context.Context, log *slog.Logger, f ledger.Frozen, p plan.Partition, attempt string, connections int, pages *pageTime) (done bool, segments int, err error) {
	log = log.With("partition", p.ID)
	recorded, err := e.ledger().Segments(ctx, f, p.ID)
	if err != nil {
		return false, 0, err
	}
	var last *manifest.Part
	if n := len(recorded); n > 0 {
		last = &recorded[n-1]
	}
	for n := len(recorded); ; n++ {
		if last != nil && last.Last {
			return true, n, nil
		}
		var after *string
		if last != nil {
			after = last.Through
		}
		part, err := e.trySegment(ctx, log, f, p, after, n, attempt, connections, pages)
		if errors.Is(err, errNoTime) {
			return false, n, nil
		}
		if err != nil {
			if f.PartitionColumn != nil {
				err = fmt.Errorf("partition %s (%s %s): %w", p.ID, f.PartitionColumn.Name, p.Range, err)
			}
			return false, n, err
		}
		if part, err = e.ledger().Record(ctx, f, part); err != nil {
			return false, n, err
		}
		log.Info("read", "phase", "read", "segment", n, "rows", part.Counts.Decoded, "files", len(part.Files), "statements", part.Statements, "ms", part.FinishedAt.Sub(part.StartedAt).Milliseconds())
		last = &part
	}
}

// trySegment reads a segment, starting over with new keys after an error that may be gone.
func (e *Exporter) trySegment(ctx context.Context, log *slog.Logger, f ledger.Frozen, p plan.Partition, after *string, n int, attempt string, connections int, pages *pageTime) (part manifest.Part, err error) {
	try := 0
	err = retry(ctx, log, "reading again", func() error {
		if f.PartitionColumn != nil && !pages.left() {
			return errNoTime
		}
		// Each try writes under keys of its own: what an earlier one left can't be taken for its.
		name := fmt.Sprintf("%s-%s-%04d", attempt, p.ID, n)
		if try++; try > 1 {
			name += fmt.Sprintf("-t%d", try)
		}
		part, err = e.readSegment(ctx, log, f, p, after, name, connections, pages)
		return err
	})
	part.Segment = n
	return part, err
}

// readSegment reads a segment on a connection of its own.
func (e *Exporter) readSegment(ctx context.Context, log *slog.Logger, f ledger.Frozen, p plan.Partition, after *string, name string, connections int, pages *pageTime) (manifest.Part, error) {
	part := manifest.Part{Version: manifest.PartVersion, PlanETag: f.ETag, Partition: p.ID, After: after, Attempt: name, StartedAt: time.Now().UTC()}
	session, err := e.Database.Connect(ctx, f.Run)
	if err != nil {
		return manifest.Part{}, err
	}
	defer func() { _ = session.Close() }() // what it says of a connection that is done with changes nothing
	survey, err := session.Survey(ctx)
	if err != nil {
		return manifest.Part{}, err
	}
	// A failover between the plan and now may have lost rows that the plan's bounds count on.
	if differs := f.Source.Differs(survey.Identity.Identity); differs != "" {
		return manifest.Part{}, refuse(DatabaseRestored, "the database is not the one that the run was planned for: %s: the next run plans anew", differs)
	}
	log.Info("connected", "phase", "connect", "server", survey.Identity.Server, "database", survey.Identity.Database, "isolation", f.Source.Isolation)
	reading, err := e.reading(f, survey)
	if err != nil {
		return manifest.Part{}, err
	}
	if f.Source.Consistency == string(pipeline.Snapshot) {
		if err := session.BeginSnapshot(ctx); err != nil {
			return manifest.Part{}, err
		}
		if e.Spec.Source.CountRows {
			counted, err := session.Count(ctx, reading)
			if err != nil {
				return manifest.Part{}, err
			}
			part.Counts.Counted = &counted
		}
	}
	counted := part.Counts.Counted
	if hours := e.Spec.Limits.AllowedHours; hours != nil && f.PartitionColumn == nil {
		// Between pages the end of the hours is looked at; a single statement has to be broken off.
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, pages.until, fmt.Errorf("the time in which the database may be read (export.allowedHours, to %s) or the function's time ended before the statement did: begin earlier, or read in pages, which go on the next time (source.partitionBy)", hours.To))
		defer cancel()
	}
	rows := &result{ctx: ctx, session: session, reading: reading, limit: seconds(e.Spec.Limits.StatementTimeoutSeconds, DefaultStatementTimeout)}
	if f.PartitionColumn != nil {
		column, ok := findColumn(survey.Columns, f.PartitionColumn.Name)
		if !ok {
			return manifest.Part{}, refuse(SchemaChanged, "%s has no column %s any more: the next run plans anew", survey.From, f.PartitionColumn.Name)
		}
		rows.page = &Page{
			Column: column, Unique: survey.Table != nil && survey.Table.UniqueOn(column.Name), Range: p.Range, After: after,
			Rows: orDefault(e.Spec.Limits.PageRows, DefaultPageRows),
		}
		rows.pages = pages
		rows.segmentEnd = time.Now().Add(SegmentTime)
		rows.pace = newPace(e.Spec.Limits.RowsPerSecond, connections)
	}
	s, err := e.encode(ctx, f, survey.From, name, rows)
	if err != nil {
		return manifest.Part{}, err
	}
	part.Counts, part.Files, part.Smoke, part.Keys, part.Recent, part.Statistics = s.counts, s.files, s.smoke, s.keys, s.recent, s.statistics
	part.Counts.Done, part.Counts.Counted = rows.done, counted
	part.Statements = rows.statements
	part.Last = !rows.stopped
	if rows.stopped {
		part.Through = rows.page.After
	}
	if err := e.agree(part.Counts); err != nil {
		return manifest.Part{}, fmt.Errorf("%s: %w", survey.From, err)
	}
	part.FinishedAt = time.Now().UTC()
	return part, nil
}

// reading is the statement of a plan, the same for all its pages.
func (e *Exporter) reading(f ledger.Frozen, survey Survey) (Reading, error) {
	selected, err := columns.Select(survey.Columns, e.Spec.Dataset)
	if err != nil {
		return Reading{}, fmt.Errorf("%s: %w", survey.From, err)
	}
	r := Reading{Columns: selected, Bounds: f.Bounds}
	if f.Bounds != nil {
		cursor, ok := findColumn(survey.Columns, f.Bounds.Column)
		if !ok {
			return Reading{}, refuse(SchemaChanged, "%s has no column %s any more: the next run plans anew", survey.From, f.Bounds.Column)
		}
		r.Cursor = &cursor
	}
	return r, nil
}

// result is what one segment reads: one statement's rows, or those of page after page. It is for one goroutine.
type result struct {
	ctx     context.Context //nolint:containedctx // it outlives one call: the result is a stream
	session Session
	reading Reading
	// limit is how long one statement may take.
	limit time.Duration

	// page is the page that is being read, or nil. pages says whether there is time for another one, segmentEnd is when this segment has enough.
	page       *Page
	pages      *pageTime
	segmentEnd time.Time
	pace       *pace

	rows       Rows
	end        context.CancelFunc
	columns    []sqlserver.Column
	key        int // the place of the page's column
	last       any // the value of it that was read last
	inPage     int64
	began      time.Time
	statements int
	done       int64
	finished   bool
	// stopped says that the range goes on after page.After.
	stopped bool
}

// open begins the next statement.
func (r *result) open() error {
	if r.page != nil {
		if err := r.pace.wait(r.ctx); err != nil {
			return err
		}
	}
	remedy := "raise it, read fewer rows, read in pages (source.partitionBy), or give the query an index"
	if r.page != nil {
		remedy = fmt.Sprintf("a page is the rows of at least one value of %s: if many rows have one value, or NULL, partition by another column; otherwise give the column an index, or make export.pageRows smaller", r.page.Column.Name)
	}
	ctx, cancel := context.WithTimeoutCause(r.ctx, r.limit, fmt.Errorf("the statement took longer than %s (export.statementTimeoutSeconds): %s", r.limit, remedy))
	reading := r.reading
	reading.Page = r.page
	rows, err := r.session.Read(ctx, reading)
	if err != nil {
		cancel()
		return err
	}
	r.rows, r.end, r.inPage, r.began = rows, cancel, 0, time.Now()
	r.statements++
	if r.columns == nil {
		r.columns = rows.Columns()
		if r.page != nil {
			if r.key = indexOf(r.columns, r.page.Column.Name); r.key < 0 {
				return fmt.Errorf("source.partitionBy names %s, which is not among the columns that are read: put it into dataset.include, and don't drop it", r.page.Column.Name)
			}
		}
	}
	return nil
}

func indexOf(all []sqlserver.Column, name string) int {
	for i, c := range all {
		if c.Name == name {
			return i
		}
	}
	return -1
}

// Next gives the next row of the segment, and io.EOF after the last.
func (r *result) Next() ([]any, error) {
	for {
		if r.finished || r.stopped {
			return nil, io.EOF
		}
		if r.rows == nil {
			if err := r.open(); err != nil {
				return nil, err
			}
		}
		row, err := r.rows.Next()
		if err == nil {
			r.inPage++
			if r.page == nil {
				return row, nil
			}
			r.last = row[r.key]
			if r.inPage == 1 {
				return row, r.progress()
			}
			return row, nil
		}
		if !errors.Is(err, io.EOF) {
			return nil, err
		}
		if err := r.endStatement(); err != nil {
			return nil, err
		}
	}
}

// progress refuses a page that begins where the one before ended: a server that compares otherwise than it sorts would be read for ever.
func (r *result) progress() error {
	if r.page.After == nil || r.page.Range.Null {
		return nil
	}
	first, err := sqlserver.KeyText(r.page.Column, r.last)
	if err == nil && first == *r.page.After {
		err = fmt.Errorf("reading in pages by %s: the page after the value %s begins with it again: the server doesn't compare the column as it sorts it; partition by another column", r.page.Column.Name, first)
	}
	return err
}

// endStatement decides what follows a statement that gave all its rows.
func (r *result) endStatement() error {
	r.done += r.rows.Done()
	closing := r.rows.Close()
	r.end()
	r.rows = nil
	if closing != nil {
		return closing
	}
	if r.page == nil || r.page.Range.Null || r.inPage < r.page.Rows {
		r.finished = true
		return nil
	}
	text, err := sqlserver.KeyText(r.page.Column, r.last)
	if err != nil {
		return fmt.Errorf("reading in pages by %s: %w", r.page.Column.Name, err)
	}
	next := *r.page
	next.After = &text
	r.page = &next
	r.pace.read(r.inPage)
	r.pages.took(time.Since(r.began))
	r.stopped = time.Now().After(r.segmentEnd) || !r.pages.left()
	return nil
}

// Columns describes the rows; they are known from the first call of Next on.
func (r *result) Columns() []sqlserver.Column { return r.columns }

// Close cancels what the server still had to send.
func (r *result) Close() error {
	if r.rows == nil {
		return nil
	}
	err := r.rows.Close()
	r.end()
	r.rows = nil
	return err
}

// pace keeps a connection to its share of the rows per second, by waiting between short statements: a statement that is stalled would hold
// its locks and its row versions meanwhile.
type pace struct {
	rate  float64 // rows a second; 0: none
	start time.Time
	rows  int64
}

func newPace(rowsPerSecond, connections int) *pace {
	return &pace{rate: float64(rowsPerSecond) / float64(max(connections, 1)), start: time.Now()}
}

func (p *pace) read(rows int64) { p.rows += rows }

func (p *pace) wait(ctx context.Context) error {
	if p.rate <= 0 {
		return nil
	}
	ahead := time.Duration(float64(p.rows)/p.rate*float64(time.Second)) - time.Since(p.start)
	if ahead <= 0 {
		return nil
	}
	select {
	case <-time.After(ahead):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
