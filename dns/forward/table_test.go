package forward

import (
	"net/netip"
	"time"

	mdns "github.com/miekg/dns"
)

const noAnswer = -1

// truncated is an answer with nothing in it.
func truncated(q []byte) []byte {
	return reply(q, mdns.RcodeSuccess, func(m *mdns.Msg) { m.Truncated, m.Answer = true, nil })
}

var forwardTests = []struct {
	name    string
	servers map[netip.AddrPort]fakeServer
	rcode   int
	within  time.Duration
}{
	{"healthy", map[netip.AddrPort]fakeServer{srvA: answering(5*time.Millisecond, 0), srvB: nil}, 0, 5 * time.Millisecond},
	{"first is dead", map[netip.AddrPort]fakeServer{srvA: nil, srvB: answering(5*time.Millisecond, 0)}, 0, 205 * time.Millisecond},
	{"first is slow", map[netip.AddrPort]fakeServer{srvA: answering(3*time.Second, 0), srvB: answering(time.Millisecond, 0)}, 0, 201 * time.Millisecond},
	{"SERVFAIL is passed on at once", map[netip.AddrPort]fakeServer{srvA: answering(time.Millisecond, mdns.RcodeServerFailure), srvB: answering(0, 0)}, mdns.RcodeServerFailure, time.Millisecond},
	{"REFUSED is passed on at once", map[netip.AddrPort]fakeServer{srvA: answering(time.Millisecond, mdns.RcodeRefused), srvB: answering(0, 0)}, mdns.RcodeRefused, time.Millisecond},
	{"NXDOMAIN is passed on at once", map[netip.AddrPort]fakeServer{srvA: answering(time.Millisecond, mdns.RcodeNameError), srvB: answering(0, 0)}, mdns.RcodeNameError, time.Millisecond},
	{"REFUSED as a bare header", map[netip.AddrPort]fakeServer{srvA: func(_ string, q []byte) (time.Duration, [][]byte, error) {
		return 0, [][]byte{{q[0], q[1], 0x81, 5, 0, 0, 0, 0, 0, 0, 0, 0}}, nil
	}}, mdns.RcodeRefused, 0},
	{"all dead", map[netip.AddrPort]fakeServer{srvA: nil, srvB: nil}, noAnswer, totalTime},
	{"datagrams are lost, TCP is not", map[netip.AddrPort]fakeServer{srvA: func(network string, q []byte) (time.Duration, [][]byte, error) {
		if network == "udp" {
			return 0, nil, nil
		}
		return 0, [][]byte{reply(q, 0, nil)}, nil
	}}, 0, tcpAt},
	{"truncated, then whole over TCP", map[netip.AddrPort]fakeServer{srvA: func(network string, q []byte) (time.Duration, [][]byte, error) {
		if network == "udp" {
			return 0, [][]byte{truncated(q)}, nil
		}
		return 0, [][]byte{reply(q, 0, nil)}, nil
	}}, 0, 0},
	{"truncated, TCP blocked", map[netip.AddrPort]fakeServer{srvA: func(network string, q []byte) (time.Duration, [][]byte, error) {
		if network == "udp" {
			return 0, [][]byte{truncated(q)}, nil
		}
		return 0, nil, nil
	}}, 0, tcpPatience},
	{"forged answers are passed over", map[netip.AddrPort]fakeServer{srvA: func(_ string, q []byte) (time.Duration, [][]byte, error) {
		return 0, [][]byte{
			reply(q, mdns.RcodeRefused, func(m *mdns.Msg) { m.Id++ }),
			reply(q, mdns.RcodeRefused, func(m *mdns.Msg) { m.Question[0].Name = "evil.example." }),
			reply(q, mdns.RcodeRefused, func(m *mdns.Msg) { m.Question[0].Qtype = mdns.TypeTXT }),
			reply(q, mdns.RcodeRefused, func(m *mdns.Msg) { m.Response = false }),
			{1, 2, 3}, {},
			reply(q, 0, func(m *mdns.Msg) { m.Question[0].Name = "wWw.ExAmPlE.com." }),
		}, nil
	}}, 0, 0},
	{"a flood of forged answers goes to TCP", map[netip.AddrPort]fakeServer{srvA: func(network string, q []byte) (time.Duration, [][]byte, error) {
		if network == "tcp" {
			return 0, [][]byte{reply(q, 0, nil)}, nil
		}
		var all [][]byte
		for range 2 * maxForged {
			all = append(all, reply(q, 0, func(m *mdns.Msg) { m.Id++ }))
		}
		return 0, all, nil
	}}, 0, 0},
}
