package sqlserver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sqlc-dev/teesql/ast"
	"github.com/sqlc-dev/teesql/parser"

	"sagemaker-datapipeline/test/local/sqlserver/sqlite"
)

// variables are the variables and parameters of a batch.
type variables struct{ m map[string]*variable }

type variable struct {
	typ   sqlType
	value any
}

func newVariables() *variables { return &variables{m: map[string]*variable{}} }

func (v *variables) get(name string) *variable { return v.m[strings.ToLower(name)] }

func (v *variables) declare(name string, t sqlType, value any) error {
	key := strings.ToLower(name)
	if v.m[key] != nil {
		return newError(134, 15, "The variable name '%s' has already been declared. Variable names must be unique within a query batch or stored procedure.", name)
	}
	v.m[key] = &variable{typ: t, value: value}
	return nil
}

// parseTimeout is how long a batch may take to parse. checkGrammar refuses all that the parser is known never to end on; should there
// be more, the client gets this error, and the parser's goroutine is lost.
const parseTimeout = 5 * time.Second

const neverParsed = "Incorrect syntax: the statement could not be parsed in %v."

// parse reads a batch. What the parser makes of text that is no T-SQL is refused here or by the planner: it is lenient.
func parse(text string) ([]ast.Statement, error) {
	text, err := checkTokens(text)
	if err != nil {
		return nil, err
	}
	if err := checkGrammar(text); err != nil {
		return nil, err
	}
	text = collateAsOperator(text)
	type result struct {
		list []ast.Statement
		err  error
	}
	done := make(chan result, 1)
	go func() {
		list, err := parseScript(text)
		done <- result{list, err}
	}()
	timer := time.NewTimer(parseTimeout)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.list, r.err
	case <-timer.C:
		return nil, newError(errSyntax, 15, neverParsed, parseTimeout)
	}
}

func parseScript(text string) (_ []ast.Statement, err error) {
	defer func() {
		// The parser was written for scripts that are correct; a panic on others must not take the server down.
		if r := recover(); r != nil {
			err = newError(errSyntax, 15, "Incorrect syntax: the statement could not be parsed (%v).", r)
		}
	}()
	script, err := parser.Parse(context.Background(), strings.NewReader(text))
	if err != nil {
		return nil, syntaxError(err, text)
	}
	var out []ast.Statement
	for _, b := range script.Batches {
		out = append(out, b.Statements...)
	}
	return out, nil
}

// syntaxError makes a parser's error into SQL Server's.
func syntaxError(err error, text string) *sqlError {
	msg := err.Error()
	near := "the end of the statement"
	if i := strings.LastIndex(msg, "got "); i >= 0 {
		near = strings.Trim(msg[i+4:], "\"' ")
	}
	if near == "" {
		near = text[:min(len(text), 20)]
	}
	word := strings.ToUpper(near)
	if reserved[word] {
		return newError(errSyntaxKeyword, 15, "Incorrect syntax near the keyword '%s' (%s).", near, msg)
	}
	return newError(errSyntax, 15, "Incorrect syntax near '%s' (%s).", near, msg)
}

var reserved = func() map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq("SELECT FROM WHERE GROUP BY HAVING ORDER UNION ALL EXCEPT INTERSECT INSERT INTO VALUES UPDATE SET DELETE CREATE " +
		"TABLE DROP INDEX AND OR NOT IN IS NULL LIKE BETWEEN EXISTS CASE WHEN THEN ELSE END AS ON JOIN INNER LEFT RIGHT FULL OUTER CROSS " +
		"TOP DISTINCT WITH DECLARE EXEC EXECUTE BEGIN COMMIT ROLLBACK TRAN TRANSACTION TRUNCATE IF WHILE RETURN PRINT USE OVER PRIMARY KEY") {
		m[w] = true
	}
	return m
}()

