package wire

import (
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
)

// NAT is what stands between us and others.
type NAT uint8

const (
	NATUnknown NAT = iota
	NATNone        // they see our own address
	NATEasy        // all see one address and port
	NATHard        // each sees another port
)

func (n NAT) String() string { return [...]string{"unknown", "none", "easy", "hard"}[n] }

// NetReport is what the wire has found out about the network that it is on.
type NetReport struct {
	UDP        bool // there is a path over UDP
	IPv4, IPv6 FamilyReport
	Mapped     []netip.AddrPort // by port mapping
	Hairpin    bool             // a datagram to our own outside address came back
	Relays     []RelayReport
	Forwarding Forwarding
	Forwarded  int64             // bytes within the present day, as the quota counts
	Drops      map[string]uint64 // what was not let in, by reason
	Complaints []Complaint
}

// FamilyReport is about one of IPv4 and IPv6.
type FamilyReport struct {
	Has      bool // the socket and an address
	NAT      NAT
	Observed []netip.AddrPort // as others see us
}

// RelayReport is about one relay.
type RelayReport struct {
	ID       key.Public
	Kept     bool
	UDP, TLS time.Duration // round trips; 0: no path
	Error    string        // why the last link failed
}

// Complaint names a peer, or a server, that does not do what it should.
type Complaint struct {
	ID     key.Public     // zero: not a peer
	Server netip.AddrPort // of STUN
	Way    []key.Public   // with OneDrops: the forwarders in order, ID being the first
	What   Misbehaviour
	Since  time.Time
}

// Misbehaviour is what one may complain of.
type Misbehaviour uint8

const (
	DropsPackets   Misbehaviour = iota + 1 // passes pings on, and not what is between them
	LiesOnAddress                          // says another address of ours than all others do
	OneDrops                               // one of those on a way passes pings on, and not what is between them
	AnswersNothing                         // takes what is sent on its link, and says nothing
)

func (m Misbehaviour) String() string {
	return [...]string{"", "drops packets", "lies on our address", "drops packets, or one after it does", "takes what is sent and answers nothing"}[m]
}

// Net tells what the wire has found out.
func (w *Wire) Net() NetReport {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	r := NetReport{
		IPv4: w.family(true, now), IPv6: w.family(false, now),
		Mapped: slices.Clone(w.mapped), Hairpin: w.outside.hairpin,
		Forwarding: w.forwarder.set, Drops: w.drops.all(),
	}
	if now.Sub(w.forwarder.since) < day {
		r.Forwarded = w.forwarder.bytes
	}
	w.eachContact(func(p *peer) { r.UDP = r.UDP || p.overUDP() })
	for _, p := range w.relayPeers() {
		one := RelayReport{ID: p.id, Kept: p.c.relaying.kept, Error: p.c.relaying.err}
		for _, q := range p.c.paths.all {
			switch best := &one.UDP; {
			case q.health == doubted || q.isChain():
			case !q.isUDP():
				one.TLS = q.rtt
			case *best == 0 || q.rtt < *best:
				*best = q.rtt
			}
		}
		if p.c.relaying.mute(p, now) {
			one.Error = "it " + AnswersNothing.String()
		}
		r.Relays = append(r.Relays, one)
	}
	r.Complaints = w.complaints(now)
	return r
}

func (w *Wire) family(four bool, now time.Time) FamilyReport {
	f := FamilyReport{NAT: w.nat(four, now), Has: four && w.conn.Has4() || !four && w.conn.Has6()}
	f.Has = f.Has && slices.ContainsFunc(w.local.Load().addrs, func(a netip.Addr) bool { return a.Is4() == four && !a.IsLinkLocalUnicast() })
	for _, s := range w.observed {
		if s.addr.Addr().Is4() == four {
			f.Observed = append(f.Observed, s.addr)
		}
	}
	return f
}

func (w *Wire) complaints(now time.Time) (out []Complaint) {
	for _, four := range []bool{true, false} {
		_, lies := w.outside.judge(w.local.Load(), four, now)
		for _, v := range lies {
			c := Complaint{ID: v.by, What: LiesOnAddress, Since: v.at}
			if v.by == (key.Public{}) {
				c.Server = v.Server
			}
			if !slices.ContainsFunc(out, func(o Complaint) bool { return o.ID == c.ID && o.Server == c.Server }) {
				out = append(out, c)
			}
		}
	}
	for _, p := range w.relayPeers() {
		if r := p.c.relaying; r.mute(p, now) {
			out = append(out, Complaint{ID: p.id, What: AnswersNothing, Since: r.link.since})
		}
	}
	for _, c := range w.grievances {
		if now.Sub(c.Since) < complaintLives {
			out = append(out, c)
		}
	}
	return out
}

// MTU is the size of the largest IP packet that reaches the peer whole inside
// WireGuard by the path of the moment, at least 1,280; 0 while nothing is known
// of it, or where whatever a TUN of 1,420 takes passes.
func (w *Wire) MTU(id key.Public) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.dir.Load().byID[id]
	if p == nil || p.c == nil || p.c.paths.best == nil {
		return 0
	}
	mtu := p.path(time.Now()).MTU
	if p.c.paths.best.isChain() {
		// The hops beyond the first are mostly on paths of 1,500 bytes, too.
		mtu = min(mtu, sizes[0]-headLen(p.c.paths.best.chain.len()+1))
	}
	// WireGuard adds 32 bytes and pads to a multiple of 16.
	mtu = (mtu - 32) &^ 15
	if mtu < 0 || mtu >= tunMTU&^15 {
		return 0
	}
	return max(minMTU, mtu)
}

// tunMTU is what a TUN carries that says nothing else.
const tunMTU = 1420

// minMTU is what every path carries, in pieces if it must (RFC 8200 §5).
const minMTU = 1280
