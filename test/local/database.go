package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/microsoft/go-mssqldb/msdsn"

	"sagemaker-datapipeline/test/local/data"
)

// secretName is the secret that cdk.json's local environment names.
const secretName = "ml/local/sqlserver"

// The environment variables that put a real SQL Server in the place of the local one.
const (
	serverURLVariable = "SQLSERVER_URL"
	serverCAVariable  = "SQLSERVER_CA"
)

// database is the SQL Server of the run, local or real.
type database struct {
	// url is what go-mssqldb connects to.
	url string
	// what says in words what it is.
	what string
	// secret is what the export function gets, as AWS structures it for RDS.
	secret secret
	// ours says that the database began empty and ends with the run.
	ours bool
}

// secret is the JSON that AWS documents for RDS for SQL Server, with the certificate that we add.
type secret struct {
	Engine   string `json:"engine"`
	Host     string `json:"host"`
	Port     int    `json:"port"`
	Username string `json:"username"`
	Password string `json:"password"`
	DBName   string `json:"dbname"`
	// CACertificate is set where Amazon RDS didn't sign the server's certificate.
	CACertificate string `json:"caCertificate,omitempty"`
}

// localDatabase is the SQL Server that the services run.
func localDatabase(dir stateDir, r ready) (database, error) {
	ca := dir.file("sqlserver-ca.pem")
	if err := os.WriteFile(ca, []byte(r.CA), 0o644); err != nil {
		return database{}, fmt.Errorf("writing the server's certificate: %w", err)
	}
	u := url.URL{
		Scheme: "sqlserver",
		User:   url.UserPassword(r.Owner.Name, r.Owner.Password),
		Host:   r.Host + ":" + strconv.Itoa(r.Port),
		RawQuery: url.Values{
			"database": {databaseName}, "encrypt": {"true"}, "certificate": {ca}, "app name": {"make local"},
		}.Encode(),
	}
	return database{
		url: u.String(), what: "local TDS server over SQLite", ours: true,
		secret: secret{"sqlserver", r.Host, r.Port, r.Export.Name, r.Export.Password, databaseName, r.CA},
	}, nil
}

// realDatabase is the SQL Server that SQLSERVER_URL names.
func realDatabase(rawURL, caFile string) (database, error) {
	c, err := msdsn.Parse(rawURL)
	if err != nil || !strings.HasPrefix(rawURL, "sqlserver://") {
		return database{}, fmt.Errorf("%s is not of the form sqlserver://user:password@host:1433?database=shop", serverURLVariable)
	}
	if c.User == "" || c.Database == "" {
		return database{}, fmt.Errorf("%s needs a user and a database: sqlserver://user:password@host:1433?database=shop", serverURLVariable)
	}
	s := secret{"sqlserver", c.Host, int(c.Port), c.User, c.Password, c.Database, ""}
	if s.Port == 0 {
		s.Port = 1433
	}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return database{}, fmt.Errorf("reading the certificate that %s names: %w", serverCAVariable, err)
		}
		s.CACertificate = string(pem)
	}
	return database{url: rawURL, what: fmt.Sprintf("SQL Server at %s:%d", s.Host, s.Port), secret: s}, nil
}

// store puts the secret where the export function looks for it.
func (d database) store(ctx context.Context, client *secretsmanager.Client) error {
	b, err := json.Marshal(d.secret)
	if err != nil {
		return fmt.Errorf("storing the database secret: %w", err)
	}
	name, text := secretName, string(b)
	if _, err := client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: &text}); err != nil {
		return fmt.Errorf("storing the database secret: %w", err)
	}
	return nil
}

// fill creates the tables and loads them, one after the other: a loader for each CPU would take them from the deployment.
func (d database) fill(ctx context.Context, progress func(table string, rows, of int)) (rows int, err error) {
	db, err := sql.Open("sqlserver", d.url)
	if err != nil {
		return 0, fmt.Errorf("connecting: %w", err)
	}
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return 0, fmt.Errorf("connecting to %s: %w", d.what, err)
	}
	if !d.ours {
		if err := claim(ctx, db); err != nil {
			return 0, err
		}
	}
	if err := data.Create(ctx, db); err != nil {
		return 0, err
	}
	for _, t := range data.Tables() {
		if err := data.Load(ctx, db, t, func(n int) { progress(t.Name, n, t.Count) }); err != nil {
			return rows, err
		}
		rows += t.Count
	}
	return rows, data.Index(ctx, db)
}

