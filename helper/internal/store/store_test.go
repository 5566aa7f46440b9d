package store

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"kith.internal/helper/internal/key"
)

// TestMain lends the test binary to the tests that need a second process.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(child(os.Getenv(childTask), dir))
	}
	goleak.VerifyTestMain(m)
}

var (
	t0   = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	net1 = fill[[32]byte](1)
	net2 = fill[[32]byte](2)

	diffs = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.AddrPort{})}
)

func fill[A ~[32]byte](n int) (a A) {
	for i := range a {
		a[i] = byte(n>>(8*(i%4))) + byte(i)
	}
	return a
}

func newDir(t testing.TB) string { return filepath.Join(t.TempDir(), "state") }

func openTest(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func reopened(t testing.TB, s *Store) *Store {
	t.Helper()
	must(t, s.Close())
	return openTest(t, s.dir)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func value[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func testSecrets() Secrets {
	return Secrets{
		Device:  fill[key.Private](10),
		Keys:    []Keys{{N: 1, WireGuard: fill[key.ExchangePrivate](11), Control: fill[key.ExchangePrivate](12), Made: t0}},
		Epochs:  []Epoch{{Secret: fill[[32]byte](13), At: t0}},
		Phrase:  "abandon abandon about",
		Invites: []InviteSecret{{Invite: fill[[32]byte](14), Key: fill[key.Private](15), Expires: t0.Add(time.Hour)}},
	}
}

func testSettings() Settings {
	return Settings{Network: net1, Name: "home", Alias: "home", Device: "laptop", Port: 41000, Active: true, Added: t0}
}

// withNetwork is a store that is in network net1.
func withNetwork(t testing.TB) *Store {
	s := openTest(t, newDir(t))
	must(t, s.AddNetwork(testSettings(), testSecrets()))
	return s
}

func record(n int) Record {
	return Record{ID: fill[[32]byte](n), Raw: fmt.Appendf(nil, "record %d", n), Arrival: t0.Add(time.Duration(n) * time.Second)}
}

func TestNetworks(t *testing.T) {
	s := openTest(t, newDir(t))
	must(t, s.PutJoin(Join{Network: net1, Link: "kith://join/x", Device: fill[key.Private](10), Keys: testSecrets().Keys[0], Name: "laptop", Since: t0}))
	s = reopened(t, s)
	if len(s.Joins()) != 1 {
		t.Fatalf("joins %v", s.Joins())
	}
	must(t, s.AddNetwork(testSettings(), testSecrets(), record(1), record(2)))
	second := testSettings()
	second.Network, second.Alias = net2, "home-2"
	must(t, s.AddNetwork(second, Secrets{Device: fill[key.Private](20)}))
	if err := s.AddNetwork(second, Secrets{}); !errors.Is(err, ErrExists) {
		t.Errorf("added twice: %v", err)
	}
	if err := s.PutJoin(Join{Network: net1}); !errors.Is(err, ErrExists) {
		t.Errorf("join of a network that is there: %v", err)
	}
	must(t, s.UpdateSettings(net2, func(set *Settings) error { set.Port, set.Order = 5, 0; return nil }))
	s = reopened(t, s)

	first := testSettings()
	first.Order = 1
	second.Order, second.Port = 2, 5
	if d := cmp.Diff([]Settings{first, second}, value(s.Networks())(t), diffs); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(testSecrets(), value(s.Secrets(net1))(t), diffs); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Record{record(1), record(2)}, value(s.Records(net1))(t), diffs); d != "" {
		t.Error(d)
	}
	if len(s.Joins()) != 0 {
		t.Errorf("the join outlived its network: %v", s.Joins())
	}

	must(t, s.RemoveNetwork(net1))
	s = reopened(t, s)
	if got := value(s.Networks())(t); len(got) != 1 || got[0].Network != net2 {
		t.Errorf("networks after removal: %v", got)
	}
	for name, err := range map[string]error{
		"secrets": second2(s.Secrets(net1)), "records": second2(s.Records(net1)),
		"put": s.PutRecords(net1, record(3)), "remove": s.RemoveNetwork(net1),
		"update": s.UpdateSecrets(net1, func(*Secrets) error { return nil }),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s of a removed network: %v", name, err)
		}
	}
}

func second2[T any](_ T, err error) error { return err }

func TestReturnedSecretsAreCopies(t *testing.T) {
	s := withNetwork(t)
	got := value(s.Secrets(net1))(t)
	got.Epochs[0].Secret[0]++
	got.Keys[0].N++
	got.Invites[0].Key[0]++
	if d := cmp.Diff(testSecrets(), value(s.Secrets(net1))(t), diffs); d != "" {
		t.Error(d)
	}
}

func TestRecords(t *testing.T) {
	s := withNetwork(t)
	// IDs descend while arrivals ascend: the order of arrival is kept.
	must(t, s.PutRecords(net1, record(9)))
	five := record(5)
	five.Class, five.Since = Cut, t0.Add(2*time.Hour)
	must(t, s.PutRecords(net1, five, record(1)))
	again := record(9)
	again.Arrival, again.Raw, again.Verified = t0.Add(time.Hour), []byte("x"), true
	must(t, s.PutRecords(net1, again))
	s = reopened(t, s)
	want := []Record{record(9), five, record(1)}
	want[0].Verified = true
	if d := cmp.Diff(want, value(s.Records(net1))(t), diffs); d != "" {
		t.Error(d)
	}
	must(t, s.RemoveRecords(net1, fill[[32]byte](9), fill[[32]byte](77)))
	if d := cmp.Diff(want[1:], value(s.Records(net1))(t), diffs); d != "" {
		t.Error(d)
	}
}

func TestInviteUses(t *testing.T) {
	s := withNetwork(t)
	invite, other := fill[[32]byte](40), fill[[32]byte](41)
	a, b, c := fill[key.Public](50), fill[key.Public](51), fill[key.Public](52)
	use := func(invite [32]byte, device key.Public, limit int, wantFresh bool, want error) {
		t.Helper()
		fresh, err := s.UseInvite(net1, invite, device, limit, t0)
		if fresh != wantFresh || !errors.Is(err, want) {
			t.Errorf("fresh %v, %v; want %v, %v", fresh, err, wantFresh, want)
		}
	}
	use(invite, a, 2, true, nil)
	use(invite, a, 2, false, nil)
	use(invite, b, 2, true, nil)
	use(invite, c, 2, false, ErrUsedUp)
	s = reopened(t, s)
	use(invite, c, 2, false, ErrUsedUp)
	use(invite, b, 1, false, nil)
	use(invite, c, 0, true, nil)
	use(other, c, 1, true, nil)
	if got := value(s.InviteUses(net1))(t); len(got) != 4 || got[3] != (Use{Invite: other, Device: c, At: t0}) {
		t.Errorf("uses %v", got)
	}
	must(t, s.RemoveInviteUses(net1, invite))
	if got := value(s.InviteUses(net1))(t); len(got) != 1 {
		t.Errorf("uses %v", got)
	}
}

func TestCaches(t *testing.T) {
	s := withNetwork(t)
	a, b := fill[key.Public](60), fill[key.Public](61)
	peers := []Peer{
		{Key: a, Endpoints: []Endpoint{{Addr: netip.MustParseAddrPort("[fe80::1%eth0]:5"), Confirmed: t0}}},
		{Key: b, Endpoints: []Endpoint{{Addr: netip.MustParseAddrPort("192.0.2.1:5"), Confirmed: t0}, {Addr: netip.MustParseAddrPort("[2001:db8::1]:6")}}},
	}
	presences := []Presence{{Key: a, Raw: []byte("a"), At: t0}, {Key: b, Raw: []byte("b"), At: t0}}
	must(t, s.PutPeers(net1, peers...))
	must(t, s.PutPresence(net1, presences...))
	must(t, s.PutValue(net1, "x", []byte("y")))
	s = reopened(t, s)
	if d := cmp.Diff(peers, value(s.Peers(net1))(t), diffs); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(presences, value(s.Presences(net1))(t), diffs); d != "" {
		t.Error(d)
	}
	if got := value(s.Value(net1, "x"))(t); string(got) != "y" {
		t.Errorf("value %q", got)
	}
	must(t, s.PutPeers(net1, Peer{Key: b}))
	must(t, s.RemovePeers(net1, a))
	must(t, s.PutPresence(net1, Presence{Key: b}))
	must(t, s.PutValue(net1, "x", nil))
	if p, q, v := value(s.Peers(net1))(t), value(s.Presences(net1))(t), value(s.Value(net1, "x"))(t); len(p)+len(q)+len(v) != 0 {
		t.Errorf("left: %v %v %q", p, q, v)
	}
}

func TestMachine(t *testing.T) {
	s := openTest(t, newDir(t))
	must(t, s.UpdateMachine(func(m *Machine) error { m.Operators = append(m.Operators, "1000"); return nil }))
	must(t, s.UpdateMachine(func(m *Machine) error { m.Down = true; return nil }))
	refuse := errors.New("no")
	if err := s.UpdateMachine(func(m *Machine) error { m.Down = false; return refuse }); !errors.Is(err, refuse) {
		t.Error(err)
	}
	s = reopened(t, s)
	if d := cmp.Diff(Machine{Operators: []string{"1000"}, Down: true}, value(s.Machine())(t)); d != "" {
		t.Error(d)
	}
}

func TestJournal(t *testing.T) {
	s := openTest(t, newDir(t))
	var ids []uint64
	for _, text := range []string{"a", "b", "c"} {
		ids = append(ids, value(s.AppendJournal([]byte(text)))(t))
	}
	must(t, s.DoneJournal(ids[1], 999))
	s = reopened(t, s)
	if d := cmp.Diff([]Entry{{ids[0], []byte("a")}, {ids[2], []byte("c")}}, value(s.Journal())(t)); d != "" {
		t.Error(d)
	}
	must(t, s.DoneJournal(ids...))
	if id := value(s.AppendJournal([]byte("d")))(t); id <= ids[2] {
		t.Errorf("ID %d came again", id)
	}
}

func TestClosed(t *testing.T) {
	s := withNetwork(t)
	must(t, s.Close())
	for name, err := range map[string]error{
		"read": second2(s.Machine()), "write": s.PutRecords(net1, record(1)),
		"secrets": s.UpdateSecrets(net1, func(*Secrets) error { return nil }),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, s.Close())
}
