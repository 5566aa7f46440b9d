package osconf

import (
	"net/netip"
	"slices"
	"strings"
)

// finding is what rules the resolver, and how that was found out.
type finding struct {
	mode    Mode
	owner   string // ModeUnsupported: who
	why     string
	program string // ModeResolvconf, ModeOpenresolv: its path
	split   bool   // ModeNetworkManager: it can send our names alone to us
}

// equal says whether the same Manager serves both.
func (f finding) equal(g finding) bool {
	return f.mode == g.mode && f.owner == g.owner && f.program == g.program && f.split == g.split
}

// file is what stands at /etc/resolv.conf.
type file struct {
	mount bool     // a mount of its own
	hops  []string // the links that it leads through
	there bool     // the last one leads to a file
	data  []byte
}

// nmFacts are what NetworkManager says of itself.
type nmFacts struct {
	version   string
	mode      string // of its DnsManager: default, systemd-resolved, dnsmasq, none
	rcManager string
}

// env is what detection asks of the host. What it does not need to decide it
// does not ask.
type env struct {
	file       file
	exists     func(paths []string) bool
	nss        func() []string                 // the services for hosts, in order
	resolved   func() error                    // pings it, which wakes it
	nm         func() (nmFacts, error)         // fails where it does not run
	resolvconf func() (mode Mode, path string) // "" where there is none
}

// decide finds what rules the resolver: a link or a file's comment says whom
// to ask, and what answers decides.
func decide(e env) finding {
	if e.file.mount { // a namespace's or a container's own: no manager reaches it
		return finding{mode: ModePlain, why: "/etc/resolv.conf is a mount of its own"}
	}
	if e.file.there && isOurs(e.file.data) {
		return finding{mode: ModePlain, why: "nothing else manages /etc/resolv.conf"}
	}
	o, how := e.owner()
	switch {
	case o == nil && len(e.file.hops) == 0 && !e.file.there && slices.Contains(e.nss(), "resolve") && e.resolved() == nil:
		return e.overResolved("nsswitch.conf asks it, and there is no /etc/resolv.conf")
	case o == nil:
		return finding{mode: ModePlain, why: "nothing else manages /etc/resolv.conf"}
	}
	switch o.name {
	case ownerResolved:
		return e.decideResolved(o, how)
	case ownerNM:
		return e.decideNM(o, how)
	case ownerResolvconf:
		return e.decideResolvconf(how)
	}
	if e.exists(o.alive) || e.exists(o.programs) && !e.file.there {
		return finding{mode: ModeUnsupported, owner: o.name, why: how}
	}
	return gone(o, how)
}

// gone is for a setup whose program is not there any more.
func gone(o *owner, how string) finding {
	return finding{mode: ModePlain, why: how + ", but " + o.name + " does not run"}
}

func (e env) decideResolved(o *owner, how string) finding {
	if e.file.there && !namesLoopback(e.file.data, loopbackResolved...) {
		// Its list of the links' servers, for those who pass it by: nobody asks it.
		return finding{mode: ModePlain, why: how + ", which names no resolver on this host"}
	}
	err := e.resolved()
	switch {
	case err == nil:
		return e.overResolved(how + ", and it answers")
	case e.exists(o.alive), !e.file.there && e.exists(o.programs):
		return finding{mode: ModeUnsupported, owner: o.name, why: how + ", but it cannot be asked: " + err.Error()}
	}
	return gone(o, how)
}

// overResolved takes NetworkManager where that would take our link's settings
// away again: 1.26.0 to 1.26.5 write those of every link.
func (e env) overResolved(why string) finding {
	if nm, err := e.nm(); err == nil && nm.mode == "systemd-resolved" && between(nm.version, "1.26.0", "1.26.5") {
		return finding{mode: ModeNetworkManager, split: true, why: why + "; NetworkManager " + nm.version + " sets all its links"}
	}
	return finding{mode: ModeResolved, why: why}
}

func (e env) decideNM(o *owner, how string) finding {
	nm, err := e.nm()
	switch {
	case err == nil && nm.rcManager == "unmanaged":
		return finding{mode: ModePlain, why: how + ", but it is told to leave the file alone"}
	case err == nil:
		f := finding{mode: ModeNetworkManager, split: nm.mode == "dnsmasq" || nm.mode == ownerResolved, why: how + ", and it runs"}
		if nm.mode != "" && nm.mode != "default" {
			f.why += " with " + nm.mode
		}
		return f
	case e.exists(o.alive), !e.file.there && e.exists(o.programs):
		return finding{mode: ModeUnsupported, owner: o.name, why: how + ", but it cannot be asked: " + err.Error()}
	}
	return gone(o, how)
}

func (e env) decideResolvconf(how string) finding {
	mode, path := e.resolvconf()
	switch {
	case mode == "":
		return finding{mode: ModePlain, why: how + ", but there is no resolvconf command"}
	case e.file.there && namesLoopback(e.file.data):
		// A resolver on this host takes its servers from resolvconf: told of us
		// it would ask us, and we it.
		return finding{mode: ModePlain, why: how + ", for a resolver on this host, which stays behind ours"}
	}
	return finding{mode: mode, program: path, why: how + ", and " + path + " is there"}
}

// owner is whose file it is: by a link, by what its comment says, or by the
// address that it names. How says which.
func (e env) owner() (*owner, string) {
	for _, hop := range e.file.hops {
		for i, o := range owners {
			for _, dir := range o.dirs {
				if hop == dir || strings.HasPrefix(hop, dir+"/") {
					return &owners[i], "/etc/resolv.conf links to " + hop
				}
			}
		}
	}
	if !e.file.there {
		return nil, ""
	}
	if by := writer(e.file.data); by != "" {
		for i, o := range owners {
			if o.name == by {
				return &owners[i], by + " wrote /etc/resolv.conf"
			}
		}
	}
	for i, o := range owners {
		for _, a := range o.loopback {
			if namesLoopback(e.file.data, a) {
				return &owners[i], "/etc/resolv.conf names " + a.String()
			}
		}
	}
	return nil, ""
}

// namesLoopback reports whether data's nameservers, one at least, are all among
// addrs, or on loopback if none are given.
func namesLoopback(data []byte, addrs ...netip.Addr) bool {
	servers := parseResolvConf(data).nameservers
	return len(servers) > 0 && !slices.ContainsFunc(servers, func(a netip.Addr) bool {
		return len(addrs) > 0 && !slices.Contains(addrs, a) || !a.IsLoopback()
	})
}

// between compares dotted versions, both ends included.
func between(v, low, high string) bool {
	return compareVersions(v, low) >= 0 && compareVersions(v, high) <= 0
}

func compareVersions(a, b string) int {
	return slices.Compare(numbers(a), numbers(b))
}

// numbers are those that a version begins with.
func numbers(v string) []int {
	var out []int
	for part := range strings.SplitSeq(v, ".") {
		n, digits := 0, 0
		for digits < len(part) && digits < 6 && part[digits] >= '0' && part[digits] <= '9' {
			n = n*10 + int(part[digits]-'0')
			digits++
		}
		if digits == 0 {
			break
		}
		out = append(out, n)
		if digits < len(part) {
			break
		}
	}
	return out
}