// claimTable marks a database that an earlier run made, and that this one may empty.
const claimTable = "dbo.MadeByMakeLocal"

// claim empties a database that an earlier run filled. Tables that are there without its mark are somebody's.
func claim(ctx context.Context, db *sql.DB) error {
	var marked, taken int
	err := db.QueryRowContext(ctx, "SELECT COUNT(CASE WHEN t.name = 'MadeByMakeLocal' THEN 1 END), "+
		"COUNT(CASE WHEN t.name IN ('Transactions', 'Customers', 'Sales') THEN 1 END) "+
		"FROM sys.tables AS t WHERE SCHEMA_NAME(t.schema_id) = 'dbo'").Scan(&marked, &taken)
	switch {
	case err != nil:
		return fmt.Errorf("looking at the tables: %w", err)
	case marked == 0 && taken > 0:
		return errors.New("the database has tables of the names Transactions, Customers or Sales that `make local` didn't make: " +
			"give " + serverURLVariable + " an empty database")
	case marked == 0:
		_, err = db.ExecContext(ctx, "CREATE TABLE "+claimTable+" (Since datetime2(0) NOT NULL)")
	default:
		_, err = db.ExecContext(ctx, "DROP TABLE IF EXISTS dbo.Transactions, dbo.Customers, dbo.Sales")
	}
	if err != nil {
		return fmt.Errorf("preparing the database: %w", err)
	}
	return nil
}

// nextChanges lets the time until a pipeline's second run go by in the database.
func nextChanges(ctx context.Context, databaseURL, pipeline string) ([]data.Change, error) {
	db, err := sql.Open("sqlserver", databaseURL)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	defer db.Close()
	return data.Next(ctx, db, pipeline)
}

// runSQL runs T-SQL in the running environment's database and prints what comes.
func runSQL(ctx context.Context, o options, query string) error {
	if query == "" {
		return errors.New(`there is no query: make local-sql Q="SELECT COUNT(*) FROM dbo.Customers"`)
	}
	env, err := o.dir.read()
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlserver", env.DatabaseURL)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer db.Close()
	if !strings.EqualFold(firstWord(query), "select") {
		result, err := db.ExecContext(ctx, query)
		if err != nil {
			return fmt.Errorf("running the statement: %w", err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return fmt.Errorf("running the statement: %w", err)
		}
		fmt.Printf("%s rows affected\n", thousands(n))
		return nil
	}
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("running the query: %w", err)
	}
	defer rows.Close()
	header, err := rows.Columns()
	if err != nil {
		return fmt.Errorf("running the query: %w", err)
	}
	const most = 50
	var cells [][]string
	more := false
	for rows.Next() {
		if more = len(cells) == most; more {
			break
		}
		values, pointers := make([]any, len(header)), make([]any, len(header))
		for i := range values {
			pointers[i] = &values[i]
		}
		if err := rows.Scan(pointers...); err != nil {
			return fmt.Errorf("reading a row: %w", err)
		}
		row := make([]string, len(header))
		for i, v := range values {
			switch v := v.(type) {
			case nil:
				row[i] = "NULL"
			case []byte:
				row[i] = string(v)
			case time.Time:
				row[i] = v.Format("2006-01-02 15:04:05.999")
			default:
				row[i] = fmt.Sprint(v)
			}
		}
		cells = append(cells, row)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the rows: %w", err)
	}
	fmt.Print(table(header, cells, nil))
	if more {
		fmt.Printf("… only the first %d rows\n", most)
	}
	return nil
}

func firstWord(s string) string {
	fields := strings.Fields(s)
	if len(fields) == 0 {
		return ""
	}
	return fields[0]
}
