package filter

import (
	"net/netip"
	"testing"
	"time"
)

const narrow = `{"allow": [{"from": ["laptop"], "to": ["tag:server"], "ports": ["80/tcp", "500-600/udp", "icmp"]}]}`

func TestPolicyInForce(t *testing.T) {
	b := newBed(t, narrow, world())
	syn := tcp(lap6, self6, 40000, 80, tcpSYN)
	answer := tcp(self6, lap6, 80, 40000, tcpSYN|tcpACK)
	b.run(
		step{"a port that is open", true, syn, true},
		step{"its answer", false, answer, true},
		step{"and on", true, tcp(lap6, self6, 40000, 80, tcpACK), true},
		step{"over IPv4", true, tcp(lap4, self4, 40000, 80, tcpSYN), true},
		step{"another port", true, tcp(lap6, self6, 40000, 81, tcpSYN), false},
		step{"another port, from the middle", true, tcp(lap6, self6, 40000, 81, tcpACK), false},
		step{"the open port, from the middle of what nobody saw", true, tcp(lap6, self6, 40001, 80, tcpACK), false},
		step{"another device", true, tcp(nas6, self6, 40000, 80, tcpSYN), false},
		step{"back", false, tcp(self6, lap6, 40000, 80, tcpSYN), false},
		step{"back on the very flow", false, tcp(self6, lap6, 80, 40000, tcpSYN), false},
		step{"a datagram", true, udp(lap6, self6, 9, 600), true},
		step{"its answer", false, udp(self6, lap6, 600, 9), true},
		step{"one port on", true, udp(lap6, self6, 9, 601), false},
		step{"an echo", true, icmp(lap6, self6, 128, 7, nil), true},
		step{"its answer", false, icmp(self6, lap6, 129, 7, nil), true},
		step{"another's answer", false, icmp(self6, lap6, 129, 8, nil), false},
		step{"an echo back", false, icmp(self6, lap6, 128, 7, nil), false},
		step{"an echo's answer that nobody asked for", true, icmp(lap6, self6, 129, 9, nil), false},
		step{"a redirect", true, icmp(lap6, self6, 137, 0, make([]byte, 40)), false},
		step{"another protocol", true, ip(lap6, self6, 47, make([]byte, 8)), false},
		step{"an unknown overlay address", true, tcp(nobody, self6, 1, 80, tcpSYN), false},
		step{"from our own address", true, tcp(self6, self6, 1, 80, tcpSYN), false},
		step{"from outside", true, tcp(web6, self6, 1, 80, tcpSYN), false},
		step{"for another member", true, tcp(lap6, nas6, 1, 80, tcpSYN), false},
		step{"for the internet", true, tcp(lap4, web4, 1, 80, tcpSYN), false},
		step{"TTL 0", true, set(syn, 7, 0), false},
		step{"half a packet", true, syn[:50], false},
		step{"nothing", true, nil, false},
	)
	b.set(`{"allow": [{"from": ["laptop"], "to": ["self"], "ports": ["443/tcp"]}, {"from": ["self"], "to": ["*"]}]}`, world(), false)
	b.run(
		step{"a connection that is forbidden now", true, tcp(lap6, self6, 40000, 80, tcpACK), false},
		step{"its other half", false, tcp(self6, lap6, 80, 40000, tcpACK), false},
		step{"datagrams that are forbidden now", true, udp(lap6, self6, 9, 600), false},
		step{"what answers them, though it might begin", false, udp(self6, lap6, 600, 9), false},
		step{"something new", false, udp(self6, lap6, 600, 10), true},
	)
	b.set(narrow, world(), false)
	b.run(step{"open again", true, tcp(lap6, self6, 40000, 80, tcpSYN), true})
}

