package wire

import (
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/wire/udp/udptest"
)

// TestIdleSession: a session over which nothing passes but keep-alives costs
// hardly anything, and its end that dies is noticed all the same.
func TestIdleSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, seg, a, b := lan(t)
		defer a.stop()
		defer b.stop()
		seg.SetDelay(5 * time.Millisecond)
		a.wire.SetPeers([]Peer{b.peer(addr("10.0.0.2:30000"))})
		b.wire.SetPeers([]Peer{a.peer()})
		echo(t, a, b)
		time.Sleep(3 * time.Minute)

		sent := 0
		seg.SetFilter(func(udptest.Datagram) bool { sent++; return true })
		turns := a.wire.turns.Load() + b.wire.turns.Load()
		const minutes = 10
		time.Sleep(minutes * time.Minute)
		seg.SetFilter(nil)
		turns = (a.wire.turns.Load() + b.wire.turns.Load() - turns) / 2
		t.Logf("%d turns and %d datagrams a minute", turns/minutes, sent/minutes)
		// Either end's keep-alive and its answer, where the two meet.
		if turns > minutes*10 || sent > minutes*15 {
			t.Errorf("%d turns and %d datagrams in %d minutes", turns, sent, minutes)
		}

		seg.SetDown(true)
		time.Sleep(sessionQuiet + deadAfter + 2*time.Second)
		a.wantPath(b, None, "")
		b.wantPath(a, None, "")
	})
}
