package portmap

import (
	"net"

	"golang.org/x/sys/unix"
)

func bind(fd uintptr, _ bool, index int) {
	if i, err := net.InterfaceByIndex(index); err == nil {
		_ = unix.BindToDevice(int(fd), i.Name)
	}
}
