package server

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/ipc"
)

func secretStatus() ipc.Status {
	ep := netip.MustParseAddrPort("203.0.113.7:41641")
	bytes := uint64(424242)
	lans := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	at := time.Unix(1700000000, 0).UTC()
	health := []ipc.Health{
		{Code: ipc.HealthRelayHidden, Text: "No device of a reaches this relay at 203.0.113.8:443, 203.0.113.9:443.", Network: "a", Args: map[string]string{"addr": "203.0.113.8:443, 203.0.113.9:443"}},
		{Code: ipc.HealthSTUNLies, Text: "The STUN server 203.0.113.10:3478 lies.", Network: "a", Args: map[string]string{"server": "203.0.113.10:3478"}},
		{Code: ipc.HealthRelayLies, Text: "The relay nas lies.", Network: "a", Args: map[string]string{"device": "nas"}},
	}
	return ipc.Status{State: ipc.StateRunning, Health: health, Networks: []ipc.Network{
		{ID: "2", Alias: "b"},
		{
			ID: "1", Alias: "a", Exit: ipc.Exit{Local: lans, AllowLAN: lans, LANs: lans}, Relay: ipc.Relay{On: true, Advertised: []string{"203.0.113.8:443"}},
			Peers: []ipc.Peer{
				{Name: "z", Key: "1"},
				{Name: "nas", Key: "2", Endpoint: &ep, RxBytes: &bytes, TxBytes: &bytes, LastHandshake: &at, Online: true, Path: ipc.PathDirect},
			},
			Shares: []ipc.Share{{ID: "share-1", Name: "secret-share"}},
		},
	}}
}

func TestRedact(t *testing.T) {
	st := secretStatus()
	before := over(t, st)
	b, err := json.Marshal(view(st, reader))
	if err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{"203.0.113", "424242", "share-1", "2023-11"} {
		if strings.Contains(string(b), hidden) {
			t.Errorf("a reader sees %s: %s", hidden, b)
		}
	}
	got := view(st, reader)
	if p := got.Networks[0].Peers[0]; got.Networks[0].Alias != "a" || p.Name != "nas" || !p.Online || p.Path != ipc.PathDirect {
		t.Errorf("a reader sees %+v", got)
	}
	if h := got.Health; h[0].Text != "No device of a reaches this relay at …." || h[1].Args["server"] != "…" || h[2].Args["device"] != "nas" {
		t.Errorf("a reader is warned of %+v", h)
	}
	op := view(st, operator)
	if p := op.Networks[0].Peers[0]; p.Endpoint == nil || *p.RxBytes != 424242 || len(op.Networks[0].Shares) != 1 {
		t.Errorf("an operator sees %+v", op)
	}
	if d := cmp.Diff(before, over(t, st), cmpAddr); d != "" {
		t.Errorf("the source's own state was changed:\n%s", d)
	}
}

func TestNothingIsNull(t *testing.T) {
	list := regexp.MustCompile(`"(networks|joining|health|may|peers|shares|advertised|tags|ports|args|devices|records|checks|operators|dropped|reach|fingerprint|asks)":null`)
	for _, v := range []any{
		tidy(ipc.Status{Networks: []ipc.Network{{Peers: []ipc.Peer{{}}, Shares: []ipc.Share{{}}}}, Health: []ipc.Health{{}}}),
		tidy(ipc.NetworkAnswer{}), tidy(ipc.CreateAnswer{}), tidy(ipc.DeviceList{}), tidy(ipc.DeviceList{Devices: []ipc.Device{{}}}),
		tidy(ipc.DeviceAnswer{}), tidy(ipc.RosterList{}), tidy(ipc.RecoverAnswer{}), tidy(ipc.OperatorList{}), tidy(ipc.Diag{}), tidy(ipc.Preview{}),
	} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if m := list.Find(b); m != nil {
			t.Errorf("%T: %s", v, m)
		}
		if !strings.HasPrefix(string(b), `{"schema":1,`) {
			t.Errorf("%T has no schema: %s", v, b)
		}
	}
}

func TestTidyLeavesItsInputAlone(t *testing.T) {
	shared := []ipc.Device{{Name: "a"}}
	out := tidy(ipc.DeviceList{Devices: shared})
	if shared[0].Tags != nil {
		t.Error("the shared list was written to")
	}
	if out.Devices[0].Tags == nil {
		t.Error("the copy has a null list")
	}
}

func TestViewsAreSharedByCallersOfAKind(t *testing.T) {
	var v views
	st := secretStatus()
	a := v.get(&st, 1, operator)
	b := v.get(&st, 1, []ipc.Right{ipc.RightOperate, ipc.RightMachine})
	c := v.get(&st, 1, nil)
	if &a.Networks[0] != &b.Networks[0] {
		t.Error("two operators cost two views")
	}
	if &a.Networks[0] == &c.Networks[0] || c.Networks[0].Peers[0].Endpoint != nil {
		t.Error("a reader got an operator's view")
	}
	if len(a.May) != 1 || len(b.May) != 2 || c.May == nil || len(c.May) != 0 {
		t.Errorf("rights %v, %v, %v", a.May, b.May, c.May)
	}
	st2 := secretStatus()
	st2.State = ipc.StateOff
	if d := v.get(&st2, 2, operator); d.State != ipc.StateOff {
		t.Error("a new revision gave the old view")
	}
}
