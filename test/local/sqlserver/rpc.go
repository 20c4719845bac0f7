package sqlserver

import (
	"context"
	"fmt"
	"strings"

	"github.com/sqlc-dev/teesql/ast"
)

// The stored procedures that have a number in the protocol.
var procedureNumbers = map[uint16]string{
	1: "sp_cursor", 2: "sp_cursoropen", 3: "sp_cursorprepare", 4: "sp_cursorexecute", 5: "sp_cursorprepexec",
	6: "sp_cursorunprepare", 7: "sp_cursorfetch", 8: "sp_cursoroption", 9: "sp_cursorclose", 10: "sp_executesql",
	11: "sp_prepare", 12: "sp_execute", 13: "sp_prepexec", 14: "sp_prepexecrpc", 15: "sp_unprepare",
}

// parameter is a parameter of a call.
type parameter struct {
	name   string
	typ    sqlType
	value  any
	output bool
}

// preparedStatement is a statement that sp_prepare keeps.
type preparedStatement struct {
	text         string
	declarations string
}

// call is one procedure call.
type call struct {
	name   string
	params []parameter
}

func readCall(m *message) call {
	var c call
	if n := m.u16(); n == 0xFFFF {
		id := m.u16()
		if c.name = procedureNumbers[id]; c.name == "" && m.err == nil {
			m.fail(fmt.Errorf("stored procedure number %d", id))
		}
	} else {
		c.name = fromUTF16(m.bytes(2 * int(n)))
	}
	m.u16() // option flags
	for m.err == nil && m.more() {
		if m.buf[0] == 0x80 || m.buf[0] == 0xFF { // another call follows
			m.u8()
			break
		}
		var p parameter
		p.name = m.bVarchar()
		p.output = m.u8()&1 != 0
		w := readTypeInfo(m)
		p.typ = w.typ
		p.value = w.readValue(m)
		if len(c.params) >= 2200 {
			m.fail(fmt.Errorf("more than 2100 parameters"))
		}
		c.params = append(c.params, p)
	}
	return c
}

