package nat

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kith.internal/helper/internal/osnet/internal/kernel"
	"kith.internal/helper/internal/osnet/internal/nft"
	"kith.internal/helper/internal/osnet/internal/notice"
	"kith.internal/helper/internal/osnet/sysctl"
)

var errForward = errors.New("forwarding is off")

// linux is the NAT of the network namespace that it was opened in.
type linux struct {
	j       sysctl.Journal
	changes chan struct{}

	mu       sync.Mutex // guards what follows, and the order of changes to the host
	hold     kernel.Hold
	config   Config
	table    nft.Table // that was set last
	on       bool
	problems []Problem
	fight    notice.Limit
	again    *time.Timer
	closed   bool
}

// New takes hold of the kernel's passing on, and leaves it as it is.
func New(j sysctl.Journal) (NAT, error) {
	h, err := kernel.Open()
	if err != nil {
		return nil, err
	}
	return &linux{j: j, hold: h, changes: make(chan struct{}, 1), fight: notice.Limit{Most: 10, Within: time.Minute}}, nil
}

// Cleanup undoes what an earlier process left.
func Cleanup(j sysctl.Journal) error {
	n, err := New(j)
	if err != nil {
		return err
	}
	return errors.Join(n.Set(Config{}), n.Close())
}

func (n *linux) Set(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errors.New("set on a closed NAT")
	}
	n.config = c
	if c.idle() {
		return errors.Join(n.heed(false), n.undo())
	}
	if c.Names && (n.on || n.hold.NFT == nil) { // without nftables there are no chains to mend
		if err := n.undo(); err != nil || n.hold.NFT == nil {
			return err
		}
	}
	if n.hold.NFT == nil {
		n.config = Config{}
		return fmt.Errorf("%w: there is no nftables", ErrUnable)
	}
	if err := n.heed(true); err != nil {
		n.config = Config{}
		return fmt.Errorf("%w: %w", ErrUnable, err)
	}
	_, problems, err := n.apply()
	if err != nil {
		n.config = Config{}
		return errors.Join(err, n.heed(false), n.undo())
	}
	n.problems = problems
	return nil
}

// apply brings the host in line with the configuration: what drops comes before
// what lets pass.
func (n *linux) apply() (changed int, problems []Problem, err error) {
	if n.config.Names {
		return n.admit()
	}
	a, err := look(n.hold.Routes, n.j, n.config)
	if err != nil {
		return 0, nil, err
	}
	want := n.config.plan(a)
	if n.on && want.String() == n.table.String() {
		whole, err := nft.Stands(n.hold.NFT, want)
		if err == nil && !whole {
			changed++
		}
		n.on = err == nil && whole
	} else {
		n.on = false // the network changed: no fight
	}
	if !n.on {
		if err := nft.Replace(n.hold.NFT, want); err != nil {
			return changed, nil, fmt.Errorf("%w: nftables: %w", ErrUnable, err)
		}
		n.table, n.on = want, true
	}
	some, stuck, err := setForeign(n.hold.NFT, n.tuns(false), n.tuns(true))
	if err != nil {
		return changed, nil, fmt.Errorf("look through other programs' rules: %w", err)
	}
	changed += some
	for _, s := range stuck {
		problems = append(problems, Problem{ForeignDrop, s})
	}
	some, four, six := forwardingOn(n.j, n.config, a)
	changed += some
	if four != nil {
		return changed, nil, fmt.Errorf("%w: %w: %w", ErrUnable, errForward, four)
	}
	if six != nil {
		problems = append(problems, Problem{NoIPv6, six.Error()})
	}
	if name, drops := legacyDrops(); drops {
		problems = append(problems, Problem{ForeignDrop, name})
	}
	// Since the plan was made, ours may have become the only forwarding.
	if b, err := look(n.hold.Routes, n.j, n.config); err == nil && (b.closed4 != a.closed4 || b.closed6 != a.closed6) {
		if want := n.config.plan(b); nft.Replace(n.hold.NFT, want) == nil {
			n.table = want
		}
	}
	return changed, problems, nil
}

// admit lets questions for names in, and nothing else.
func (n *linux) admit() (changed int, problems []Problem, err error) {
	changed, stuck, err := setForeign(n.hold.NFT, nil, n.tuns(true))
	if nft.Lacking(err) {
		return 0, nil, nil
	}
	for _, s := range stuck {
		problems = append(problems, Problem{ForeignDrop, s})
	}
	return changed, problems, err
}

// tuns is the interfaces that packets are passed on for, or those of exit nodes
// alone.
func (n *linux) tuns(exits bool) (out []string) {
	for _, o := range n.config.Offers {
		if o.Exit || !exits && len(o.Routes) > 0 {
			out = append(out, o.TUN)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// undo takes it all back.
func (n *linux) undo() error {
	n.on, n.problems = false, nil
	err := sysctl.Restore(n.j, own)
	_, _, ferr := setForeign(n.hold.NFT, nil, nil)
	rerr := nft.Remove(n.hold.NFT, natTable)
	for _, e := range []*error{&ferr, &rerr} {
		if nft.Lacking(*e) {
			*e = nil // there can be none
		}
	}
	return errors.Join(err, ferr, rerr)
}

// heed starts or ends the watch over what is set.
func (n *linux) heed(on bool) error {
	return n.hold.Heed(on, n.noticed, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF)
}

// noticed looks whether all still stands, and puts it back if it may.
func (n *linux) noticed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.config.idle() {
		return
	}
	if !n.fight.Room() {
		if n.again == nil {
			n.again = time.AfterFunc(n.fight.Within/6, func() {
				n.mu.Lock()
				n.again = nil
				n.mu.Unlock()
				n.noticed()
			})
		}
		return
	}
	before := n.table.String()
	changed, problems, err := n.apply()
	if err != nil {
		kind := Removed
		if errors.Is(err, errForward) {
			kind = ForwardingOff
		}
		problems = append(problems, Problem{kind, err.Error()})
	}
	// A network that came or went is no fight.
	if changed > 0 && before == n.table.String() && !n.fight.Take() {
		problems = append(problems, Problem{Removed, "another program keeps undoing what passes packets on"})
	}
	if slices.Equal(problems, n.problems) {
		return
	}
	n.problems = problems
	select {
	case n.changes <- struct{}{}:
	default:
	}
}

func (n *linux) Changes() <-chan struct{} { return n.changes }

func (n *linux) Problems() []Problem {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.problems)
}

func (n *linux) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	if n.again != nil {
		n.again.Stop()
	}
	n.mu.Unlock()
	return n.hold.Close()
}
