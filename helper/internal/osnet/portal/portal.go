// Package portal owns noticing a captive portal: a network that answers for
// others until somebody has signed in. It takes the operating system's own
// verdict where there is one, and otherwise asks one of our relays in plain HTTP,
// which such networks answer themselves. Nobody else is asked. It imports
// nothing of ours.
package portal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// Verdict is what the system thinks of the network that it is on.
type Verdict uint8

const (
	Unknown Verdict = iota
	Open            // the internet is there
	Captive         // somebody has to sign in first
)

// Watcher tells the system's verdict.
type Watcher interface {
	// Verdict is the last word, and whose it is: "NetworkManager".
	Verdict() (v Verdict, by string)
	// Changes has something to receive after Verdict changed.
	Changes() <-chan struct{}
	Close() error
}

const (
	probePort  = 80
	probeMost  = 4 << 10 // bytes of an answer's head that are read
	probePause = 3 * time.Second
	// probePath is no page of anybody's: RFC 8615's registry does not have it.
	probePath = "/.well-known/kith-portal"
)

// Dialer connects to an address outside.
type Dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// Probe asks the address of a relay for a page over plain HTTP. A relay has
// none there; who gives one, or sends elsewhere, is a captive portal. The error
// says why there was no answer to judge.
func Probe(ctx context.Context, dial Dialer, relay netip.Addr) (captive bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, probePause)
	defer cancel()
	at := netip.AddrPortFrom(relay, probePort)
	c, err := dial(ctx, "tcp", at.String())
	if err != nil {
		return false, fmt.Errorf("connect to %v: %w", at, err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	host := relay.String()
	if relay.Is6() {
		host = "[" + host + "]"
	}
	if _, err := io.WriteString(c, "GET "+probePath+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"); err != nil {
		return false, fmt.Errorf("ask %v: %w", at, err)
	}
	r, err := http.ReadResponse(bufio.NewReader(io.LimitReader(c, probeMost)), nil)
	if err != nil {
		return false, fmt.Errorf("read the answer of %v: %w", at, err)
	}
	r.Body.Close()
	return foreign(r, relay), nil
}

// foreign judges an answer. A web server that happens to run beside a relay says
// that there is no such page, or sends to itself over TLS.
func foreign(r *http.Response, relay netip.Addr) bool {
	switch {
	case r.StatusCode == http.StatusNetworkAuthenticationRequired: // RFC 6585 §6
		return true
	case r.StatusCode == http.StatusOK:
		return true
	case r.StatusCode < 300 || r.StatusCode >= 400:
		return false
	}
	to, err := url.Parse(r.Header.Get("Location"))
	if err != nil || to.Host == "" {
		return false
	}
	a, err := netip.ParseAddr(to.Hostname())
	if err == nil && a.Unmap() == relay.Unmap() {
		return false
	}
	// A name: a server of the relay's own may go by one, and then wants TLS.
	return err == nil || to.Scheme != "https"
}

// ErrNone says that this system tells no verdict.
var ErrNone = errors.New("the system tells no verdict on its network")
