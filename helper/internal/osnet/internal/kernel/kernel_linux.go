// Package kernel is what packages egress and nat hold of the kernel: routes,
// nftables, and word of what others change there.
package kernel

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kith.internal/helper/internal/osnet/internal/nft"
	"kith.internal/helper/internal/osnet/internal/notice"
)

// Hold is of the network namespace that it was opened in. Its methods take no
// lock: the caller's guards it.
type Hold struct {
	Routes *netlink.Handle
	NFT    *nftables.Conn // nil where there is none
	watch  *notice.Watch  // nil while nothing is watched
}

// Open takes hold, and changes nothing.
func Open() (Hold, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return Hold{}, fmt.Errorf("open rtnetlink: %w", err)
	}
	c, err := nft.Open()
	if err != nil {
		h.Close()
		return Hold{}, err
	}
	return Hold{Routes: h, NFT: c}, nil
}

// Heed has tell called after others changed something of groups of rtnetlink, of
// links and addresses, or of nftables; or ends that.
func (h *Hold) Heed(on bool, tell func(), groups ...uint32) error {
	if on == (h.watch != nil) {
		return nil
	}
	if !on {
		w := h.watch
		h.watch = nil
		go w.Close() // tell may be waiting for the caller
		return nil
	}
	all := []notice.Group{{Protocol: unix.NETLINK_ROUTE, Groups: append([]uint32{
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	}, groups...)}}
	if h.NFT != nil {
		all = append(all, notice.Group{Protocol: unix.NETLINK_NETFILTER, Groups: []uint32{unix.NFNLGRP_NFTABLES}})
	}
	w, err := notice.New(all, tell)
	if err != nil {
		return fmt.Errorf("watch for other programs' changes: %w", err)
	}
	h.watch = w
	return nil
}

// Close ends the watch and lets go. The caller's lock must not be held, and Heed
// not be called any more.
func (h *Hold) Close() error {
	if h.watch != nil {
		h.watch.Close()
	}
	h.Routes.Close()
	if h.NFT == nil {
		return nil
	}
	return h.NFT.CloseLasting()
}