func TestDefault(t *testing.T) {
	w := world()
	b := newBed(t, "", w)
	b.run(
		step{"a member", true, tcp(nas6, self6, 1, 22, tcpSYN), true},
		step{"from the middle, after a restart", true, tcp(lap6, self6, 1, 22, tcpACK), true},
		step{"a stray reset", true, tcp(nas6, self6, 1, 23, tcpRST), false},
		step{"another protocol", true, ip(nas6, self6, 47, make([]byte, 8)), true},
		step{"to the internet by an exit", false, tcp(self4, web4, 40000, 443, tcpSYN), true},
		step{"its answer", true, tcp(web4, self4, 443, 40000, tcpSYN|tcpACK), true},
		step{"a router's word on it", true, icmp(ad("203.0.113.1"), self4, 11, 0, tcp(self4, web4, 40000, 443, tcpACK)), true},
		step{"a router's word on nothing", true, icmp(ad("203.0.113.1"), self4, 11, 0, tcp(self4, web4, 40001, 443, tcpACK)), false},
		step{"what nobody asked for", true, udp(web4, self4, 53, 53), false},
		step{"multicast", false, udp(self6, ad("ff02::1"), 1, 1), false},
		step{"for the internet, no exit here", true, tcp(lap4, web4, 1, 443, tcpSYN), false},
	)
	w.Exit, w.Routes = true, []netip.Prefix{pre("192.168.7.0/24")}
	b.set("", w, false)
	b.run(
		step{"for the internet", true, tcp(lap4, web4, 1, 443, tcpSYN), true},
		step{"the answer", false, tcp(web4, lap4, 443, 1, tcpSYN|tcpACK), true},
		step{"the internet begins", false, tcp(web4, lap4, 443, 2, tcpSYN), false},
		step{"for a route", true, tcp(lap4, lan4, 1, 443, tcpSYN), true},
		step{"beside the route", true, tcp(lap4, ad("192.168.8.9"), 1, 443, tcpSYN), false},
		step{"to everyone", true, udp(lap4, ad("255.255.255.255"), 1, 443), false},
		step{"no LAN by the exit", true, tcp(lap4, ad("10.9.9.9"), 1, 443, tcpSYN), false},
		step{"to a link", true, udp(lap6, ad("fe80::1"), 1, 443), false},
	)
	w.LAN = true
	b.set("", w, false)
	b.run(step{"the LAN, where the exit offers it", true, tcp(lap4, ad("10.9.9.9"), 1, 443, tcpSYN), true})
	w.LAN, w.Accepted = false, []netip.Prefix{pre("192.168.7.0/24")}
	b.set(`{"allow": [{"from": ["laptop"], "to": ["internet", "self"]}, {"from": ["nas"], "to": ["192.168.7.9"]}, {"from": ["192.168.7.0/24"], "to": ["tag:server"], "ports": ["25/tcp"]}]}`, w, false)
	b.run(
		step{"the internet alone", true, tcp(lap4, web4, 3, 443, tcpSYN), true},
		step{"the route is not the internet", true, tcp(lap4, lan4, 3, 443, tcpSYN), false},
		step{"who has no leave", true, tcp(nas6, web6, 3, 443, tcpSYN), false},
		step{"from the route to a member", false, tcp(lan4, lap4, 3, 25, tcpSYN), false},
		step{"from the route to us, by another router", true, tcp(lan4, self4, 3, 25, tcpSYN), true},
	)
}

// TestSpeaksFromBeyond: the tunnel lets the exit node in use have any source; what
// the policy opens to a subnet is open to none that this device has not accepted.
func TestSpeaksFromBeyond(t *testing.T) {
	w := world()
	const policy = `{"allow": [{"from": ["192.168.7.0/24", "198.51.100.0/24"], "to": ["self", "10.0.0.0/8"]}, {"from": ["self"], "to": ["internet"]}]}`
	steps := func(open bool) []step {
		return []step{
			{"from a subnet", true, tcp(lan4, self4, 1, 22, tcpSYN), open},
			{"from the middle", true, tcp(lan4, self4, 2, 22, tcpACK), false},
			{"a datagram", true, udp(lan4, self4, 1, 22), open},
			{"to a subnet behind this device", true, udp(lan4, ad("10.2.3.4"), 1, 22), open},
			{"from the internet", true, udp(web4, self4, 1, 22), false},
			{"to the internet", false, udp(self4, web4, 3, 22), true},
			{"its answer", true, udp(web4, self4, 22, 3), true},
		}
	}
	w.Routes = []netip.Prefix{pre("10.0.0.0/8")}
	newBed(t, policy, w).run(steps(false)...)
	w.Accepted = []netip.Prefix{pre("192.168.0.0/16")}
	b := newBed(t, policy, w)
	b.run(steps(true)...)
	w.Accepted = nil
	b.set(policy, w, false)
	b.run(step{"not accepted any more", true, tcp(lan4, self4, 1, 22, tcpACK), false})
}

