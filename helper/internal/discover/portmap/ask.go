package portmap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// gatewayPort is where PCP and NAT-PMP are asked for (RFC 6887 §19.1).
const gatewayPort = 5351

const maxAnswer = 2048 // RFC 6887 §7 has 1,100

// tries is when a request goes out, and how long the last is waited for:
// quicker than RFC 6887 §8.1.1 wants it over the internet, as gateways are near.
var tries = [...]time.Duration{0, 250 * time.Millisecond, 750 * time.Millisecond, 1750 * time.Millisecond, 3 * time.Second}

// link is an uplink with what the methods share.
type link struct {
	uplink
	net      Network
	complain func(k ComplaintKind, format string, args ...any)
}

// flaw is what keeps a datagram from being the answer.
type flaw struct {
	kind   ComplaintKind
	detail string
}

// readable makes a flaw of what could not be read.
func readable[T any](b []byte) func(T, bool) (T, *flaw) {
	return func(t T, ok bool) (T, *flaw) {
		if !ok {
			return t, &flaw{Malformed, fmt.Sprintf("%d bytes", len(b))}
		}
		return t, nil
	}
}

// ask sends a request to the gateway until parse takes an answer. What comes
// from anywhere else does not count.
func ask[T any](ctx context.Context, l *link, request []byte, parse func([]byte) (T, *flaw)) (answer T, err error) {
	conn, err := l.net.UDP(l.local, l.index)
	if err != nil {
		return answer, err
	}
	to := l.at(gatewayPort)
	took := make(chan T, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, maxAnswer)
		// Windows has passing errors: an earlier datagram was refused, this one
		// is longer than the buffer.
		for errs := 0; errs < 16; {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				errs++
				continue
			}
			t, wrong := parse(buf[:n])
			addr := bare(from.Addr())
			switch here := addr == l.gateway && from.Port() == to.Port(); {
			case here && wrong == nil:
				took <- t
				return
			case here:
				l.complain(wrong.kind, "%s", wrong.detail)
			case wrong == nil:
				l.complain(FromElsewhere, "%v", netip.AddrPortFrom(addr, from.Port()))
			}
		}
	}()
	defer func() {
		conn.Close()
		<-done
	}()
	failed := ErrSilent
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := 0; ; {
		select {
		case <-ctx.Done():
			return answer, ctx.Err()
		case t := <-took:
			return t, nil
		case <-timer.C:
		}
		if i == len(tries)-1 {
			return answer, failed
		}
		if _, err := conn.WriteToUDPAddrPort(request, to); err != nil {
			failed = fmt.Errorf("ask the gateway: %w", err)
		}
		i++
		timer.Reset(tries[i] - time.Since(start))
	}
}

// bare is an address as places have it.
func bare(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
