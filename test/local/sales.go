package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/test/local/data"
	"sagemaker-datapipeline/test/local/report"
)

// shop is the connection between the two pipelines that read dbo.Sales: what one of them writes into it, the other trains on.
type shop struct {
	// read is closed once demand's first run has read the table as it was, and booked once everything is in it.
	read, booked chan struct{}
	changes      []data.Change
}

func newShop() *shop { return &shop{read: make(chan struct{}), booked: make(chan struct{})} }

func (s *shop) exported() { close(s.read) }

// wait waits until the tills have booked everything, and gives what they did.
func (s *shop) wait(ctx context.Context) ([]data.Change, error) {
	select {
	case <-s.booked:
		return s.changes, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// append lets the pipeline sales follow dbo.Sales from run to run: first all of it, then what the tills insert, also while one of them holds
// its transaction open, and last nothing. It is between demand's two runs.
func (r *runner) append(ctx context.Context, s *shop) error {
	if err := r.recorder.step(ctx, r.name+" 1", r.appendFirst); err != nil {
		return err
	}
	select {
	case <-s.read:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	db, err := sql.Open("sqlserver", r.database)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer db.Close()
	till, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connecting a till: %w", err)
	}
	defer till.Close()
	var open *sql.Tx
	defer func() {
		if open != nil {
			_ = open.Rollback() // what is committed stays so; the till's connection can't be closed while it is open
		}
	}()

	for i, tick := range []struct {
		want string
		// before is what happens in the shop before the tick.
		before func() ([]data.Change, error)
	}{
		{"committed", func() ([]data.Change, error) {
			return book(ctx, db, "Monday's sales", data.NewSales(1, 1, data.Shops))
		}},
		{"committed", func() ([]data.Change, error) {
			first, err := book(ctx, db, "Tuesday's sales of the shops 1 to 5", data.NewSales(2, 1, data.Shops/2))
			if err != nil {
				return nil, err
			}
			if open, err = till.BeginTx(ctx, nil); err != nil {
				return nil, fmt.Errorf("beginning a till's transaction: %w", err)
			}
			if err := data.Insert(ctx, till, data.LateSales()); err != nil {
				return nil, err
			}
			late := data.Change{Rows: int64(data.LateSales().Count), What: fmt.Sprintf(
				"Shop %d's tills deliver what they had not booked since mid-December, in a transaction that stays open", data.SilentShop)}
			last, err := book(ctx, db, "Tuesday's sales of the shops 6 to 10, booked behind it", data.NewSales(2, data.Shops/2+1, data.Shops))
			return append(append(first, late), last...), err
		}},
		{"blocked", func() ([]data.Change, error) { return nil, nil }},
		{"committed", func() ([]data.Change, error) {
			if err := open.Commit(); err != nil {
				return nil, fmt.Errorf("committing a till's transaction: %w", err)
			}
			return []data.Change{{What: fmt.Sprintf("Shop %d's transaction is committed", data.SilentShop)}}, nil
		}},
		{"no new data", func() ([]data.Change, error) { return nil, nil }},
	} {
		err := r.recorder.step(ctx, fmt.Sprintf("%s %d", r.name, i+2), func(ctx context.Context) (string, error) {
			changes, err := tick.before()
			if err != nil {
				return "", err
			}
			for _, c := range changes {
				r.say("%s", changeText(c))
				if c.Rows > 0 {
					s.changes = append(s.changes, c)
				}
			}
			return r.appendNext(ctx, i+1, tick.want, changes)
		})
		if err != nil {
			return err
		}
	}
	close(s.booked)
	return r.recorder.step(ctx, r.name+" rows", func(ctx context.Context) (string, error) { return r.compare(ctx, db) })
}

func changeText(c data.Change) string {
	if c.Rows == 0 {
		return c.What
	}
	return fmt.Sprintf("%s rows: %s", thousands(c.Rows), c.What)
}

// book inserts rows by a transaction of their own.
func book(ctx context.Context, db *sql.DB, what string, t data.Table) ([]data.Change, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting a till: %w", err)
	}
	defer conn.Close()
	if err := data.Insert(ctx, conn, t); err != nil {
		return nil, err
	}
	return []data.Change{{What: what, Rows: int64(t.Count)}}, nil
}

// appendFirst follows the run that the deployed schedule fires.
func (r *runner) appendFirst(ctx context.Context) (string, error) {
	t := report.Tick{FiredBy: "fired by its schedule, " + r.describe.Schedule}
	id, err := r.awaitSchedule(ctx)
	if err != nil {
		return "", err
	}
	t.Run, t.Start = string(id), r.recorder.since(time.Now())
	if err := r.follow(ctx, &t, 0); err != nil {
		return "", err
	}
	t.End, t.Outcome = r.recorder.since(time.Now()), "succeeded"
	r.recorder.tick(r.describe, 0, t)
	return thousands(t.Manifest.Rows) + " rows, " + report.Pieces(t), nil
}

// appendNext makes the next run and waits for the function's answer, which also tells why nothing was committed.
func (r *runner) appendNext(ctx context.Context, index int, want string, changes []data.Change) (string, error) {
	at, err := r.nextTime(ctx)
	if err != nil {
		return "", err
	}
	t := report.Tick{Run: string(run.NewID(at)), FiredBy: "invoked with its scheduled time", Start: r.recorder.since(time.Now()), Changes: changes}
	defer func() { r.recorder.tick(r.describe, index, t) }()
	if err := r.answer(ctx, at, &t); err != nil {
		return "", err
	}
	t.End = r.recorder.since(time.Now())
	if want != "" && t.Export != want {
		return "", fmt.Errorf("run %s ended with %q (%s), not with %q", t.Run, t.Export, t.Detail, want)
	}
	t.Outcome = "succeeded"
	if t.Export != "committed" {
		return t.Export + ": " + t.Detail, nil
	}
	detail := count(t.Manifest.Rows, "row") + ", " + report.Range(t)
	if lag := t.Manifest.Bounds.Lag; lag != "" {
		detail += "; " + lag
	}
	return detail, nil
}

// answer invokes the export and takes its answer; of a run that is committed, it reads what that holds.
func (r *runner) answer(ctx context.Context, at time.Time, t *report.Tick) error {
	var result struct{ Outcome, Detail string }
	if err := r.ask(ctx, map[string]string{"scheduledTime": at.UTC().Format(time.RFC3339)}, &result); err != nil {
		return err
	}
	t.Export, t.Detail = result.Outcome, result.Detail
	if result.Outcome == "handed over" {
		return r.awaitCommit(ctx, t)
	}
	found, err := r.committed(ctx, run.NewID(at), t)
	if err != nil || !found {
		return err
	}
	return r.describeExport(ctx, t)
}

// ask invokes the export function and decodes its answer.
func (r *runner) ask(ctx context.Context, event, answer any) error {
	payload, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("making the event: %w", err)
	}
	out, err := r.lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: &r.ExportFunction, Payload: payload})
	if err != nil {
		return fmt.Errorf("invoking %s: %w", r.ExportFunction, err)
	}
	if out.FunctionError != nil {
		var failure struct{ ErrorMessage string }
		if json.Unmarshal(out.Payload, &failure) == nil && failure.ErrorMessage != "" {
			return errors.New(failure.ErrorMessage)
		}
		return fmt.Errorf("%s ended with %s: %s", r.ExportFunction, *out.FunctionError, out.Payload)
	}
	if err := json.Unmarshal(out.Payload, answer); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", r.ExportFunction, err)
	}
	return nil
}

