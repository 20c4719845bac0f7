package sqlserver

import (
	"context"
	"errors"
	"fmt"

	mssql "github.com/microsoft/go-mssqldb"
)

// Describe is a statement for DescribeColumns: it has every column of the source and, as far as SQL Server allows, no row.
func (x *Selection) Describe() Statement {
	if x.unwrappable != nil {
		return Statement{Text: x.query, From: x.from, Params: x.params, formatOnly: true}
	}
	return Statement{Text: "SELECT TOP (0) * FROM " + x.fromClause(), From: x.from, Params: x.params}
}

// DescribeSelected is Describe for some columns of the source, with their casts; nil is all.
func (x *Selection) DescribeSelected(cols []Selected) Statement {
	if cols == nil {
		return x.Describe()
	}
	return x.start(cols, "TOP (0) ").statement("")
}

// DescribeColumns gives the columns of a statement. Of one that Describe made, the server reads no row.
func (s *Session) DescribeColumns(ctx context.Context, st Statement) (columns []Column, err error) {
	if st.formatOnly {
		// A server that doesn't know the setting reads up to the first row.
		if err := s.set(ctx, "SET FMTONLY ON"); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, s.set(ctx, "SET FMTONLY OFF")) }()
	}
	r, err := s.Query(ctx, st)
	if err != nil {
		return nil, err
	}
	columns = r.Columns()
	if !r.rows.Next() { // the rows' end is here already, and nothing has to be cancelled
		r.finish()
		err = r.fault(nil)
	}
	return columns, errors.Join(err, r.Close())
}

// Count gives what a statement that Selection.Count made counts.
func (s *Session) Count(ctx context.Context, st Statement) (int64, error) {
	rows, err := s.rowsOf(ctx, st)
	if err != nil {
		return 0, err
	}
	if len(rows) == 1 {
		if n, ok := rows[0][0].(int64); ok {
			return n, nil
		}
	}
	return 0, fmt.Errorf("counting the rows of %s gave no number", st.From)
}

// set sends a setting that can be done without.
func (s *Session) set(ctx context.Context, setting string) error {
	defer s.dialer.severLate(ctx)()
	_, err := s.conn.ExecContext(ctx, setting)
	var server mssql.Error
	if err == nil || errors.As(err, &server) && ctx.Err() == nil {
		return nil
	}
	return queryError(ctx, setting, err)
}
