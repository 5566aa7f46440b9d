package relay

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"time"
)

const (
	stagger    = 250 * time.Millisecond // between two ways, RFC 8305 §5
	stepWithin = 10 * time.Second       // each step of a way
	maxAddrs   = 8
	proxyAfter = 2 // ways that start before the proxy does
)

// Target is a relay as the roster or a link names it.
type Target struct {
	Addrs []netip.AddrPort // best first; the first eight count
	Host  string           // HOST:PORT, or empty
	Pin   [32]byte
}

// Dialer is the host's way to open TCP connections.
type Dialer struct {
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// Proxy names the HTTP proxy for HOST:PORT, nil for none: a URL with scheme
	// http or https, and the user's name and password if it wants them. nil: no
	// proxies.
	Proxy func(host string) (*url.URL, error)
}

// Dial opens a link to a relay. It races the relay's addresses, its name and the
// proxy, a quarter of a second apart, and takes the first with the right key.
// token makes what proves who we are from the TLS session's exporter, 32 bytes.
// Failure is a *DialError.
func Dial(ctx context.Context, d Dialer, t Target, token func(binding []byte) ([]byte, error)) (*Link, error) {
	ways, err := d.ways(t)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &race{d: d, t: t, token: token, turn: make(chan struct{}, 1), results: make(chan result, len(ways))}
	timer := time.NewTimer(0)
	defer timer.Stop()
	failed := &DialError{}
	for started := 0; ; {
		select {
		case <-timer.C:
		case res := <-r.results:
			if res.err == nil {
				return res.link, nil
			}
			failed.Ways = append(failed.Ways, res.err)
			// The relay itself may say no; else one way is as good as another.
			if len(failed.Ways) == len(ways) || errors.Is(res.err, ErrNotFound) {
				return nil, failed
			}
		}
		if ctx.Err() != nil {
			if len(failed.Ways) == started {
				return nil, failed
			}
		} else if started < len(ways) {
			go r.run(ctx, ways[started])
			started++
			timer.Reset(stagger)
		}
	}
}

// way is one way to the relay: by an address, or by a proxy.
type way struct {
	addr  string   // HOST:PORT; the first of what the proxy is asked for
	more  []string // further ones, for the proxy
	proxy *url.URL
	err   error // no proxy, for this
}

// ways is what there is to try, in order.
func (d Dialer) ways(t Target) ([]way, error) {
	var ways []way
	for _, a := range interleave(t.Addrs) {
		ways = append(ways, way{addr: a.String()})
	}
	if t.Host != "" {
		if _, _, err := net.SplitHostPort(t.Host); err != nil {
			return nil, fmt.Errorf("reach relay: host %q: %w", clean(t.Host), err)
		}
		if !slices.ContainsFunc(ways, func(w way) bool { return w.addr == t.Host }) {
			ways = append(ways, way{addr: t.Host})
		}
	}
	if len(ways) == 0 {
		return nil, errors.New("reach relay: it has no address")
	}
	if d.Proxy == nil {
		return ways, nil
	}
	p, err := d.Proxy(cmp.Or(t.Host, ways[0].addr))
	if err == nil && p == nil {
		return ways, nil
	}
	// By name first: many proxies refuse bare addresses.
	w := way{proxy: p, err: err}
	if t.Host != "" {
		w.more = append(w.more, t.Host)
	}
	for _, x := range ways[:min(len(ways), 3)] {
		if x.addr != t.Host {
			w.more = append(w.more, x.addr)
		}
	}
	w.addr, w.more = w.more[0], w.more[1:]
	return slices.Insert(ways, min(len(ways), proxyAfter), w), nil
}

