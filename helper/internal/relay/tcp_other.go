//go:build !linux && !darwin

package relay

import "net"

// tuneTCP readies a connection for datagrams. Links keep themselves alive, so
// TCP need not.
func tuneTCP(c net.Conn) {
	if k, ok := c.(interface{ SetKeepAlive(bool) error }); ok {
		k.SetKeepAlive(false)
	}
}
