package relay

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"kith.internal/helper/internal/key"
)

// member is a device with a key for its control datagrams, as a wire has it.
type member struct {
	id      key.Public
	control key.ExchangePrivate
}

func newMember() member { return member{key.New().Public(), key.NewExchange()} }

func (m member) aead(t *testing.T, peer key.Exchange) cipher.AEAD {
	shared, err := m.control.Shared(peer)
	if err != nil {
		t.Fatal(err)
	}
	a, err := chacha20poly1305.NewX(shared[:])
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// node is a relay of members that are sealed for as a wire's peers are: a token
// is a datagram with the binding in it, and a frame names who it is for.
type node struct {
	member
	t *testing.T

	mu       sync.Mutex
	attached *sync.Cond
	peers    []member
	links    map[key.Public]*Link
	wg       sync.WaitGroup
}

// wait waits for the members' links.
func (n *node) wait(ids ...key.Public) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for slices.ContainsFunc(ids, func(id key.Public) bool { return n.links[id] == nil }) {
		n.attached.Wait()
	}
}

func (n *node) open(token, binding []byte) (key.Public, bool) {
	if len(token) < chacha20poly1305.NonceSizeX {
		return key.Public{}, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.peers {
		nonce, sealed := token[:chacha20poly1305.NonceSizeX], token[chacha20poly1305.NonceSizeX:]
		body, err := n.aead(n.t, p.control.Public()).Open(nil, nonce, sealed, []byte("token"))
		if err == nil && subtle.ConstantTimeCompare(body, binding) == 1 {
			return p.id, true
		}
	}
	return key.Public{}, false
}

func (n *node) attach(id key.Public, l *Link) {
	n.mu.Lock()
	n.links[id] = l
	n.attached.Broadcast()
	n.mu.Unlock()
	n.wg.Go(func() {
		defer l.Close()
		b := make([]byte, 2048)
		for {
			m, err := l.Read(b)
			if err != nil {
				return
			}
			if m < len(id) {
				continue
			}
			n.mu.Lock()
			to := n.links[key.Public(b[:len(id)])]
			n.mu.Unlock()
			if to != nil {
				to.Write([][]byte{slices.Concat(id[:], b[len(id):m])})
			}
		}
	})
}

// remove revokes a member: its links end, and no token of its counts.
func (n *node) remove(m member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.peers = slices.DeleteFunc(n.peers, func(p member) bool { return p.id == m.id })
	if l := n.links[m.id]; l != nil {
		l.Close()
		delete(n.links, m.id)
	}
}

func (m member) token(t *testing.T, relay key.Exchange) func([]byte) ([]byte, error) {
	return func(binding []byte) ([]byte, error) {
		nonce := make([]byte, chacha20poly1305.NonceSizeX)
		rand.Read(nonce)
		return m.aead(t, relay).Seal(nonce, nonce, binding, []byte("token")), nil
	}
}

// wireLink is what a wire asks of a link.
type wireLink interface {
	Read(b []byte) (int, error)
	Write(bufs [][]byte) error
	Close() error
	Buffered() int
}

// Two members reach each other through a relay that both have sealed tokens for;
// a stranger, and a member that was removed, do not.
func TestMembersMeetAtTheRelay(t *testing.T) {
	cert, _, pin, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	a, b, stranger := newMember(), newMember(), newMember()
	n := &node{member: newMember(), t: t, peers: []member{a, b}, links: map[key.Public]*Link{}}
	n.attached = sync.NewCond(&n.mu)
	s, err := Serve(ServerConfig{Listener: listen(t), Cert: cert, Open: n.open, Attach: n.attach})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close(); n.wg.Wait() }()
	target := Target{Host: s.Addr().String(), Pin: pin}
	relayKey := n.control.Public()

	if _, err := Dial(t.Context(), direct, target, stranger.token(t, relayKey)); !errors.Is(err, ErrNotFound) {
		t.Fatalf("a stranger: %v", err)
	}
	dial := func(m member) wireLink {
		l, err := Dial(t.Context(), direct, target, m.token(t, relayKey))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { shut(l) })
		return l
	}
	la, lb := dial(a), dial(b)
	got := make([]byte, 2048)
	n.wait(a.id, b.id)
	la.Write([][]byte{slices.Concat(b.id[:], []byte("hello"))})
	if m, err := lb.Read(got); err != nil || !bytes.Equal(got[:m], slices.Concat(a.id[:], []byte("hello"))) {
		t.Fatalf("got %q, %v", got[:m], err)
	}
	lb.Write([][]byte{slices.Concat(a.id[:], []byte("one")), slices.Concat(a.id[:], []byte("two"))})
	for _, want := range []string{"one", "two"} {
		if m, err := la.Read(got); err != nil || string(got[len(b.id):m]) != want {
			t.Fatalf("got %q, %v", got[:m], err)
		}
	}
	n.remove(a)
	if _, err := la.Read(got); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("the removed member's link: %v", err)
	}
	if _, err := Dial(t.Context(), direct, target, a.token(t, relayKey)); !errors.Is(err, ErrNotFound) {
		t.Errorf("the removed member: %v", err)
	}
}