// examine asks the pipeline's doctor.
func (r *runner) examine(ctx context.Context) (findings.Report, error) {
	var f findings.Report
	if err := r.ask(ctx, map[string]string{"command": "doctor"}, &f); err != nil {
		return f, fmt.Errorf("asking the doctor of %s: %w", r.name, err)
	}
	r.say("the doctor: %s", f.Summary())
	if f.Worst() == findings.Error {
		return f, fmt.Errorf("the doctor of %s found an error:\n%s", r.name, f.Text())
	}
	return f, nil
}

// compare reads every file of every run below the head, and looks each row up in the table.
func (r *runner) compare(ctx context.Context, db *sql.DB) (string, error) {
	table, err := tableRows(ctx, db)
	if err != nil {
		return "", err
	}
	l := report.Ledger{Table: int64(len(table))}
	h, err := readHead(ctx, r.s3, r.bucket, r.name)
	if err != nil {
		return "", err
	}
	seen := map[saleKey]bool{}
	for ref := h.Manifest; ref != nil; l.Runs++ {
		m, err := readManifest(ctx, r.s3, r.bucket, *ref)
		if err != nil {
			return "", err
		}
		for _, f := range m.Files {
			err := r.fileRows(ctx, f, func(key saleKey, version string) {
				l.Files++
				switch {
				case seen[key]:
					l.Twice++
				case table[key] != version:
					l.Other++
				}
				seen[key] = true
			})
			if err != nil {
				return "", err
			}
		}
		ref = m.Parent
	}
	for key := range table {
		if !seen[key] {
			l.Missing++
		}
	}
	r.recorder.ledger(r.name, l)
	if !l.Exact() {
		return "", fmt.Errorf("the %d runs below the head hold %s rows, and dbo.Sales %s: %d are missing, %d there twice, %d others",
			l.Runs, thousands(l.Files), thousands(l.Table), l.Missing, l.Twice, l.Other)
	}
	return fmt.Sprintf("the %d runs below the head hold the %s rows of dbo.Sales, each once, with its row version", l.Runs, thousands(l.Table)), nil
}

