package engine

import "slices"

// setPorts asks the gateways for the ports of all networks that are up.
func (e *Engine) setPorts() {
	if e.mapper == nil || e.stopping {
		return
	}
	var ports []uint16
	for _, n := range e.nets {
		if n.on != nil {
			ports = append(ports, n.on.conn.Port())
		}
	}
	slices.Sort(ports)
	e.mapper.Set(ports)
	e.takeMapped()
}

// takeMapped tells the wires where the gateways lead to them.
func (e *Engine) takeMapped() {
	if e.mapper == nil || e.stopping {
		return
	}
	mapped := e.mapper.Mapped()
	for _, n := range e.nets {
		if n.on == nil {
			continue
		}
		addrs := mapped[n.on.conn.Port()]
		if slices.Equal(addrs, n.on.mapped) {
			continue
		}
		n.on.mapped = slices.Clone(addrs)
		n.on.wire.SetMapped(n.on.mapped)
		n.tellIfChanged()
	}
}
