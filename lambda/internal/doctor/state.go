package doctor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"sagemaker-datapipeline/lambda/findings"
	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/pipeline"
)

// sameSource examines whether the database and the table are those that the runs before read.
func (x *examination) sameSource(context.Context) {
	if x.Head.Manifest == nil {
		x.ok("same source", "nothing is committed yet")
		return
	}
	now := x.identity.Identity
	if t := x.table; t != nil {
		now.Table, now.ObjectID, now.TableCreated = t.Name, t.ObjectID, t.Created
	}
	differs := x.Head.Identity.Differs(now)
	query := digest(x.Spec.ReadsAs(x.selection.QueryText()))
	switch {
	case x.Head.QuerySHA256 != "" && x.Head.QuerySHA256 != query:
		x.changed("same source", "QueryChanged", "what the pipeline reads was changed since the last run")
	case differs != "" && aboutTable(x.Head.Identity, now):
		x.changed("same source", "TableRecreated", differs)
	case differs != "":
		x.changed("same source", "DatabaseRestored", differs)
	default:
		x.ok("same source", "query, database and table are those of run %s, as far as this login can see", x.Head.Manifest.Run)
	}
}

// aboutTable says whether the database is the same and only the table isn't.
func aboutTable(was, is head.Identity) bool {
	is.Table, is.ObjectID, is.TableCreated = was.Table, was.ObjectID, was.TableCreated
	return was.Differs(is) == ""
}

// changed says what the next run does about a source that isn't the one before.
func (x *examination) changed(check, name, what string) {
	policy := x.source.OnChange
	if policy == "" && x.source.Load != pipeline.Append {
		policy = pipeline.NewGeneration
	}
	if policy == pipeline.NewGeneration {
		x.add(check, findings.Warning, fmt.Sprintf("%s: the next run begins a generation [%s]", what, name), "")
		return
	}
	remedy := "begin a generation by the command rebaseline, or set source.onChange to newGeneration"
	if name == "DatabaseRestored" {
		remedy += "; after a failover in which no row was lost, rebaseline -keep-watermark goes on in this one"
	}
	x.add(check, findings.Error, fmt.Sprintf("%s: the next run is refused [%s]", what, name), remedy)
}

// farBehind is how many row versions may wait behind an open transaction before it is worth a word: a busy database has some at any moment.
const farBehind = 1000

// cursor examines where an append load's next bound would be.
func (x *examination) cursor(ctx context.Context) {
	c := x.source.Cursor
	if c == nil {
		return
	}
	watermark := ""
	if w := x.Head.Watermark; w != nil {
		watermark = w.Value
	}
	switch c.Kind {
	case pipeline.RowversionCursor:
		x.rowversion(ctx, watermark)
	case pipeline.IdentityCursor, pipeline.TimeCursor:
		x.overlap(ctx, *c, watermark)
	}
}

func (x *examination) rowversion(ctx context.Context, watermark string) {
	versions, err := x.session.Rowversions(ctx)
	if err != nil {
		x.unseen("row versions", err)
		return
	}
	var mark uint64
	if watermark != "" {
		if mark, err = sqlserver.ParseRowversion(watermark); err != nil {
			x.add("watermark", findings.Error, "the head's watermark: "+err.Error(), "restore an earlier version of the head, or begin a generation by the command rebaseline")
			return
		}
	}
	if versions.MinActive < mark {
		x.changed("watermark", "BoundBelowWatermark", fmt.Sprintf("the database's row versions are at %s, below the watermark %s of the last run: it was restored, or a failover lost rows",
			sqlserver.RowversionText(versions.MinActive), watermark))
		return
	}
	x.pinned(ctx, versions, mark)
}

// pinned examines whether an open transaction holds the bound back.
func (x *examination) pinned(ctx context.Context, versions sqlserver.Rowversions, mark uint64) {
	var waiting uint64
	if versions.Last >= versions.MinActive {
		waiting = versions.Last - versions.MinActive + 1
	}
	blocked := waiting > 0 && mark == versions.MinActive
	if waiting < farBehind && !blocked {
		x.ok("row versions", "the next run reads to %s; %d row versions wait behind an open transaction", sqlserver.RowversionText(versions.MinActive), waiting)
		return
	}
	who, err := x.session.Blocker(ctx)
	switch {
	case err != nil:
		who = "who holds it could not be looked at: " + err.Error()
	case who == "":
		who = "it has ended since"
	}
	found := fmt.Sprintf("%d row versions wait behind an open transaction: %s", waiting, who)
	if blocked {
		found = "the next run would be blocked, nothing new can be read: " + found
	}
	x.add("row versions", findings.Warning, found,
		"end that transaction; an application that leaves transactions open while it waits for somebody holds back every reader of row versions")
}

// overlap examines a cursor that is at-least-once.
func (x *examination) overlap(ctx context.Context, c pipeline.Cursor, watermark string) {
	unit := "values"
	if c.Kind == pipeline.TimeCursor {
		unit = "seconds"
	}
	x.ok("cursor", "%s is followed with an overlap of %d %s: a row that is committed later than that behind its neighbours is lost; a rowversion column would be exact", c.Column, c.Overlap, unit)
	column, found := find(x.described, c.Column)
	if watermark == "" || !found || c.Kind != pipeline.IdentityCursor || x.table == nil || !x.table.Led(c.Column) {
		return
	}
	highest, there, err := x.session.Highest(ctx, x.source.Table, column)
	if err != nil {
		x.unseen("watermark", err)
		return
	}
	if !there {
		highest = "nothing"
	}
	if !there || below(highest, watermark) {
		x.add("watermark", findings.Error, fmt.Sprintf("the highest value of %s is %s, below the watermark %s of the last run: rows were deleted, the table was truncated or the database restored [BoundBelowWatermark]", c.Column, highest, watermark),
			"begin a generation by the command rebaseline")
		return
	}
	x.ok("watermark", "the last run read to below %s, and the highest value of %s is %s", watermark, c.Column, highest)
}

// below says whether the highest integer, plus one, is below the watermark.
func below(highest, watermark string) bool {
	h, err := strconv.ParseInt(highest, 10, 64)
	w, also := strconv.ParseInt(watermark, 10, 64)
	return err == nil && also == nil && h+1 < w
}

// rights examines the rights without which a run goes on and says less.
func (x *examination) rights(ctx context.Context) {
	if x.source.Cursor == nil || x.source.Cursor.Kind != pipeline.RowversionCursor {
		return
	}
	has, known, err := x.session.HasServerPermission(ctx, "VIEW SERVER STATE", "VIEW SERVER PERFORMANCE STATE")
	switch {
	case err != nil:
		x.unseen("right to see transactions", err)
	case !known:
		x.add("right to see transactions", findings.Warning, "whether the login may see other sessions' transactions could not be read: a run that is blocked may not be able to name the session that blocks it", "")
	case has:
		x.ok("right to see transactions", "a run that is blocked can name the session that blocks it")
	default:
		x.add("right to see transactions", findings.Warning, "the login may not see other sessions' transactions: a run that is blocked can't name the session that blocks it",
			"GRANT VIEW SERVER STATE (from SQL Server 2022 on VIEW SERVER PERFORMANCE STATE) TO the login, if its owner agrees; nothing else needs it")
	}
}

// digest is what a head says of a query.
func digest(query string) string {
	sum := sha256.Sum256([]byte(query))
	return hex.EncodeToString(sum[:])
}
