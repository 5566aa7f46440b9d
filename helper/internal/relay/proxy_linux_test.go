package relay

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// proxyCert is a certificate for 127.0.0.1 that vouches for itself, one for the
// process: the system's roots are read once.
var proxyCert = sync.OnceValues(func() (der []byte, k *ecdsa.PrivateKey) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if der, err = x509.CreateCertificate(rand.Reader, &template, &template, k.Public(), k); err != nil {
		panic(err)
	}
	return der, k
})

// A proxy that is itself reached by TLS is judged by the system's authorities.
func TestProxyByTLS(t *testing.T) {
	der, k := proxyCert()
	file := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", file) // read once, on first use

	r := newRelay(t, listen(t))
	inner := proxy(t, addrPort(r.Addr()), proxyAnyone)
	serveTLS := func(cert tls.Certificate) netip.AddrPort {
		return serve(t, func(c net.Conn) {
			tc := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
			up, err := net.Dial("tcp", inner.String())
			if err != nil {
				return
			}
			defer up.Close()
			go func() { io.Copy(tc, up); c.Close() }()
			io.Copy(up, tc)
		})
	}
	good, bad := serveTLS(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}), serveTLS(r.cert)
	dial := func(p netip.AddrPort) (*Link, error) {
		d := via("https://" + p.String())
		d.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != p.String() {
				return nil, errors.New("filtered")
			}
			return direct.DialContext(ctx, network, addr)
		}
		return Dial(t.Context(), d, r.target(), tokenOf(client(1)))
	}
	l, err := dial(good)
	if err != nil {
		t.Fatal(err)
	}
	shut(l)
	if _, err := dial(bad); furthest(t, err).Step != StepProxy {
		t.Errorf("a proxy that nobody vouches for: %v", err)
	}
}