func TestExitAnswersForNames(t *testing.T) {
	w := world()
	w.Exit, w.Devices[0].Exit = true, true
	b := newBed(t, `{"allow": [{"from": ["laptop"], "to": ["internet"]}]}`, w)
	b.run(
		step{"who goes to the internet asks for names", true, udp(lap4, self4, 1, 53), true},
		step{"nothing else", true, udp(lap4, self4, 1, 54), false},
		step{"others do not", true, udp(nas6, self6, 1, 53), false},
	)
}

func TestShields(t *testing.T) {
	b := newBed(t, "", world())
	b.run(step{"before", true, tcp(lap6, self6, 1, 22, tcpSYN), true}, step{"ours", false, tcp(self6, nas6, 5, 22, tcpSYN), true})
	b.set("", world(), true)
	b.run(
		step{"what came in before", true, tcp(lap6, self6, 1, 22, tcpACK), false},
		step{"and its answer", false, tcp(self6, lap6, 22, 1, tcpACK), false},
		step{"anew", true, tcp(lap6, self6, 2, 22, tcpSYN), false},
		step{"an echo", true, icmp(lap6, self6, 128, 1, nil), false},
		step{"the answer to ours", true, tcp(nas6, self6, 22, 5, tcpSYN|tcpACK), true},
		step{"an error about ours", true, icmp(nas6, self6, 2, 0, tcp(self6, nas6, 5, 22, tcpACK)), true},
		step{"an error about ours from another", true, icmp(lap6, self6, 2, 0, tcp(self6, nas6, 5, 22, tcpACK)), false},
		step{"ours", false, tcp(self6, lap6, 6, 22, tcpSYN), true},
	)
}

func TestGuests(t *testing.T) {
	w := world()
	w.Exit = true
	ports, _ := ParsePorts([]string{"80/tcp"})
	w.Guests = []Guest{{Addrs: []netip.Addr{guest6, guest4}, Label: "friend", Share: "abcdefghijkl", Ports: ports, In: true}}
	steps := func(policy, exit, both bool) []step {
		return []step{
			{"what is shared", true, tcp(guest6, self6, 1, 80, tcpSYN), policy},
			{"its answer", false, tcp(self6, guest6, 80, 1, tcpSYN|tcpACK), policy},
			{"an echo", true, icmp(guest6, self6, 128, 1, nil), policy},
			{"another port", true, tcp(guest6, self6, 1, 81, tcpSYN), false},
			{"back", false, tcp(self6, guest6, 1, 80, tcpSYN), both},
			{"back, another port", false, tcp(self6, guest6, 1, 81, tcpSYN), false},
			{"the internet", true, tcp(guest6, web6, 1, 80, tcpSYN), exit},
			{"a member", true, tcp(guest6, nas6, 1, 80, tcpSYN), false},
		}
	}
	newBed(t, "", w).run(steps(true, false, false)...)
	newBed(t, `{"allow": [{"from": ["laptop"], "to": ["*"]}]}`, w).run(steps(false, false, false)...)
	newBed(t, `{"allow": [{"from": ["share:abcdefgh"], "to": ["tag:server"]}]}`, w).run(steps(true, false, false)...)
	newBed(t, `{"allow": [{"from": ["share:abcdefgz"], "to": ["tag:server"]}]}`, w).run(steps(false, false, false)...)
	w.Guests[0].Exit, w.Guests[0].Out = true, true
	newBed(t, "", w).run(steps(true, true, true)...)
	newBed(t, `{"allow": [{"from": ["guests"], "to": ["self"]}]}`, w).run(steps(true, false, false)...)
	// A guest with a member's address is not let in by its share.
	w.Guests[0].Addrs = []netip.Addr{guest4, nas6}
	newBed(t, `{"allow": [{"from": ["guests"], "to": ["self"]}]}`, w).run(step{"a stolen address", true, tcp(nas6, self6, 1, 80, tcpSYN), false})
}

