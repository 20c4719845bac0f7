package sqlserver

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"sagemaker-datapipeline/lambda/pipeline"
)

func TestEveryRegionalRootOfRDSIsThere(t *testing.T) {
	if _, err := certificatePool(""); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for rest := rdsCA; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if !cert.IsCA || cert.NotAfter.Before(time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%s is a CA: %v, and ends on %s", cert.Subject.CommonName, cert.IsCA, cert.NotAfter)
		}
		found[cert.Subject.CommonName] = true
	}
	for _, region := range []string{
		"af-south-1", "ap-east-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2",
		"ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ca-central-1", "eu-central-1", "eu-central-2",
		"eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3", "me-central-1", "me-south-1",
		"sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
	} {
		for _, key := range []string{"RSA2048", "RSA4096", "ECC384"} {
			if name := fmt.Sprintf("Amazon RDS %s Root CA %s G1", region, key); !found[name] {
				t.Errorf("%s is missing", name)
			}
		}
	}
}

func TestLogins(t *testing.T) {
	const whole = `{"engine":"sqlserver","host":"db.example","port":1434,"username":"reader","password":"s3cr3t!","dbname":"shop"}`
	for _, c := range []struct {
		name, secret string
		overrides    Overrides
		want         string
		problem      string
	}{
		{"AWS's own structure", whole, Overrides{}, "reader on db.example:1434, database shop", ""},
		{"a managed secret's edition", `{"engine":"sqlserver-se","host":"h","username":"u","password":"p","dbname":"d"}`, Overrides{}, "u on h:1433, database d", ""},
		{"a port as text", `{"host":"h","port":"1500","username":"u","password":"p","dbname":"d"}`, Overrides{}, "u on h:1500, database d", ""},
		{"the environment goes first", whole, Overrides{Host: "replica", Port: "99", Database: "copy"}, "reader on replica:99, database copy", ""},
		{"a secret of username and password alone", `{"username":"u","password":"p"}`, Overrides{Host: "h", Database: "d"}, "u on h:1433, database d", ""},
		{"plain text", `s3cr3t!`, Overrides{}, "", "not a JSON object"},
		{"a JSON string", `"s3cr3t!"`, Overrides{}, "", "not a JSON object"},
		{"null", `null`, Overrides{}, "", "not a JSON object"},
		{"no password", `{"host":"h","username":"u","dbname":"d"}`, Overrides{}, "", `lacks "password": expected {"engine"`},
		{"several keys missing", `{"password":"s3cr3t!"}`, Overrides{}, "", `lacks "host" (or the environment variable DATABASE_HOST), "dbname" (or the environment variable DATABASE_NAME), "username"`},
		{"an empty username", `{"host":"h","username":"","password":"s3cr3t!","dbname":"d"}`, Overrides{}, "", `lacks "username"`},
		{"a password that is a number", `{"host":"h","username":"u","password":12345,"dbname":"d"}`, Overrides{}, "", `"password" is not a string`},
		{"a port that is none", `{"host":"h","port":70000,"username":"u","password":"s3cr3t!","dbname":"d"}`, Overrides{}, "", "port is not a number from 1 to 65535"},
		{"another database's secret", strings.Replace(whole, "sqlserver", "postgres", 1), Overrides{}, "", `"engine" is not sqlserver`},
		{"a password pasted with its line break", `{"host":"h","username":"u","password":"s3cr3t!\n","dbname":"d"}`, Overrides{}, "", "line break"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := DecodeLogin([]byte(c.secret), c.overrides)
			if c.problem != "" {
				if err == nil || !strings.Contains(err.Error(), c.problem) {
					t.Fatalf("got %v, want an error with %s", err, c.problem)
				}
				for _, secret := range []string{"s3cr3t!", "12345", "70000"} {
					if strings.Contains(err.Error(), secret) {
						t.Fatalf("the error shows a value: %v", err)
					}
				}
				return
			}
			if err != nil || l.String() != c.want || fmt.Sprintf("%v %+v %#v", l, l, l) != strings.Join([]string{c.want, c.want, c.want}, " ") {
				t.Fatalf("got %v, %v", l, err)
			}
		})
	}
}

func TestCertificatesOfASecret(t *testing.T) {
	for _, c := range []struct{ name, pem, problem string }{
		{"no PEM at all", "MIIE…", "holds no certificate"},
		{"a private key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "never a private key"},
		{"a broken certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "parsing certificate 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := certificatePool(c.pem); err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("got %v, want an error with %s", err, c.problem)
			}
		})
	}
	if _, err := certificatePool(string(rdsCA)); err != nil {
		t.Fatal(err)
	}
}

