package sqlserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// loginTimeout is how long a client may take to log in.
const loginTimeout = 30 * time.Second

// defaultTextSize is where the server cuts (max) values if the client isn't an ODBC-like one and asks for nothing else.
const defaultTextSize = 4096

// odbcTextSize is TEXTSIZE for a client that set the ODBC option at login.
const odbcTextSize = 1<<31 - 1

// session is one connection that is logged in.
type session struct {
	srv   *Server
	conn  net.Conn
	out   *reply
	login Login
	app   string
	host  string
	spid  int32
	start time.Time

	db  *database
	sql *dbConn

	packets chan packet
	readErr error

	// running is the statement that an attention cancels.
	mu      sync.Mutex
	running context.CancelFunc
	shown   shown

	settings
	odbc       bool
	encrypted  bool
	version    uint32
	tran       transaction
	entered    bool               // it has the right to write
	checking   bool               // what is planned looks for locks
	uses       map[tableName]bool // the tables whose changes by others matter to what runs on trial
	rehearsing bool               // what is planned runs on trial
	rowCount   int64
	identity   any // SCOPE_IDENTITY()
	lastErr    int32
	prepared   map[int32]preparedStatement
	nextPrep   int32
	pending    *pendingDone
	bulk       *bulkLoad
	text       string // of the batch that runs
	temp       map[string]*table
}

// settings are what SET changes and a reset connection forgets.
type settings struct {
	textSize    int64
	noCount     bool
	fmtOnly     bool
	noExec      bool
	xactAbort   bool
	lockTimeout time.Duration // negative: wait for ever
	rowLimit    int64         // SET ROWCOUNT
	isolation   isolation
	priority    int32 // DEADLOCK_PRIORITY
	language    string
}

func (s *session) defaults() settings {
	t := settings{textSize: defaultTextSize, lockTimeout: -1, isolation: readCommitted, language: "us_english"}
	if s.odbc {
		t.textSize = odbcTextSize
	}
	return t
}

// pendingDone is the DONE of a statement. It's written when it's known whether more follows.
type pendingDone struct {
	token           byte
	status, command uint16
	rows            uint64
}

// peekedConn is a connection whose first byte was looked at.
type peekedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c peekedConn) Read(b []byte) (int, error) { return c.r.Read(b) }

// serve handles a connection from its first byte to its last.
func (s *Server) serve(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(loginTimeout)); err != nil {
		return err
	}
	r := bufio.NewReaderSize(conn, 1<<16)
	first, err := r.Peek(1)
	if err != nil {
		return fmt.Errorf("waiting for the first packet: %w", err)
	}
	var c net.Conn = peekedConn{conn, r}
	strict := first[0] == 0x16 // a TLS handshake
	if strict {
		if c, err = upgradeStrict(s.ctx, c, s.cert); err != nil {
			return err
		}
	}
	p, err := readPacket(c)
	if err != nil {
		return fmt.Errorf("reading the prelogin: %w", err)
	}
	if p.kind != packetPrelogin {
		return fmt.Errorf("packet of type %d where a prelogin was expected", p.kind)
	}
	options, err := parsePrelogin(p.data)
	if err != nil {
		return err
	}
	encryption := negotiate(options[preloginEncryption])
	if strict {
		encryption = encryptNotSupported
	}
	answer := newReply(c, minPacketSize)
	answer.b = append(answer.b, preloginReply(encryption)...)
	if err := answer.finish(); err != nil {
		return err
	}
	plain, encrypted := c, strict
	if encryption == encryptOn || encryption == encryptOff {
		if c, err = upgrade(s.ctx, c, s.cert); err != nil {
			return err
		}
		encrypted = encryption == encryptOn
	}
	p, err = readPacket(c)
	if err != nil {
		return fmt.Errorf("reading the login: %w", err)
	}
	if p.kind != packetLogin7 {
		return fmt.Errorf("packet of type %d where a login was expected", p.kind)
	}
	reader := c
	body := newMessage(p, func() (packet, error) { return readPacket(reader) }).rest()
	if encryption == encryptOff { // the login alone was encrypted
		c = plain
	}
	l, err := parseLogin7(body)
	if err != nil {
		return err
	}
	return s.logIn(conn, c, l, encrypted)
}

