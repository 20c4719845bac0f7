package sqlserver

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Encryption in a prelogin message.
const (
	encryptOff          = 0 // the login alone
	encryptOn           = 1
	encryptNotSupported = 2
	encryptRequired     = 3
)

const (
	preloginVersion    = 0
	preloginEncryption = 1
	preloginInstance   = 2
	preloginThread     = 3
	preloginMARS       = 4
	preloginEnd        = 0xFF
)

// parsePrelogin gives the options of a prelogin message by their number.
func parsePrelogin(b []byte) (map[byte][]byte, error) {
	out := map[byte][]byte{}
	for at := 0; ; at += 5 {
		if at >= len(b) {
			return nil, errors.New("prelogin without an end")
		}
		if b[at] == preloginEnd {
			return out, nil
		}
		if at+5 > len(b) {
			return nil, errors.New("prelogin ends inside its options")
		}
		from, n := int(binary.BigEndian.Uint16(b[at+1:])), int(binary.BigEndian.Uint16(b[at+3:]))
		if from+n > len(b) {
			return nil, fmt.Errorf("prelogin option %d lies outside the message", b[at])
		}
		out[b[at]] = b[from : from+n]
	}
}

// preloginReply answers with the server's version and what was agreed on encryption.
func preloginReply(encryption byte) []byte {
	options := []struct {
		id   byte
		data []byte
	}{
		{preloginVersion, []byte{serverMajor, serverMinor, 0, 0, 0, 0}},
		{preloginEncryption, []byte{encryption}},
		{preloginInstance, []byte{0}},
		{preloginThread, nil},
		{preloginMARS, []byte{0}},
	}
	head := make([]byte, 0, 64)
	var data []byte
	for _, o := range options {
		head = append(head, o.id)
		head = binary.BigEndian.AppendUint16(head, uint16(5*len(options)+1+len(data)))
		head = binary.BigEndian.AppendUint16(head, uint16(len(o.data)))
		data = append(data, o.data...)
	}
	return append(append(head, preloginEnd), data...)
}

// negotiate is the encryption that both sides do: what the client asks for, since this server has a certificate and
// forces nobody.
func negotiate(asked []byte) byte {
	if len(asked) == 0 {
		return encryptNotSupported
	}
	switch asked[0] {
	case encryptOn, encryptRequired:
		return encryptOn
	case encryptOff:
		return encryptOff
	}
	return encryptNotSupported
}

// login7 is what of a LOGIN7 message counts here.
type login7 struct {
	version    uint32
	packetSize int
	odbc       bool
	integrated bool
	host       string
	user       string
	password   string
	app        string
	server     string
	database   string
}

// login7Fixed is the size of the message's fixed part.
const login7Fixed = 94

func parseLogin7(b []byte) (login7, error) {
	var l login7
	if len(b) < login7Fixed {
		return l, fmt.Errorf("login message of %d bytes, less than its fixed part of %d", len(b), login7Fixed)
	}
	l.version = binary.LittleEndian.Uint32(b[4:])
	l.packetSize = int(min(binary.LittleEndian.Uint32(b[8:]), maxPacketSize))
	l.odbc = b[25]&0x02 != 0
	l.integrated = b[25]&0x80 != 0
	text := func(at int) (string, error) {
		from, n := int(binary.LittleEndian.Uint16(b[at:])), int(binary.LittleEndian.Uint16(b[at+2:]))
		if n == 0 {
			return "", nil
		}
		if n > 128 && at != 76 || from+2*n > len(b) {
			return "", fmt.Errorf("login field at %d lies outside the message", at)
		}
		return string(b[from : from+2*n]), nil
	}
	for at, into := range map[int]*string{36: &l.host, 40: &l.user, 44: &l.password, 48: &l.app, 52: &l.server, 68: &l.database} {
		raw, err := text(at)
		if err != nil {
			return l, err
		}
		v := []byte(raw)
		if at == 44 {
			for i, c := range v {
				c ^= 0xA5
				v[i] = c<<4 | c>>4
			}
		}
		*into = fromUTF16(v)
	}
	return l, nil
}

// authenticate finds the login and the database. The client isn't told more than SQL Server tells.
func (s *Server) authenticate(l login7) (Login, *database, *sqlError) {
	failed := newError(errLoginFailed, 14, "Login failed for user '%s'.", l.user)
	if l.integrated {
		return Login{}, nil, newError(errLoginFailed, 14, "Login failed. The login is from an untrusted domain and cannot be used with Integrated authentication.")
	}
	for _, known := range s.logins {
		if !strings.EqualFold(known.Name, l.user) {
			continue
		}
		if subtle.ConstantTimeCompare([]byte(known.Password), []byte(l.password)) != 1 {
			return Login{}, nil, failed
		}
		name := l.database
		if name == "" {
			name = s.defaultDatabase
		}
		db := s.database(name)
		if db == nil {
			return known, nil, newError(errUnknownDatabase, 11, "Cannot open database \"%s\" requested by the login. The login failed.", name)
		}
		return known, db, nil
	}
	return Login{}, nil, failed
}
