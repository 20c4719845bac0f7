package config

import "fmt"

// export checks the function's times against each other, and the limits against how the source is read.
func (v validator) export(p *Pipeline, n *node) {
	e := p.Export
	path := func(key string) string { return n.at("export", key) }
	if reading := e.ConnectTimeoutSeconds + e.StatementTimeoutSeconds; reading >= e.TimeoutSeconds {
		v.add(path("statementTimeoutSeconds"), fmt.Sprintf("got %d, with %d for connecting", e.StatementTimeoutSeconds, e.ConnectTimeoutSeconds),
			fmt.Sprintf("write at most %d: the function has %d seconds (timeoutSeconds), and a run that it can't finish it must still be able to announce",
				max(e.TimeoutSeconds-e.ConnectTimeoutSeconds-1, 1), e.TimeoutSeconds))
	}
	if e.LockTimeoutSeconds > e.StatementTimeoutSeconds {
		v.add(path("lockTimeoutSeconds"), fmt.Sprintf("got %d", e.LockTimeoutSeconds),
			fmt.Sprintf("write at most %d, what the statement has (statementTimeoutSeconds)", e.StatementTimeoutSeconds))
	}
	v.memory(e, path)
	if p.Source.PartitionBy == "" {
		if e.Connections > 1 {
			v.add(path("connections"), fmt.Sprintf("got %d", e.Connections), "write 1, or source.partitionBy: one statement is read by one connection, and several read ranges of a column")
		}
		if e.RowsPerSecond > 0 {
			v.add(path("rowsPerSecond"), fmt.Sprintf("got %d", e.RowsPerSecond),
				"leave it out, or write source.partitionBy: the pauses are between pages; a single statement can only be stalled, and it holds its locks and its row versions meanwhile")
		}
	}
	if h := e.AllowedHours; h != nil {
		if remedy := checkTimeZone(h.TimeZone); remedy != "" {
			v.add(n.at("export", "allowedHours", "timeZone"), "got "+quote(h.TimeZone), remedy)
		}
		if h.From == h.To {
			v.add(n.at("export", "allowedHours", "to"), "got "+quote(h.To)+", the same as from", "write when the hours end, or leave allowedHours out: always")
		}
	}
}

// What an export takes of memory. One connection that writes Parquet was measured to peak at 194 MB with narrow rows, at 315 MB with
// values of 4 MiB and at 467 MB with values of 8 MiB, whatever the number of rows (docs/types.md, "Large values").
const (
	functionMiB      = 100
	connectionMiB    = 100
	connectionValues = 38
)

// largestFunctionMiB is AWS Lambda's limit.
const largestFunctionMiB = 10_240

// memory finds a function that would be killed in the middle of reading.
func (v validator) memory(e Export, path func(string) string) {
	if v.malformed.touch(path("connections")) || v.malformed.touch(path("maxValueBytes")) {
		return
	}
	needed := functionMiB + e.Connections*(connectionMiB+inMiB(connectionValues*e.MaxValueBytes))
	if e.MemoryMiB >= needed {
		return
	}
	got := fmt.Sprintf("got %d, with %d for connections and %d for maxValueBytes", e.MemoryMiB, e.Connections, e.MaxValueBytes)
	why := fmt.Sprintf("the function takes %d MiB, and each connection %d MiB and %d times maxValueBytes", functionMiB, connectionMiB, connectionValues)
	if needed > largestFunctionMiB {
		v.add(path("memoryMiB"), got, fmt.Sprintf("write fewer connections or a smaller maxValueBytes: these need %d MiB, and AWS Lambda has %d; %s", needed, largestFunctionMiB, why))
		return
	}
	v.add(path("memoryMiB"), got, fmt.Sprintf("write at least %d, fewer connections, or a smaller maxValueBytes: %s", needed, why))
}

// inMiB rounds up.
func inMiB(bytes int) int { return (bytes + 1<<20 - 1) >> 20 }