// rpc handles procedure calls.
func (s *session) rpc(m *message) error {
	m.skipHeaders()
	var calls []call
	for m.err == nil && m.more() {
		calls = append(calls, readCall(m))
	}
	return s.execute(m, func(ctx context.Context) error {
		if m.err != nil {
			return newProtocolError(m.err)
		}
		for _, c := range calls {
			if err := s.call(ctx, c); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *session) call(ctx context.Context, c call) error {
	name := strings.ToLower(c.name)
	name = strings.NewReplacer("[", "", "]", "").Replace(name)
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:]
	}
	text := func(i int) string {
		if i >= len(c.params) {
			return ""
		}
		v, _ := c.params[i].value.(string)
		return v
	}
	number := func(i int) int32 {
		if i >= len(c.params) {
			return 0
		}
		return int32(asInt(c.params[i].value))
	}
	rest := func(i int) []parameter {
		if i >= len(c.params) {
			return nil
		}
		return c.params[i:]
	}
	switch name {
	case "sp_executesql":
		return s.executeSQL(ctx, text(0), text(1), rest(2), nil)
	case "sp_prepare":
		s.nextPrep++
		s.prepared[s.nextPrep] = preparedStatement{text: text(2), declarations: text(1)}
		return s.endCall([]returned{{name: "", typ: intType, value: int64(s.nextPrep)}})
	case "sp_prepexec":
		s.nextPrep++
		s.prepared[s.nextPrep] = preparedStatement{text: text(2), declarations: text(1)}
		return s.executeSQL(ctx, text(2), text(1), rest(3), []returned{{typ: intType, value: int64(s.nextPrep)}})
	case "sp_execute":
		p, ok := s.prepared[number(0)]
		if !ok {
			return newError(8179, 16, "Could not find prepared statement with handle %d.", number(0))
		}
		return s.executeSQL(ctx, p.text, p.declarations, rest(1), nil)
	case "sp_unprepare":
		delete(s.prepared, number(0))
		return s.endCall(nil)
	case "sp_describe_first_result_set":
		if err := s.describeFirstResultSet(text(0), text(1)); err != nil {
			return err
		}
		return s.endCall(nil)
	case "sp_reset_connection":
		s.reset(false)
		return s.endCall(nil)
	}
	return newError(2812, 16, "Could not find stored procedure '%s'. The local SQL Server knows no stored procedures of users.", c.name)
}

// returned is an output parameter.
type returned struct {
	name  string
	typ   sqlType
	value any
}

// executeSQL runs a text with parameters.
func (s *session) executeSQL(ctx context.Context, text, declarations string, params []parameter, out []returned) error {
	vars, outputs, err := s.bindParameters(ctx, declarations, params)
	if err != nil {
		return err
	}
	if err := s.runBatch(ctx, text, vars); err != nil {
		return err
	}
	for _, name := range outputs {
		v := vars.get(name)
		out = append(out, returned{name: name, typ: v.typ, value: v.value})
	}
	return s.endCall(out)
}

// bindParameters declares the parameters and gives them their values.
func (s *session) bindParameters(ctx context.Context, declarations string, params []parameter) (*variables, []string, error) {
	vars := newVariables()
	var names []string
	if strings.TrimSpace(declarations) != "" {
		text := "DECLARE " + outputWords.Replace(declarations)
		list, err := parse(text)
		if err != nil {
			return nil, nil, err
		}
		for _, st := range list {
			d, ok := st.(*ast.DeclareVariableStatement)
			if !ok {
				return nil, nil, newError(errSyntax, 15, "Incorrect syntax in the declaration of parameters.")
			}
			for _, x := range d.Declarations {
				t, err := declaredType(x, text)
				if err != nil {
					return nil, nil, err
				}
				var v any
				if x.Value != nil {
					if v, err = s.evaluate(ctx, x.Value, t, vars); err != nil {
						return nil, nil, err
					}
				}
				if err := vars.declare(x.VariableName.Value, t, v); err != nil {
					return nil, nil, err
				}
				names = append(names, x.VariableName.Value)
			}
		}
	}
	var outputs []string
	given := map[string]bool{}
	for i, p := range params {
		name := p.name
		if name == "" {
			if i >= len(names) {
				return nil, nil, newError(8144, 16, "Procedure or function has too many arguments specified.")
			}
			name = names[i]
		}
		v := vars.get(name)
		if v == nil {
			return nil, nil, newError(8145, 16, "%s is not a parameter for procedure sp_executesql.", name)
		}
		value, err := convert(p.value, p.typ, v.typ, noStyle)
		if err != nil {
			return nil, nil, err
		}
		v.value = value
		given[strings.ToLower(name)] = true
		if p.output {
			outputs = append(outputs, name)
		}
	}
	for _, n := range names {
		if v := vars.get(n); !given[strings.ToLower(n)] && v.value == nil {
			return nil, nil, newError(8178, 16, "The parameterized query expects the parameter '%s', which was not supplied.", n)
		}
	}
	return vars, outputs, nil
}

// outputWords takes OUTPUT out of a declaration; a DECLARE doesn't know it.
var outputWords = strings.NewReplacer(" OUTPUT", "", " output", "", " OUT,", ",", " out,", ",", " Output", "")

// endCall ends a procedure call: what was returned, and the DONEPROC.
func (s *session) endCall(out []returned) error {
	if s.pending != nil {
		s.pending.token = tokenDoneInProc
	}
	s.writeDone(true)
	s.out.u8(tokenReturnStatus)
	s.out.u32(0)
	for i, r := range out {
		s.out.u8(tokenReturnValue)
		s.out.u16(uint16(i))
		s.out.bVarchar(r.name)
		s.out.u8(1) // an output parameter
		s.out.u32(0)
		s.out.u16(1) // nullable
		s.out.b = appendTypeInfo(s.out.b, r.typ, true)
		b, err := s.encodeValue(s.out.b, r.value, r.typ)
		if err != nil {
			return err
		}
		s.out.b = b
	}
	s.pending = &pendingDone{token: tokenDoneProc}
	return nil
}

// encodeValue encodes a value that isn't in a row of SQLite.
func (s *session) encodeValue(b []byte, v any, t sqlType) ([]byte, error) {
	if v == nil {
		return appendNull(b, t), nil
	}
	err := s.alone(s.srv.ctx, func() error {
		stmt, err := s.sql.Prepare("SELECT ?1")
		if err != nil {
			return err
		}
		defer stmt.Close()
		if err := stmt.Bind(1, v); err != nil {
			return err
		}
		if _, err := stmt.Step(); err != nil {
			return err
		}
		b = encoderOf(t, true, odbcTextSize)(b, stmt, 0)
		return nil
	})
	return b, err
}

// executeStatement runs EXEC of the procedures that the server knows, and EXEC of a text.
func (s *session) executeStatement(ctx context.Context, st *ast.ExecuteStatement, vars *variables) error {
	spec := st.ExecuteSpecification
	switch e := spec.ExecutableEntity.(type) {
	case *ast.ExecutableStringList:
		var text strings.Builder
		for _, x := range e.Strings {
			v, err := s.evaluate(ctx, x, nvarcharType(maxLength), vars)
			if err != nil {
				return err
			}
			part, _ := v.(string)
			text.WriteString(part)
		}
		return s.runBatch(ctx, text.String(), newVariables())
	case *ast.ExecutableProcedureReference:
		if e.ProcedureReference == nil || e.ProcedureReference.ProcedureReference == nil {
			return notSupported("EXEC of a variable")
		}
		name := e.ProcedureReference.ProcedureReference.Name
		c := call{name: objectName(name)}
		for _, p := range e.Parameters {
			if p.IsOutput {
				return notSupported("OUTPUT parameters in EXEC")
			}
			x, err := s.newPlanner(vars).expression(p.ParameterValue, &scope{})
			if err != nil {
				return err
			}
			v, err := s.evaluate(ctx, p.ParameterValue, x.typ, vars)
			if err != nil {
				return err
			}
			param := parameter{typ: x.typ, value: v}
			if p.Variable != nil {
				param.name = p.Variable.Name
			}
			c.params = append(c.params, param)
		}
		if err := s.call(ctx, c); err != nil {
			return err
		}
		// Inside a batch a call's end isn't the end.
		s.pending.token = tokenDoneProc
		return nil
	}
	return notSupported("this form of EXEC")
}
