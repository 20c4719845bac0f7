package sqlite

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Call is one call of a function from SQL: its arguments and the place for its result. It is valid during the call only.
type Call struct {
	tls  *libc.TLS
	ctx  uintptr
	argv uintptr
	n    int
}

// Function is a scalar function. It must set exactly one result.
type Function func(Call)

// Aggregate is an aggregate and window function whose state is a fixed number of bytes, zero at first.
type Aggregate struct {
	// StateSize is the size of the state in bytes.
	StateSize int
	// Step adds a row. Inverse takes out a row that left the window frame.
	Step, Inverse func(c Call, state []byte)
	// Value sets the result from the state.
	Value func(c Call, state []byte)
}

// Collation compares two texts: negative, zero or positive.
type Collation func(a, b []byte) int

type function struct {
	name   string
	args   int
	flags  int32
	scalar Function
	agg    *Aggregate
}

type collation struct {
	name    string
	compare Collation
}

// What is registered is registered in init functions, before the first connection is opened, and never changes then.
var (
	functions  []function
	collations []collation
)

// Register makes a scalar function known to all connections that are opened from now on. It is for init functions.
// args -1 is any number. A deterministic function may be evaluated once for the same arguments.
func Register(name string, args int, deterministic bool, f Function) {
	flags := int32(nondeterministicUTF8)
	if deterministic {
		flags = deterministicUTF8
	}
	functions = append(functions, function{name: name, args: args, flags: flags, scalar: f})
}

// RegisterAggregate is Register for an aggregate function.
func RegisterAggregate(name string, args int, a Aggregate) {
	functions = append(functions, function{name: name, args: args, flags: deterministicUTF8, agg: &a})
}

// RegisterCollation is Register for a collation.
func RegisterCollation(name string, f Collation) {
	collations = append(collations, collation{name: name, compare: f})
}

func (c *Conn) register() error {
	for i, f := range functions {
		name, err := libc.CString(f.name)
		if err != nil {
			return err
		}
		var rc int32
		if f.scalar != nil {
			rc = sqlite3.Xsqlite3_create_function_v2(c.tls, c.db, name, int32(f.args), f.flags, uintptr(i),
				entry(callScalar), 0, 0, 0)
		} else {
			rc = sqlite3.Xsqlite3_create_window_function(c.tls, c.db, name, int32(f.args), f.flags, uintptr(i),
				entry(callStep), entry(callFinal), entry(callValue), entry(callInverse), 0)
		}
		libc.Xfree(c.tls, name)
		if rc != sqlite3.SQLITE_OK {
			return fmt.Errorf("registering function %s: %w", f.name, c.failure(rc))
		}
	}
	for i, col := range collations {
		name, err := libc.CString(col.name)
		if err != nil {
			return err
		}
		rc := sqlite3.Xsqlite3_create_collation_v2(c.tls, c.db, name, sqlite3.SQLITE_UTF8, uintptr(i), entry(callCollation), 0)
		libc.Xfree(c.tls, name)
		if rc != sqlite3.SQLITE_OK {
			return fmt.Errorf("registering collation %s: %w", col.name, c.failure(rc))
		}
	}
	return nil
}

// entry is a Go function as the transpiled C code calls it: the address of its code pointer.
func entry[F any](f F) uintptr {
	p := &struct{ f F }{f}
	return *(*uintptr)(unsafe.Pointer(p))
}

func callScalar(tls *libc.TLS, ctx uintptr, argc int32, argv uintptr) {
	functions[sqlite3.Xsqlite3_user_data(tls, ctx)].scalar(Call{tls, ctx, argv, int(argc)})
}

func callStep(tls *libc.TLS, ctx uintptr, argc int32, argv uintptr) {
	a := functions[sqlite3.Xsqlite3_user_data(tls, ctx)].agg
	if state, ok := aggregateState(tls, ctx, a); ok {
		a.Step(Call{tls, ctx, argv, int(argc)}, state)
	}
}

func callInverse(tls *libc.TLS, ctx uintptr, argc int32, argv uintptr) {
	a := functions[sqlite3.Xsqlite3_user_data(tls, ctx)].agg
	if state, ok := aggregateState(tls, ctx, a); ok {
		a.Inverse(Call{tls, ctx, argv, int(argc)}, state)
	}
}

func callValue(tls *libc.TLS, ctx uintptr) {
	a := functions[sqlite3.Xsqlite3_user_data(tls, ctx)].agg
	if state, ok := aggregateState(tls, ctx, a); ok {
		a.Value(Call{tls: tls, ctx: ctx}, state)
	}
}

func callFinal(tls *libc.TLS, ctx uintptr) { callValue(tls, ctx) }

func aggregateState(tls *libc.TLS, ctx uintptr, a *Aggregate) ([]byte, bool) {
	p := sqlite3.Xsqlite3_aggregate_context(tls, ctx, int32(a.StateSize))
	if p == 0 {
		return nil, false
	}
	return libc.GoBytes(p, a.StateSize), true
}

