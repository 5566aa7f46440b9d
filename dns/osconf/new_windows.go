package osconf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
	"golang.zx2c4.com/wireguard/windows/tunnel/winipcfg"

	"kith.internal/dns"
	"kith.internal/dns/plan"
)

// New is the Manager of Windows. What a crash left of ours is taken away first.
func New(cfg Config) (Manager, error) {
	cfg.Log = cfg.logger()
	if err := Restore(cfg); err != nil {
		return nil, fmt.Errorf("restore the resolver's configuration after a crash: %w", err)
	}
	return &nrpt{cfg: cfg, reg: localMachine{}, win: system{}}, nil
}

// Restore takes away what a crash left of ours.
func Restore(cfg Config) error {
	cfg.Log = cfg.logger()
	return (&nrpt{cfg: cfg, reg: localMachine{}, win: system{}}).restore()
}

// localMachine is HKEY_LOCAL_MACHINE.
type localMachine struct{}

func (localMachine) subkeys(key string) ([]string, error) {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, key, registry.ENUMERATE_SUB_KEYS)
	if errors.Is(err, registry.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer k.Close()
	return k.ReadSubKeyNames(-1)
}

func (localMachine) write(key string, values map[string]any) error {
	k, _, err := registry.CreateKey(registry.LOCAL_MACHINE, key, registry.SET_VALUE)
	if err != nil {
		return err
	}
	defer k.Close()
	for name, v := range values {
		switch v := v.(type) {
		case string:
			err = k.SetStringValue(name, v)
		case []string:
			err = k.SetStringsValue(name, v)
		case uint32:
			err = k.SetDWordValue(name, v)
		}
		if err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

func (localMachine) remove(key string) error {
	err := registry.DeleteKey(registry.LOCAL_MACHINE, key)
	if errors.Is(err, registry.ErrNotExist) {
		return nil
	}
	return err
}

var (
	flushCache    = windows.NewLazySystemDLL("dnsapi.dll").NewProc("DnsFlushResolverCache")
	refreshPolicy = windows.NewLazySystemDLL("userenv.dll").NewProc("RefreshPolicyEx")
)

const rpForce = 1 // RP_FORCE: read it although nothing seems to have changed

func (system) link(c plan.OSConfig) (link, error) { return linkOf(c.Nameservers[0]) }

// search leaves the link without servers: rules say which names go to ours.
func (system) search(l link, domains []string) error {
	luid, err := winipcfg.LUIDFromIndex(uint32(l.index))
	if errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return errNoLink
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, family := range []winipcfg.AddressFamily{windows.AF_INET, windows.AF_INET6} {
		if err := luid.SetDNS(family, nil, domains); err != nil && !errors.Is(err, windows.ERROR_NOT_FOUND) {
			errs = append(errs, err)
		}
	}
	if len(errs) == 2 { // one family may be off
		return errors.Join(errs...)
	}
	return nil
}

func (system) servers(own link) Base {
	var base Base
	adapters, err := winipcfg.GetAdaptersAddresses(windows.AF_UNSPEC, winipcfg.GAAFlagDefault)
	if err != nil {
		return base
	}
	for _, a := range adapters {
		if a.OperStatus != winipcfg.IfOperStatusUp || own.index != 0 && int(a.IfIndex) == own.index {
			continue
		}
		for s := a.FirstDNSServerAddress; s != nil; s = s.Next {
			ip, ok := netip.AddrFromSlice(s.Address.IP())
			if !ok || siteLocal.Contains(ip) {
				continue
			}
			if at := netip.AddrPortFrom(ip.Unmap(), 53); !slices.Contains(base.Nameservers, at) {
				base.Nameservers = append(base.Nameservers, at)
			}
		}
		if d := a.DNSSuffix(); dns.ValidDomain(d) == nil && !slices.Contains(base.Search, d) {
			base.Search = append(base.Search, d)
		}
	}
	return base
}

// siteLocal has the servers that Windows makes up for an adapter without any.
var siteLocal = netip.MustParsePrefix("fec0:0:0:ffff::/64")

func (system) flush(policy bool) error {
	if policy {
		if ok, _, err := refreshPolicy.Call(1, rpForce); ok == 0 {
			return fmt.Errorf("refresh the group policy: %w", err)
		}
	}
	if ok, _, err := flushCache.Call(); ok == 0 {
		return fmt.Errorf("flush the resolver's cache: %w", err)
	}
	return nil
}
