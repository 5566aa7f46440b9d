package portmap

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"
)

const (
	maxBody    = 128 << 10
	maxHeader  = 16 << 10
	webTimeout = 4 * time.Second // of a request with all of its answer
)

// web is a client of the gateway's web server and of nothing else: it looks up
// no names, goes to no other host, follows no redirection and uses no proxy.
func (l *link) web() *http.Client {
	t := &http.Transport{
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			to, err := netip.ParseAddrPort(addr)
			if err != nil {
				return nil, err
			}
			return l.net.TCP(ctx, l.local, l.index, to)
		},
	}
	return &http.Client{
		Transport: fence{l, t}, Timeout: webTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type fence struct {
	*link
	next http.RoundTripper
}

var (
	errForeignURL = errors.New("the URL is not the gateway's")
	errTooLarge   = errors.New("the gateway's answer is too large")
)

// RoundTrip gives answers whole, so that whoever reads them waits for nothing.
func (f fence) RoundTrip(r *http.Request) (*http.Response, error) {
	if !f.own(r.URL) {
		f.complain(ForeignURL, "%q", short(r.URL.Host))
		return nil, errForeignURL
	}
	resp, err := f.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read the gateway's answer: %w", err)
	}
	if len(body) > maxBody {
		f.complain(TooLarge, "over %d bytes from %s", maxBody, r.URL.Host)
		return nil, errTooLarge
	}
	if resp.StatusCode/100 == 3 {
		f.complain(Redirected, "%s", r.URL.Host)
	}
	body = plainXML(body)
	if r.Method == http.MethodPost && !isXML(body) {
		f.complain(Malformed, "answer to an action")
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// own tells whether a URL is one of the gateway's, by number.
func (l *link) own(u *url.URL) bool {
	a, err := netip.ParseAddr(u.Hostname())
	return err == nil && a == l.gateway && u.Scheme == "http" && u.User == nil && portOf(u) != 0
}

func portOf(u *url.URL) uint16 {
	if u.Port() == "" {
		return 80
	}
	n, _ := strconv.ParseUint(u.Port(), 10, 16)
	return uint16(n)
}

// plainXML makes UTF-8 of what a gateway sends, whatever it says of its
// encoding: what is none is ISO 8859-1, as it is in practice.
func plainXML(b []byte) []byte {
	b = bytes.TrimPrefix(bytes.TrimSpace(b), []byte("\ufeff"))
	if bytes.HasPrefix(b, []byte("<?xml")) {
		if _, rest, ok := bytes.Cut(b, []byte("?>")); ok {
			b = rest
		}
	}
	if utf8.Valid(b) {
		return b
	}
	out := make([]rune, len(b))
	for i, c := range b {
		out[i] = rune(c)
	}
	return []byte(string(out))
}

// isXML tells whether something is a document that ends where it should.
func isXML(b []byte) bool {
	d := xml.NewDecoder(bytes.NewReader(b))
	for elements := 0; ; {
		t, err := d.RawToken()
		if err != nil {
			return errors.Is(err, io.EOF) && elements > 0
		}
		if _, ok := t.(xml.StartElement); ok {
			elements++
		}
	}
}

// short bounds what a gateway says before it is kept or shown.
func short(s string) string { return s[:min(len(s), 64)] }
