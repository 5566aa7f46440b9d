package nat

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// An accept of ours does not overrule a drop in another table's chain: who drops
// whatever it does not know (ufw, firewalld, Docker, a policy of iptables) drops
// what we pass on. So that such a chain leaves our interface to our own table,
// two accepts go before its first rule. Who uses an exit node asks it for names:
// in chains that drop what comes in two accepts let these questions in. All carry
// a comment by which they are found again, and go with the offer.

// comment is the user data of our rules in others' chains.
var comment = userdata.AppendString(nil, userdata.TypeComment, "kith")

// families are those whose chains see what we pass on.
var families = map[nftables.TableFamily]string{
	nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet",
}

// foreign is a base chain of another program's.
type foreign struct {
	*nftables.Chain
	name string // for people
	ours []*nftables.Rule
	in   bool // of what comes in, not of what is forwarded
	mute bool // it drops what it does not know
}

// readForeign lists the filters that packets pass that are forwarded or come in.
func readForeign(c *nftables.Conn) (out []foreign, err error) {
	if c == nil {
		return nil, unix.EPROTONOSUPPORT
	}
	for family, word := range families {
		chains, err := c.ListChainsOfTableFamily(family)
		if err != nil {
			return nil, fmt.Errorf("list chains: %w", err)
		}
		for _, ch := range chains {
			ch.Table.Family = family
			if ch.Hooknum == nil || *ch.Hooknum != *nftables.ChainHookForward && *ch.Hooknum != *nftables.ChainHookInput || ch.Type != nftables.ChainTypeFilter ||
				family == nftables.TableFamilyINet && (ch.Table.Name == natTable || ch.Table.Name == "kith_guard") {
				continue
			}
			f := foreign{Chain: ch, name: fmt.Sprintf("%s %s, chain %s", word, ch.Table.Name, ch.Name), in: *ch.Hooknum == *nftables.ChainHookInput}
			rules, err := c.GetRules(ch.Table, ch)
			if errors.Is(err, unix.ENOENT) {
				continue // removed meanwhile
			}
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", f.name, err)
			}
			for _, r := range rules {
				if bytes.Equal(r.UserData, comment) {
					f.ours = append(f.ours, r)
				}
			}
			f.mute = ch.Policy != nil && *ch.Policy == nftables.ChainPolicyDrop || dropsAll(c, ch, map[string]bool{})
			out = append(out, f)
		}
	}
	return out, nil
}

// dropsAll tells whether a chain, or one that it leads to, has a rule that drops
// without a look: what others put behind all that they know.
func dropsAll(c *nftables.Conn, ch *nftables.Chain, seen map[string]bool) bool {
	if seen[ch.Name] || len(seen) > 1000 {
		return false
	}
	seen[ch.Name] = true
	rules, err := c.GetRules(ch.Table, ch)
	if err != nil {
		return false
	}
	for _, r := range rules {
		plain := true
		for _, e := range r.Exprs {
			switch e := e.(type) {
			case *expr.Counter, *expr.Log, *expr.Immediate:
			case *expr.Match:
				plain = plain && e.Name == "comment"
			case *expr.Reject:
				if plain {
					return true
				}
			case *expr.Target:
				if plain && (e.Name == "REJECT" || e.Name == "DROP") {
					return true
				}
			case *expr.Verdict:
				if plain && e.Kind == expr.VerdictDrop {
					return true
				}
				if (e.Kind == expr.VerdictJump || e.Kind == expr.VerdictGoto) && dropsAll(c, &nftables.Chain{Name: e.Chain, Table: ch.Table}, seen) {
					return true
				}
			default:
				plain = false
			}
		}
	}
	return false
}

// setForeign puts our accepts into the chains that need them, for the interfaces
// that packets are passed on for and for those whose names are asked for, takes
// them from all others, and names those that it may not change.
func setForeign(c *nftables.Conn, passing, asked []string) (changed int, stuck []string, err error) {
	chains, err := readForeign(c)
	if err != nil {
		return 0, nil, err
	}
	var errs []error
	for _, f := range chains {
		tuns := passing
		if f.in {
			tuns = asked
		}
		want := f.mute && len(tuns) > 0
		if want && len(f.ours) == 2*len(tuns) && covers(f.ours, tuns) || !want && len(f.ours) == 0 {
			continue
		}
		changed++
		for _, r := range f.ours {
			r.Table.Family = f.Table.Family
			errs = append(errs, c.DelRule(r))
		}
		if want {
			for _, t := range tuns {
				for _, match := range f.accepts(t) {
					c.InsertRule(&nftables.Rule{Table: f.Table, Chain: f.Chain, UserData: comment,
						Exprs: append(match, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept})})
				}
			}
		}
		if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
			if want {
				stuck = append(stuck, fmt.Sprintf("%s: %v", f.name, err))
				continue
			}
			errs = append(errs, fmt.Errorf("take our rules from %s: %w", f.name, err))
		}
	}
	return changed, stuck, errors.Join(errs...)
}

// accepts is what our two rules for an interface match in a chain.
func (f *foreign) accepts(tun string) [][]expr.Any {
	by := func(key expr.MetaKey, data ...byte) []expr.Any {
		return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data}}
	}
	name := append([]byte(tun), 0)
	if !f.in {
		return [][]expr.Any{by(expr.MetaKeyOIFNAME, name...), by(expr.MetaKeyIIFNAME, name...)}
	}
	asks := func(proto byte) []expr.Any {
		return slices.Concat(by(expr.MetaKeyIIFNAME, name...), by(expr.MetaKeyL4PROTO, proto), []expr.Any{
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0, 53}},
		})
	}
	return [][]expr.Any{asks(unix.IPPROTO_TCP), asks(unix.IPPROTO_UDP)}
}

// covers tells whether rules name all the interfaces.
func covers(rules []*nftables.Rule, tuns []string) bool {
	return !slices.ContainsFunc(tuns, func(t string) bool {
		n := 0
		for _, r := range rules {
			for _, e := range r.Exprs {
				if c, ok := e.(*expr.Cmp); ok {
					if name, _, _ := bytes.Cut(c.Data, []byte{0}); string(name) == t {
						n++
					}
				}
			}
		}
		return n != 2
	})
}
