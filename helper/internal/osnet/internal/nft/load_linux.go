package nft

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

var hooks = map[Hook]*nftables.ChainHook{
	Prerouting: nftables.ChainHookPrerouting, Output: nftables.ChainHookOutput,
	Forward: nftables.ChainHookForward, Postrouting: nftables.ChainHookPostrouting,
}

// Open opens nftables in the network namespace of the calling thread. Where the
// kernel has none it gives nil, with which all functions here fail as it does.
func Open() (*nftables.Conn, error) {
	c, err := nftables.New(nftables.AsLasting())
	if Lacking(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	return c, nil
}

var errNone error = unix.EPROTONOSUPPORT

// Replace puts t in the place of a table of its name, in one transaction: no
// packet sees neither.
func Replace(c *nftables.Conn, t Table) error {
	if c == nil {
		return errNone
	}
	head := &nftables.Table{Family: nftables.TableFamilyINet, Name: t.Name}
	c.AddTable(head) // so that there is one to delete
	c.DelTable(head)
	c.AddTable(head)
	for _, ch := range t.Chains {
		kind, policy := nftables.ChainTypeFilter, nftables.ChainPolicyAccept
		if ch.NAT {
			kind = nftables.ChainTypeNAT
		}
		if ch.Drop {
			policy = nftables.ChainPolicyDrop
		}
		base := c.AddChain(&nftables.Chain{
			Name: ch.Name, Table: head, Type: kind, Hooknum: hooks[ch.Hook],
			Priority: nftables.ChainPriorityRef(nftables.ChainPriority(ch.Priority)), Policy: &policy,
		})
		for _, r := range ch.Rules {
			c.AddRule(&nftables.Rule{Table: head, Chain: base, Exprs: r.exprs()})
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("load table inet %s: %w", t.Name, err)
	}
	return nil
}

func (r Rule) exprs() (out []expr.Any) {
	for _, p := range r {
		out = append(out, p.exprs...)
	}
	return out
}

// Remove removes a table of family inet. That there is none is success.
func Remove(c *nftables.Conn, name string) error {
	if c == nil {
		return errNone
	}
	c.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: name})
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove table inet %s: %w", name, err)
	}
	return nil
}

// Stands tells whether a table has all chains and rules that t has.
func Stands(c *nftables.Conn, t Table) (bool, error) {
	if c == nil {
		return false, errNone
	}
	head := &nftables.Table{Family: nftables.TableFamilyINet, Name: t.Name}
	for _, ch := range t.Chains {
		rules, err := c.GetRules(head, &nftables.Chain{Name: ch.Name, Table: head})
		if errors.Is(err, unix.ENOENT) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read table inet %s: %w", t.Name, err)
		}
		if len(rules) != len(ch.Rules) {
			return false, nil
		}
	}
	// A chain without rules looks as one that is gone.
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, fmt.Errorf("list chains: %w", err)
	}
	n := 0
	for _, ch := range chains {
		if ch.Table.Name == t.Name {
			n++
		}
	}
	return n == len(t.Chains), nil
}

// Lacking reads what the kernel says where there is no nftables, or no right
// to use it.
func Lacking(err error) bool {
	for _, e := range []error{unix.EOPNOTSUPP, unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.EPERM, unix.EACCES} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
