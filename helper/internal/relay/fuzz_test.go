package relay

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/iotest"

	"github.com/pion/stun/v3"
)

func FuzzFrames(f *testing.F) {
	f.Add([]byte{0, 1, 7, 0, 0, 0, 2, 1, 2}, uint16(100))
	f.Add([]byte{0xff, 0xff, 1}, uint16(100))
	f.Add(append([]byte{0x3f, 0xfe}, make([]byte, MaxFrame)...), uint16(9))
	f.Fuzz(func(t *testing.T, b []byte, size uint16) {
		var r io.Reader = bytes.NewReader(b)
		if size&1 == 0 {
			r = iotest.OneByteReader(r)
		}
		want := frames(b, int(size))
		in := &frameReader{r: r}
		buf := make([]byte, size)
		for {
			next := in.buffered()
			n, err := in.read(buf)
			if next > 0 && next != n && next <= len(buf) {
				t.Fatalf("%d bytes were to be read next, not %d", next, n)
			}
			if err != nil {
				break
			}
			if len(want) == 0 || !bytes.Equal(want[0], buf[:n]) {
				t.Fatalf("read %x, want %x", buf[:n], want)
			}
			want = want[1:]
		}
		if len(want) > 0 {
			t.Fatalf("%d frames were not read", len(want))
		}
		if heard := in.heard.Load(); heard > uint64(len(b)) {
			t.Fatalf("%d frames in %d bytes", heard, len(b))
		}
	})
}

// frames are the whole datagrams of up to size bytes in a stream.
func frames(b []byte, size int) (out [][]byte) {
	for len(b) >= frameHead {
		n := int(binary.BigEndian.Uint16(b))
		if n > MaxFrame || n > len(b)-frameHead {
			break
		}
		if n > 0 && n <= size {
			out = append(out, b[frameHead:frameHead+n])
		}
		b = b[frameHead+n:]
	}
	return out
}
func FuzzToken(f *testing.F) {
	f.Add(request(tokenLine(make([]byte, 64))))
	f.Add(request(tokenHeader + ": \r\n"))
	f.Add(request(tokenLine([]byte("a")), tokenLine([]byte("b"))))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		tok, ok := token(r)
		if !ok {
			return
		}
		if len(tok) == 0 || len(tok) > maxToken || r.Header.Get(tokenHeader) != encoding.EncodeToString(tok) {
			t.Fatalf("took %x out of %q", tok, r.Header.Get(tokenHeader))
		}
	})
}

// What a proxy or a relay answers.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\nrest"))
	f.Add([]byte("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 9\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 101 Yes\r\nUpgrade: " + protocol + "\r\n\r\n\x00\x01\x07"))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		early, err := connect(&script{in: bytes.NewReader(b)}, nil, "192.0.2.1:443")
		if err != nil {
			_ = clean(err.Error())
			return
		}
		if !bytes.Contains(b, early) {
			t.Fatalf("%q came from nowhere", early)
		}
	})
}

// script is a connection that says what it will.
type script struct {
	net.Conn
	in *bytes.Reader
}

func (s *script) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s *script) Write(b []byte) (int, error) { return len(b), nil }

func FuzzSTUN(f *testing.F) {
	for _, set := range [][]stun.Setter{nil, {stun.Fingerprint}, {stun.NewSoftware("x")}, {stun.RawAttribute{Type: 0x0777, Value: []byte{1}}}} {
		m, err := stun.Build(append([]stun.Setter{stun.TransactionID, stun.BindingRequest}, set...)...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.Raw, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, v4 bool) {
		from := netip.MustParseAddrPort("[2001:db8::1]:9")
		if v4 {
			from = netip.MustParseAddrPort("192.0.2.1:9")
		}
		var s STUN
		res := s.Answer(b, from, nil)
		if res == nil {
			return
		}
		if len(res) > len(b)+24 {
			t.Fatalf("%d bytes for %d", len(res), len(b))
		}
		m := &stun.Message{Raw: res}
		if err := m.Decode(); err != nil || !bytes.Equal(m.TransactionID[:], b[8:20]) {
			t.Fatalf("answered %x: %v", res, err)
		}
	})
}