func (s *Server) logIn(raw, c net.Conn, l login7, encrypted bool) error {
	out := newReply(c, minPacketSize) // until the size is agreed on
	login, db, refused := s.authenticate(l)
	if f := s.faults.takeLogin(); f != nil {
		refused = f
	}
	if refused != nil {
		out.message(tokenError, refused)
		if refused.Number == errUnknownDatabase {
			out.message(tokenError, newError(errLoginFailed, 14, "Login failed for user '%s'.", l.user))
		}
		out.done(tokenDone, doneError, 0, 0)
		if err := out.finish(); err != nil {
			return err
		}
		return refused
	}
	ss := &session{
		srv: s, conn: c, out: out, login: login, app: l.app, host: l.host, odbc: l.odbc, version: l.version, db: db,
		spid: s.spid.Add(1), start: time.Now(), packets: make(chan packet), prepared: map[int32]preparedStatement{},
		temp: map[string]*table{}, encrypted: encrypted,
	}
	ss.settings = ss.defaults()
	ss.shown.requestBegan, ss.shown.requestEnded = ss.start, ss.start
	var err error
	if ss.sql, err = db.open(); err != nil {
		return err
	}
	defer func() {
		ss.rollbackAll()
		ss.sql.Close()
	}()
	ss.show()
	s.mu.Lock()
	s.sessions[ss] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.sessions, ss)
	}()

	size := l.packetSize
	if size < minPacketSize {
		size = defaultPacketSize
	}
	if encrypted {
		size = min(size, maxEncryptedPacketSize)
	}
	version := uint32(0x74000004)
	if l.version == 0x08000000 {
		version = l.version
	}
	out.env(envDatabase, db.name, "master")
	out.message(tokenInfo, &sqlError{Number: 5701, State: 2, Message: fmt.Sprintf("Changed database context to '%s'.", db.name)})
	out.envBytes(envCollation, collation[:], nil)
	out.env(envLanguage, "us_english", "")
	out.message(tokenInfo, &sqlError{Number: 5703, State: 1, Message: "Changed language setting to us_english."})
	out.loginAck(version, programName)
	out.env(envPacketSize, fmt.Sprint(size), fmt.Sprint(defaultPacketSize))
	out.done(tokenDone, doneFinal, 0, 0)
	if err := out.finish(); err != nil {
		return err
	}
	out.size = size
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return err
	}
	return ss.loop(raw)
}

// loop serves requests until the client leaves. A second goroutine reads, so that an attention is seen while a statement
// runs; it hands over one packet at a time, so that a client that sends faster than the server works has to wait.
func (s *session) loop(raw net.Conn) error {
	ended := make(chan struct{})
	readerGone := make(chan struct{})
	go func() {
		defer close(readerGone)
		defer close(s.packets)
		for {
			p, err := readPacket(s.conn)
			if err != nil {
				s.readErr = err
				s.cancel() // nobody waits for the answer any more
				return
			}
			if p.kind == packetAttention {
				s.cancel()
			}
			select {
			case s.packets <- p:
			case <-ended:
				return
			}
		}
	}()
	err := s.requests()
	close(ended)
	raw.Close() // lets the reader go
	<-readerGone
	return err
}

func (s *session) requests() error {
	for {
		p, ok := <-s.packets
		if !ok {
			if errors.Is(s.readErr, io.EOF) || errors.Is(s.readErr, net.ErrClosed) {
				return nil
			}
			return s.readErr
		}
		if p.status&(statusResetConnection|statusResetKeepTran) != 0 {
			s.reset(p.status&statusResetKeepTran != 0)
		}
		m := newMessage(p, func() (packet, error) {
			p, ok := <-s.packets
			if !ok {
				return p, io.ErrUnexpectedEOF
			}
			return p, nil
		})
		var err error
		switch p.kind {
		case packetAttention:
			m.drain()
			s.out.done(tokenDone, doneAttention, 0, 0)
			err = s.out.finish()
		case packetBatch:
			err = s.batch(m)
		case packetRPC:
			err = s.rpc(m)
		case packetTransaction:
			err = s.transactionRequest(m)
		case packetBulkLoad:
			err = s.loadBulk(m)
		default:
			return fmt.Errorf("packet of type %d where a request was expected", p.kind)
		}
		if err != nil {
			return err
		}
	}
}