// saleKey is the primary key of dbo.Sales; Day is counted from 1970.
type saleKey struct {
	Day        int32
	Shop, Item int32
}

// tableRows gives the row version of each row of dbo.Sales.
func tableRows(ctx context.Context, db *sql.DB) (map[saleKey]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT SaleDate, ShopId, ItemId, RowVer FROM dbo.Sales")
	if err != nil {
		return nil, fmt.Errorf("reading dbo.Sales: %w", err)
	}
	defer rows.Close()
	all := map[saleKey]string{}
	for rows.Next() {
		var day time.Time
		var key saleKey
		var version []byte
		if err := rows.Scan(&day, &key.Shop, &key.Item, &version); err != nil {
			return nil, fmt.Errorf("reading dbo.Sales: %w", err)
		}
		key.Day = int32(day.Unix() / (24 * 60 * 60))
		all[key] = hex.EncodeToString(version)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading dbo.Sales: %w", err)
	}
	return all, nil
}

// fileRows reads the rows of a Parquet file.
func (r *runner) fileRows(ctx context.Context, f manifest.File, each func(key saleKey, version string)) error {
	body, err := readObject(ctx, r.s3, r.bucket, f.Key, f.VersionID)
	if err != nil {
		return err
	}
	table, err := pqarrow.ReadTable(ctx, bytes.NewReader(body), parquet.NewReaderProperties(nil), pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return fmt.Errorf("reading s3://%s/%s: %w", r.bucket, f.Key, err)
	}
	defer table.Release()
	batches := array.NewTableReader(table, 0)
	defer batches.Release()
	for batches.Next() {
		batch := batches.RecordBatch()
		column := func(name string) any {
			for _, i := range batch.Schema().FieldIndices(name) {
				return batch.Column(i)
			}
			return nil
		}
		day, dayOK := column("SaleDate").(*array.Date32)
		shop, shopOK := column("ShopId").(*array.Int32)
		item, itemOK := column("ItemId").(*array.Int32)
		version, versionOK := column("RowVer").(*array.Binary)
		if !dayOK || !shopOK || !itemOK || !versionOK {
			return fmt.Errorf("s3://%s/%s has other columns than dbo.Sales: %s", r.bucket, f.Key, batch.Schema())
		}
		for i := range int(batch.NumRows()) {
			each(saleKey{int32(day.Value(i)), shop.Value(i), item.Value(i)}, hex.EncodeToString(version.Value(i)))
		}
	}
	return batches.Err()
}
