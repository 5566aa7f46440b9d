package wire

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"kith.internal/helper/internal/key"
)

// alpn names the protocol of control sessions (RFC 7301).
const alpn = "kith/1"

var errWrongKey = errors.New("the certificate's key is not the peer's")

// certificate wraps the device's key for TLS. Only the key counts: it says
// nothing else, and its dates mean nothing.
func certificate(device key.Private) (tls.Certificate, error) {
	signer := device.Signer()
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280 §4.1.2.5: no end
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, signer.Public(), signer)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: signer}, nil
}

// tlsConfig is for a session with the peer, on either side.
func tlsConfig(cert tls.Certificate, peer key.Public) *tls.Config {
	return &tls.Config{
		Certificates:           []tls.Certificate{cert},
		NextProtos:             []string{alpn},
		ServerName:             "kith",
		MinVersion:             tls.VersionTLS13,
		ClientAuth:             tls.RequireAnyClientCert,
		SessionTicketsDisabled: true,
		// The datagrams around are sealed by X25519 anyway; a hybrid's longer
		// hello would need two more of them.
		CurvePreferences:   []tls.CurveID{tls.X25519},
		InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return errWrongKey
			}
			pub, ok := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
			if !ok || !pub.Equal(ed25519.PublicKey(peer[:])) {
				return errWrongKey
			}
			return nil
		},
	}
}

// serverTLS picks the configuration by who asks.
func serverTLS(cert tls.Certificate) *tls.Config {
	c := tlsConfig(cert, key.Public{})
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		a, ok := hello.Conn.RemoteAddr().(*peerAddr)
		if !ok {
			return nil, errWrongKey
		}
		return tlsConfig(cert, a.p.id), nil
	}
	return c
}
