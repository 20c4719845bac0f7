package sqlserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/golang-sql/sqlexp"
)

// Column is one column of a result as the server describes it.
type Column struct {
	Name string
	// Type is SQL Server's name of the type in lower case, without length or precision.
	Type string
	// Length in characters or bytes; -1 when the type has none, MaxLength for (max).
	Length int64
	// Precision and Scale are -1 when the type has none.
	Precision, Scale int64
	Nullable         bool
	// Collation is the column's in the catalog. A result doesn't tell it: empty.
	Collation string
}

// MaxLength is the length of a (max) column.
const MaxLength = int64(1<<31 - 2)

// Rows is a result that is being read.
type Rows struct {
	ctx      context.Context //nolint:containedctx // why the statement was cancelled is known to this context only
	rows     *sql.Rows
	messages *messages
	ended    func()
	from     string
	columns  []Column
	values   []any
	dest     []any
	done     int64
	closed   bool
}

// Query sends the statement. The rows have to be closed; a cancelled context cancels the statement on the server.
func (s *Session) Query(ctx context.Context, st Statement) (*Rows, error) {
	if st.err != nil {
		return nil, st.err
	}
	sql, arguments := st.Text, []any(nil)
	if len(st.Params) > 0 {
		sql, arguments = executeSQL(st)
	}
	ended := s.dialer.severLate(ctx)
	m := &messages{}
	// The driver has no other way to tell what a DONE token counted.
	rows, err := s.conn.QueryContext(ctx, sql, append(arguments, &m.queue)...)
	if err != nil {
		ended()
		return nil, queryError(ctx, st.From, err)
	}
	go m.receive(context.WithoutCancel(ctx))
	r := &Rows{ctx: ctx, rows: rows, messages: m, ended: ended, from: st.From}
	if err := r.describe(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// executeSQL is the call of sp_executesql that declares the parameters. The driver would declare them by their Go types.
func executeSQL(st Statement) (string, []any) {
	declarations := make([]string, len(st.Params))
	arguments := []any{st.Text, ""}
	for i, p := range st.Params {
		declarations[i] = "@" + p.Name + " " + p.Type
		arguments = append(arguments, sql.Named(p.Name, p.Value))
	}
	arguments[1] = strings.Join(declarations, ", ")
	return "sp_executesql", arguments
}

// messages are what the driver says beside the rows. They are received all the time: the driver stops reading when nobody takes them.
type messages struct {
	queue sqlexp.ReturnMessage
	// What follows is written by receive, and read after sync.
	results int
	counted bool
	count   int64
	err     error
}

// marker is put into the queue behind what the driver put there. It is closed when everything before it was received.
type marker struct {
	reached chan struct{}
	last    bool
}

// receive runs until the last marker, also when the statement is cancelled.
func (m *messages) receive(ctx context.Context) {
	for {
		switch message := m.queue.Message(ctx).(type) {
		case marker:
			close(message.reached)
			if message.last {
				return
			}
		case sqlexp.MsgNext:
			m.results++
		case sqlexp.MsgRowsAffected:
			if m.results == 1 && !m.counted {
				m.counted, m.count = true, message.Count
			}
		case sqlexp.MsgError:
			// The first says why; those after it say what followed from it.
			if m.err == nil {
				m.err = message.Error
			}
		}
	}
}

// sync waits until everything that the driver said was received. last ends the receiving.
func (m *messages) sync(ctx context.Context, last bool) {
	reached := make(chan struct{})
	_ = sqlexp.ReturnMessageEnqueue(context.WithoutCancel(ctx), &m.queue, marker{reached, last})
	<-reached
}

func (r *Rows) describe() error {
	more := r.rows.NextResultSet()
	var types []*sql.ColumnType
	var err error
	if more {
		types, err = r.rows.ColumnTypes()
	}
	if err == nil && len(types) > 0 {
		for _, t := range types {
			r.columns = append(r.columns, columnOf(t))
		}
		r.values = make([]any, len(types))
		r.dest = make([]any, len(types))
		for i := range r.values {
			r.dest[i] = &r.values[i]
		}
		return nil
	}
	if err := r.fault(err); err != nil {
		return err
	}
	return fmt.Errorf("%s gave no result: it has to be one SELECT", r.from)
}

func columnOf(t *sql.ColumnType) Column {
	c := Column{Name: t.Name(), Type: strings.ToLower(t.DatabaseTypeName()), Length: -1, Precision: -1, Scale: -1, Nullable: true}
	if n, ok := t.Length(); ok {
		c.Length = min(n, MaxLength)
	}
	if p, s, ok := t.DecimalSize(); ok {
		c.Precision, c.Scale = p, s
	}
	if nullable, ok := t.Nullable(); ok {
		c.Nullable = nullable
	}
	return c
}

// fault is why the result ended too early, or nil. The driver hands what the server said to the messages alone.
func (r *Rows) fault(err error) error {
	r.messages.sync(r.ctx, false)
	switch {
	case r.messages.err != nil:
		return queryError(r.ctx, r.from, r.messages.err)
	case err != nil:
		return queryError(r.ctx, r.from, err)
	case r.rows.Err() != nil:
		return queryError(r.ctx, r.from, r.rows.Err())
	case r.ctx.Err() != nil:
		return queryError(r.ctx, r.from, r.ctx.Err())
	}
	return nil
}

// Columns describes the result.
func (r *Rows) Columns() []Column { return slices.Clone(r.columns) }

// Next gives the next row as the driver's values: nil, bool, int64, float64, string, []byte (binary, decimals and money as
// text, uniqueidentifier as 16 bytes in the order of its text) or time.Time. The slice is overwritten by the next call.
// After the last row, and the server's word that it was the last, it gives io.EOF; a result that broke off is another error.
func (r *Rows) Next() ([]any, error) {
	if r.rows.Next() {
		if err := r.rows.Scan(r.dest...); err != nil {
			return nil, queryError(r.ctx, r.from, err)
		}
		return r.values, nil
	}
	if err := r.fault(nil); err != nil {
		return nil, err
	}
	r.finish()
	if err := r.fault(nil); err != nil {
		return nil, err
	}
	switch {
	case r.messages.results > 1:
		return nil, fmt.Errorf("%s gave more than one result: it has to be one SELECT", r.from)
	case !r.messages.counted:
		return nil, fmt.Errorf("reading %s: the server ended the rows without saying how many it sent, so that none can be shown to be missing", r.from)
	}
	r.done = r.messages.count
	return nil, io.EOF
}

// finish reads what follows the rows, up to the final DONE.
func (r *Rows) finish() {
	more := true
	for more {
		more = r.rows.NextResultSet()
	}
}

// Done is how many rows the server says that it sent, after Next gave io.EOF.
func (r *Rows) Done() int64 { return r.done }

// Close ends reading and cancels what the server still had to send. Closing again does nothing.
func (r *Rows) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	defer r.ended()
	defer r.messages.sync(r.ctx, true)
	if err := r.rows.Close(); err != nil {
		return queryError(r.ctx, r.from, err)
	}
	return nil
}

// rowsOf reads the whole of a small result.
func (s *Session) rowsOf(ctx context.Context, st Statement) (_ [][]any, err error) {
	r, err := s.Query(ctx, st)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var all [][]any
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, slices.Clone(row))
	}
}

// ask reads a small result that can be done without: known is false when the server refuses it, for want of a view or of a right. An
// error is of the connection, or one that may be gone when everything starts over.
func (s *Session) ask(ctx context.Context, what, sql string, params ...Param) (rows [][]any, known bool, err error) {
	rows, err = s.rowsOf(ctx, Statement{Text: sql, From: what, Params: params})
	var refused *Error
	if errors.As(err, &refused) && refused.Number != 0 && !refused.Transient && ctx.Err() == nil {
		return nil, false, nil
	}
	return rows, err == nil, err
}
