package sqlserver

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// Rowversions are where a database's row versions are.
type Rowversions struct {
	// MinActive is the lowest version that a transaction which is still open may have given: every version below it is committed or
	// rolled back. Without open transactions it is Last + 1.
	MinActive uint64
	// Last is the version that was given last.
	Last uint64
}

// Rowversions asks for the database's versions. The lowest active one is asked first and alone: what it says is true of every statement
// after it, and of no snapshot that began before it.
func (s *Session) Rowversions(ctx context.Context) (Rowversions, error) {
	var v Rowversions
	for _, one := range []struct {
		sql string
		to  *uint64
	}{{"SELECT MIN_ACTIVE_ROWVERSION()", &v.MinActive}, {"SELECT @@DBTS", &v.Last}} {
		rows, err := s.rowsOf(ctx, Statement{Text: one.sql, From: "the database's row versions"})
		if err != nil {
			return Rowversions{}, err
		}
		var b []byte
		if len(rows) == 1 {
			b, _ = rows[0][0].([]byte)
		}
		if len(b) != 8 {
			return Rowversions{}, fmt.Errorf("%s gave no row version: a rowversion cursor needs SQL Server, follow an identity or time column instead", one.sql)
		}
		*one.to = binary.BigEndian.Uint64(b)
	}
	return v, nil
}

// Blocker says in words which session has had a transaction open for longest that wrote to the database, or that the right to see it is
// missing; "" when there is none any more.
func (s *Session) Blocker(ctx context.Context) (string, error) {
	const sql = `SELECT TOP (1) st.session_id, es.login_name, es.program_name, es.host_name, dt.database_transaction_begin_time, GETDATE()
FROM sys.dm_tran_database_transactions AS dt
JOIN sys.dm_tran_session_transactions AS st ON st.transaction_id = dt.transaction_id
LEFT JOIN sys.dm_exec_sessions AS es ON es.session_id = st.session_id
WHERE dt.database_id = DB_ID() AND dt.database_transaction_begin_time IS NOT NULL AND st.session_id <> @@SPID
ORDER BY dt.database_transaction_begin_time`
	rows, known, err := s.ask(ctx, "the open transactions", sql)
	switch {
	case err != nil:
		return "", err
	case !known:
		return "the open transaction's session can't be seen: grant VIEW SERVER STATE (from SQL Server 2022 on: VIEW SERVER PERFORMANCE STATE) to the pipeline's login to have it named", nil
	case len(rows) == 0:
		return "", nil
	}
	row := rows[0]
	said := []string{fmt.Sprintf("session %v", row[0])}
	for i, what := range []string{"login", "program", "host"} {
		if text, _ := row[1+i].(string); strings.TrimSpace(text) != "" {
			said = append(said, fmt.Sprintf("%s %q", what, text))
		}
	}
	since, ok := row[4].(time.Time)
	now, also := row[5].(time.Time)
	if ok && also {
		// Both are the server's own local time.
		said = append(said, fmt.Sprintf("has had a transaction open for %s", now.Sub(since).Round(time.Second)))
	}
	return strings.Join(said, ", "), nil
}