// execute runs one request so that it can be cancelled, and ends the reply. A cancelled request's reply has no end: the
// attention that follows gets it.
func (s *session) execute(m *message, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(s.srv.ctx)
	defer cancel()
	s.mu.Lock()
	s.running = cancel
	s.mu.Unlock()
	s.showRequest(true)
	conn := s.sql
	over, watched := make(chan struct{}), make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		defer close(watched)
		// An interrupt is lost if the statement isn't running yet: so until it has ended.
		for {
			conn.Interrupt()
			select {
			case <-over:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	err := f(ctx)
	cancelled := ctx.Err() != nil
	close(over)
	if !unwatch() {
		<-watched // an interrupt that comes later would strike the next statement
	}
	s.mu.Lock()
	s.running = nil
	s.mu.Unlock()
	m.drain()

	if err == nil && m.err != nil && !cancelled {
		err = newProtocolError(m.err)
	}
	var fatal *fatalError
	switch {
	case errors.As(err, &fatal):
		return fatal
	case cancelled:
		if s.out.err != nil {
			return s.out.err
		}
		if s.tran.open && s.xactAbort {
			s.rollbackAll()
		}
		s.pending = nil
		s.showRequest(false)
		return s.awaitAttention()
	case err != nil:
		s.fail(err)
	}
	s.showRequest(false)
	s.writeDone(false)
	return s.out.finish()
}

// awaitAttention takes the attention that cancelled the request and acknowledges it.
func (s *session) awaitAttention() error {
	for p := range s.packets {
		if p.kind == packetAttention {
			s.out.done(tokenDone, doneAttention, 0, 0)
			return s.out.finish()
		}
	}
	return s.readErr
}

func (s *session) cancel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		s.running()
	}
}

// fatalError ends the connection without a word, as a lost network does.
type fatalError struct{ reason string }

func (e *fatalError) Error() string { return e.reason }

func newProtocolError(err error) *sqlError {
	if e, ok := errors.AsType[*sqlError](err); ok {
		return e
	}
	return newError(4002, 16, "The incoming tabular data stream (TDS) protocol stream is incorrect. The stream ended unexpectedly or holds what the local SQL Server doesn't read: %v.", err)
}

// fail tells the client of an error and ends the statement with it.
func (s *session) fail(err error) {
	e := asSQLError(err)
	s.lastErr = e.Number
	s.srv.log.Debug("statement failed", "session", s.spid, "error", e.Error())
	s.writeDone(true)
	if e.Before != nil {
		s.out.message(tokenError, e.Before)
	}
	s.out.message(tokenError, e)
	s.setDone(doneError, commandOther, 0)
	if e.Number == errDeadlock || e.Number == errSnapshotConflict || s.xactAbort || abortsTransaction(e.Number) {
		s.rollbackAll()
	}
}

// abortsTransaction names errors after which SQL Server rolls the transaction back: failed conversions of values.
func abortsTransaction(number int32) bool {
	switch number {
	case errConversion, errDateConversion, errDateOutOfRange, errConversionTo, 8169, 248, 235, 295:
		return true
	}
	return false
}

// abortsBatch says whether the statements after the failed one are skipped.
func abortsBatch(number int32) bool {
	switch number {
	case errDuplicateKey, errDuplicateIndexKey, errNullIntoNotNull, errDivideByZero, errOverflow, 220, errTruncation, 8152,
		errPermission, 512, 544, 2714, 3701, errLockTimeout:
		return false
	}
	return true
}

func (s *session) setDone(status, command uint16, rows uint64) {
	s.writeDone(true)
	s.pending = &pendingDone{token: tokenDone, status: status, command: command, rows: rows}
}

// writeDone writes the DONE that waits. The last one of a request is written even if no statement left any.
func (s *session) writeDone(more bool) {
	p := s.pending
	s.pending = nil
	if p == nil {
		if more {
			return
		}
		p = &pendingDone{token: tokenDone}
	}
	if more {
		p.status |= doneMore
	}
	s.out.done(p.token, p.status, p.command, p.rows)
	s.out.flush()
}

// info sends a message that isn't an error.
func (s *session) info(number int32, format string, args ...any) {
	s.writeDone(true)
	s.out.message(tokenInfo, &sqlError{Number: number, State: 1, Message: fmt.Sprintf(format, args...)})
}

// reset makes the session as new, for the next user of a pooled connection.
func (s *session) reset(keepTransaction bool) {
	if !keepTransaction {
		s.rollbackAll()
	}
	s.settings = s.defaults()
	s.prepared = map[int32]preparedStatement{}
	s.rowCount, s.identity, s.lastErr = 0, nil, 0
	s.dropTemporary()
	s.out.envBytes(envResetComplete, nil, nil)
}

func (s *session) batch(m *message) error {
	m.skipHeaders()
	text := fromUTF16(m.rest())
	return s.execute(m, func(ctx context.Context) error {
		if m.err != nil {
			return newProtocolError(m.err)
		}
		return s.runBatch(ctx, text, newVariables())
	})
}
