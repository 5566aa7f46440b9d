package deps

import (
	_ "github.com/Microsoft/go-winio"
	_ "golang.zx2c4.com/wireguard/windows/tunnel/winipcfg"
)