func callCollation(_ *libc.TLS, app uintptr, n1 int32, p1 uintptr, n2 int32, p2 uintptr) int32 {
	return int32(collations[app].compare(libc.GoBytes(p1, int(n1)), libc.GoBytes(p2, int(n2))))
}

// Args is the number of arguments.
func (c Call) Args() int { return c.n }

func (c Call) arg(i int) uintptr { return pointerAt(c.argv + uintptr(i)*8) }

// Kind is the storage class of argument i, counted from 0.
func (c Call) Kind(i int) Kind { return Kind(sqlite3.Xsqlite3_value_type(c.tls, c.arg(i))) }

// IsNull says whether argument i is NULL.
func (c Call) IsNull(i int) bool { return c.Kind(i) == Null }

// Int is argument i as an integer.
func (c Call) Int(i int) int64 { return sqlite3.Xsqlite3_value_int64(c.tls, c.arg(i)) }

// Float is argument i as a floating-point number.
func (c Call) Float(i int) float64 { return sqlite3.Xsqlite3_value_double(c.tls, c.arg(i)) }

// Bytes is argument i, text or blob, without a copy: it is valid during the call only.
func (c Call) Bytes(i int) []byte {
	v := c.arg(i)
	p := sqlite3.Xsqlite3_value_blob(c.tls, v)
	n := sqlite3.Xsqlite3_value_bytes(c.tls, v)
	if p == 0 || n == 0 {
		return nil
	}
	return libc.GoBytes(p, int(n))
}

// Value is argument i as nil, int64, float64, string or []byte, copied.
func (c Call) Value(i int) any {
	switch c.Kind(i) {
	case Integer:
		return c.Int(i)
	case Float:
		return c.Float(i)
	case Text:
		return string(c.Bytes(i))
	case Blob:
		return append([]byte{}, c.Bytes(i)...)
	default:
		return nil
	}
}

// ReturnNull sets the result to NULL.
func (c Call) ReturnNull() { sqlite3.Xsqlite3_result_null(c.tls, c.ctx) }

// ReturnInt sets the result to an integer.
func (c Call) ReturnInt(v int64) { sqlite3.Xsqlite3_result_int64(c.tls, c.ctx, v) }

// ReturnFloat sets the result to a floating-point number.
func (c Call) ReturnFloat(v float64) { sqlite3.Xsqlite3_result_double(c.tls, c.ctx, v) }

// ReturnArgument sets the result to argument i.
func (c Call) ReturnArgument(i int) { sqlite3.Xsqlite3_result_value(c.tls, c.ctx, c.arg(i)) }

// ReturnText sets the result to a text.
func (c Call) ReturnText(v string) {
	c.returnBytes(unsafe.Slice(unsafe.StringData(v), len(v)), true)
}

// ReturnBlob sets the result to bytes.
func (c Call) ReturnBlob(v []byte) { c.returnBytes(v, false) }

func (c Call) returnBytes(v []byte, text bool) {
	p := empty
	if len(v) > 0 {
		if p = libc.Xmalloc(c.tls, sizeOf(len(v))); p == 0 {
			c.ReturnError(fmt.Errorf("no memory for a value of %d bytes", len(v)))
			return
		}
		defer libc.Xfree(c.tls, p)
		copy(libc.GoBytes(p, len(v)), v)
	}
	if text {
		sqlite3.Xsqlite3_result_text(c.tls, c.ctx, p, int32(len(v)), transientDestructor)
	} else {
		sqlite3.Xsqlite3_result_blob(c.tls, c.ctx, p, int32(len(v)), transientDestructor)
	}
}

// Return sets the result to nil, int64, float64, string or []byte.
func (c Call) Return(v any) {
	switch v := v.(type) {
	case nil:
		c.ReturnNull()
	case int64:
		c.ReturnInt(v)
	case float64:
		c.ReturnFloat(v)
	case string:
		c.ReturnText(v)
	case []byte:
		c.ReturnBlob(v)
	default:
		c.ReturnError(fmt.Errorf("a %T has no storage class", v))
	}
}

// ReturnError makes the statement fail with the error's text.
func (c Call) ReturnError(err error) {
	z, e := libc.CString(err.Error())
	if e != nil {
		return
	}
	defer libc.Xfree(c.tls, z)
	sqlite3.Xsqlite3_result_error(c.tls, c.ctx, z, int32(-1))
}

// Int64At and SetInt64At keep integers in an aggregate's state.
func Int64At(state []byte, i int) int64 { return int64(binary.NativeEndian.Uint64(state[i*8:])) }

// SetInt64At is the other half of Int64At.
func SetInt64At(state []byte, i int, v int64) { binary.NativeEndian.PutUint64(state[i*8:], uint64(v)) }
