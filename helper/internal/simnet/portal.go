package simnet

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"

	"kith.internal/helper/internal/osnet/portal"
)

// verdict is what a host's system says of captive portals.
type verdict struct {
	mu      sync.Mutex
	v       portal.Verdict
	changes chan struct{}
}

func newVerdict() *verdict { return &verdict{changes: make(chan struct{}, 1)} }

func (w *verdict) say(v portal.Verdict) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.v = v
	select {
	case w.changes <- struct{}{}:
	default:
	}
}

func (w *verdict) Verdict() (portal.Verdict, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.v, "NetworkManager"
}

func (w *verdict) Changes() <-chan struct{} { return w.changes }
func (w *verdict) Close() error             { return nil }

// answersWith is a network that gives one answer to every HTTP request and
// refuses all other TCP.
func answersWith(answer string) func(addr string) (net.Conn, error) {
	return func(addr string) (net.Conn, error) {
		if !strings.HasSuffix(addr, ":80") {
			return nil, syscall.ECONNREFUSED
		}
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			if _, err := http.ReadRequest(bufio.NewReader(far)); err == nil {
				io.WriteString(far, answer)
			}
		}()
		return near, nil
	}
}
