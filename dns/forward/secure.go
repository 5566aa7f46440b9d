package forward

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Secure is how a server is spoken to that is not asked in clear. There is no
// falling back to that.
type Secure struct {
	Name string // its certificate's
	Path string // of HTTPS (RFC 8484); "": plain TLS (RFC 7858)
}

const (
	overTLS   = "tls" // the network of a step
	keptConns = 2     // idle ones to a server
	keptFor   = 20 * time.Second
	maxAnswer = 1<<16 - 1
	dnsType   = "application/dns-message"
)

// secured is a server's connections over TLS.
type secured struct {
	Secure
	f      *Forwarder
	server *server
	config *tls.Config
	client *http.Client // over HTTPS

	mu   sync.Mutex
	idle []*idleConn // over TLS
}

type idleConn struct {
	net.Conn
	timer *time.Timer // ends it
}

func (f *Forwarder) secure(s *server, how Secure) *secured {
	c := &secured{Secure: how, f: f, server: s, config: &tls.Config{
		ServerName: how.Name, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(4), RootCAs: f.cfg.Roots,
	}}
	if how.Path == "" {
		return c
	}
	c.client = &http.Client{
		Transport: &http.Transport{
			DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return f.cfg.Dial(ctx, "tcp", s.addr) },
			TLSClientConfig: c.config, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: keptConns, IdleConnTimeout: keptFor, MaxResponseHeaderBytes: 16 << 10,
		},
		// Who is asked is fixed: an answer names nobody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// ask puts one query.
func (c *secured) ask(ctx context.Context, r *request) (response, error) {
	query := append([]byte(nil), r.msg...)
	binary.BigEndian.PutUint16(query, uint16(rand.Uint32()))
	var msg []byte
	var err error
	if c.client != nil {
		msg, err = c.post(ctx, query)
	} else {
		msg, err = c.exchange(ctx, query)
	}
	if err != nil {
		return response{}, fmt.Errorf("ask %v as %s: %w", c.server.addr, c.Name, err)
	}
	answer, s, v := r.reply(query, msg)
	if v == stray || v == broken {
		return response{}, fmt.Errorf("ask %v as %s: %w", c.server.addr, c.Name, errBroken)
	}
	return response{answer, s}, nil
}

// post asks over HTTPS, RFC 8484 §4.1.
func (c *secured) post(ctx context.Context, query []byte) ([]byte, error) {
	// The ID tells nothing here, and is to be 0 for caches on the way.
	id := [2]byte(query)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.Name+c.Path, bytes.NewReader(append([]byte{0, 0}, query[2:]...)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", dnsType)
	req.Header.Set("Accept", dnsType)
	req.Header.Set("User-Agent", "")
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != dnsType {
		return nil, fmt.Errorf("it answers %s, %.40q", resp.Status, resp.Header.Get("Content-Type"))
	}
	msg, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(msg) < headerLen || len(msg) > maxAnswer || msg[0] != 0 || msg[1] != 0:
		return nil, errBroken
	}
	copy(msg, id[:])
	return msg, nil
}

// exchange asks over TLS, one query after the other on a connection. One that
// was kept may have ended meanwhile: then a new one is tried.
func (c *secured) exchange(ctx context.Context, query []byte) ([]byte, error) {
	for kept := c.take(); kept != nil; kept = c.take() {
		if msg, err := c.over(ctx, kept, query); err == nil || ctx.Err() != nil {
			return msg, err
		}
	}
	raw, err := c.f.cfg.Dial(ctx, "tcp", c.server.addr)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, c.config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return c.over(ctx, conn, query)
}

func (c *secured) over(ctx context.Context, conn net.Conn, query []byte) (msg []byte, err error) {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() || err != nil {
			conn.Close()
			return
		}
		c.keep(conn)
	}()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	msg = make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err = io.ReadFull(conn, msg)
	return msg, err
}

// take gives a connection that was kept; nil for none.
func (c *secured) take() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.idle) > 0 {
		i := c.idle[len(c.idle)-1]
		c.idle = c.idle[:len(c.idle)-1]
		if i.timer.Stop() {
			return i.Conn
		}
	}
	return nil
}

func (c *secured) keep(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) >= keptConns || c.f.ctx.Err() != nil {
		conn.Close()
		return
	}
	i := &idleConn{Conn: conn}
	i.timer = time.AfterFunc(keptFor, func() { conn.Close() })
	c.idle = append(c.idle, i)
}

// close ends what is kept.
func (c *secured) close() {
	for conn := c.take(); conn != nil; conn = c.take() {
		conn.Close()
	}
	if c.client != nil {
		c.client.CloseIdleConnections()
	}
}

// closeSecure ends the connections of servers that are asked no more. The caller
// holds mu.
func (f *Forwarder) closeSecure(old map[netip.AddrPort]*server) {
	for key, s := range old {
		if s.secure != nil && f.servers[key] != s {
			s.secure.close()
		}
	}
}
