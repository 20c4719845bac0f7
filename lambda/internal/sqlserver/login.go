// Package sqlserver reads from SQL Server: it logs in over verified TLS, sets the session, sends one SELECT and says in
// plain words what went wrong.
package sqlserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// DefaultPort is where SQL Server listens when neither the secret nor the environment names a port.
const DefaultPort = 1433

// Login is what it takes to log in. Its String says nothing secret.
type Login struct {
	Host     string
	Port     int
	Database string
	Username string
	Password string
	// CACertificate is the PEM text of the authorities that sign the server's certificate. Empty: those of Amazon RDS.
	CACertificate string
}

// String names the login without its password.
func (l Login) String() string {
	return fmt.Sprintf("%s on %s:%d, database %s", l.Username, l.Host, l.Port, l.Database)
}

// GoString keeps the password out of %#v as well.
func (l Login) GoString() string { return l.String() }

// Overrides replace what the secret says. Empty ones don't.
type Overrides struct {
	Host, Port, Database string
}

// secretShape is the shape that messages show.
const secretShape = `{"engine":"sqlserver","host":"…","port":1433,"username":"…","password":"…","dbname":"…"}`

// DecodeLogin reads the text of a secret of AWS's structure for RDS SQL Server, with caCertificate as our own optional
// key. Its errors name keys and never show a value.
func DecodeLogin(secret []byte, o Overrides) (Login, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(secret, &keys); err != nil || keys == nil {
		// The decoder's own message may quote what it met, which may be the password.
		return Login{}, fmt.Errorf("the database secret is not a JSON object: expected %s", secretShape)
	}
	text := func(key string) (string, error) {
		raw, ok := keys[key]
		if !ok || string(raw) == "null" {
			return "", nil
		}
		var s string
		if err := json.Unmarshal(raw, &s); err == nil {
			return s, nil
		}
		// AWS writes the port as a number, some rotation functions as a string: take both.
		if key == "port" {
			var n json.Number
			if err := json.Unmarshal(raw, &n); err == nil {
				return n.String(), nil
			}
		}
		return "", fmt.Errorf("the database secret's %q is not a string: expected %s", key, secretShape)
	}
	var l Login
	var engine, port string
	var problems []error
	for key, to := range map[string]*string{
		"engine": &engine, "host": &l.Host, "port": &port, "dbname": &l.Database,
		"username": &l.Username, "password": &l.Password, "caCertificate": &l.CACertificate,
	} {
		s, err := text(key)
		if err != nil {
			problems = append(problems, err)
		}
		*to = s
	}
	if len(problems) > 0 {
		slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return Login{}, errors.Join(problems...)
	}
	// RDS writes the edition into the engine of secrets that it manages: sqlserver-se.
	if engine != "" && !strings.HasPrefix(engine, "sqlserver") {
		return Login{}, errors.New(`the database secret's "engine" is not sqlserver: is it the secret of another database?`)
	}
	if o.Host != "" {
		l.Host = o.Host
	}
	if o.Port != "" {
		port = o.Port
	}
	if o.Database != "" {
		l.Database = o.Database
	}

	var missing []string
	for _, m := range []struct {
		value, key, env string
	}{
		{l.Host, "host", "DATABASE_HOST"}, {l.Database, "dbname", "DATABASE_NAME"},
		{l.Username, "username", ""}, {l.Password, "password", ""},
	} {
		if m.value != "" {
			continue
		}
		name := strconv.Quote(m.key)
		if m.env != "" {
			name += " (or the environment variable " + m.env + ")"
		}
		missing = append(missing, name)
	}
	if len(missing) > 0 {
		return Login{}, fmt.Errorf("the database secret lacks %s: expected %s", strings.Join(missing, ", "), secretShape)
	}

	l.Port = DefaultPort
	if port != "" {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return Login{}, fmt.Errorf(`the database's port is not a number from 1 to 65535 (the secret's "port", or the environment variable DATABASE_PORT): expected %s`, secretShape)
		}
		l.Port = n
	}
	// A byte-order mark or a line break that an editor left makes a password wrong in a way that nobody sees.
	if bytes.ContainsAny([]byte(l.Password), "\r\n\x00") {
		return Login{}, errors.New(`the database secret's "password" holds a line break or a zero byte: it was probably pasted with one`)
	}
	return l, nil
}
