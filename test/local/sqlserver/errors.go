package sqlserver

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"sagemaker-datapipeline/test/local/sqlserver/sqlite"
)

// sqlError is an error as SQL Server tells it: a number that programs look at and a text that people read.
type sqlError struct {
	Number  int32
	State   uint8
	Class   uint8 // severity: 11–16 the statement failed, 20 and more the connection ends
	Message string
	Line    int32
	// Before is the error that the server tells before this one.
	Before *sqlError
}

func (e *sqlError) Error() string {
	return fmt.Sprintf("Msg %d, Level %d, State %d: %s", e.Number, e.Class, e.State, e.Message)
}

// The numbers that the server itself raises; those of conversions and functions are beside them.
const (
	errSyntax            = 102
	errSyntaxKeyword     = 156
	errUnknownFunction   = 195
	errUnknownColumn     = 207
	errUnknownObject     = 208
	errPermission        = 229
	errDivideByZero      = 8134
	errOverflow          = 8115
	errConversion        = 245
	errConversionTo      = 8114
	errDateConversion    = 241
	errDateOutOfRange    = 242
	errTruncation        = 2628
	errNullIntoNotNull   = 515
	errDuplicateKey      = 2627
	errDuplicateIndexKey = 2601
	errLoginFailed       = 18456
	errUnknownDatabase   = 4060
	errDeadlock          = 1205
	errLockTimeout       = 1222
	errSnapshotConflict  = 3960
	errReadOnlyDatabase  = 3906

	// errNotSupported is what this server doesn't know of T-SQL. SQL Server has no such number (its own end below 50000),
	// so that nobody takes it for a message of SQL Server.
	errNotSupported = 49999
)

func newError(number int32, class uint8, format string, args ...any) *sqlError {
	return &sqlError{Number: number, State: 1, Class: class, Message: fmt.Sprintf(format, args...)}
}

// notSupported refuses T-SQL that SQL Server may well know but this server doesn't.
func notSupported(format string, args ...any) *sqlError {
	return newError(errNotSupported, 16, "The local SQL Server does not support %s. "+
		"It is not Microsoft SQL Server and knows a subset of T-SQL; see test/local/sqlserver/README.md.", fmt.Sprintf(format, args...))
}

// A function called by SQLite can hand back a text only; the number travels in it.
const errorMark = "\x02mssql|"

func encodeError(err error) error {
	var e *sqlError
	if !errors.As(err, &e) {
		return err
	}
	return fmt.Errorf("%s%d|%d|%d|%s", errorMark, e.Number, e.State, e.Class, e.Message)
}

func decodeError(text string) (*sqlError, bool) {
	_, rest, ok := strings.Cut(text, errorMark)
	if !ok {
		return nil, false
	}
	parts := strings.SplitN(rest, "|", 4)
	if len(parts) != 4 {
		return nil, false
	}
	number, _ := strconv.Atoi(parts[0])
	state, _ := strconv.Atoi(parts[1])
	class, _ := strconv.Atoi(parts[2])
	return &sqlError{Number: int32(number), State: uint8(state), Class: uint8(class), Message: parts[3]}, true
}

// asSQLError makes what any layer reports into the message that a client gets.
func asSQLError(err error) *sqlError {
	if e, ok := errors.AsType[*sqlError](err); ok {
		return e
	}
	if s, ok := errors.AsType[*sqlite.Error](err); ok {
		if e, ok := decodeError(s.Message); ok {
			return e
		}
		switch {
		case s.Code == sqlite.CodeBusySnapshot:
			return newError(errSnapshotConflict, 16, "Snapshot isolation transaction aborted due to update conflict. "+
				"Rows were changed by another transaction after this transaction's snapshot began. Retry the transaction.")
		case s.Message == "integer overflow":
			return overflow("int")
		case strings.Contains(s.Message, "string or blob too big"):
			return newError(7119, 16, "Attempting to grow LOB beyond maximum allowed size of 1000000000 bytes.")
		}
		return newError(errNotSupported, 16, "The local SQL Server could not run the statement: %s.", s.Message)
	}
	return newError(errNotSupported, 16, "The local SQL Server could not run the statement: %s.", err)
}

func overflow(typeName string) *sqlError {
	e := newError(errOverflow, 16, "Arithmetic overflow error converting expression to data type %s.", typeName)
	e.State = 2
	return e
}

func divideByZero() *sqlError {
	return newError(errDivideByZero, 16, "Divide by zero error encountered.")
}