// interleave takes the families in turn (RFC 8305 §4), keeping their order.
func interleave(addrs []netip.AddrPort) []netip.AddrPort {
	var by [2][]netip.AddrPort
	var out []netip.AddrPort
	for _, a := range addrs {
		a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		f := 0
		if len(addrs) > 0 && a.Addr().Is4() != addrs[0].Addr().Unmap().Is4() {
			f = 1
		}
		if a.IsValid() && a.Port() != 0 && !slices.Contains(by[f], a) {
			by[f] = append(by[f], a)
		}
	}
	for i := range max(len(by[0]), len(by[1])) {
		for _, f := range by {
			if i < len(f) {
				out = append(out, f[i])
			}
		}
	}
	return out[:min(len(out), maxAddrs)]
}

type result struct {
	link *Link
	err  *Error
}

// race is a Dial under way.
type race struct {
	d       Dialer
	t       Target
	token   func([]byte) ([]byte, error)
	turn    chan struct{} // who holds it may ask for the link: one at a time
	results chan result
}

func (r *race) run(ctx context.Context, w way) {
	e := &Error{Addr: w.addr}
	if w.proxy != nil {
		e.Proxy = proxyAddr(w.proxy)
	}
	link, err := r.attempt(ctx, w, e)
	if err == nil {
		r.results <- result{link: link}
		return
	}
	e.Err = plain(ctx, err)
	r.results <- result{err: e}
}

// attempt goes one way to its end. It keeps e.Step at the step it is at.
func (r *race) attempt(ctx context.Context, w way, e *Error) (*Link, error) {
	raw, err := r.connect(ctx, w, e)
	if err != nil {
		return nil, err
	}
	tuneTCP(raw)
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	conn, early, err := r.secure(ctx, raw, e)
	if err == nil && !stop() {
		err = ctx.Err()
	}
	if err != nil {
		stop()
		raw.Close()
		return nil, err
	}
	raw.SetDeadline(time.Time{})
	l := newLink(conn, early, newBudget(maxChunks), nil)
	l.proxy = e.Proxy
	return l, nil
}

// secure makes the connection a link's.
func (r *race) secure(ctx context.Context, raw net.Conn, e *Error) (*tls.Conn, []byte, error) {
	e.Step = StepTLS
	host, _, _ := net.SplitHostPort(cmp.Or(r.t.Host, e.Addr))
	if _, err := netip.ParseAddr(host); err == nil {
		host = "" // RFC 6066 §3: no addresses
	}
	conn := tls.Client(raw, clientTLS(host, r.t.Pin))
	raw.SetDeadline(time.Now().Add(stepWithin))
	if err := conn.HandshakeContext(ctx); err != nil {
		if k := (*KeyError)(nil); errors.As(err, &k) {
			e.Step, err = StepKey, k
		}
		return nil, nil, err
	}
	e.Step = StepUpgrade
	select {
	case r.turn <- struct{}{}: // kept by who gets the link
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	raw.SetDeadline(time.Now().Add(stepWithin))
	early, err := upgrade(conn, cmp.Or(r.t.Host, e.Addr), r.token)
	if err != nil {
		<-r.turn
		return nil, nil, err
	}
	return conn, early, nil
}

// connect opens the TCP connection, through the proxy if the way has one.
func (r *race) connect(ctx context.Context, w way, e *Error) (net.Conn, error) {
	if w.err != nil {
		e.Step = StepProxy
		return nil, w.err
	}
	if w.proxy != nil {
		return r.d.throughProxy(ctx, w, e)
	}
	return r.d.open(ctx, w.addr, e)
}

func (d Dialer) open(ctx context.Context, addr string, e *Error) (net.Conn, error) {
	e.Step = StepTCP
	ctx, cancel := context.WithTimeoutCause(ctx, stepWithin, errSlow)
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", addr)
	if err == nil {
		return c, nil
	}
	if dns := (*net.DNSError)(nil); errors.As(err, &dns) {
		e.Step = StepName
	} else if context.Cause(ctx) == errSlow {
		err = errSlow
	}
	return nil, err
}

// plain is an error in the words that fit it.
func plain(ctx context.Context, err error) error {
	var head tls.RecordHeaderError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &head):
		return errors.New("what answers does not speak TLS")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSlow
	}
	return err
}
