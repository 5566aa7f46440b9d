package host

import (
	"log/slog"
	"slices"

	"kith.internal/helper/internal/discover/portmap"
	"kith.internal/helper/internal/engine"
)

// PortMapper asks this machine's gateways for ports.
func (h Host) PortMapper(m engine.Monitor) engine.PortMapper {
	log := h.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return mapper{portmap.New(portmap.Config{Source: m, Log: log})}
}

type mapper struct{ *portmap.Mapper }

// Report says of each gateway what people may want to know.
func (m mapper) Report() []engine.Gateway {
	var out []engine.Gateway
	for _, g := range m.Mapper.Report() {
		e := engine.Gateway{Interface: g.Interface, Addr: g.Addr}
		if g.Method != portmap.None {
			e.Method = g.Method.String()
		}
		for _, p := range g.Mappings {
			if !slices.Contains(e.Mapped, p.External) {
				e.Mapped = append(e.Mapped, p.External)
			}
		}
		if g.Err != nil {
			e.Why = g.Err.Error()
		}
		for _, c := range g.Complaints {
			e.Complaints = append(e.Complaints, c.Kind.String())
		}
		out = append(out, e)
	}
	return out
}
