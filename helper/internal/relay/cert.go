package relay

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"
)

// binding is the TLS exporter (RFC 8446 §7.5) that a token is bound to, so that
// it counts in one TLS session alone.
const (
	bindingLabel = "EXPERIMENTAL kith relay 1"
	bindingSize  = 32
)

// NewCertificate draws a relay's TLS key: the certificate over it, the key in
// PKCS #8 to keep, and the pin that others know it by.
func NewCertificate() (cert tls.Certificate, keyDER []byte, pin [32]byte, err error) {
	// Of P-256, which every TLS speaks, so that a stranger's browser gets its 404.
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, nil, pin, fmt.Errorf("draw relay key: %w", err)
	}
	if keyDER, err = x509.MarshalPKCS8PrivateKey(k); err != nil {
		return cert, nil, pin, fmt.Errorf("encode relay key: %w", err)
	}
	cert, pin, err = Certificate(keyDER)
	return cert, keyDER, pin, err
}

// Certificate wraps a key that NewCertificate drew, and gives its pin: SHA-256
// of the SubjectPublicKeyInfo (RFC 5280 §4.1.2.7). Only the key counts: the
// certificate says nothing else, and its dates mean nothing.
func Certificate(keyDER []byte) (cert tls.Certificate, pin [32]byte, err error) {
	k, err := x509.ParsePKCS8PrivateKey(keyDER)
	if err != nil {
		return cert, pin, fmt.Errorf("read relay key: %w", err)
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return cert, pin, fmt.Errorf("read relay key: a %T signs nothing", k)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280 §4.1.2.5: no end
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, signer.Public(), signer)
	if err != nil {
		return cert, pin, fmt.Errorf("make relay certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return cert, pin, fmt.Errorf("make relay certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: signer, Leaf: leaf}, pinOf(leaf), nil
}

func pinOf(c *x509.Certificate) [32]byte { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// serverTLS is the relay's end.
func serverTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates:                []tls.Certificate{cert},
		NextProtos:                  []string{"http/1.1"},
		MinVersion:                  tls.VersionTLS13,
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
		CurvePreferences:            curves,
	}
}

// curves leave the hybrids out: their hellos take two packets, which some
// middleboxes do not put together, and what is inside is sealed anyway.
var curves = []tls.CurveID{tls.X25519, tls.CurveP256}

// clientTLS is the member's end; name may be empty.
func clientTLS(name string, pin [32]byte) *tls.Config {
	return &tls.Config{
		ServerName:                  name,
		NextProtos:                  []string{"http/1.1"},
		MinVersion:                  tls.VersionTLS13,
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
		CurvePreferences:            curves,
		InsecureSkipVerify:          true, // VerifyConnection does it
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return &KeyError{}
			}
			if c := s.PeerCertificates[0]; pinOf(c) != pin {
				return &KeyError{Issuer: clean(c.Issuer.String())}
			}
			return nil
		},
	}
}

func binding(c *tls.Conn) ([]byte, error) {
	s := c.ConnectionState()
	return s.ExportKeyingMaterial(bindingLabel, nil, bindingSize)
}
