package tunnel

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.zx2c4.com/wireguard/tun"
)

// letters is a TUN of one-letter packets.
type letters struct {
	tun.Device
	text string // to read
	got  string // written
}

func (l *letters) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for i := range l.text {
		sizes[i] = copy(bufs[i][offset:], l.text[i:i+1])
	}
	return len(l.text), nil
}

func (l *letters) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		l.got += string(b[offset:])
	}
	return len(bufs), nil
}

// good lets g pass.
type good struct{}

func (good) In(p []byte) bool  { return p[0] == 'g' }
func (good) Out(p []byte) bool { return p[0] == 'g' }

func TestGate(t *testing.T) {
	for text, want := range map[string]string{"gg": "gg", "gb": "g", "bg": "g", "bb": "", "gbgbg": "ggg", "bbgg": "gg", "": ""} {
		l := &letters{text: text}
		g := Gated(l, good{})
		var bufs [][]byte
		for _, c := range text {
			bufs = append(bufs, []byte{0, byte(c)})
		}
		if n, err := g.Write(bufs, 1); n != len(text) || err != nil || l.got != want {
			t.Errorf("%q: wrote %q of %d (%v), want %q", text, l.got, n, err, want)
		}
		sizes, read := make([]int, len(text)), ""
		for range text {
			bufs = append(bufs, make([]byte, 2))
		}
		n, err := g.Read(bufs, sizes, 1)
		for i := range n {
			read += string(bufs[i][1 : 1+sizes[i]])
		}
		if d := cmp.Diff(want, read); d != "" || err != nil {
			t.Errorf("%q: %s, %v", text, d, err)
		}
	}
}
