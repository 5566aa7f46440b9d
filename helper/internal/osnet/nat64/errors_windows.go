package nat64

import "golang.org/x/sys/windows"

const noRoute = windows.WSAENETUNREACH