// checkTokens refuses what the lenient parser would pass: texts, comments and parentheses that don't end. It gives the text with
// blanks for the marks of comments within comments, which T-SQL nests and the parser doesn't.
func checkTokens(text string) (string, error) {
	depth := 0
	var nested []int // places of such marks
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\'', '"', '[':
			end := c
			if c == '[' {
				end = ']'
			}
			j := i + 1
			for ; j < len(text); j++ {
				if text[j] == end {
					if j+1 < len(text) && text[j+1] == end {
						j++
						continue
					}
					break
				}
			}
			if j >= len(text) {
				if c == '\'' {
					return "", newError(105, 15, "Unclosed quotation mark after the character string '%s'.", text[i+1:])
				}
				return "", newError(103, 15, "Unclosed quotation mark: the identifier that starts with '%s' does not end.", text[i:min(i+30, len(text))])
			}
			i = j
		case '-':
			if i+1 < len(text) && text[i+1] == '-' {
				for i < len(text) && text[i] != '\n' {
					i++
				}
			}
		case '/':
			if i+1 < len(text) && text[i+1] == '*' {
				level := 1
				j := i + 2
				for ; j < len(text) && level > 0; j++ {
					if j+1 < len(text) && text[j] == '*' && text[j+1] == '/' {
						if level--; level > 0 {
							nested = append(nested, j)
						}
						j++
					} else if j+1 < len(text) && text[j] == '/' && text[j+1] == '*' {
						level++
						nested = append(nested, j)
						j++
					}
				}
				if level > 0 {
					return "", newError(113, 15, "Missing end comment mark '*/'.")
				}
				i = j - 1
			}
		case '(':
			depth++
			if depth > maxDepth {
				return "", newError(191, 15, "Some part of your SQL statement is nested too deeply. Rewrite the query or break it up into smaller queries.")
			}
		case ')':
			if depth--; depth < 0 {
				return "", newError(errSyntax, 15, "Incorrect syntax near ')'.")
			}
		}
	}
	if depth > 0 {
		return "", newError(errSyntax, 15, "Incorrect syntax near '(': it is not closed.")
	}
	if len(nested) == 0 {
		return text, nil
	}
	flat := []byte(text)
	for _, at := range nested {
		flat[at], flat[at+1] = ' ', ' '
	}
	return string(flat), nil
}

// runBatch runs the statements of a text.
func (s *session) runBatch(ctx context.Context, text string, vars *variables) error {
	fault := s.srv.faults.take(false, text)
	if fault != nil && fault.Error != 0 {
		return fault.asError()
	}
	if b, ok, err := parseInsertBulk(text); ok || err != nil {
		if err != nil {
			return err
		}
		return s.insertBulk(ctx, b)
	}
	if done, err := s.setDatabase(text); done {
		return err
	}
	if strings.TrimSpace(text) == "" {
		return nil
	}
	before := s.text
	s.text = text
	defer func() { s.text = before }()
	statements, err := parse(text)
	if err != nil {
		return err
	}
	return s.runStatements(ctx, statements, vars, fault)
}

// sourceOf is the text of a part of the batch that runs. The parser counts UTF-16 units.
func (s *session) sourceOf(e any) string {
	f, ok := e.(interface{ Frag() *ast.Fragment })
	if !ok || !f.Frag().HasSpan() {
		return ""
	}
	return substring(s.text, int64(f.Frag().StartOffset+1), int64(f.Frag().FragmentLength))
}

// errReturn ends a batch, as RETURN does.
var errReturn = errors.New("return")

func (s *session) runStatements(ctx context.Context, list []ast.Statement, vars *variables, fault *Fault) error {
	for _, st := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.statement(ctx, st, vars, fault)
		if errors.Is(err, errReturn) {
			return nil
		}
		if err != nil {
			var fatal *fatalError
			if errors.As(err, &fatal) || ctx.Err() != nil {
				return err
			}
			e := asSQLError(err)
			if abortsBatch(e.Number) || s.xactAbort {
				return e
			}
			s.fail(e)
		}
	}
	return nil
}