func TestOneSelect(t *testing.T) {
	for _, c := range []struct{ name, query, problem string }{
		{"a select", "SELECT 1 AS a", ""},
		{"steps", "-- why\nWITH a AS (SELECT 1 AS x) SELECT x FROM a;", ""},
		{"a semicolon before WITH", ";WITH a AS (SELECT 1 AS x) SELECT x FROM a", ""},
		{"a byte-order mark", "\uFEFFSELECT 1 AS a", ""},
		{"reserved words as names and text", "SELECT [delete], 'insert; drop', \"update\" FROM t /* set /* nested */ exec */ -- into\n", ""},
		{"a quote inside a string and a bracket inside a name", "SELECT 'it''s; fine' AS [a]]; drop] FROM t", ""},
		{"a merge join", "SELECT a.x FROM a INNER MERGE JOIN b ON a.x = b.x", ""},
		{"a hint for the optimizer", "SELECT 1 AS a OPTION (USE HINT ('FORCE_LEGACY_CARDINALITY_ESTIMATION'))", ""},
		{"no-break spaces", "SELECT\u00A01\u00A0AS größe\u3000FROM t", ""},
		{"an insert behind a no-break space", "SELECT 1 AS a;\u00A0INSERT\u00A0INTO t VALUES (1)", "there is a second statement"},
		{"nothing", " \n", "the query is empty"},
		{"a comment alone", "-- SELECT 1", "the query is empty"},
		{"two statements", "SELECT 1 AS a;\n\nSELECT 2 AS b", "line 3: there is a second statement"},
		{"an insert", "INSERT INTO t VALUES (1)", `line 1: the query begins with "INSERT"`},
		{"a procedure", "exec dbo.p", `begins with "exec"`},
		{"select into", "SELECT *\nINTO copy FROM t", "line 2: INTO is not part of a SELECT"},
		{"a delete behind WITH", "WITH a AS (SELECT 1 AS x) DELETE FROM a", "DELETE is not part of a SELECT"},
		{"a declaration first", "DECLARE @x int = 1 SELECT @x AS x", `begins with "DECLARE"`},
		{"a setting behind", "SELECT 1 AS a SET NOCOUNT ON", "SET is not part"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewSelection(pipeline.Source{Query: c.query, QueryFile: "queries/q.sql"}, pipeline.Limits{}, time.Now())
			if c.problem == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.problem) || !strings.Contains(err.Error(), "queries/q.sql") {
				t.Fatalf("got %v, want an error with %s", err, c.problem)
			}
		})
	}
}

func TestTables(t *testing.T) {
	for _, c := range []struct{ name, table, want, problem string }{
		{"two parts", "dbo.Transactions", "SELECT * FROM [dbo].[Transactions] AS q", ""},
		{"brackets", "[my schema].[odd]]name]", "SELECT * FROM [my schema].[odd]]name] AS q", ""},
		{"a name that would end the statement", "dbo.x]; DROP TABLE y--", "SELECT * FROM [dbo].[x]]; DROP TABLE y--] AS q", ""},
		{"a dot within brackets", "[a.b]", "SELECT * FROM [a.b] AS q", ""},
		{"three parts", "other.dbo.t", "", "names another database"},
		{"an empty part", "dbo..t", "", "empty part"},
		{"an open bracket", "[dbo.t", "", "without its ]"},
		{"text behind a bracket", "[dbo]x.t", "", "after a name's end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, err := NewSelection(pipeline.Source{Table: c.table}, pipeline.Limits{}, time.Now())
			if c.problem != "" {
				if err == nil || !strings.Contains(err.Error(), c.problem) {
					t.Fatalf("got %v, want an error with %s", err, c.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s := x.All(nil, nil, nil); s.Text != c.want || len(s.Params) != 0 {
				t.Fatalf("got %+v", s)
			}
		})
	}
	if _, err := NewSelection(pipeline.Source{Table: "t", Query: "SELECT 1"}, pipeline.Limits{}, time.Now()); err == nil {
		t.Error("a source of both a table and a query was taken")
	}
}

func FuzzDecodeLogin(f *testing.F) {
	f.Add(`{"engine":"sqlserver","host":"h","port":1433,"username":"u","password":"p","dbname":"d"}`)
	f.Add(`{"port":"","caCertificate":null}`)
	f.Fuzz(func(t *testing.T, secret string) {
		l, err := DecodeLogin([]byte(secret), Overrides{})
		if err == nil && (l.Host == "" || l.Database == "" || l.Username == "" || l.Password == "" || l.Port < 1 || l.Port > 65535) {
			t.Fatalf("%q gave %v", secret, l)
		}
	})
}

// A query comes from a file of the repository; the tokens must end for every one, or the function hangs until its deadline.
func FuzzSelection(f *testing.F) {
	f.Add("SELECT 'a' /* b /* c */ */ FROM [d] -- e", "dbo.[t]]x]")
	f.Add("WITH \"", "[")
	f.Add(";SELECT @runTime;--", "a.[b].c")
	f.Fuzz(func(t *testing.T, query, table string) {
		end := 0
		for one := range tokens(query) {
			if one.at < end || one.end <= one.at || one.end > len(query) {
				t.Fatalf("%q has a token from %d to %d after %d", query, one.at, one.end, end)
			}
			end = one.end
		}
		if x, err := NewSelection(pipeline.Source{Query: query}, pipeline.Limits{}, time.Now()); err == nil {
			if err := checkSelect(x.All(nil, nil, nil).Text); err != nil {
				t.Fatalf("%q was changed: %v", query, err)
			}
			if s := x.All([]Selected{{Name: "a"}}, nil, nil); s.err == nil {
				if err := checkSelect(s.Text); err != nil {
					t.Fatalf("%q was wrapped: %v", query, err)
				}
			}
		}
		if x, err := NewSelection(pipeline.Source{Table: table}, pipeline.Limits{}, time.Now()); table != "" && err == nil {
			if err := checkSelect(x.All(nil, nil, nil).Text); err != nil {
				t.Fatalf("table %q gave %q: %v", table, x.All(nil, nil, nil).Text, err)
			}
		}
	})
}
