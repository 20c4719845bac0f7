package export

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"sagemaker-datapipeline/lambda/internal/columns"
	"sagemaker-datapipeline/lambda/internal/keys"
	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
)

// known are the keys of an append load: those that this segment reads, and those that the run before read in the overlap, which are left
// out. A nil one lets everything pass. It is for one goroutine.
type known struct {
	plan *columns.Plan
	// before are the keys of the overlap; empty without one.
	before keys.Set
	// cursor is the place of the cursor's column when there is an overlap, or -1.
	cursor int
	// again says whether the next run reads a row again.
	again func(batch arrow.RecordBatch, row int) bool

	keys, recent *keys.Writer
	text         []byte
}

// newKnown gives nil for a full load.
func (e *Exporter) newKnown(ctx context.Context, f ledger.Frozen, resolved *columns.Plan, name string) (*known, error) {
	if f.Load != pipeline.Append {
		return nil, nil //nolint:nilnil // a full load knows no keys
	}
	key := func(file string) string { return manifest.KeysKey(e.Spec.Pipeline, f.Run, name, file) }
	k := &known{plan: resolved, cursor: -1, keys: keys.NewWriter(ctx, e.Bucket, key, "keys")}
	if c := e.Spec.Source.Cursor; c.Kind != pipeline.RowversionCursor {
		for i, column := range resolved.Columns {
			if strings.EqualFold(column.Name, c.Column) {
				k.cursor = i
			}
		}
		if k.cursor < 0 {
			return nil, fmt.Errorf("the cursor %s is not among the columns that are read: put it into dataset.include, and don't drop it", c.Column)
		}
		var err error
		if k.again, err = overlapping(f.Bounds, resolved.Columns[k.cursor], k.cursor); err != nil {
			return nil, err
		}
		k.recent = keys.NewWriter(ctx, e.Bucket, key, "recent")
	}
	if f.Bounds.Overlap == "" || f.Parent == nil {
		return k, nil
	}
	parent, err := e.ledger().Read(ctx, *f.Parent)
	if err != nil {
		return nil, err
	}
	if parent.Recent == nil {
		return k, nil
	}
	if k.before, err = keys.Load(ctx, e.Bucket, *parent.Recent); err != nil {
		return nil, fmt.Errorf("reading the keys of the overlap: %w", err)
	}
	return k, nil
}

// overlapping says which rows the next run reads again: those whose cursor is within the overlap below the upper bound.
func overlapping(b *manifest.Bounds, column columns.Column, at int) (func(arrow.RecordBatch, int) bool, error) {
	if pipeline.CursorKind(b.Kind) == pipeline.TimeCursor {
		to, err := parseMoment(b.To)
		if err != nil {
			return nil, err
		}
		described, err := sqlserver.ParseColumn(b.Column, b.SQLType, false)
		if err != nil {
			return nil, fmt.Errorf("the plan's bounds: %w", err)
		}
		from := floor(described, to.Add(-time.Duration(b.Remembered)*time.Second))
		return func(batch arrow.RecordBatch, row int) bool {
			t, ok := column.Time(batch.Column(at), row)
			return ok && !t.Before(from)
		}, nil
	}
	to, err := strconv.ParseInt(b.To, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("the plan's upper bound: %w", err)
	}
	return func(batch arrow.RecordBatch, row int) bool {
		text, err := column.AppendNumber(nil, batch.Column(at), row)
		if err != nil {
			return true
		}
		n, err := strconv.ParseInt(string(text), 10, 64)
		return err != nil || n >= to-b.Remembered
	}, nil
}

// each gives the rows of a batch that were not read before, in slices of it.
func (k *known) each(batch arrow.RecordBatch, counts *manifest.Counts, give func(arrow.RecordBatch) error) error {
	if k == nil {
		return give(batch)
	}
	rows := int(batch.NumRows())
	begin := 0 // of the rows that are to be given
	flush := func(end int) error {
		if begin == end {
			return nil
		}
		part := batch.NewSlice(int64(begin), int64(end))
		defer part.Release()
		return give(part)
	}
	for row := range rows {
		k.text = k.plan.AppendKey(k.text[:0], batch, row)
		digest := keys.Of(k.text)
		if k.again != nil && k.again(batch, row) {
			if err := k.recent.Add(digest); err != nil {
				return err
			}
		}
		if !k.before.Has(digest) {
			if err := k.keys.Add(digest); err != nil {
				return err
			}
			continue
		}
		counts.Repeated++
		if err := flush(row); err != nil {
			return err
		}
		begin = row + 1
	}
	return flush(rows)
}

// write ends the files of keys.
func (k *known) write() (all, recent *manifest.KeyFile, err error) {
	if all, err = k.keys.Close(); err != nil {
		return nil, nil, explainDuplicate(err)
	}
	if k.recent != nil {
		if recent, err = k.recent.Close(); err != nil {
			return nil, nil, explainDuplicate(err)
		}
	}
	return all, recent, nil
}

func explainDuplicate(err error) error {
	if _, twice := errors.AsType[*keys.DuplicateError](err); !twice {
		return err
	}
	return refuse(DuplicateKey, "the source is declared immutable, and its rows are not: %v: a row was changed after it was exported (an UPDATE gives it a new row version), or dataset.key doesn't name one row "+
		"(texts that differ by spaces at their end are one key, and times that differ by less than a microsecond); read such a table with load full, or name the whole key", err)
}
