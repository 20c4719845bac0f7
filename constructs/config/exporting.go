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
