package sqlserver

import (
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
)

//go:generate go run generate_rds_ca.go

// rdsCA holds the regional root certificates of Amazon RDS.
//
//go:embed rds-ca.pem
var rdsCA []byte

// certificatePool gives the authorities that a server's certificate is verified against: those of the secret when it
// names some, those of Amazon RDS otherwise. The machine's own are never used: no public authority signs for a database.
func certificatePool(secretPEM string) (*x509.CertPool, error) {
	if secretPEM == "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(rdsCA) {
			return nil, errors.New("the embedded certificates of Amazon RDS can't be parsed: run go generate ./lambda/internal/sqlserver")
		}
		return pool, nil
	}
	pool := x509.NewCertPool()
	rest, n := []byte(secretPEM), 0
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("the secret's caCertificate holds a PEM block of type %s: put only certificates there, never a private key", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing certificate %d of the secret's caCertificate: %w", n+1, err)
		}
		pool.AddCert(cert)
		n++
	}
	if n == 0 {
		return nil, errors.New("the secret's caCertificate holds no certificate: put the PEM text of the certificate authority there, from -----BEGIN CERTIFICATE----- on, with its line breaks as \\n")
	}
	return pool, nil
}
