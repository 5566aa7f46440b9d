package portal

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
)

// answer dials to who gives one answer and notes what was asked.
func answer(said string, asked *string) Dialer {
	return func(_ context.Context, network, addr string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			r, err := http.ReadRequest(bufio.NewReader(far))
			if err != nil {
				return
			}
			if asked != nil {
				*asked = network + " " + addr + " " + r.Host + r.URL.Path
			}
			io.WriteString(far, said)
		}()
		return near, nil
	}
}

func head(status, location string) string {
	if location != "" {
		location = "Location: " + location + "\r\n"
	}
	return "HTTP/1.1 " + status + "\r\n" + location + "Content-Length: 0\r\n\r\n"
}

func TestProbe(t *testing.T) {
	relay := netip.MustParseAddr("203.0.113.7")
	for _, tt := range []struct {
		name, said     string
		captive, fails bool
	}{
		{"a page", "HTTP/1.1 200 OK\r\n\r\n<html>sign in", true, false},
		{"RFC 6585", head("511 Network Authentication Required", ""), true, false},
		{"elsewhere by name", head("302 Found", "http://signin.hotel.example/?u=x"), true, false},
		{"elsewhere by address", head("307 Temporary Redirect", "https://10.0.0.1/login"), true, false},
		{"no page", head("404 Not Found", ""), false, false},
		{"forbidden", head("403 Forbidden", ""), false, false},
		{"itself", head("301 Moved Permanently", "https://203.0.113.7/"), false, false},
		{"itself by name, over TLS", head("308 Permanent Redirect", "https://vps.example/"), false, false},
		{"a path", head("302 Found", "/index.html"), false, false},
		{"no place", head("302 Found", ""), false, false},
		{"a bad place", head("302 Found", "http://%zz"), false, false},
		{"not HTTP", "220 mail.example ESMTP\r\n", false, true},
		{"nothing", "", false, true},
		{"endless head", "HTTP/1.1 200 OK\r\nX: " + string(bytes.Repeat([]byte("x"), 2*probeMost)), false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked string
			captive, err := Probe(t.Context(), answer(tt.said, &asked), relay)
			if captive != tt.captive || (err != nil) != tt.fails {
				t.Errorf("captive %v, %v", captive, err)
			}
			if want := "tcp 203.0.113.7:80 203.0.113.7" + probePath; asked != want {
				t.Errorf("asked %q, want %q", asked, want)
			}
		})
	}
	refused := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }
	if captive, err := Probe(t.Context(), refused, relay); captive || err == nil {
		t.Errorf("nobody there: %v, %v", captive, err)
	}
}

// FuzzProbe reads what anybody may answer.
func FuzzProbe(f *testing.F) {
	f.Add([]byte(head("302 Found", "http://x.example/")))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz"))
	f.Add([]byte("HTTP/9"))
	f.Fuzz(func(t *testing.T, b []byte) {
		Probe(t.Context(), answer(string(b), nil), netip.MustParseAddr("2001:db8::7"))
	})
}
