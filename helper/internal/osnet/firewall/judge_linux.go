package firewall

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// table is what is judged of an nftables table.
type table struct {
	name   string // with its family, as nft prints it: "ip filter"
	chains map[string]*chain
	sets   map[string][]interval // nil: cannot be judged
}

type chain struct {
	name  string
	hook  *nftables.ChainHook // nil: reached by jumps alone
	rules [][]expr.Any
}

// traffic is a kind of packets: unknown fields may be anything.
type traffic struct {
	hook                     nftables.ChainHook
	iif, oif, iifname, oname value
	saddr, daddr             value
}

// kinds is what a network's IPv4 packets look like where they pass a host.
func kinds(prefix netip.Prefix, ifname string, index int) []traffic {
	name, own := known(name16(ifname)), addresses(prefix)
	var i value
	if index != 0 {
		i = known(native32(index))
		i.exact = true
	}
	in := traffic{iif: i, iifname: name, saddr: own, daddr: own}
	out := traffic{oif: i, oname: name, saddr: own, daddr: own}
	at := func(t traffic, hook *nftables.ChainHook) traffic {
		t.hook = *hook
		return t
	}
	list := []traffic{
		at(in, nftables.ChainHookPrerouting), at(in, nftables.ChainHookInput),
		at(out, nftables.ChainHookOutput), at(out, nftables.ChainHookPostrouting),
	}
	in.daddr, out.saddr = value{}, value{}
	return append(list, at(in, nftables.ChainHookForward), at(out, nftables.ChainHookForward))
}

// judge finds the first rule that drops all packets of a kind because of their
// addresses. What is not understood never counts: neither the rules that drop
// nor those that accept.
func judge(tables []*table, packets []traffic) (string, bool) {
	for _, t := range tables {
		for _, name := range slices.Sorted(maps.Keys(t.chains)) {
			c := t.chains[name]
			for _, p := range packets {
				if c.hook == nil || *c.hook != p.hook {
					continue
				}
				w := walk{table: t, packet: p}
				if w.chain(c, false, 0) == dropped {
					return w.rule, true
				}
			}
		}
	}
	return "", false
}

// fate is what becomes of packets in a chain.
type fate int

const (
	goesOn fate = iota
	accepted
	dropped
	leaves // the chain, by return
)

// maxDepth is the kernel's bound for jumps (NFT_JUMP_STACK_SIZE).
const maxDepth = 16

type walk struct {
	table  *table
	packet traffic
	rule   string // that dropped
}

// chain follows packets through a chain. ranged says that a rule that jumped
// here did so because of their addresses.
func (w *walk) chain(c *chain, ranged bool, depth int) fate {
	for _, exprs := range c.rules {
		r := rule{walk: w, regs: make(map[uint32]value), holds: always, ranged: ranged}
		verdict := r.run(exprs)
		if r.holds != always || verdict == nil {
			continue
		}
		switch verdict.Kind {
		case expr.VerdictDrop:
			if !r.ranged {
				// It drops whatever the range is: that is a firewall's policy.
				return accepted
			}
			w.rule = fmt.Sprintf("%s %s:%s drop", w.table.name, c.name, r.text.String())
			return dropped
		case expr.VerdictReturn:
			return leaves
		case expr.VerdictJump, expr.VerdictGoto:
			next, ok := w.table.chains[verdict.Chain]
			if !ok || depth >= maxDepth {
				continue
			}
			f := w.chain(next, r.ranged, depth+1)
			if f == accepted || f == dropped {
				return f
			}
			if verdict.Kind == expr.VerdictGoto {
				return leaves
			}
		case expr.VerdictContinue, expr.VerdictBreak:
		default: // accept, stop, stolen, queue: no rule here drops it any more
			return accepted
		}
	}
	return goesOn
}

// load is what a packet's metadata is.
func (t traffic) load(key expr.MetaKey) (value, string) {
	switch key {
	case expr.MetaKeyIIFNAME:
		return t.iifname, "iifname"
	case expr.MetaKeyOIFNAME:
		return t.oname, "oifname"
	case expr.MetaKeyIIF:
		return t.iif, "iif"
	case expr.MetaKeyOIF:
		return t.oif, "oif"
	case expr.MetaKeyNFPROTO:
		return known([]byte{unix.NFPROTO_IPV4}), ""
	case expr.MetaKeyPROTOCOL:
		return known([]byte{unix.ETH_P_IP >> 8, unix.ETH_P_IP & 0xff}), ""
	}
	return value{}, ""
}

// Where an IPv4 header has its addresses (RFC 791 §3.1).
const (
	saddrOffset = 12
	daddrOffset = 16
)

func (t traffic) header(p *expr.Payload) (value, string) {
	switch {
	case p.Base != expr.PayloadBaseNetworkHeader:
	case p.Offset == saddrOffset:
		return t.saddr.part(int(p.Len)), "ip saddr"
	case p.Offset == daddrOffset:
		return t.daddr.part(int(p.Len)), "ip daddr"
	}
	return value{}, ""
}
