package sqlserver

const (
	tokenReturnStatus = 0x79
	tokenColMetadata  = 0x81
	tokenError        = 0xAA
	tokenInfo         = 0xAB
	tokenReturnValue  = 0xAC
	tokenLoginAck     = 0xAD
	tokenRow          = 0xD1
	tokenNBCRow       = 0xD2
	tokenEnvChange    = 0xE3
	tokenDone         = 0xFD
	tokenDoneProc     = 0xFE
	tokenDoneInProc   = 0xFF
)

const (
	doneFinal     = 0x00
	doneMore      = 0x01
	doneError     = 0x02
	doneCount     = 0x10
	doneAttention = 0x20
)

// The commands that a DONE names.
const (
	commandSelect = 0xC1
	commandInsert = 0xC3
	commandDelete = 0xC4
	commandUpdate = 0xC5
	commandOther  = 0xFD
)

const (
	envDatabase      = 1
	envLanguage      = 2
	envPacketSize    = 4
	envCollation     = 7
	envBeginTran     = 8
	envCommitTran    = 9
	envRollbackTran  = 10
	envResetComplete = 18
)

// collation is SQL_Latin1_General_CP1_CI_AS on the wire: LCID 0x0409, flags (ignore case, kana, width), sort id 52.
var collation = [5]byte{0x09, 0x04, 0xD0, 0x00, 0x34}

func (r *reply) done(token byte, status, command uint16, rows uint64) {
	r.u8(token)
	r.u16(status)
	r.u16(command)
	r.u64(rows)
}

func (r *reply) message(token byte, e *sqlError) {
	body := reply{}
	body.u32(uint32(e.Number))
	body.u8(e.State)
	body.u8(e.Class)
	body.usVarchar(e.Message)
	body.bVarchar(serverName)
	body.bVarchar("")
	body.u32(uint32(max(e.Line, 1)))
	r.u8(token)
	r.u16(uint16(len(body.b)))
	r.b = append(r.b, body.b...)
}

func (r *reply) env(kind byte, now, before string) {
	body := reply{}
	body.u8(kind)
	body.bVarchar(now)
	body.bVarchar(before)
	r.u8(tokenEnvChange)
	r.u16(uint16(len(body.b)))
	r.b = append(r.b, body.b...)
}

func (r *reply) envBytes(kind byte, now, before []byte) {
	r.u8(tokenEnvChange)
	r.u16(uint16(3 + len(now) + len(before)))
	r.u8(kind)
	r.u8(byte(len(now)))
	r.b = append(r.b, now...)
	r.u8(byte(len(before)))
	r.b = append(r.b, before...)
}

func (r *reply) loginAck(version uint32, program string) {
	body := reply{}
	body.u8(1) // SQL_TSQL
	body.b = append(body.b, byte(version>>24), byte(version>>16), byte(version>>8), byte(version))
	body.bVarchar(program)
	body.b = append(body.b, serverMajor, serverMinor, 0, 0)
	r.u8(tokenLoginAck)
	r.u16(uint16(len(body.b)))
	r.b = append(r.b, body.b...)
}

// column is a column of a result, as its metadata says.
type column struct {
	name     string
	typ      sqlType
	nullable bool
	identity bool
	computed bool
	mask     string // the masking function of the values that it holds
}

func (r *reply) colMetadata(cols []column) {
	r.u8(tokenColMetadata)
	r.u16(uint16(len(cols)))
	for _, c := range cols {
		user := uint32(0)
		if c.typ.id == tRowVersion {
			user = 80
		}
		r.u32(user)
		flags := uint16(0x08) // whether it can be updated isn't known
		if c.nullable {
			flags |= 0x01
		}
		if c.identity {
			flags |= 0x10
		}
		if c.computed {
			flags |= 0x20
		}
		r.u16(flags)
		r.b = appendTypeInfo(r.b, c.typ, c.nullable)
		if c.typ.id == tText || c.typ.id == tNText || c.typ.id == tImage {
			r.u8(1) // the table's name, in one part
			r.usVarchar("")
		}
		r.bVarchar(c.name)
	}
}
