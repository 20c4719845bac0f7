package config

import (
	"fmt"
	"regexp"
	"strings"

	"sagemaker-datapipeline/lambda/pipeline"
)

var tableName = regexp.MustCompile(`^([\p{L}_][\p{L}\p{N}_@#$]*|\[([^\]]|\]\])+\])\.([\p{L}_][\p{L}\p{N}_@#$]*|\[([^\]]|\]\])+\])$`)

// source checks what is read, and how a run's rows relate to those of the runs before it.
func (v validator) source(s *Source, n *node) {
	path := func(keys ...any) string { return n.at(append([]any{"source"}, keys...)...) }
	if s.Table != "" && !tableName.MatchString(s.Table) {
		v.add(path("table"), "got "+quote(s.Table), "write schema.name, such as dbo.Transactions, and a name with spaces or signs in brackets, as in Sales.[Order Details]; the database has a key of its own in the environment")
	}
	if s.Query != "" {
		var remedy string
		if s.QueryText, remedy = v.files.query(s.Query); remedy != "" {
			v.add(path("query"), "got "+quote(s.Query), remedy)
		}
	}
	if s.Load == pipeline.Append {
		v.appendLoad(*s, n)
	} else {
		v.fullLoad(*s, n)
	}
	if s.PartitionBy != "" && s.Consistency == pipeline.Snapshot {
		v.add(path("partitionBy"), "got "+quote(s.PartitionBy)+` beside the consistency "snapshot"`, "leave one of them out: ranges are read by transactions of their own, and connections can't share a snapshot")
	}
	if s.PartitionBy != "" {
		v.derived(*s, path("partitionBy"), "partitionBy")
	}
	if s.CountRows {
		if s.Consistency != pipeline.Snapshot {
			v.add(path("countRows"), `got true with the consistency "`+string(s.Consistency)+`"`, `write "consistency": "snapshot", or leave it out: rows that are counted at another moment than they are read may be others`)
		}
		v.derived(*s, path("countRows"), "countRows")
	}
	for i, consent := range s.Accept {
		for _, before := range s.Accept[:i] {
			if consent == before {
				v.add(path("accept", i), "got "+quote(string(consent))+" a second time", "take one of them out")
			}
		}
	}
}

func (v validator) appendLoad(s Source, n *node) {
	path := func(keys ...any) string { return n.at(append([]any{"source"}, keys...)...) }
	if s.Query != "" {
		v.add(path("query"), "got "+quote(s.Query)+` with the load "append"`, "name the base table instead: a query's rows change when anything that it joins does, and no cursor shows it; a query is a full load, with a window where it is large")
	}
	if s.Window != nil {
		v.add(path("window"), `is beside the load "append"`, "leave it out: the cursor says which rows are new; how far back a training reaches is dataset.trainingWindow")
	}
	if !s.Immutable {
		v.add(path("immutable"), "is missing", `write true, if rows of the table are added and neither changed nor deleted: an append load doesn't see that. If they are, write "load": "full"`)
	}
	if s.Cursor == nil {
		v.add(path("cursor"), "is missing", `write what grows as rows are added: {"rowversion": "RowVer"}, which is exact, or {"identity": "Id"} or {"time": "CreatedAt"}`)
	} else {
		v.overlap(*s.Cursor, n)
	}
	if s.fromReplica() {
		v.add(path("readFrom"), `got "replica" with the load "append"`, `write "primary": a bound that is read on a replica doesn't see the transactions that are open on the primary, and rows would be lost`)
	}
}

func (v validator) overlap(c Cursor, n *node) {
	cursor := n.member("source").member("cursor")
	for _, o := range []struct{ key, of, column string }{
		{"overlapValues", "identity", c.Identity}, {"overlapMinutes", "time", c.Time},
	} {
		if said := cursor.member(o.key); !said.absent() && o.column == "" {
			v.add(said.path, said.said()+" beside another kind of cursor", fmt.Sprintf("leave it out: it belongs to a cursor of the kind %s; a rowversion needs no overlap", o.of))
		}
	}
}

func (v validator) fullLoad(s Source, n *node) {
	path := func(key string) string { return n.at("source", key) }
	v.window(s, n)
	if s.Cursor != nil {
		v.add(path("cursor"), `is beside the load "full"`, `leave it out, or write "load": "append": a full load reads everything in each run`)
	}
	if s.Immutable {
		v.add(path("immutable"), `got true with the load "full"`, `leave it out, or write "load": "append": a full load takes rows as they are`)
	}
}

// window finds a window without a query that uses it, and the other way round.
func (v validator) window(s Source, n *node) {
	path := n.at("source", "window")
	starts := usesWindow(s.QueryText)
	switch {
	case s.Window == nil && starts:
		v.add(path, "is missing, and the query uses @windowStart", `write how far before the run the window begins, as in {"days": 90}`)
	case s.Window == nil:
	case s.Table != "":
		v.add(path, "is of a table, which is read as it is", "write a query with @windowStart, as in WHERE OccurredAt >= @windowStart AND OccurredAt < @windowEnd, or leave the window out")
	case s.QueryText != "" && !starts:
		v.add(path, "is used by nothing: the query has no @windowStart", "use it, as in WHERE OccurredAt >= @windowStart AND OccurredAt < @windowEnd, or leave the window out")
	}
}

// derived finds a query that can't become a derived table, as far as its first word shows; the export looks at the rest before it
// reads.
func (v validator) derived(s Source, path, what string) {
	if word := firstWord(s.QueryText); strings.EqualFold(word, "with") {
		v.add(path, "is of a query that begins with WITH", fmt.Sprintf("write the query without a common table expression, or as a view: for %s it becomes a part of another statement", what))
	}
}

// replicaReaders finds pipelines that read from a replica which the environment doesn't have.
func (v validator) replicaReaders(e Environment, n *node, pipelines map[string]Pipeline) {
	if e.Database.Replica != nil || n == nil || n.kind != object {
		return
	}
	for name, p := range pipelines {
		if p.Source.fromReplica() {
			v.add(n.at("database", "replica"), fmt.Sprintf("is missing, and the pipeline %q reads from it", name),
				fmt.Sprintf(`write {"host": …}, or for this environment "pipelines": {%q: {"source": {"readFrom": "primary"}}}`, name))
		}
	}
}
