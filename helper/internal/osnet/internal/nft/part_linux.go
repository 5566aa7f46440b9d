package nft

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Part is one match or statement of a rule.
type Part struct {
	Text  string
	exprs []expr.Any
}

func load(k expr.MetaKey) expr.Any { return &expr.Meta{Key: k, Register: 1} }

func is(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }

// name16 is an interface's name as the kernel compares it.
func name16(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

func native32(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

// Iif matches the interface that a packet came in by.
func Iif(name string) Part {
	return Part{fmt.Sprintf("iifname %q", name), []expr.Any{load(expr.MetaKeyIIFNAME), is(name16(name))}}
}

// Oif matches the interface that a packet leaves by.
func Oif(name string) Part {
	return Part{fmt.Sprintf("oifname %q", name), []expr.Any{load(expr.MetaKeyOIFNAME), is(name16(name))}}
}

// NotOif is for any other one.
func NotOif(name string) Part {
	return Part{fmt.Sprintf("oifname != %q", name), []expr.Any{
		load(expr.MetaKeyOIFNAME), &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: name16(name)},
	}}
}

// Mark matches the bits of mask in a packet's mark.
func Mark(value, mask uint32) Part {
	return Part{fmt.Sprintf("meta mark & 0x%08x == 0x%08x", mask, value), []expr.Any{
		load(expr.MetaKeyMARK),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native32(mask), Xor: native32(0)},
		is(native32(value)),
	}}
}

// SetMark changes the bits of mask in a packet's mark.
func SetMark(value, mask uint32) Part {
	return Part{fmt.Sprintf("meta mark set meta mark & 0x%08x | 0x%08x", ^mask, value), []expr.Any{
		load(expr.MetaKeyMARK),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native32(^mask), Xor: native32(value)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
	}}
}

// ToLocal matches what is for an address of this host.
func ToLocal() Part {
	return Part{"fib daddr type local", []expr.Any{
		&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true}, is(native32(unix.RTN_LOCAL)),
	}}
}

// Family matches IPv6, or else IPv4.
func Family(six bool) Part {
	if six {
		return Part{"meta nfproto ipv6", []expr.Any{load(expr.MetaKeyNFPROTO), is([]byte{unix.NFPROTO_IPV6})}}
	}
	return Part{"meta nfproto ipv4", []expr.Any{load(expr.MetaKeyNFPROTO), is([]byte{unix.NFPROTO_IPV4})}}
}

// Saddr and Daddr match a packet's source and destination.
func Saddr(p netip.Prefix) Part { return addr("saddr", p, 12, 8) }
func Daddr(p netip.Prefix) Part { return addr("daddr", p, 16, 24) }

func addr(word string, p netip.Prefix, off4, off6 uint32) Part {
	p = p.Masked()
	a := p.Addr()
	ip, off := "ip", off4
	if a.Is6() {
		ip, off = "ip6", off6
	}
	text := fmt.Sprintf("%s %s %s", ip, word, p)
	if p.IsSingleIP() {
		text = fmt.Sprintf("%s %s %s", ip, word, a)
	}
	n := uint32(a.BitLen() / 8)
	exprs := append(Family(a.Is6()).exprs, &expr.Payload{
		OperationType: expr.PayloadLoad, DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: off, Len: n,
	})
	if !p.IsSingleIP() {
		exprs = append(exprs, &expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: n, Mask: net.CIDRMask(p.Bits(), a.BitLen()), Xor: make([]byte, n),
		})
	}
	return Part{text, append(exprs, is(a.AsSlice()))}
}

// UDP and TCP match the transport.
func UDP() Part  { return l4("udp", unix.IPPROTO_UDP) }
func TCP() Part  { return l4("tcp", unix.IPPROTO_TCP) }
func IGMP() Part { return l4("igmp", unix.IPPROTO_IGMP) }

func l4(name string, n byte) Part {
	return Part{"meta l4proto " + name, []expr.Any{load(expr.MetaKeyL4PROTO), is([]byte{n})}}
}

// Sport and Dport match ports, after UDP or TCP.
func Sport(port uint16) Part { return port16("sport", port, 0) }
func Dport(port uint16) Part { return port16("dport", port, 2) }

func port16(word string, port uint16, off uint32) Part {
	return Part{fmt.Sprintf("th %s %d", word, port), []expr.Any{
		&expr.Payload{OperationType: expr.PayloadLoad, DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: off, Len: 2},
		is(binary.BigEndian.AppendUint16(nil, port)),
	}}
}

// ICMP6 matches ICMPv6 messages of types from first to last.
func ICMP6(first, last byte) Part {
	exprs := append(Family(true).exprs, l4("", unix.IPPROTO_ICMPV6).exprs...)
	return Part{fmt.Sprintf("icmpv6 type %d-%d", first, last), append(exprs,
		&expr.Payload{OperationType: expr.PayloadLoad, DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: []byte{first}},
		&expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: []byte{last}},
	)}
}

// TTL and HopLimit match how far a packet may go.
func TTL(n byte) Part {
	return Part{fmt.Sprintf("ip ttl %d", n), append(Family(false).exprs,
		&expr.Payload{OperationType: expr.PayloadLoad, DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 8, Len: 1}, is([]byte{n}))}
}

func HopLimit(n byte) Part {
	return Part{fmt.Sprintf("ip6 hoplimit %d", n), append(Family(true).exprs,
		&expr.Payload{OperationType: expr.PayloadLoad, DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 7, Len: 1}, is([]byte{n}))}
}

// Established matches answers, and errors about what is known.
func Established() Part {
	return Part{"ct state established,related", []expr.Any{
		&expr.Ct{Register: 1, Key: expr.CtKeySTATE},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED), Xor: native32(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native32(0)},
	}}
}

// ClampMSS has TCP connections fit the path.
func ClampMSS() Part {
	const tcpOptMSS, rtTCPMSS = 2, 3
	return Part{"tcp flags syn / syn,rst tcp option maxseg size set rt mtu", []expr.Any{
		load(expr.MetaKeyL4PROTO), is([]byte{unix.IPPROTO_TCP}),
		&expr.Payload{OperationType: expr.PayloadLoad, DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{0x06}, Xor: []byte{0}},
		is([]byte{0x02}),
		&expr.Rt{Register: 1, Key: rtTCPMSS},
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 2, Size: 2},
		&expr.Exthdr{SourceRegister: 1, Type: tcpOptMSS, Offset: 2, Len: 2, Op: expr.ExthdrOpTcpopt},
	}}
}

// Accept, Drop and Return end a rule.
func Accept() Part { return verdict("accept", expr.VerdictAccept) }
func Drop() Part   { return verdict("drop", expr.VerdictDrop) }
func Return() Part { return verdict("return", expr.VerdictReturn) }

func verdict(text string, k expr.VerdictKind) Part {
	return Part{text, []expr.Any{&expr.Verdict{Kind: k}}}
}

// Masquerade gives what leaves the address of the interface that it leaves by.
func Masquerade() Part { return Part{"masquerade", []expr.Any{&expr.Masq{}}} }

// Redirected matches what had its destination changed (IPS_DST_NAT).
func Redirected() Part {
	const dstNAT = 1 << 5
	return Part{"ct status dnat", []expr.Any{
		&expr.Ct{Register: 1, Key: expr.CtKeySTATUS},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native32(dstNAT), Xor: native32(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native32(0)},
	}}
}
