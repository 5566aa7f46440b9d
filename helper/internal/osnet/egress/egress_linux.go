package egress

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kith.internal/helper/internal/osnet/internal/kernel"
	"kith.internal/helper/internal/osnet/internal/nft"
	"kith.internal/helper/internal/osnet/internal/notice"
	"kith.internal/helper/internal/osnet/internal/rtnl"
	"kith.internal/helper/internal/osnet/sysctl"
)

// vmark has the kernel look at marks where it judges sources.
const vmark = "net/ipv4/conf/all/src_valid_mark"

// linux is the Egress of the network namespace that it was opened in.
type linux struct {
	j       sysctl.Journal
	changes chan struct{}

	mu      sync.Mutex // guards what follows, and the order of changes to the host
	hold    kernel.Hold
	config  Config
	table   nft.Table // that stands, if guarded
	guarded bool
	problem error
	fight   notice.Limit
	again   *time.Timer
	closed  bool
}

// New takes hold of this machine's routing, and leaves it as it is.
func New(j sysctl.Journal) (Egress, error) {
	h, err := kernel.Open()
	if err != nil {
		return nil, err
	}
	return &linux{j: j, hold: h, changes: make(chan struct{}, 1), fight: notice.Limit{Most: 10, Within: time.Minute}}, nil
}

// Cleanup undoes what an earlier process left, the block included.
func Cleanup(j sysctl.Journal) error {
	e, err := New(j)
	if err != nil {
		return err
	}
	return errors.Join(e.Set(Config{}), e.Close())
}

func (e *linux) Set(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errors.New("set on a closed egress")
	}
	e.config = c
	// Before anything is set, so that nothing is missed.
	werr := e.heed(!c.idle())
	_, err := e.apply()
	e.problem = err
	return errors.Join(werr, err)
}

// apply brings the host in line with the configuration: what blocks comes first
// and goes last.
func (e *linux) apply() (changed int, err error) {
	a, lookErr := look(e.hold.Routes)
	want, on := e.config.guard(a)
	var guardErr error
	if on {
		var n int
		if n, guardErr = e.setGuard(want); n > 0 && guardErr == nil {
			guardErr = dropWaiting(e.hold.Routes)
		}
		changed += n
	}
	var markErr error
	if e.config.Exit {
		markErr = setVmark(e.j)
	}
	n, routeErr := setRoutes(e.hold.Routes, e.config.routes(a))
	changed += n
	n, ruleErr := setRules(e.hold.Routes, e.config.rules())
	changed += n
	if !e.config.Exit {
		markErr = sysctl.Restore(e.j, func(key string) bool { return key == vmark })
	}
	if !on {
		guardErr = nft.Remove(e.hold.NFT, guardTable)
		if nft.Lacking(guardErr) {
			guardErr = nil // there can be none
		}
		e.guarded = false
	} else if guardErr != nil {
		guardErr = fmt.Errorf("%w: %w", ErrNoGuard, guardErr)
	}
	return changed, errors.Join(guardErr, routeErr, ruleErr, markErr, lookErr)
}

// setGuard replaces the table where it is another, or not whole.
func (e *linux) setGuard(want nft.Table) (changed int, err error) {
	if e.guarded && e.table.String() == want.String() {
		whole, err := nft.Stands(e.hold.NFT, want)
		if err == nil && whole {
			return 0, nil
		}
	}
	if err := nft.Replace(e.hold.NFT, want); err != nil {
		e.guarded = false
		return 1, err
	}
	e.table, e.guarded = want, true
	return 1, nil
}

// dropWaiting drops what passed the guard's hook before the guard was there, and
// waits for a neighbour to be found: as on an uplink that is just plugged in, it
// would leave once that is.
func dropWaiting(h *netlink.Handle) error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		all, err := rtnl.Whole(func() ([]netlink.Neigh, error) { return h.NeighList(0, family) })
		if err != nil {
			return fmt.Errorf("read neighbours: %w", err)
		}
		for _, n := range all {
			if n.State != netlink.NUD_INCOMPLETE {
				continue
			}
			if err := h.NeighDel(&n); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("drop what waits for %s: %w", n.IP, err)
			}
		}
	}
	return nil
}

// setVmark is needed where sources are judged at all; in a container that
// cannot set it, that matters only there.
func setVmark(j sysctl.Journal) error {
	err := sysctl.Set(j, vmark, "1")
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, sysctl.ErrReadOnly) && !judged():
		return nil
	}
	return fmt.Errorf("have rp_filter look at marks: %w", err)
}

// judged tells whether any interface has rp_filter on.
func judged() bool {
	for _, key := range sysctl.Keys("net/ipv4/conf/*/rp_filter") {
		if v, err := sysctl.Get(key); err == nil && strings.TrimSpace(v) != "0" {
			return true
		}
	}
	return false
}

// heed starts or ends the watch over what is set.
func (e *linux) heed(on bool) error {
	return e.hold.Heed(on, e.noticed, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE)
}

// noticed looks whether all still stands.
func (e *linux) noticed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.config.idle() {
		return
	}
	a, err := look(e.hold.Routes)
	if err != nil {
		return
	}
	// A network inside this machine came or went: no fight.
	if want, on := e.config.guard(a); on && e.guarded && want.String() != e.table.String() {
		_, e.problem = e.apply()
		return
	}
	if !e.fight.Room() {
		if e.again == nil {
			e.again = time.AfterFunc(e.fight.Within/6, func() {
				e.mu.Lock()
				e.again = nil
				e.mu.Unlock()
				e.noticed()
			})
		}
		return
	}
	changed, err := e.apply()
	if changed == 0 && (err == nil) == (e.problem == nil) {
		return
	}
	e.problem = err
	if changed > 0 && !e.fight.Take() {
		e.problem = errors.Join(ErrFight, err)
	}
	select {
	case e.changes <- struct{}{}:
	default:
	}
}

func (e *linux) Changes() <-chan struct{} { return e.changes }

func (e *linux) Problem() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.problem
}

func (e *linux) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	if e.again != nil {
		e.again.Stop()
	}
	e.mu.Unlock()
	return e.hold.Close()
}
