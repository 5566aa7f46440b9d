package wire

import "slices"

// A forward frame is source-routed: it names all devices from the origin to
// the destination. Its body is
//
//	position 1 ‖ count 1 ‖ count × node 8 ‖ datagram
//
// A node is the tag of a device's control key, or the boot ID of one that holds
// a shared key; the position is that of the node which the frame goes to now.
// The same without datagram tells that a node could not pass one on; then it
// travels towards position 0.
const (
	maxHops   = 3
	maxNodes  = maxHops + 2
	frameHead = 2
	maxFrame  = 2000 // of a whole datagram with a frame in it
)

type frame struct {
	pos   int
	count int
	nodes [maxNodes]tag
	data  []byte
}

func (f *frame) appendHead(b []byte) []byte {
	b = append(b, byte(f.pos), byte(f.count))
	for i := range f.count {
		b = append(b, f.nodes[i][:]...)
	}
	return b
}

// headLen is what a frame over so many nodes adds to its datagram.
func headLen(nodes int) int { return overhead + innerHeader + frameHead + nodes*tagLen }

// parseFrame reads a frame; its data is a part of b.
func parseFrame(b []byte) (f frame, err error) {
	if len(b) < frameHead {
		return f, errMalformed
	}
	f.pos, f.count = int(b[0]), int(b[1])
	b = b[frameHead:]
	if f.count < 3 || f.count > maxNodes || f.pos >= f.count || len(b) < f.count*tagLen {
		return f, errMalformed
	}
	for i := range f.count {
		f.nodes[i] = tag(b[i*tagLen:])
	}
	f.data = b[f.count*tagLen:]
	if f.loops() {
		return f, errMalformed
	}
	return f, nil
}

// loops tells that a node appears twice, or is no node.
func (f *frame) loops() bool {
	for i := range f.count {
		if f.nodes[i] == (tag{}) || slices.Contains(f.nodes[:i], f.nodes[i]) {
			return true
		}
	}
	return false
}

// back is the way on which an answer goes.
func (f *frame) back() (c chain) {
	for i := range f.count - 1 {
		c[i] = f.nodes[f.count-2-i]
	}
	return c
}

// forth is the way that the frame has been sent on.
func (f *frame) forth() (c chain) {
	copy(c[:], f.nodes[1:f.count])
	return c
}

// chain is who passes datagrams on, the first hop first, and then the device at
// the far end; what is left is zero.
type chain [maxHops + 1]tag

func (c *chain) isZero() bool { return c[0] == tag{} }

// len is the number of nodes, the far end included.
func (c *chain) len() int {
	for i, n := range c {
		if n == (tag{}) {
			return i
		}
	}
	return len(c)
}

func (c *chain) hops() []tag { return c[:max(0, c.len()-1)] }
func (c *chain) far() tag    { return c[max(0, c.len()-1)] }

// frame is a frame that starts on the way.
func (c *chain) frame(origin tag) frame {
	f := frame{pos: 1, count: c.len() + 1}
	f.nodes[0] = origin
	copy(f.nodes[1:], c[:])
	return f
}
