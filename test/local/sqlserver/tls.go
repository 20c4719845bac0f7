package sqlserver

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// strictALPN is the protocol that TDS 8 asks for in the TLS handshake.
const strictALPN = "tds/8.0"

// newCertificates makes a certificate authority and a server certificate for this machine's own names. Both are new at
// each start, so that no key is ever at rest.
func newCertificates() (server tls.Certificate, caPEM []byte, err error) {
	now := time.Now()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return server, nil, fmt.Errorf("generating the key of the certificate authority: %w", err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "Local SQL Server test CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 1, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return server, nil, fmt.Errorf("signing the certificate authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return server, nil, fmt.Errorf("generating the server's key: %w", err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano() + 1), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 1, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return server, nil, fmt.Errorf("signing the server's certificate: %w", err)
	}
	server = tls.Certificate{Certificate: [][]byte{der, caDER}, PrivateKey: key}
	return server, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), nil
}

// handshakeConn carries the TLS handshake inside prelogin packets, as TDS 7 does; after that TLS is the outer layer.
type handshakeConn struct {
	net.Conn
	in   bytes.Buffer
	done bool
}

func (c *handshakeConn) Read(b []byte) (int, error) {
	if c.in.Len() == 0 {
		if c.done {
			return c.Conn.Read(b)
		}
		p, err := readPacket(c.Conn)
		if err != nil {
			return 0, err
		}
		if p.kind != packetPrelogin {
			return 0, fmt.Errorf("packet of type %d during the TLS handshake", p.kind)
		}
		c.in.Write(p.data)
	}
	return c.in.Read(b)
}

func (c *handshakeConn) Write(b []byte) (int, error) {
	if c.done {
		return c.Conn.Write(b)
	}
	r := newReply(c.Conn, minPacketSize) // the client may have asked for no more
	r.kind = packetPrelogin
	r.b = append(r.b, b...)
	if err := r.finish(); err != nil {
		return 0, err
	}
	return len(b), nil
}

// upgrade does the TLS handshake of TDS 7. TLS 1.3 isn't offered: its session tickets would come after the handshake,
// still inside packets, where no client looks for them. SQL Server has the same limit.
func upgrade(ctx context.Context, conn net.Conn, cert tls.Certificate) (*tls.Conn, error) {
	h := &handshakeConn{Conn: conn}
	t := tls.Server(h, &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12,
		SessionTicketsDisabled: true, DynamicRecordSizingDisabled: true,
	})
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	h.done = true
	return t, nil
}

// upgradeStrict does the TLS handshake of TDS 8, which precedes everything else.
func upgradeStrict(ctx context.Context, conn net.Conn, cert tls.Certificate) (*tls.Conn, error) {
	t := tls.Server(conn, &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{strictALPN},
		DynamicRecordSizingDisabled: true,
	})
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return t, nil
}
