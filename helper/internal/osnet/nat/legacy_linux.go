package nat

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// iptables-legacy keeps its rules where nftables does not see them, and takes
// them as a whole table alone: they are read, never changed.

// legacy is what differs between linux/netfilter_ipv4/ip_tables.h and its IPv6
// twin.
type legacy struct {
	family, level int
	names         string // lists the tables that are in use
	target        int    // where an entry has its target's offset
	tool          string
}

var legacies = []legacy{
	{unix.AF_INET, unix.SOL_IP, "/proc/thread-self/net/ip_tables_names", 88, "iptables-legacy"},
	{unix.AF_INET6, unix.SOL_IPV6, "/proc/thread-self/net/ip6_tables_names", 140, "ip6tables-legacy"},
}

// legacyDrops tells whether a policy there drops forwarded packets.
func legacyDrops() (who string, drops bool) {
	for _, l := range legacies {
		b, err := os.ReadFile(l.names)
		if err != nil || !slices.Contains(strings.Fields(string(b)), "filter") {
			continue
		}
		if l.drops() {
			return l.tool + ", table filter, policy of chain FORWARD", true
		}
	}
	return "", false
}

const (
	getInfo    = 64 // IPT_SO_GET_INFO
	getEntries = 65
	forward    = 2  // NF_INET_FORWARD
	infoSize   = 84 // struct ipt_getinfo
	headSize   = 40 // struct ipt_get_entries
	maxTable   = 64 << 20
)

func (l legacy) drops() bool {
	fd, err := unix.Socket(l.family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	info := make([]byte, infoSize)
	copy(info, "filter")
	if !getsockopt(fd, l.level, getInfo, info) {
		return false
	}
	underflow := binary.NativeEndian.Uint32(info[32+4+20+4*forward:])
	size := binary.NativeEndian.Uint32(info[infoSize-4:])
	if size > maxTable {
		return false
	}
	table := make([]byte, headSize+int(size))
	copy(table, "filter")
	binary.NativeEndian.PutUint32(table[32:], size)
	if !getsockopt(fd, l.level, getEntries, table) {
		return false
	}
	return policyDrops(table[headSize:], int(underflow), l.target)
}

// policyDrops reads the entry at which a chain ends: a standard target (struct
// xt_standard_target), whose verdict is -1 less what netfilter calls it.
func policyDrops(entries []byte, at, target int) bool {
	if at < 0 || at+target+2 > len(entries) {
		return false
	}
	t := at + int(binary.NativeEndian.Uint16(entries[at+target:]))
	if t+36 > len(entries) {
		return false
	}
	name, _, _ := bytes.Cut(entries[t+2:t+31], []byte{0})
	return len(name) == 0 && int32(binary.NativeEndian.Uint32(entries[t+32:])) == -1
}

func getsockopt(fd, level, option int, b []byte) bool {
	n := uint32(len(b))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&n)), 0)
	return errno == 0
}
