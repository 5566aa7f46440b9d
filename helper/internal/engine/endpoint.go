package engine

import (
	"errors"
	"fmt"
	"log/slog"

	"golang.zx2c4.com/wireguard/tun"

	"kith.internal/helper/internal/filter"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/osnet/router"
	"kith.internal/helper/internal/siit"
	"kith.internal/helper/internal/tunnel"
	"kith.internal/helper/internal/wire"
	"kith.internal/helper/internal/wire/udp"
)

// endpoint is this device in one network, its own or a friend's: a port, a wire,
// and a TUN with what is in its path. It belongs to the actor.
type endpoint struct {
	e       *Engine
	log     *slog.Logger
	conn    udp.Conn
	wire    *wire.Wire
	tunnel  *tunnel.Tunnel
	filter  *filter.Filter
	siit    *siit.Device  // guests' IPv4
	router  router.Router // nil without a TUN
	ifname  string
	index   int // of the TUN; 0 without
	journal uint64
}

// listen takes a UDP port; where another program has it, any.
func (p *endpoint) listen(port uint16) (taken bool, err error) {
	p.conn, err = p.e.cfg.Host.Listen(port)
	if errors.Is(err, udp.ErrInUse) {
		taken = true
		p.conn, err = p.e.cfg.Host.Listen(0)
	}
	if err != nil {
		return taken, fmt.Errorf("open UDP port %d: %w", port, err)
	}
	return taken, nil
}

// startWire starts the wire on the port.
func (p *endpoint) startWire(c wire.Config) (err error) {
	c.Conn, c.Log, c.Listen, c.STUN = p.conn, p.log, p.e.cfg.Host.Listen, p.e.cfg.STUN
	if p.wire, err = wire.New(c); err != nil {
		return fmt.Errorf("start the wire: %w", err)
	}
	return nil
}

// openTUN makes a TUN, and WireGuard's device on what inner makes of it. A crash
// on its way leaves a journal entry for it.
func (p *endpoint) openTUN(wg key.ExchangePrivate, w tunnel.Wire, inner func(tun.Device) tun.Device) error {
	id, err := p.e.journalTUN("")
	if err != nil {
		return err
	}
	dev, name, index, err := p.e.cfg.Host.TUN("", mtu)
	if err != nil {
		p.e.cfg.Store.DoneJournal(id)
		return err
	}
	p.ifname, p.index, p.journal = name, index, id
	// Now the name is known: what a crash leaves can be found by it.
	if p.journal, err = p.e.journalTUN(name); err != nil {
		dev.Close()
		return err
	}
	p.e.cfg.Store.DoneJournal(id)
	if p.router, err = p.e.cfg.Host.Router(name, index); err != nil {
		dev.Close()
		return fmt.Errorf("configure %s: %w", name, err)
	}
	p.filter = filter.New()
	p.siit = siit.Wrap(tunnel.Gated(inner(dev), p.filter), mtu)
	p.tunnel, err = tunnel.New(p.siit, wg, w, p.log)
	return err
}

// close gives back what there is of it.
func (p *endpoint) close() {
	if p.router != nil {
		if err := p.router.Set(router.Config{}); err != nil {
			p.log.Warn("undo addresses and routes", "err", err)
		}
		p.router.Close()
	}
	if p.tunnel != nil {
		p.tunnel.Close()
	}
	if p.wire != nil {
		p.wire.Close()
	}
	if p.conn != nil {
		p.conn.Close()
	}
	if p.journal != 0 {
		if err := p.e.cfg.Store.DoneJournal(p.journal); err != nil {
			p.log.Warn("end the journal's entry", "err", err)
		}
	}
}