func (s *session) statement(ctx context.Context, st ast.Statement, vars *variables, fault *Fault) (err error) {
	defer func() {
		// The planner walks trees that a lenient parser made: a shape that nobody thought of is an error, not the end of
		// the server.
		if r := recover(); r != nil {
			s.srv.log.Error("planning a statement panicked", "panic", r, "statement", fmt.Sprintf("%T", st))
			err = notSupported("this statement's form (%s: %v)", strings.TrimPrefix(fmt.Sprintf("%T", st), "*ast."), r)
		}
	}()
	switch st := st.(type) {
	case *ast.SelectStatement:
		return s.selectStatement(ctx, st, vars, fault)
	case *ast.InsertStatement:
		return s.insertStatement(ctx, st, vars)
	case *ast.UpdateStatement:
		return s.updateStatement(ctx, st, vars)
	case *ast.DeleteStatement:
		return s.deleteStatement(ctx, st, vars)
	case *ast.TruncateTableStatement:
		return s.truncate(ctx, st)
	case *ast.CreateTableStatement:
		return s.createTable(ctx, st, vars)
	case *ast.DropTableStatement:
		return s.dropTable(ctx, st)
	case *ast.CreateIndexStatement:
		return s.createIndex(ctx, st)
	case *ast.DropIndexStatement:
		return s.dropIndex(ctx, st)
	case *ast.CreateStatisticsStatement:
		return s.createStatistics(ctx, st)
	case *ast.UpdateStatisticsStatement:
		return s.updateStatistics(ctx, st)
	case *ast.CreateViewStatement:
		return s.createView(ctx, st)
	case *ast.CreateSynonymStatement:
		return s.createSynonym(ctx, st)
	case *ast.DropViewStatement:
		return s.dropNamed(ctx, "view", "V", st.Objects, st.IsIfExists)
	case *ast.DropSynonymStatement:
		return s.dropNamed(ctx, "synonym", "SN", st.Objects, st.IsIfExists)
	case *ast.CreateSchemaStatement:
		return s.mayWrite() // schemas exist as soon as a table is in them
	case *ast.DeclareVariableStatement:
		for _, d := range st.Declarations {
			t, err := declaredType(d, s.text)
			if err != nil {
				return err
			}
			if err := vars.declare(d.VariableName.Value, t, nil); err != nil {
				return err
			}
			if d.Value != nil {
				if err := s.setVariable(ctx, d.VariableName.Value, d.Value, vars); err != nil {
					return err
				}
			}
		}
		return nil
	case *ast.SetVariableStatement:
		if st.CursorDefinition != nil || st.Identifier != nil {
			return notSupported("cursors and methods of variables")
		}
		if kind := st.AssignmentKind; kind != "" && kind != "Equals" {
			op := strings.TrimSuffix(kind, "Equals")
			return s.setVariable(ctx, st.Variable.Name, &ast.BinaryExpression{BinaryExpressionType: op, FirstExpression: st.Variable, SecondExpression: st.Expression}, vars)
		}
		return s.setVariable(ctx, st.Variable.Name, st.Expression, vars)
	case *ast.PredicateSetStatement:
		return s.setOption(st)
	case *ast.SetCommandStatement:
		for _, c := range st.Commands {
			if err := s.setCommand(ctx, c, vars); err != nil {
				return err
			}
		}
		return nil
	case *ast.SetTransactionIsolationLevelStatement:
		level, ok := map[string]isolation{"ReadUncommitted": readUncommitted, "ReadCommitted": readCommitted,
			"RepeatableRead": repeatableRead, "Serializable": serializable, "Snapshot": snapshot}[st.Level]
		if !ok {
			return newError(errSyntax, 15, "Incorrect syntax near '%s'.", st.Level)
		}
		return s.setIsolation(level)
	case *ast.SetTextSizeStatement:
		v, err := s.evaluate(ctx, st.TextSize, bigintType, vars)
		if err != nil {
			return err
		}
		n := asInt(v)
		switch {
		case n == 0:
			n = defaultTextSize
		case n < 0:
			n = odbcTextSize
		}
		s.textSize = n
		return nil
	case *ast.SetRowCountStatement:
		v, err := s.evaluate(ctx, st.NumberRows, bigintType, vars)
		if err != nil {
			return err
		}
		s.rowLimit = asInt(v)
		return nil
	case *ast.SetStatisticsStatement, *ast.SetIdentityInsertStatement, *ast.SetErrorLevelStatement:
		return nil
	case *ast.BeginTransactionStatement:
		if st.Distributed {
			return notSupported("distributed transactions")
		}
		s.beginTransaction(0)
		return nil
	case *ast.CommitTransactionStatement:
		return s.commit()
	case *ast.RollbackTransactionStatement:
		if !s.tran.open {
			return newError(3903, 16, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
		}
		s.rollbackAll()
		return nil
	case *ast.SaveTransactionStatement:
		return notSupported("savepoints")
	case *ast.UseStatement:
		return s.use(st.DatabaseName.Value)
	case *ast.PrintStatement:
		v, err := s.evaluate(ctx, st.Expression, nvarcharType(4000), vars)
		if err != nil {
			return err
		}
		text, _ := v.(string)
		s.info(0, "%s", text)
		return nil
	case *ast.IfStatement:
		ok, err := s.condition(ctx, st.Predicate, vars)
		if err != nil {
			return err
		}
		if ok {
			return s.statement(ctx, st.ThenStatement, vars, fault)
		}
		if st.ElseStatement != nil {
			return s.statement(ctx, st.ElseStatement, vars, fault)
		}
		return nil
	case *ast.WhileStatement:
		for {
			ok, err := s.condition(ctx, st.Predicate, vars)
			if err != nil || !ok {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.statement(ctx, st.Statement, vars, fault); err != nil {
				return err
			}
		}
	case *ast.BeginEndBlockStatement:
		for _, inner := range st.StatementList.Statements {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.statement(ctx, inner, vars, fault); err != nil {
				return err
			}
		}
		return nil
	case *ast.ReturnStatement:
		return errReturn
	case *ast.WaitForStatement:
		return s.waitFor(ctx, st, vars)
	case *ast.RaiseErrorStatement:
		return s.raiseError(ctx, st, vars)
	case *ast.ThrowStatement:
		return s.throw(ctx, st, vars)
	case *ast.ExecuteStatement:
		return s.executeStatement(ctx, st, vars)
	case *ast.LabelStatement: // what the parser makes of a word that begins no statement
		return newError(errSyntax, 15, "Incorrect syntax near '%s'.", st.Value)
	case *ast.CheckpointStatement:
		return nil
	}
	return notSupported("the statement %s", strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", st), "*ast."), "Statement"))
}

func (s *session) use(name string) error {
	db := s.srv.database(name)
	if db == nil {
		return newError(911, 16, "Database '%s' does not exist. Make sure that the name is entered correctly.", name)
	}
	if db == s.db {
		return nil
	}
	if s.tran.open {
		return notSupported("USE inside a transaction")
	}
	conn, err := db.open()
	if err != nil {
		return err
	}
	before := s.db.name
	s.dropTemporary()
	s.mu.Lock()
	old := s.sql
	s.sql, s.db = conn, db
	s.mu.Unlock()
	old.Close()
	s.writeDone(true)
	s.out.env(envDatabase, db.name, before)
	s.info(5701, "Changed database context to '%s'.", db.name)
	return nil
}

// evaluate computes a scalar expression and converts it.
func (s *session) evaluate(ctx context.Context, e ast.ScalarExpression, t sqlType, vars *variables) (any, error) {
	var x expr
	var v any
	err := s.read(ctx, vars, func(p *planner) (string, []column, error) {
		var err error
		if x, err = p.expression(e, &scope{}); err != nil {
			return "", nil, err
		}
		x, err = p.implicit(x, t)
		return "SELECT " + x.sql, nil, err
	}, func(q query) (err error) {
		if v = x.value; !x.constant {
			v, err = s.sql.value(q.sql, q.arguments...)
		}
		return err
	})
	return v, err
}

func (s *session) condition(ctx context.Context, e ast.BooleanExpression, vars *variables) (bool, error) {
	var v any
	err := s.read(ctx, vars, func(p *planner) (string, []column, error) {
		cond, err := p.boolean(e, &scope{})
		return "SELECT " + cond, nil, err
	}, func(q query) (err error) {
		v, err = s.sql.value(q.sql, q.arguments...)
		return err
	})
	return v == int64(1), err
}

func (s *session) setVariable(ctx context.Context, name string, e ast.ScalarExpression, vars *variables) error {
	v := vars.get(name)
	if v == nil {
		return newError(137, 15, "Must declare the scalar variable \"%s\".", name)
	}
	value, err := s.evaluate(ctx, e, v.typ, vars)
	if err != nil {
		return err
	}
	v.value = value
	return nil
}

func (s *session) setOption(st *ast.PredicateSetStatement) error {
	for o := range strings.SplitSeq(st.Options, ",") {
		switch strings.TrimSpace(o) {
		case "NoCount":
			s.noCount = st.IsOn
		case "FmtOnly":
			s.fmtOnly = st.IsOn
		case "NoExec":
			s.noExec = st.IsOn
		case "XactAbort":
			s.xactAbort = st.IsOn
		case "ImplicitTransactions":
			if st.IsOn {
				return notSupported("SET IMPLICIT_TRANSACTIONS ON")
			}
		case "AnsiNulls":
			if !st.IsOn {
				return notSupported("SET ANSI_NULLS OFF")
			}
		case "QuotedIdentifier":
			if !st.IsOn {
				return notSupported("SET QUOTED_IDENTIFIER OFF")
			}
		case "ParseOnly", "ShowPlanAll", "ShowPlanText", "ShowPlanXml":
			if st.IsOn {
				return notSupported("SET %s ON", strings.ToUpper(o))
			}
		}
	}
	return nil
}

func (s *session) setCommand(ctx context.Context, c ast.SetCommand, vars *variables) error {
	g, ok := c.(*ast.GeneralSetCommand)
	if !ok {
		return nil
	}
	word := func() string {
		switch e := g.Parameter.(type) {
		case *ast.IdentifierLiteral:
			return e.Value
		case *ast.StringLiteral:
			return e.Value
		case *ast.IntegerLiteral:
			return e.Value
		}
		return ""
	}
	switch g.CommandType {
	case "LockTimeout":
		v, err := s.evaluate(ctx, g.Parameter, bigintType, vars)
		if err != nil {
			return err
		}
		s.lockTimeout = time.Duration(asInt(v)) * time.Millisecond
	case "DeadlockPriority":
		return s.setDeadlockPriority(ctx, g.Parameter, vars)
	case "Language":
		if w := word(); !strings.EqualFold(w, "us_english") && !strings.EqualFold(w, "English") {
			return notSupported("SET LANGUAGE %s", w)
		}
	case "DateFormat":
		if w := word(); !strings.EqualFold(w, "mdy") && !strings.EqualFold(w, "ymd") {
			return notSupported("SET DATEFORMAT %s", w)
		}
	case "DateFirst":
		if w := word(); w != "7" {
			return notSupported("SET DATEFIRST %s", w)
		}
	}
	return nil
}

func (s *session) waitFor(ctx context.Context, st *ast.WaitForStatement, vars *variables) error {
	if st.WaitForOption != "Delay" {
		return notSupported("WAITFOR TIME")
	}
	v, err := s.evaluate(ctx, st.Parameter, nvarcharType(60), vars)
	if err != nil {
		return err
	}
	text, _ := v.(string)
	m, ok := parseMoment(text)
	if !ok || m.hasDate {
		return newError(148, 15, "Incorrect time syntax in time string '%s' used with WAITFOR.", text)
	}
	select {
	case <-time.After(time.Duration(m.ticks-daysTo1900*ticksPerDay) * 100):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) raiseError(ctx context.Context, st *ast.RaiseErrorStatement, vars *variables) error {
	v, err := s.evaluate(ctx, st.FirstParameter, nvarcharType(2048), vars)
	if err != nil {
		return err
	}
	severity, err := s.evaluate(ctx, st.SecondParameter, intType, vars)
	if err != nil {
		return err
	}
	state, err := s.evaluate(ctx, st.ThirdParameter, intType, vars)
	if err != nil {
		return err
	}
	text, _ := v.(string)
	if asInt(severity) <= 10 {
		s.info(50000, "%s", text)
		return nil
	}
	return &sqlError{Number: 50000, State: uint8(asInt(state)), Class: uint8(min(asInt(severity), 18)), Message: text}
}

func (s *session) throw(ctx context.Context, st *ast.ThrowStatement, vars *variables) error {
	if st.ErrorNumber == nil {
		return newError(10704, 15, "To rethrow an error, a THROW statement must be used inside a CATCH block.")
	}
	number, err := s.evaluate(ctx, st.ErrorNumber, intType, vars)
	if err != nil {
		return err
	}
	text, err := s.evaluate(ctx, st.Message, nvarcharType(2048), vars)
	if err != nil {
		return err
	}
	state, err := s.evaluate(ctx, st.State, intType, vars)
	if err != nil {
		return err
	}
	msg, _ := text.(string)
	return &sqlError{Number: int32(asInt(number)), State: uint8(asInt(state)), Class: 16, Message: msg}
}

// selectStatement runs a SELECT.
func (s *session) selectStatement(ctx context.Context, st *ast.SelectStatement, vars *variables, fault *Fault) error {
	if st.Into != nil {
		return s.selectInto(ctx, st, vars)
	}
	if q, ok := st.QueryExpression.(*ast.QuerySpecification); ok && len(q.SelectElements) > 0 {
		if _, ok := q.SelectElements[0].(*ast.SelectSetVariable); ok {
			return s.selectVariables(ctx, st, q, vars)
		}
	}
	plan := func(p *planner) (string, []column, error) {
		p.streamed, _ = st.QueryExpression.(*ast.QuerySpecification)
		return p.statementQuery(st)
	}
	if s.fmtOnly || s.noExec {
		_, cols, err := plan(s.newPlanner(vars))
		if err != nil {
			return err
		}
		s.writeDone(true)
		if s.fmtOnly {
			s.out.colMetadata(cols)
		}
		s.setDone(doneCount, commandSelect, 0)
		return nil
	}
	if !s.db.rowVersioning.Load() && !s.changed() {
		return s.streamScan(ctx, vars, plan, &rowStream{s: s, fault: fault})
	}
	return s.read(ctx, vars, plan, func(q query) error {
		return s.stream(ctx, q.sql, q.arguments, q.cols, fault)
	})
}

func (p *planner) statementQuery(st *ast.SelectStatement) (string, []column, error) {
	if err := p.commonTables(st.WithCtesAndXmlNamespaces); err != nil {
		return "", nil, err
	}
	sql, cols, err := p.query(st.QueryExpression, nil)
	if err != nil {
		return "", nil, err
	}
	return p.withClause() + p.unmasked(sql, cols), cols, nil
}

// stream runs a query and writes its rows while it finds them. A client that doesn't read makes it wait.
func (s *session) stream(ctx context.Context, sql string, args []any, cols []column, fault *Fault) error {
	out := &rowStream{s: s, fault: fault}
	if err := out.send(ctx, query{sql, args, cols}); err != nil {
		return err
	}
	return out.end()
}

// rowStream writes the rows of a result.
type rowStream struct {
	s     *session
	fault *Fault
	enc   *rowEncoder
	rows  int64
}

// full says whether SET ROWCOUNT lets no more rows through.
func (r *rowStream) full() bool { return r.s.rowLimit > 0 && r.rows >= r.s.rowLimit }

// send runs a query and writes its rows behind those that it wrote before.
func (r *rowStream) send(ctx context.Context, q query) error {
	s := r.s
	stmt, err := s.sql.Prepare(q.sql)
	if err != nil {
		s.srv.log.Debug("SQLite refused a statement", "sql", q.sql, "error", err)
		return err
	}
	defer stmt.Close()
	if err := stmt.BindAll(q.arguments); err != nil {
		return err
	}
	if r.enc == nil {
		s.writeDone(true)
		s.out.colMetadata(q.cols)
		r.enc = newRowEncoder(q.cols, s.textSize)
	}
	done := ctx.Done()
	for {
		select {
		case <-done:
			return ctx.Err()
		default:
		}
		if f := r.fault; f != nil {
			if f.Kill && r.rows >= int64(f.KillAfterRows) {
				s.out.flush()
				return &fatalError{fmt.Sprintf("an ordered fault ended the connection after %d rows", r.rows)}
			}
			if r.rows > 0 && f.RowDelay > 0 {
				s.out.flushAll()
				select {
				case <-time.After(f.RowDelay):
				case <-done:
					return ctx.Err()
				}
			}
		}
		if r.full() {
			return nil
		}
		ok, err := stmt.Step()
		if err != nil || !ok || q.past(stmt) {
			return err
		}
		s.out.b = r.enc.append(s.out.b, stmt)
		r.rows++
		if len(s.out.b) >= flushSize {
			s.out.flush()
			if s.out.err != nil {
				return &fatalError{"writing rows: " + s.out.err.Error()}
			}
		}
	}
}

// end ends the result.
func (r *rowStream) end() error {
	r.s.rowCount = r.rows
	status := uint16(doneCount)
	if r.s.noCount {
		status = doneFinal
	}
	r.s.setDone(status, commandSelect, uint64(r.rows))
	return nil
}

// flushSize is how much is gathered before it's written to the network.
const flushSize = 32 << 10

// flushAll sends everything that is gathered, in packets of which the last one is short.
func (r *reply) flushAll() {
	size := r.size
	for len(r.b) > 0 && r.err == nil && !r.hold {
		n := min(len(r.b), size-packetHeader)
		r.seq++
		out := append([]byte{r.kind, 0, byte((n + packetHeader) >> 8), byte(n + packetHeader), 0, 0, r.seq, 0}, r.b[:n]...)
		r.b = append(r.b[:0], r.b[n:]...)
		_, r.err = r.conn.Write(out)
	}
}

// selectVariables runs SELECT @a = …, which keeps the last row's values.
func (s *session) selectVariables(ctx context.Context, st *ast.SelectStatement, q *ast.QuerySpecification, vars *variables) error {
	copyOf := *q
	copyOf.SelectElements = nil
	var targets []*variable
	for _, el := range q.SelectElements {
		set, ok := el.(*ast.SelectSetVariable)
		if !ok {
			return newError(141, 15, "A SELECT statement that assigns a value to a variable must not be combined with data-retrieval operations.")
		}
		v := vars.get(set.Variable.Name)
		if v == nil {
			return newError(137, 15, "Must declare the scalar variable \"%s\".", set.Variable.Name)
		}
		e := set.Expression
		if k := set.AssignmentKind; k != "" && k != "Equals" {
			e = &ast.BinaryExpression{BinaryExpressionType: strings.TrimSuffix(k, "Equals"), FirstExpression: set.Variable, SecondExpression: e}
		}
		targets = append(targets, v)
		copyOf.SelectElements = append(copyOf.SelectElements, &ast.SelectScalarExpression{Expression: e})
	}
	with := &ast.SelectStatement{QueryExpression: &copyOf, WithCtesAndXmlNamespaces: st.WithCtesAndXmlNamespaces}
	plan := func(p *planner) (string, []column, error) { return p.statementQuery(with) }
	return s.read(ctx, vars, plan, func(q query) error {
		rows := int64(0)
		err := s.each(ctx, q, func(stmt *sqlite.Stmt) (err error) {
			rows++
			for i, v := range targets {
				if v.value, err = convert(stmt.Value(i), q.cols[i].typ, v.typ, noStyle); err != nil {
					return err
				}
			}
			return nil
		})
		s.rowCount = rows
		return err
	})
}
