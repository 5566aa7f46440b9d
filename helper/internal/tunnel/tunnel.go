// Package tunnel runs the WireGuard device of one network. A peer is configured
// there only while a session with it is wanted: by a packet of ours to it, or by
// its word over the wire; so thousands of members cost nothing while they are
// quiet. It imports neither wire nor engine: what it needs of them is in Wire.
package tunnel

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"kith.internal/helper/internal/key"
)

// Wire is what a tunnel needs of the network's wire.
type Wire interface {
	Bind() conn.Bind
	Endpoint(key.Public) string             // what wireguard-go's "endpoint=" takes
	Want(id key.Public, want bool)          // a session is wanted: seek a path and tell the peer
	SetConfigured(id key.Public, have bool) // the peer is configured here
}

// Peer is a member with whom a session may exist.
type Peer struct {
	ID    key.Public
	WG    key.Exchange
	Addrs []netip.Addr // its overlay addresses
	// Prefixes are networks behind it: what this device sends there goes to the
	// peer, and what comes from there is taken from it alone. No prefix may hold
	// overlay addresses: those prove their owners.
	Prefixes []netip.Prefix
	// Hold keeps a session with the peer, also while nothing passes.
	Hold bool
}

// Keeper is a TUN in a fake clock's bubble. It is given each WireGuard peer, since
// a peer's finalizers drain channels, which only the bubble may.
type Keeper interface{ Keep(peer any) }

// Stats is what the device knows of a session.
type Stats struct {
	Rx, Tx        uint64 // bytes
	LastHandshake time.Time
}

// A session is dropped when it has been silent for idleAfter; by then its keys
// are older than WireGuard's Reject-After-Time (180 s), so the other side
// cannot go on with them.
const (
	idleAfter   = 5 * time.Minute
	idleCheck   = time.Minute
	rejectAfter = 180 * time.Second
)

// Tunnel is one network's WireGuard device.
type Tunnel struct {
	wire Wire
	dev  *device.Device
	rest *rest
	keep func(peer any) // nil outside simulations
	log  *slog.Logger

	table atomic.Pointer[table] // for the packet path; replaced whole

	mu       sync.Mutex
	sessions map[key.Public]*session
	sweep    *time.Timer // runs while a session is configured
	closed   bool
}

// session is one member's place; wanted is read on the packet path, the rest is
// guarded by Tunnel.mu.
type session struct {
	Peer
	configured atomic.Bool
	wanted     atomic.Bool  // our packets asked for it, and it is configured
	mtu        atomic.Int32 // of the path; 0: the TUN's
	bytes      uint64
	quietSince time.Time
	total      Stats // of the sessions before this one
}

// New brings a device up on t. The tunnel owns t from then on.
func New(t tun.Device, private key.ExchangePrivate, w Wire, log *slog.Logger) (*Tunnel, error) {
	tn := &Tunnel{wire: w, log: log, sessions: map[key.Public]*session{}}
	tn.table.Store(&table{})
	if k, ok := t.(Keeper); ok {
		tn.keep = k.Keep
	}
	link, bind, rest := gauged(newOutlet(t, tn), w.Bind())
	tn.rest = rest
	tn.dev = device.NewDevice(link, bind, &device.Logger{
		Verbosef: device.DiscardLogf,
		Errorf:   func(f string, a ...any) { log.Debug("wireguard: " + fmt.Sprintf(f, a...)) },
	})
	if err := tn.dev.IpcSet("private_key=" + hex.EncodeToString(private[:])); err != nil {
		tn.dev.Close()
		return nil, fmt.Errorf("set the tunnel's key: %w", err)
	}
	if err := tn.dev.Up(); err != nil {
		tn.dev.Close()
		return nil, fmt.Errorf("bring the tunnel up: %w", err)
	}
	return tn, nil
}

// SetKey puts another key of ours in force. Sessions begin anew with it when the
// next packet leaves.
func (t *Tunnel) SetKey(private key.ExchangePrivate) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	if err := t.dev.IpcSet("private_key=" + hex.EncodeToString(private[:])); err != nil {
		return fmt.Errorf("set the tunnel's key: %w", err)
	}
	return nil
}

// SetPeers says who may have a session. One who is gone loses it at once; with
// one whose WireGuard key has changed it begins anew.
func (t *Tunnel) SetPeers(peers []Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	next := make(map[key.Public]*session, len(peers))
	table := table{addrs: make(map[netip.Addr]*session, 2*len(peers))}
	for _, p := range peers {
		s := t.sessions[p.ID]
		switch {
		case s == nil:
			s = &session{Peer: p}
		case s.WG != p.WG:
			t.renew(s, p)
		case !slices.Equal(s.Addrs, p.Addrs) || !slices.Equal(s.Prefixes, p.Prefixes):
			s.Peer = p
			if s.configured.Load() {
				t.configure(s)
			}
		}
		s.Hold = p.Hold
		next[p.ID] = s
		table.add(s)
	}
	for id, s := range t.sessions {
		if next[id] == nil {
			t.drop(s)
		}
	}
	t.sessions = next
	t.table.Store(&table)
	for _, s := range next {
		if s.Hold && !s.wanted.Load() {
			t.want(s)
		}
	}
}

