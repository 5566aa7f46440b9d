package join

import (
	"errors"
	"fmt"
	"time"

	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
)

// OpenFor is how long a network stays open to its LAN.
const OpenFor = 10 * time.Minute

// Notice is what an admin's device says in clear on its LANs while it holds a
// network open: the name of the network, and how to ask. Nothing in it is proved;
// the digits that people compare are what shows a forged one.
type Notice struct {
	Key     key.Private // of this opening alone: whoever hears it may ask
	Network [32]byte
	Device  key.Public // the admin's
	Control key.Exchange
	Name    string // the network's
	By      string // the admin's device's
	Port    uint16
	Left    time.Duration // in whole seconds; 0: it has been closed
}

type notice struct {
	Key     []byte `cbor:"1,keyasint"`
	Network []byte `cbor:"2,keyasint"`
	Device  []byte `cbor:"3,keyasint"`
	Control []byte `cbor:"4,keyasint"`
	Name    string `cbor:"5,keyasint"`
	By      string `cbor:"6,keyasint"`
	Port    uint16 `cbor:"7,keyasint"`
	Left    uint16 `cbor:"8,keyasint"`
}

// Encode spells the notice; it takes some 300 bytes.
func (n *Notice) Encode() ([]byte, error) {
	return frame.Marshal(notice{
		n.Key[:], n.Network[:], n.Device[:], n.Control[:], n.Name, n.By, n.Port, uint16(n.Left / time.Second),
	})
}

// ParseNotice reads what a stranger has said: sizes, names and times are valid
// after it, nothing more.
func ParseNotice(b []byte) (*Notice, error) {
	var m notice
	if err := frame.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("read a notice: %w", err)
	}
	for _, k := range [][]byte{m.Key, m.Network, m.Device, m.Control} {
		if len(k) != 32 {
			return nil, errors.New("read a notice: a key is not 32 bytes")
		}
	}
	if err := roster.ValidNetworkName(m.Name); err != nil {
		return nil, fmt.Errorf("read a notice: %w", err)
	}
	if err := roster.ValidLabel(m.By); err != nil {
		return nil, fmt.Errorf("read a notice: %w", err)
	}
	left := time.Duration(m.Left) * time.Second
	if m.Port == 0 || left > OpenFor {
		return nil, errors.New("read a notice: no port, or no such time")
	}
	return &Notice{
		Key: key.Private(m.Key), Network: [32]byte(m.Network), Device: key.Public(m.Device), Control: key.Exchange(m.Control),
		Name: m.Name, By: m.By, Port: m.Port, Left: left,
	}, nil
}
