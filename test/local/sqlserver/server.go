// Package sqlserver is a local SQL Server: a TDS 7.4 server over SQLite that go-mssqldb and other clients take for
// Microsoft SQL Server, for tests and for running the pipelines on a laptop. README.md says what it knows and what not.
package sqlserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	// programName is what the server calls itself when it accepts a login.
	programName = "Local SQL Server over SQLite"
	serverName  = "local-sqlserver"

	// The version that clients see: the protocol and the T-SQL of SQL Server 2016.
	serverMajor = 13
	serverMinor = 0

	versionText = "Local SQL Server (TDS 7.4 over SQLite, for tests; this is not Microsoft SQL Server) - 13.0.0.0"
)

// Login is somebody who may log in.
type Login struct {
	Name, Password string
	// ReadOnly logins may read and nothing else.
	ReadOnly bool
	// Denied are the permissions that the login lacks, in the words of DENY: VIEW DATABASE STATE, VIEW SERVER STATE,
	// VIEW DEFINITION, UNMASK, SELECT ON schema.table. Default: none.
	Denied []string
}

// Options say how the server runs.
type Options struct {
	// Addr to listen on. Default: 127.0.0.1:0, a free port.
	Addr string
	// Dir holds a data file for each database. Default: a temporary directory that Close removes.
	Dir string
	// Databases that exist; the first is every login's default. Default: master alone, which always exists.
	Databases []string
	// Logins that exist. Names don't depend on case. Without any nobody can log in.
	Logins []Login
	// ReadOnly are the databases that are READ_ONLY, as a replica's are; SetReadOnly changes it later. Default: none.
	ReadOnly []string
	// LockingReads are the databases in which READ_COMMITTED_SNAPSHOT is OFF at first: readers wait for writers. Default:
	// none, it is ON.
	LockingReads []string
	// NoSnapshots are the databases in which ALLOW_SNAPSHOT_ISOLATION is OFF at first. Default: none, it is ON.
	NoSnapshots []string
	// ScanRows is how many rows a scan under locking READ COMMITTED reads at a time: what others commit shows from one to the
	// next. Default: 64.
	ScanRows int
	// MissingViews are catalog views and table functions that the server is not to know, as other engines and older
	// versions don't, such as sys.dm_db_stats_histogram. Reading one is error 208. Default: none.
	MissingViews []string
	// SecurityPolicies are what sys.security_policies and sys.security_predicates show. No row is hidden by them.
	// Default: none.
	SecurityPolicies []SecurityPolicy
	// AvailabilityGroup and Mirroring are the GUIDs that sys.databases and sys.database_mirroring show of the databases, as all their
	// replicas do. Default: the databases have no replicas.
	AvailabilityGroup, Mirroring string
	// Log gets connections and errors. Default: nothing is logged.
	Log *slog.Logger
}

// Server is a running server.
type Server struct {
	listener        net.Listener
	cert            tls.Certificate
	caPEM           []byte
	dir             string
	removeDir       bool
	databases       map[string]*database
	databaseNames   []string
	defaultDatabase string
	logins          []Login
	scanRows        int
	missingViews    map[string]bool // in lower case
	policies        []SecurityPolicy
	groups          [2]any // the stored GUIDs of an availability group and of mirroring, or nil
	log             *slog.Logger
	faults          faults

	spid         atomic.Int32
	transactions atomic.Uint64   // numbers them
	ctx          context.Context //nolint:containedctx // it ends with Close, and with it what every connection runs
	stop         context.CancelFunc
	tasks        sync.WaitGroup

	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	sessions map[*session]struct{}
}

// Start starts a server. It runs until Close.
func Start(o Options) (_ *Server, err error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{dir: o.Dir, logins: o.Logins, log: o.Log, databases: map[string]*database{}, conns: map[net.Conn]struct{}{}, sessions: map[*session]struct{}{}}
	s.spid.Store(50)
	if s.scanRows = o.ScanRows; s.scanRows <= 0 {
		s.scanRows = scanRows
	}
	if err := s.restrict(o); err != nil {
		return nil, err
	}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "local-sqlserver-"); err != nil {
			return nil, fmt.Errorf("making a directory for the databases: %w", err)
		}
		s.removeDir = true
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			s.stop()
			err = errors.Join(err, s.closeDatabases())
		}
	}()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the databases: %w", err)
	}
	s.defaultDatabase = "master"
	for i, name := range append([]string{"master"}, o.Databases...) {
		if i == 1 {
			s.defaultDatabase = name
		}
		if name == "" || name != filepath.Base(name) || strings.ContainsAny(name, `/\:`) || len(name) > 123 {
			return nil, fmt.Errorf("database name %q: want one that can be a file's name, such as shop", name)
		}
		if s.database(name) != nil {
			if strings.EqualFold(name, "master") {
				continue
			}
			return nil, fmt.Errorf("database name %q: it is named twice", name)
		}
		db, err := openDatabase(name, len(s.databaseNames)+1, filepath.Join(s.dir, name+".sqlite"), s.removeDir)
		if err != nil {
			return nil, err
		}
		named := func(list []string) bool {
			return slices.ContainsFunc(list, func(n string) bool { return strings.EqualFold(n, name) })
		}
		db.readOnly.Store(named(o.ReadOnly))
		if err := db.setReadModes(!named(o.LockingReads), !named(o.NoSnapshots)); err != nil {
			return nil, err
		}
		s.databases[strings.ToLower(name)] = db
		s.databaseNames = append(s.databaseNames, name)
	}
	if s.cert, s.caPEM, err = newCertificates(); err != nil {
		return nil, err
	}
	if s.listener, err = new(net.ListenConfig).Listen(s.ctx, "tcp", o.Addr); err != nil {
		return nil, fmt.Errorf("listening for SQL clients: %w", err)
	}
	s.tasks.Go(s.accept)
	s.log.Info("local SQL Server is listening", "address", s.listener.Addr().String())
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() (host string, port int) {
	a := s.listener.Addr().(*net.TCPAddr)
	return a.IP.String(), a.Port
}

// CACertificatePEM is the certificate of the authority that signed the server's certificate. The certificate is for
// localhost, 127.0.0.1 and ::1.
func (s *Server) CACertificatePEM() []byte { return append([]byte(nil), s.caPEM...) }

// Close ends all connections and stops. Data in a temporary directory is gone then.
func (s *Server) Close() error {
	s.stop()
	err := s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.tasks.Wait()
	return errors.Join(err, s.closeDatabases())
}

func (s *Server) closeDatabases() error {
	for _, db := range s.databases {
		db.close()
	}
	if s.removeDir {
		return os.RemoveAll(s.dir)
	}
	return nil
}

func (s *Server) database(name string) *database { return s.databases[strings.ToLower(name)] }

// sortedDatabases are all databases by id.
func (s *Server) sortedDatabases() []*database {
	var out []*database
	for _, db := range s.databases {
		out = append(out, db)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].id < out[j].id })
	return out
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if s.ctx.Err() == nil {
				s.log.Error("accepting a connection", "error", err)
			}
			return
		}
		s.mu.Lock()
		if s.ctx.Err() != nil {
			s.mu.Unlock()
			conn.Close()
			return
		}
		s.conns[conn] = struct{}{}
		s.mu.Unlock()
		s.tasks.Go(func() {
			defer func() {
				conn.Close()
				s.mu.Lock()
				delete(s.conns, conn)
				s.mu.Unlock()
			}()
			if err := s.serve(conn); err != nil && s.ctx.Err() == nil {
				s.log.Info("connection ended", "client", conn.RemoteAddr().String(), "reason", err)
			}
		})
	}
}