// TestGuestExit: a guest reaches the internet by a device that is an exit node
// and is shared as one; never a network of that device's, whatever its members may.
func TestGuestExit(t *testing.T) {
	ports, _ := ParsePorts([]string{"80/tcp"})
	bed := func(exit, shared, names bool) *bed {
		w := world()
		w.Exit, w.LAN = exit, exit
		w.Routes = []netip.Prefix{pre("192.168.7.0/24")}
		w.Links = []netip.Prefix{pre("198.51.100.0/28"), pre("2001:db8:1::/64")}
		w.Guests = []Guest{{Addrs: []netip.Addr{guest6, guest4}, Share: "abcdefghijkl", Ports: ports, In: true, Exit: shared, Names: names}}
		return newBed(t, "", w)
	}
	far4, near6 := ad("203.0.113.7"), ad("2001:db8:1::7")
	for _, c := range []struct{ exit, shared bool }{{true, true}, {true, false}, {false, true}} {
		both := c.exit && c.shared
		bed(c.exit, c.shared, false).run(
			step{"the internet", true, tcp(guest6, web6, 1, 443, tcpSYN), both},
			step{"its answer", false, tcp(web6, guest6, 443, 1, tcpSYN|tcpACK), both},
			step{"by IPv4", true, tcp(guest4, far4, 1, 443, tcpSYN), both},
			step{"names", true, udp(guest6, self6, 1, 53), both},
			step{"a network of the device's", true, tcp(guest4, web4, 1, 443, tcpSYN), false},
			step{"by IPv6", true, tcp(guest6, near6, 1, 443, tcpSYN), false},
			step{"a subnet behind it", true, tcp(guest4, lan4, 1, 80, tcpSYN), false},
			step{"a private address", true, tcp(guest4, ad("10.2.3.4"), 1, 80, tcpSYN), false},
			step{"a private address behind NAT64", true, tcp(guest6, ad("64:ff9b::a02:304"), 1, 80, tcpSYN), false},
			step{"or one of local use", true, tcp(guest6, ad("64:ff9b:1::a02:304"), 1, 80, tcpSYN), false},
			step{"or 6to4", true, tcp(guest6, ad("2002:a02:304::1"), 1, 80, tcpSYN), false},
			step{"the device's network behind NAT64", true, tcp(guest6, ad("64:ff9b::c633:6407"), 1, 80, tcpSYN), false},
			step{"the internet behind NAT64", true, tcp(guest6, ad("64:ff9b::cb00:7107"), 1, 80, tcpSYN), both},
			step{"a member", true, tcp(guest4, lap4, 1, 80, tcpSYN), false},
			step{"what is shared", true, tcp(guest4, self4, 1, 80, tcpSYN), true},
			step{"another port", true, tcp(guest4, self4, 1, 81, tcpSYN), false},
			step{"back", false, udp(self6, guest6, 1, 53), false},
		)
	}
	bed(false, false, true).run(
		step{"the guest asks its exit node for names", false, udp(self6, guest6, 1, 53), true},
		step{"and is not asked", true, udp(guest6, self6, 1, 53), false},
	)
}

// TestOwnAddresses: what is sent to another address of an exit node's reaches the
// exit node itself, so the policy for that device judges it, not that for the
// internet; and nothing is passed on into another of its overlays.
func TestOwnAddresses(t *testing.T) {
	w := world()
	w.Exit, w.LAN = true, true
	w.Host, w.Apart = []netip.Addr{web4, web6, lan4}, []netip.Prefix{pre("100.99.0.0/16"), pre("fd99::/48")}
	far4, far6 := ad("203.0.113.7"), ad("2001:db8:1::7")
	w.Devices[0].Exit = true
	steps := func(open, all bool) []step {
		return []step{
			{"the internet", true, tcp(lap4, far4, 1, 22, tcpSYN), true},
			{"names", true, udp(lap4, self4, 1, 53), true},
			{"by IPv6", true, tcp(lap6, far6, 1, 22, tcpSYN), true},
			{"the exit node", true, tcp(lap6, self6, 1, 22, tcpSYN), open},
			{"its public address", true, tcp(lap4, web4, 1, 22, tcpSYN), open},
			{"by IPv6", true, tcp(lap6, web6, 1, 22, tcpSYN), open},
			{"a resolver of its own", true, udp(lap4, web4, 1, 53), all},
			{"another overlay", true, tcp(lap4, ad("100.99.0.2"), 1, 22, tcpSYN), false},
			{"by IPv6", true, udp(lap6, ad("fd99::2"), 1, 22), false},
		}
	}
	newBed(t, "", w).run(steps(true, true)...)
	newBed(t, `{"allow": [{"from": ["laptop"], "to": ["internet"]}]}`, w).run(steps(false, false)...)
	newBed(t, `{"allow": [{"from": ["laptop"], "to": ["internet"]}, {"from": ["laptop"], "to": ["self"], "ports": ["22/tcp"]}]}`, w).run(steps(true, false)...)
	w.Routes = []netip.Prefix{pre("192.168.7.0/24")}
	for policy, open := range map[string]bool{
		`{"allow": [{"from": ["laptop"], "to": ["192.168.7.0/24"]}]}`: true, // of which it is one
		`{"allow": [{"from": ["laptop"], "to": ["internet"]}]}`:       false,
	} {
		newBed(t, policy, w).run(step{"its address in a subnet", true, tcp(lap4, lan4, 1, 22, tcpSYN), open})
	}
}

