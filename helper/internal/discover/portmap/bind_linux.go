package portmap

import (
	"net"

	"golang.org/x/sys/unix"

	"kith.internal/helper/internal/osnet/bypass"
)

func bind(fd uintptr, _ bool, index int) {
	bypass.Socket(fd)
	if i, err := net.InterfaceByIndex(index); err == nil {
		_ = unix.BindToDevice(int(fd), i.Name)
	}
}
