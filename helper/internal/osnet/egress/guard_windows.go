package egress

import (
	"errors"
	"fmt"
	"os"

	"github.com/tailscale/wf"
	"golang.org/x/sys/windows"
	"golang.zx2c4.com/wireguard/windows/tunnel/winipcfg"
)

// Ours, and for good: what an earlier version has left is found by them.
var (
	wfpProvider = wf.ProviderID{Data1: 0x6b697468, Data2: 0x0001, Data3: 0x4b1d, Data4: [8]byte{0x9c, 0x2e, 0x51, 0x0f, 0x7a, 0x33, 0xd8, 0x16}}
	wfpSublayer = wf.SublayerID{Data1: 0x6b697468, Data2: 0x0002, Data3: 0x4b1d, Data4: [8]byte{0x9c, 0x2e, 0x51, 0x0f, 0x7a, 0x33, 0xd8, 0x16}}
)

// filters is the platform's own. Its objects are persistent: they outlive this
// process, and a restart of Windows.
type filters struct {
	session *wf.Session
	program string // our application ID
}

// errWine: Wine has the platform's functions by name alone, and ends who calls them.
var errWine = errors.New("there is no filtering platform in Wine")

func openFilters() (*filters, error) {
	if windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil {
		return nil, errWine
	}
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's file: %w", err)
	}
	program, err := wf.AppID(path)
	if err != nil {
		return nil, fmt.Errorf("name this program to the filtering platform: %w", err)
	}
	s, err := wf.New(&wf.Options{Name: "Kith", Description: "Kith's leak guard"})
	if err != nil {
		return nil, fmt.Errorf("open the filtering platform: %w", err)
	}
	return &filters{s, program}, nil
}

func (f *filters) Close() error { return f.session.Close() }

func (f *filters) base(on bool) error {
	if !on {
		return errors.Join(
			absent(f.session.DeleteSublayer(wfpSublayer), windows.FWP_E_SUBLAYER_NOT_FOUND),
			absent(f.session.DeleteProvider(wfpProvider), windows.FWP_E_PROVIDER_NOT_FOUND))
	}
	return errors.Join(
		absent(f.session.AddProvider(&wf.Provider{ID: wfpProvider, Name: "Kith", Persistent: true}), windows.FWP_E_ALREADY_EXISTS),
		absent(f.session.AddSublayer(&wf.Sublayer{
			ID: wfpSublayer, Name: "Kith leak guard", Persistent: true, Provider: wfpProvider, Weight: 0xffff,
		}), windows.FWP_E_ALREADY_EXISTS))
}

// absent makes success of one error.
func absent(err error, code windows.Handle) error {
	if e, ok := errors.AsType[windows.Errno](err); ok && uint32(e) == uint32(code) {
		return nil
	}
	return err
}

func wfpRule(l wfpLayer, name string) wf.RuleID {
	k := wfpKey(l, name)
	return wf.RuleID{
		Data1: uint32(k[0])<<24 | uint32(k[1])<<16 | uint32(k[2])<<8 | uint32(k[3]),
		Data2: uint16(k[4])<<8 | uint16(k[5]), Data3: uint16(k[6])<<8 | uint16(k[7]), Data4: [8]byte(k[8:]),
	}
}

func (f *filters) remove(l wfpLayer, name string) error {
	return absent(f.session.DeleteRule(wfpRule(l, name)), windows.FWP_E_FILTER_NOT_FOUND)
}

func (f *filters) add(want wfpFilter) error {
	r := &wf.Rule{
		ID: wfpRule(want.layer, want.name), Name: "Kith: " + want.name,
		Layer: [...]wf.LayerID{
			connect4: wf.LayerALEAuthConnectV4, connect6: wf.LayerALEAuthConnectV6,
			accept4: wf.LayerALEAuthRecvAcceptV4, accept6: wf.LayerALEAuthRecvAcceptV6,
			forward4: wf.LayerIPForwardV4, forward6: wf.LayerIPForwardV6,
		}[want.layer],
		Sublayer: wfpSublayer, Provider: wfpProvider, Weight: want.weight, Action: wf.ActionPermit, Persistent: true,
	}
	if want.block {
		r.Action = wf.ActionBlock
	}
	for _, m := range want.match {
		r.Conditions = append(r.Conditions, f.condition(m))
	}
	if err := absent(f.session.AddRule(r), windows.FWP_E_ALREADY_EXISTS); err != nil {
		return fmt.Errorf("add the filter %q in %s: %w", want.name, want.layer, err)
	}
	return nil
}

func (f *filters) condition(m wfpMatch) *wf.Match {
	equal := func(field wf.FieldID, value any) *wf.Match {
		return &wf.Match{Field: field, Op: wf.MatchTypeEqual, Value: value}
	}
	switch m.field {
	case wfpLoopback:
		return &wf.Match{Field: wf.FieldFlags, Op: wf.MatchTypeFlagsAllSet, Value: wf.ConditionFlagIsLoopback}
	case wfpProgram:
		return equal(wf.FieldALEAppID, f.program)
	case wfpInterface:
		return equal(wf.FieldIPLocalInterface, m.number)
	case wfpOnward:
		return equal(wf.FieldIPForwardInterface, m.number)
	case wfpProto:
		return equal(wf.FieldIPProtocol, uint8(m.number))
	case wfpLocalPort:
		return equal(wf.FieldIPLocalPort, uint16(m.number))
	case wfpRemotePort:
		return equal(wf.FieldIPRemotePort, uint16(m.number))
	}
	return equal(wf.FieldIPRemoteAddress, m.prefix)
}

func (*filters) luid(index int) (uint64, bool) {
	luid, err := winipcfg.LUIDFromIndex(uint32(index))
	return uint64(luid), err == nil
}
