// Package columns maps the columns of a SQL Server result to Parquet and to text, and to their roles for the model.
//
// The mapping depends on the declared type alone, never on the data, so two runs of one query have one schema.
// docs/types.md is its table.
package columns

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"sagemaker-datapipeline/lambda/internal/sqlserver"
)

// kind is what a column's values are in memory.
type kind int

const (
	boolKind kind = iota + 1
	int16Kind
	int32Kind
	int64Kind
	decimalKind
	float64Kind
	float32Kind
	dateKind
	timeKind
	timestampKind
	instantKind
	stringKind
	guidKind
	binaryKind
	variantKind
)

// Type is the type of a column.
type Type struct {
	// SQL is SQL Server's name with length, precision or scale: decimal(12,2).
	SQL  string
	kind kind
	// precision and scale of a decimal.
	precision, scale int32
}

// TypeOf gives the type of a column. A type without a mapping is an error that names the remedy.
func TypeOf(c sqlserver.Column) (Type, error) {
	name := strings.ToLower(c.Type)
	t := Type{SQL: name}
	sized := func(k kind) (Type, error) {
		t.kind = k
		switch {
		// A column of bytes or characters holds at most 8,000 of them; what is declared longer is (max).
		case c.Length > 8000:
			t.SQL = name + "(max)"
		case c.Length > 0:
			t.SQL = fmt.Sprintf("%s(%d)", name, c.Length)
		}
		return t, nil
	}
	scaled := func(k kind) (Type, error) {
		t.kind = k
		if c.Scale >= 0 {
			t.SQL = fmt.Sprintf("%s(%d)", name, c.Scale)
		}
		return t, nil
	}
	plain := func(k kind) (Type, error) {
		t.kind = k
		return t, nil
	}
	switch name {
	case "bit":
		return plain(boolKind)
	case "tinyint", "smallint": // tinyint is unsigned: 0 to 255
		return plain(int16Kind)
	case "int":
		return plain(int32Kind)
	case "bigint":
		return plain(int64Kind)
	case "decimal", "numeric":
		if c.Precision < 1 || c.Precision > 38 || c.Scale < 0 || c.Scale > c.Precision {
			return Type{}, fmt.Errorf("column %q is a decimal of precision %d and scale %d, which SQL Server does not have", c.Name, c.Precision, c.Scale)
		}
		t.kind, t.precision, t.scale = decimalKind, int32(c.Precision), int32(c.Scale)
		t.SQL = fmt.Sprintf("decimal(%d,%d)", c.Precision, c.Scale)
		return t, nil
	case "money":
		t.precision, t.scale = 19, 4
		return plain(decimalKind)
	case "smallmoney":
		t.precision, t.scale = 10, 4
		return plain(decimalKind)
	case "float":
		return plain(float64Kind)
	case "real":
		return plain(float32Kind)
	case "date":
		return plain(dateKind)
	case "time":
		return scaled(timeKind)
	case "datetime", "smalldatetime":
		return plain(timestampKind)
	case "datetime2":
		return scaled(timestampKind)
	case "datetimeoffset":
		return scaled(instantKind)
	case "char", "varchar", "nchar", "nvarchar":
		return sized(stringKind)
	case "text", "ntext", "xml", "json":
		return plain(stringKind)
	case "uniqueidentifier":
		return plain(guidKind)
	case "binary", "varbinary":
		return sized(binaryKind)
	case "image", "timestamp", "rowversion":
		return plain(binaryKind)
	case "sql_variant":
		return plain(variantKind)
	}
	return Type{}, fmt.Errorf("column %q is of type %s, which has no Parquet type of its own: %s, or list it under dataset.drop", c.Name, name, remedy(c.Name, name))
}

// remedy says how a type that is the server's own becomes one that others know.
func remedy(column, name string) string {
	as := func(to string) string {
		return fmt.Sprintf(`give it a rule under dataset.columns, {"cast": %q}, or CAST it in the query`, to)
	}
	switch name {
	case "hierarchyid":
		return as("nvarchar(4000)")
	case "geography", "geometry":
		return fmt.Sprintf("%s (its well-known text), or take %s.STAsBinary() in the query", as("nvarchar(max)"), column)
	case "vector":
		return as("nvarchar(max)") + " (a JSON array of its numbers)"
	}
	return as("varbinary(max)")
}

// Arrow is the type in memory and, through it, in Parquet.
func (t Type) Arrow() arrow.DataType {
	switch t.kind {
	case boolKind:
		return arrow.FixedWidthTypes.Boolean
	case int16Kind:
		return arrow.PrimitiveTypes.Int16
	case int32Kind:
		return arrow.PrimitiveTypes.Int32
	case int64Kind:
		return arrow.PrimitiveTypes.Int64
	case decimalKind:
		return &arrow.Decimal128Type{Precision: t.precision, Scale: t.scale}
	case float64Kind:
		return arrow.PrimitiveTypes.Float64
	case float32Kind:
		return arrow.PrimitiveTypes.Float32
	case dateKind:
		return arrow.FixedWidthTypes.Date32
	case timeKind:
		return arrow.FixedWidthTypes.Time64us
	case timestampKind:
		return &arrow.TimestampType{Unit: arrow.Microsecond}
	case instantKind:
		return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	case stringKind, guidKind, variantKind:
		return arrow.BinaryTypes.String
	case binaryKind:
		return arrow.BinaryTypes.Binary
	}
	panic(fmt.Sprintf("the type %q was not made by TypeOf", t.SQL))
}

// Parquet names the type for a manifest's reader.
func (t Type) Parquet() string {
	switch t.kind {
	case decimalKind:
		return fmt.Sprintf("decimal(%d,%d)", t.precision, t.scale)
	case dateKind:
		return "date"
	case timeKind:
		return "time[us]"
	case timestampKind:
		return "timestamp[us]"
	case instantKind:
		return "timestamp[us, UTC]"
	case stringKind, guidKind, variantKind:
		return "string"
	case float64Kind:
		return "double"
	case float32Kind:
		return "float"
	}
	return t.Arrow().String()
}

// IsNumber says whether a model can take the column as it is.
func (t Type) IsNumber() bool {
	switch t.kind {
	case boolKind, int16Kind, int32Kind, int64Kind, decimalKind, float64Kind, float32Kind:
		return true
	}
	return false
}

// isMoment says whether a value is a point in time, or a day.
func (t Type) isMoment() bool {
	return t.kind == dateKind || t.kind == timestampKind || t.kind == instantKind
}
