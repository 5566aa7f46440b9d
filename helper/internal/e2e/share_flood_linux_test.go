package e2e

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/link"
	"kith.internal/helper/internal/visit"
	"kith.internal/helper/internal/wire"
	"kith.internal/helper/internal/wire/udp"
	"kith.internal/ipc"
)

// deaf hears nothing of a wire.
type deaf struct{}

func (deaf) PeerWants(key.Public)                {}
func (deaf) PeerRestarted(key.Public)            {}
func (deaf) PathChanged(key.Public, wire.Path)   {}
func (deaf) NeighboursChanged()                  {}
func (deaf) Accept(_ key.Public, s wire.Session) { s.Close(0) }

// knocker is a wire of a share's link key, or door, on a host, whatever stands for
// its owner's manners.
func (n *node) knocker(l *link.Share, k key.Private) *wire.Wire {
	n.t.Helper()
	listen := func(port uint16) (c udp.Conn, err error) {
		n.host.Do(func() { c, err = udp.Listen(port) })
		return c, err
	}
	conn, err := listen(0)
	must(n.t, err)
	n.t.Cleanup(func() { conn.Close() })
	w, err := wire.New(wire.Config{Conn: conn, Device: k, Control: k.Exchange(), Handler: deaf{}, Listen: listen, Log: slog.New(slog.DiscardHandler)})
	must(n.t, err)
	n.t.Cleanup(func() { w.Close() })
	w.SetPeers([]wire.Peer{{ID: l.Sponsor, Control: l.SponsorControl, Candidates: l.Endpoints}})
	w.Seek(l.Sponsor)
	return w
}

// pester sends requests over sessions, each a new one or many in one, until ctx
// ends. It counts those that were answered and those that were not.
func pester(ctx context.Context, w *wire.Wire, to key.Public, req visit.Request, answered, refused *atomic.Int64) {
	for ctx.Err() == nil {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		s, err := w.Dial(try, to)
		for err == nil {
			if _, err = visit.Ask(try, s, req); err == nil {
				answered.Add(1)
			}
		}
		refused.Add(1)
		if s != nil {
			s.Close(0)
		}
		cancel()
	}
}

// TestNetnsShareFlood: who holds a link floods the shared device with hellos and
// acceptances that are worth nothing. It stays bounded, guests that are there feel
// nothing of it, and the link is good for who means it.
func TestNetnsShareFlood(t *testing.T) {
	b, nas, anna, _, _ := friends(t)
	anna.kithIn(nas.share("nas", "--port", "80-81/tcp"), "share", "accept", "-")
	anna.gets(nasURL, "hello", patience)
	d := anna.download(netip.AddrPortFrom(nas.overlay(), nas.drip()))
	bob, x := b.start("bob"), b.node("x")
	bob.create("bobs")
	text := nas.share("nas", "--port", "80/tcp")
	l, err := link.ParseShare(text)
	must(t, err)

	const wires, each = 8, 4
	requests := []visit.Request{
		{Pass: make([]byte, 300)}, {Accept: make([]byte, 200)}, {Pass: make([]byte, 8000)}, {Cancels: make([][]byte, 60)}, {},
	}
	var answered, refused atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	_, before := nas.usage()
	began := time.Now()
	for i := range wires {
		w := x.knocker(l, l.Key)
		for j := range each {
			wg.Go(func() { pester(ctx, w, l.Sponsor, requests[(i*each+j)%len(requests)], &answered, &refused) })
		}
	}
	until(t, "the flood is heard", patience, func() bool { return answered.Load() > 0 })
	worst, most := time.Duration(0), 0
	for range 8 {
		at := time.Now()
		nas.kith("status", "--json")
		worst = max(worst, time.Since(at))
		anna.gets(nasURL, "hello", patience)
		rss, _ := nas.usage()
		most = max(most, rss)
		<-time.After(500 * time.Millisecond)
	}
	until(t, "the download goes on in it", patience, d.runs)
	cancel()
	wg.Wait()
	took := time.Since(began)
	_, after := nas.usage()
	t.Logf("%d requests answered, %d sessions refused in %v: %v of CPU, %d MiB resident at most, status in at most %v",
		answered.Load(), refused.Load(), took, after-before, most>>20, worst)
	if most > 96<<20 {
		t.Errorf("%d MiB are resident", most>>20)
	}
	if after-before > took {
		t.Errorf("%v of CPU in %v", after-before, took)
	}
	if worst > slow*2*time.Second {
		t.Errorf("status took %v", worst)
	}
	list := read[ipc.ShareList](nas, "share", "list").Shares
	if len(list) != 2 {
		t.Errorf("the flood left %+v", list)
	}
	for _, s := range list {
		if flooded := s.State == ipc.SharePending; len(s.Refused) > 8 || (len(s.Refused) > 0) != flooded {
			t.Errorf("of the flood there are %+v", s.Refused)
		}
	}
	bob.kithIn(text, "share", "accept", "-")
	bob.gets(nasURL, "hello", patience)
}