func TestFlowsEnd(t *testing.T) {
	b := newBed(t, `{"allow": [{"from": ["self"], "to": ["*"]}]}`, world())
	open := func() {
		b.run(step{"out", false, udp(self6, lap6, 1, 9), true}, step{"in", true, udp(lap6, self6, 9, 1), true})
	}
	open()
	b.after(idleUDP * time.Millisecond)
	b.run(step{"too late", true, udp(lap6, self6, 9, 1), false})
	open()
	b.after((idleUDP - 1) * time.Millisecond)
	open()
	b.run(step{"a SYN", false, tcp(self6, lap6, 1, 9, tcpSYN), true})
	b.after(idleOpening * time.Millisecond)
	b.run(
		step{"an answer too late", true, tcp(lap6, self6, 9, 1, tcpSYN|tcpACK), false},
		step{"a SYN", false, tcp(self6, lap6, 1, 9, tcpSYN), true},
		step{"an answer", true, tcp(lap6, self6, 9, 1, tcpSYN|tcpACK), true},
	)
	b.after(23 * time.Hour)
	b.run(
		step{"a quiet connection", true, tcp(lap6, self6, 9, 1, tcpACK), true},
		step{"its end", true, tcp(lap6, self6, 9, 1, tcpFIN|tcpACK), true},
		step{"and the other's", false, tcp(self6, lap6, 1, 9, tcpFIN|tcpACK), true},
	)
	b.after(idleClosed * time.Millisecond)
	b.run(step{"after it", true, tcp(lap6, self6, 9, 1, tcpACK), false})
}

func TestBounds(t *testing.T) {
	b := newBed(t, "", world())
	mine := tcp(self6, nas6, 1, 22, tcpSYN)
	theirs := udp(nas6, self6, 7, 7)
	b.run(step{"ours", false, mine, true}, step{"the nas's", true, theirs, true})
	for i := range 2 * flowsMost {
		if !b.judge(udp(lap6, self6, uint16(i), uint16(i>>16)+1), true, b.now) {
			t.Fatal("it does not pass")
		}
	}
	if n := b.Flows(); n != shareMost+2 {
		t.Errorf("%d flows, want %d", n, shareMost+2)
	}
	for i := range 2 * flowsMost {
		b.judge(udp(self6, lap6, uint16(i), uint16(i>>16)+1), false, b.now)
	}
	if n := b.Flows(); n != flowsMost {
		t.Errorf("%d flows, want %d", n, flowsMost)
	}
	b.set(`{"allow": [{"from": ["nas"], "to": ["self"], "ports": ["7/udp"]}]}`, world(), false)
	b.run(step{"the nas's flow is still there", false, udp(self6, nas6, 7, 7), true})
	b.after(25 * time.Hour)
	for i := range b.flows.slab {
		if e := &b.flows.slab[i]; e.owner != none {
			k := e.key
			b.flows.find(&k, e.hash, b.now)
		}
		if len(b.flows.slab) == 0 {
			break
		}
	}
	if b.Flows() != 0 || len(b.flows.byAddr) != 0 || len(b.flows.slab) != 0 {
		t.Errorf("%d flows, %d owners and %d entries stay", b.Flows(), len(b.flows.byAddr), len(b.flows.slab))
	}
}

func TestNoAllocation(t *testing.T) {
	b := newBed(t, "", world())
	p := tcp(lap6, self6, 1, 22, tcpSYN)
	b.In(p)
	if n := testing.AllocsPerRun(1000, func() { b.In(p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
