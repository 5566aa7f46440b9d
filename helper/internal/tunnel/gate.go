package tunnel

import "golang.zx2c4.com/wireguard/tun"

// Gate judges what passes between the tunnel and this host, from any goroutine.
type Gate interface {
	In(packet []byte) bool  // it may come in
	Out(packet []byte) bool // it may leave
}

// gated is a TUN with a gate in it.
type gated struct {
	tun.Device
	gate Gate
}

// Gated puts a gate into a TUN.
func Gated(dev tun.Device, g Gate) tun.Device { return &gated{dev, g} }

// Keep passes a peer on to a TUN of a simulation, see Keeper.
func (g *gated) Keep(peer any) {
	if k, ok := g.Device.(Keeper); ok {
		k.Keep(peer)
	}
}

// Read takes out what may not leave: its size becomes 0, and wireguard-go leaves
// it out.
func (g *gated) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := g.Device.Read(bufs, sizes, offset)
	for i := range n {
		if sizes[i] > 0 && !g.gate.Out(bufs[i][offset:offset+sizes[i]]) {
			sizes[i] = 0
		}
	}
	return n, err
}

// Write leaves out what may not come in.
func (g *gated) Write(bufs [][]byte, offset int) (int, error) {
	kept := bufs
	for i, b := range bufs {
		ok := g.gate.In(b[offset:])
		switch {
		case ok && len(kept) != len(bufs):
			kept = append(kept, b)
		case !ok && len(kept) == len(bufs):
			kept = append(make([][]byte, 0, len(bufs)), bufs[:i]...)
		}
	}
	if len(kept) == 0 {
		return len(bufs), nil
	}
	if _, err := g.Device.Write(kept, offset); err != nil {
		return 0, err
	}
	return len(bufs), nil
}
