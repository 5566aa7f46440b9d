package osconf

import (
	"context"
	"net/netip"
	"path/filepath"
	"strings"
)

// system is what is asked of the OS beside files; nil members are the OS's own,
// or nothing for a Config with a Root.
type system struct {
	dial func() (bus, error)
	link func(netip.Addr) (link, error)
	run  func(ctx context.Context, stdin []byte, path string, args ...string) ([]byte, error)
}

func (c Config) dialBus() (bus, error) {
	switch {
	case c.system.dial != nil:
		return c.system.dial()
	case c.Root != "":
		return nil, errNoBus
	}
	return dialBus()
}

func (c Config) linkOf(a netip.Addr) (link, error) {
	if c.system.link != nil {
		return c.system.link(a)
	}
	return linkOf(a)
}

// look reads what detection needs; b is nil where there is no bus.
func (c Config) look(b bus) env {
	e := env{file: c.lookFile(), exists: c.anyExists}
	e.nss = func() []string {
		data, err := readFile(c.inRoot("etc/nsswitch.conf"))
		if err != nil {
			return nil
		}
		return hostServices(data)
	}
	e.resolved = func() error {
		if b == nil {
			return errNoBus
		}
		return pingResolved(b)
	}
	e.nm = func() (nmFacts, error) {
		if b == nil {
			return nmFacts{}, errNoBus
		}
		return askNM(b)
	}
	e.resolvconf = c.findResolvconf
	return e
}

func (c Config) lookFile() file {
	path := c.inRoot(resolvPath)
	f := file{mount: mountRoot(path)}
	hops, final, err := follow(c, path)
	f.hops = hops
	if err == nil {
		f.data, err = readFile(final)
		f.there = err == nil
	}
	return f
}

// hostServices are those of nsswitch.conf(5)'s line for hosts.
func hostServices(data []byte) []string {
	var out []string
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "hosts:")
		if !ok {
			continue
		}
		for _, f := range strings.Fields(rest) {
			if !strings.HasPrefix(f, "[") && !strings.HasSuffix(f, "]") {
				out = append(out, f)
			}
		}
	}
	return out
}

// findResolvconf finds the command and whose it is.
func (c Config) findResolvconf() (Mode, string) {
	for _, path := range resolvconfPrograms {
		target, err := filepath.EvalSymlinks(c.inRoot(path))
		if err != nil || filepath.Base(target) == "resolvectl" {
			continue // systemd's, which serves its own resolver alone
		}
		if out, err := c.run(nil, path, "--version"); err == nil && strings.Contains(string(out), "openresolv") {
			return ModeOpenresolv, path
		}
		return ModeResolvconf, path
	}
	return "", ""
}