// want configures a session and has the peer told that it is wanted.
func (t *Tunnel) want(s *session) {
	if !s.configured.Load() {
		t.configure(s)
	}
	s.wanted.Store(s.configured.Load())
	t.wire.Want(s.ID, true)
}

// first is called on the packet path for our first packet in a session, before
// wireguard-go looks the peer up: the packet is not lost. The peer is told that
// the session is wanted also where it exists by the peer's wish: it may be gone
// on the other side by now.
func (t *Tunnel) first(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.sessions[s.ID] != s {
		return
	}
	t.want(s)
}

// Ensure configures a session because the peer wants one.
func (t *Tunnel) Ensure(id key.Public) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.sessions[id]; s != nil && !t.closed {
		if !s.configured.Load() {
			t.configure(s)
		} else {
			t.wire.SetConfigured(id, true)
		}
	}
}

// Reset configures a session afresh, if there is one: the peer has restarted, so
// its keys are gone and its clock may have been set back.
func (t *Tunnel) Reset(id key.Public) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[id]
	if s == nil || t.closed || !s.configured.Load() {
		return
	}
	t.renew(s, s.Peer)
}

// renew configures a session, if there is one, afresh, as it is with p.
func (t *Tunnel) renew(s *session, p Peer) {
	configured, wanted := s.configured.Load(), s.wanted.Load()
	t.drop(s)
	s.Peer = p
	if !configured {
		return
	}
	t.configure(s)
	if wanted {
		s.wanted.Store(s.configured.Load())
		t.wire.Want(s.ID, true)
	}
}

func (t *Tunnel) configure(s *session) {
	var b strings.Builder
	fmt.Fprintf(&b, "public_key=%x\nendpoint=%s\nreplace_allowed_ips=true\n", s.WG[:], t.wire.Endpoint(s.ID))
	for _, a := range s.Addrs {
		fmt.Fprintf(&b, "allowed_ip=%s/%d\n", a, a.BitLen())
	}
	for _, p := range s.Prefixes {
		fmt.Fprintf(&b, "allowed_ip=%s\n", p)
	}
	if err := t.dev.IpcSet(b.String()); err != nil {
		t.log.Error("configure a session", "peer", s.ID.Short(), "err", err)
		return
	}
	if t.keep != nil {
		t.keep(t.dev.LookupPeer(device.NoisePublicKey(s.WG)))
	}
	s.quietSince = time.Now()
	s.configured.Store(true)
	t.wire.SetConfigured(s.ID, true)
	if t.sweep == nil {
		t.sweep = time.AfterFunc(idleCheck, t.sweepIdle)
	}
}

func (t *Tunnel) drop(s *session) {
	if !s.configured.Load() {
		return
	}
	for id, st := range t.stats() {
		if id == s.WG {
			s.total.Rx += st.Rx
			s.total.Tx += st.Tx
			if !st.LastHandshake.IsZero() {
				s.total.LastHandshake = st.LastHandshake
			}
		}
	}
	s.configured.Store(false)
	s.wanted.Store(false)
	s.bytes = 0
	t.dev.RemovePeer(device.NoisePublicKey(s.WG))
	t.wire.Want(s.ID, false)
	t.wire.SetConfigured(s.ID, false)
}

// sweepIdle drops sessions that nobody has used for a while.
func (t *Tunnel) sweepIdle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	now, left := time.Now(), false
	stats := t.stats()
	for _, s := range t.sessions {
		if !s.configured.Load() {
			continue
		}
		st := stats[s.WG]
		if n := st.Rx + st.Tx; n != s.bytes {
			s.bytes, s.quietSince = n, now
		}
		if !s.Hold && now.Sub(s.quietSince) >= idleAfter && now.Sub(st.LastHandshake) > rejectAfter {
			t.drop(s)
			continue
		}
		left = true
	}
	t.sweep = nil
	if left {
		t.sweep = time.AfterFunc(idleCheck, t.sweepIdle)
	}
}

// Status is every peer that has had a session: what passed, and whether one is
// alive now.
func (t *Tunnel) Status() map[key.Public]Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[key.Public]Status{}
	if t.closed {
		return out
	}
	stats, now := t.stats(), time.Now()
	for id, s := range t.sessions {
		st := stats[s.WG]
		sum := Stats{Rx: s.total.Rx + st.Rx, Tx: s.total.Tx + st.Tx, LastHandshake: st.LastHandshake}
		if sum.LastHandshake.IsZero() {
			sum.LastHandshake = s.total.LastHandshake
		}
		if sum == (Stats{}) && !s.configured.Load() {
			continue
		}
		out[id] = Status{Stats: sum, Active: s.configured.Load() && now.Sub(st.LastHandshake) < rejectAfter}
	}
	return out
}

// Status is a peer's session and the sum of those before it.
type Status struct {
	Stats
	Active bool // a session exists and its keys are fresh
}

// Close takes the device and its TUN down.
func (t *Tunnel) Close() {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	for _, s := range t.sessions {
		t.drop(s)
	}
	t.closed = true
	if t.sweep != nil {
		t.sweep.Stop()
	}
	t.mu.Unlock()
	t.rest.stop()
	t.dev.Close()
}
