package firewall

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// rule is one rule as it is run.
type rule struct {
	*walk
	regs   map[uint32]value
	names  map[uint32]string
	holds  truth
	ranged bool // a condition on the packets' addresses holds
	text   strings.Builder
}

// run runs a rule's expressions and gives its verdict, nil for none.
func (r *rule) run(exprs []expr.Any) *expr.Verdict {
	r.names = make(map[uint32]string)
	for _, e := range exprs {
		switch e := e.(type) {
		case *expr.Verdict:
			return e
		case *expr.Reject:
			return &expr.Verdict{Kind: expr.VerdictDrop}
		case *expr.Target:
			if e.Name == "REJECT" || e.Name == "DROP" {
				return &expr.Verdict{Kind: expr.VerdictDrop}
			}
		default:
			r.step(e)
		}
		if r.holds == never {
			return nil
		}
	}
	return nil
}

func (r *rule) step(e expr.Any) {
	switch e := e.(type) {
	case *expr.Meta:
		if !e.SourceRegister {
			r.set(e.Register)(r.packet.load(e.Key))
		}
	case *expr.Payload:
		if e.OperationType == expr.PayloadLoad {
			r.set(e.DestRegister)(r.packet.header(e))
		}
	case *expr.Bitwise:
		v, name := r.regs[e.SourceRegister], r.names[e.SourceRegister]
		if ones := bitsOf(e.Mask); name != "" && ones < 8*len(v.lo) {
			name = fmt.Sprintf("%s/%d", name, ones)
		}
		r.set(e.DestRegister)(v.masked(e.Mask, e.Xor), name)
	case *expr.Immediate:
		r.set(e.Register)(known(e.Data), "")
	case *expr.Cmp:
		r.condition(e.Register, r.regs[e.Register].compare(e.Op, e.Data), operators[e.Op], e.Data)
		if e.Op == expr.CmpOpEq || e.Op == expr.CmpOpNeq {
			r.spent(e.Register)
		}
	case *expr.Range:
		v := r.regs[e.Register]
		t := v.within(e.FromData, e.ToData)
		if v.exact {
			t = maybe
		}
		if e.Op == expr.CmpOpNeq {
			t = not(t)
		}
		r.condition(e.Register, t, operators[e.Op], e.FromData, e.ToData)
		r.spent(e.Register)
	case *expr.Lookup:
		t := r.regs[e.SourceRegister].in(r.table.sets[e.SetName])
		op := "@" + e.SetName
		if e.Invert {
			t, op = not(t), "!= "+op
		}
		if e.IsDestRegSet {
			t = maybe // a map, whose verdicts cannot be read
		}
		r.condition(e.SourceRegister, t, op)
		r.spent(e.SourceRegister)
	case *expr.Counter, *expr.Log, *expr.Notrack:
	case *expr.Objref:
		if e.Type != unix.NFT_OBJECT_COUNTER {
			r.unknown()
		}
	case *expr.Match:
		if e.Name != "comment" {
			r.unknown()
		}
	default:
		r.unknown()
	}
}

// unknown is an expression that may do anything but change the verdict to drop.
func (r *rule) unknown() {
	r.holds = min(r.holds, maybe)
	clear(r.regs)
}

func (r *rule) set(register uint32) func(value, string) {
	return func(v value, name string) { r.regs[register], r.names[register] = v, name }
}

// spent forgets a register that was compared. The next comparison loads it
// afresh; if it seems not to, then by an expression that the library does not
// know and leaves out.
func (r *rule) spent(register uint32) { delete(r.regs, register) }

func (r *rule) condition(register uint32, t truth, op string, data ...[]byte) {
	v, name := r.regs[register], r.names[register]
	r.holds = min(r.holds, t)
	if t == always && v.address {
		r.ranged = true
	}
	if name == "" {
		return
	}
	name, ones, cut := strings.Cut(name, "/")
	r.text.WriteString(" " + name)
	if op != "" {
		r.text.WriteString(" " + op)
	}
	for i, d := range data {
		r.text.WriteString([]string{" ", "-"}[i] + show(v, d))
	}
	if cut {
		r.text.WriteString("/" + ones)
	} else if v.address && len(data) == 1 && len(data[0]) < 4 {
		fmt.Fprintf(&r.text, "/%d", 8*len(data[0]))
	}
}

var operators = map[expr.CmpOp]string{
	expr.CmpOpEq: "", expr.CmpOpNeq: "!=", expr.CmpOpLt: "<", expr.CmpOpLte: "<=", expr.CmpOpGt: ">", expr.CmpOpGte: ">=",
}

func show(v value, d []byte) string {
	switch {
	case v.address && len(d) <= 4:
		var a [4]byte
		copy(a[:], d)
		return netip.AddrFrom4(a).String()
	case v.exact && len(d) == 4:
		return fmt.Sprint(binary.NativeEndian.Uint32(d))
	}
	name, _, whole := bytes.Cut(d, []byte{0})
	if !whole {
		return fmt.Sprintf("%q", string(name)+"*")
	}
	return fmt.Sprintf("%q", name)
}

func bitsOf(mask []byte) int {
	n := 0
	for _, b := range mask {
		n += bits.OnesCount8(b)
	}
	return n
}

// name16 is an interface's name as the kernel compares it.
func name16(ifname string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, ifname)
	return b
}

func native32(n int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }
