package wire

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/conn"
)

// TestCrossingInitiations: both sides begin in the same instant, and neither
// waits for wireguard-go's next attempt, however far they are from each other.
func TestCrossingInitiations(t *testing.T) {
	for _, delay := range []time.Duration{2 * time.Millisecond, 280 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seg, a, b := guards(t)
				seg.SetDelay(delay)
				defer a.end()
				defer b.end()
				b.configure(a)
				a.configure(b)
				a.n.wire.Seek(b.n.id())
				time.Sleep(20 * time.Second)
				a.tun.Outbound <- echoTo(b, a)
				b.tun.Outbound <- echoTo(a, b)
				hear(t, 4*delay+100*time.Millisecond, a, b)
			})
		})
	}
}

// hear wants a packet to come to each.
func hear(t *testing.T, limit time.Duration, guards ...*guard) {
	t.Helper()
	late := time.After(limit)
	for _, g := range guards {
		select {
		case <-g.tun.Inbound:
		case <-late:
			t.Fatalf("%s has heard nothing for %v", g.n.name, limit)
		}
	}
}

// slowBind keeps an initiation until wireguard-go answers the other side's: it
// made it before, and is late to send it.
type slowBind struct {
	conn.Bind
	mu   sync.Mutex
	kept [][]byte
}

func (b *slowBind) Send(bufs [][]byte, ep conn.Endpoint) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch handshake(bufs) {
	case initiationType:
		b.kept = append(b.kept, slices.Clone(bufs[0]))
		return nil
	case responseType:
		for _, k := range b.kept {
			b.Bind.Send([][]byte{k}, ep)
		}
		b.kept = nil
	}
	return b.Bind.Send(bufs, ep)
}

// TestVoidInitiation: an initiation is sent that wireguard-go has forgotten by
// then, since it has taken the other side's.
func TestVoidInitiation(t *testing.T) {
	for _, greater := range []bool{true, false} {
		t.Run(fmt.Sprintf("of the greater tag %v", greater), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				na, nb := ranked(t, greater, 2*time.Millisecond)
				a, b := newGuardOn(na, "192.0.2.1", &slowBind{Bind: na.wire.Bind()}), newGuard(nb, "192.0.2.2")
				defer a.end()
				defer b.end()
				b.configure(a)
				a.configure(b)
				na.wire.Seek(nb.id())
				time.Sleep(time.Second)
				a.tun.Outbound <- echoTo(b, a)
				synctest.Wait() // a has made its initiation
				b.tun.Outbound <- echoTo(a, b)
				hear(t, 100*time.Millisecond, a, b)
			})
		})
	}
}

// ranked is two nodes that know of each other, the first with the greater tag or
// with the lesser.
func ranked(t *testing.T, greater bool, delay time.Duration) (a, b *node) {
	t.Helper()
	_, seg, a, b := lan(t)
	seg.SetDelay(delay)
	at := map[*node]Peer{a: a.peer(addr("10.0.0.1:30000")), b: b.peer(addr("10.0.0.2:30000"))}
	a.wire.SetPeers([]Peer{at[b]})
	b.wire.SetPeers([]Peer{at[a]})
	if (bytes.Compare(a.wire.tag[:], b.wire.tag[:]) > 0) != greater {
		a, b = b, a
	}
	return a, b
}

// mute stands for a WireGuard device whose messages are all the test's.
type mute struct {
	n    *node
	of   *node
	bind conn.Bind
	wg   sync.WaitGroup
}

// newMute tells took the type of each message that comes.
func newMute(n, of *node, took func(m *mute, kind byte)) *mute {
	m := &mute{n: n, of: of, bind: n.wire.Bind()}
	n.wire.SetConfigured(of.id(), true)
	fns, _, err := m.bind.Open(0)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, fn := range fns {
		m.wg.Go(func() {
			bufs, sizes, eps := [][]byte{make([]byte, ownBuffer)}, []int{0}, []conn.Endpoint{nil}
			for {
				count, err := fn(bufs, sizes, eps)
				if err != nil {
					return
				}
				if count > 0 && sizes[0] > 0 {
					took(m, bufs[0][0])
				}
			}
		})
	}
	return m
}

// send sends a handshake message without sense.
func (m *mute) send(kind byte) {
	size := map[byte]int{initiationType: initiationSize, responseType: responseSize}[kind]
	b := make([]byte, size)
	b[0] = kind
	ep, err := m.bind.ParseEndpoint(m.n.wire.Endpoint(m.of.id()))
	if err == nil {
		err = m.bind.Send([][]byte{b}, ep)
	}
	if err != nil {
		m.n.t.Error(err)
	}
}

func (m *mute) end() {
	m.bind.Close()
	m.wg.Wait()
	m.n.stop()
}

// TestTakenAndBegun: wireguard-go takes the other side's initiation and at once
// makes one of its own. Where an answer comes of the other's, its own is not sent;
// where it has forgotten the other's, its own gets through, long before
// wireguard-go would try again.
func TestTakenAndBegun(t *testing.T) {
	for _, rtt := range []time.Duration{2 * time.Millisecond, 60 * time.Millisecond, 300 * time.Millisecond, 600 * time.Millisecond} {
		for _, greater := range []bool{true, false} {
			for _, answers := range []bool{true, false} {
				t.Run(fmt.Sprintf("round trip %v, greater %v, answers %v", rtt, greater, answers), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						na, nb := ranked(t, greater, rtt/2)
						var first sync.Once // it drops copies
						a := newMute(na, nb, func(a *mute, kind byte) {
							first.Do(func() {
								a.send(initiationType)
								if answers {
									a.send(responseType)
								}
							})
						})
						got := make(chan byte, 16)
						b := newMute(nb, na, func(_ *mute, kind byte) { got <- kind })
						defer a.end()
						defer b.end()
						na.wire.Seek(nb.id())
						time.Sleep(20 * time.Second)
						b.send(initiationType)
						want := byte(initiationType)
						if answers {
							want = responseType
						}
						limit := 3 * time.Second
						if rtt < 100*time.Millisecond {
							limit = 350 * time.Millisecond
						}
						select {
						case kind := <-got:
							if kind != want {
								t.Errorf("got a message of type %d, want %d", kind, want)
							}
						case <-time.After(limit):
							t.Errorf("nothing came within %v", limit)
						}
						time.Sleep(10 * time.Second)
						for len(got) > 0 {
							if kind := <-got; kind != want {
								t.Errorf("then one of type %d", kind)
							}
						}
					})
				})
			}
		}
	}
}
