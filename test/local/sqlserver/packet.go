package sqlserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
)

// The types of packets. https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/
const (
	packetBatch       = 1
	packetRPC         = 3
	packetReply       = 4
	packetAttention   = 6
	packetBulkLoad    = 7
	packetTransaction = 14
	packetLogin7      = 16
	packetSSPI        = 17
	packetPrelogin    = 18
)

const (
	statusEOM             = 0x01
	statusResetConnection = 0x08
	statusResetKeepTran   = 0x10

	packetHeader      = 8
	minPacketSize     = 512
	defaultPacketSize = 4096
	maxPacketSize     = 32767
	// maxEncryptedPacketSize is the largest that SQL Server takes over TLS: one TLS record.
	maxEncryptedPacketSize = 16383
)

// packet is one packet as it came.
type packet struct {
	kind   byte
	status byte
	data   []byte
}

func readPacket(r io.Reader) (packet, error) {
	var h [packetHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return packet{}, err
	}
	n := int(binary.BigEndian.Uint16(h[2:]))
	if n < packetHeader {
		return packet{}, fmt.Errorf("packet of type %d says it is %d bytes long, less than its own header", h[0], n)
	}
	p := packet{kind: h[0], status: h[1], data: make([]byte, n-packetHeader)}
	if _, err := io.ReadFull(r, p.data); err != nil {
		return packet{}, fmt.Errorf("reading the %d bytes of a packet: %w", n, err)
	}
	return p, nil
}

// message reads a message across its packets. The first error stays; what is read after it is zero.
type message struct {
	next func() (packet, error)
	kind byte
	buf  []byte
	last bool
	err  error
}

var errShortMessage = errors.New("the message ends in the middle of a value")

func newMessage(first packet, next func() (packet, error)) *message {
	return &message{next: next, kind: first.kind, buf: first.data, last: first.status&statusEOM != 0}
}

func (m *message) fail(err error) {
	if m.err == nil {
		m.err = err
	}
	m.buf = nil
	m.last = true
}

// more makes sure that there are bytes, if the message has any left.
func (m *message) more() bool {
	for len(m.buf) == 0 {
		if m.last || m.err != nil {
			return false
		}
		p, err := m.next()
		if err != nil {
			m.fail(err)
			return false
		}
		if p.kind != m.kind {
			m.fail(fmt.Errorf("packet of type %d inside a message of type %d", p.kind, m.kind))
			return false
		}
		m.buf, m.last = p.data, p.status&statusEOM != 0
	}
	return true
}

// read fills dst.
func (m *message) read(dst []byte) {
	for len(dst) > 0 {
		if !m.more() {
			m.fail(errShortMessage)
			clear(dst)
			return
		}
		n := copy(dst, m.buf)
		dst, m.buf = dst[n:], m.buf[n:]
	}
}

// bytes reads n bytes. The slice is valid until the next read only if it is within one packet; so it's for use at once.
func (m *message) bytes(n int) []byte {
	if n <= 0 || m.err != nil {
		return nil
	}
	if len(m.buf) == 0 {
		m.more()
	}
	if len(m.buf) >= n {
		b := m.buf[:n]
		m.buf = m.buf[n:]
		return b
	}
	// A length that lies must not allocate what never comes.
	var out []byte
	for n > 0 {
		if !m.more() {
			m.fail(errShortMessage)
			return nil
		}
		k := min(n, len(m.buf))
		out = append(out, m.buf[:k]...)
		m.buf = m.buf[k:]
		n -= k
	}
	return out
}

func (m *message) u8() byte {
	var b [1]byte
	m.read(b[:])
	return b[0]
}

func (m *message) u16() uint16 {
	var b [2]byte
	m.read(b[:])
	return binary.LittleEndian.Uint16(b[:])
}

func (m *message) u32() uint32 {
	var b [4]byte
	m.read(b[:])
	return binary.LittleEndian.Uint32(b[:])
}

func (m *message) u64() uint64 {
	var b [8]byte
	m.read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// bVarchar reads a text with a length of one byte, in characters.
func (m *message) bVarchar() string { return fromUTF16(m.bytes(2 * int(m.u8()))) }

// skipUSVarchar reads over a text with a length of two bytes, in characters.
func (m *message) skipUSVarchar() { m.bytes(2 * int(m.u16())) }

// rest reads all that is left.
func (m *message) rest() []byte {
	var out []byte
	for m.more() {
		out = append(out, m.buf...)
		m.buf = nil
	}
	return out
}

// drain skips what is left.
func (m *message) drain() {
	for m.more() {
		m.buf = nil
	}
}

// skipHeaders skips ALL_HEADERS, which precede a batch, a call and a transaction request.
func (m *message) skipHeaders() {
	n := m.u32()
	if n < 4 || n > math.MaxInt16 {
		m.fail(fmt.Errorf("ALL_HEADERS says it is %d bytes long", n))
		return
	}
	m.bytes(int(n) - 4)
}

// reply writes a message in packets. Tokens are appended to b; flush sends what fills packets.
type reply struct {
	conn net.Conn
	size int // of a packet, with its header
	kind byte
	b    []byte
	seq  byte
	out  []byte
	err  error
	hold bool // nothing is sent before the end
}

func newReply(conn net.Conn, size int) *reply {
	return &reply{conn: conn, size: size, kind: packetReply}
}

// flush sends whole packets, and keeps the rest: the last packet must carry the end of the message.
func (r *reply) flush() {
	if len(r.b) > r.size-packetHeader && !r.hold {
		r.send(false)
	}
}

// finish sends all that is left and ends the message.
func (r *reply) finish() error {
	r.send(true)
	r.seq = 0
	return r.err
}

func (r *reply) send(end bool) {
	body := r.size - packetHeader
	b := r.b
	r.out = r.out[:0]
	for len(b) > body || end {
		n := min(len(b), body)
		status := byte(0)
		if end && n == len(b) {
			status = statusEOM
		}
		r.seq++
		r.out = append(r.out, r.kind, status, byte((n+packetHeader)>>8), byte(n+packetHeader), 0, 0, r.seq, 0)
		r.out = append(r.out, b[:n]...)
		b = b[n:]
		if status == statusEOM {
			break
		}
	}
	r.b = append(r.b[:0], b...)
	if r.err == nil && len(r.out) > 0 {
		_, r.err = r.conn.Write(r.out)
	}
}

func (r *reply) u8(v byte)    { r.b = append(r.b, v) }
func (r *reply) u16(v uint16) { r.b = binary.LittleEndian.AppendUint16(r.b, v) }
func (r *reply) u32(v uint32) { r.b = binary.LittleEndian.AppendUint32(r.b, v) }
func (r *reply) u64(v uint64) { r.b = binary.LittleEndian.AppendUint64(r.b, v) }

func (r *reply) bVarchar(s string) {
	u := appendUTF16(nil, []byte(s))
	u = u[:min(len(u), 2*255)]
	r.u8(byte(len(u) / 2))
	r.b = append(r.b, u...)
}

func (r *reply) usVarchar(s string) {
	u := appendUTF16(nil, []byte(s))
	u = u[:min(len(u), 2*20000)]
	r.u16(uint16(len(u) / 2))
	r.b = append(r.b, u...)
}
