package server

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/ipc"
	"kith.internal/ipc/client"
)

var (
	operator = []ipc.Right{ipc.RightOperate}
	reader   = []ipc.Right{}
)

// view is what a caller sees of st, as the server makes it.
func view(st ipc.Status, may []ipc.Right) ipc.Status { return tidy(*redact(&st, may)) }

// over is v after a journey over the wire.
func over[T any](t testing.TB, v T) T {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out T
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestDeltasRebuildTheState walks through random states: whatever changes, the
// deltas give a client what a new snapshot would.
func TestDeltasRebuildTheState(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		st := randomStatus(r)
		may := [][]ipc.Right{operator, reader}[r.IntN(2)]
		sent := view(st, may)
		has := over(t, sent)
		deltas, snapshots := 0, 0
		for step := range 40 {
			if r.IntN(20) == 0 {
				may = [][]ipc.Right{operator, reader}[r.IntN(2)]
			}
			st = mutate(r, st)
			next := view(st, may)
			ev, changed := diff(&sent, &next)
			want := over(t, next)
			if !changed {
				if d := differ(want, has); d != "" {
					t.Fatalf("seed %d step %d: a change was missed:\n%s", seed, step, d)
				}
				continue
			}
			if ev.Snapshot != nil {
				snapshots++
			} else {
				deltas++
			}
			before := over(t, has)
			got, err := client.Apply(has, over(t, ev))
			if err != nil {
				t.Fatalf("seed %d step %d: %v", seed, step, err)
			}
			if d := differ(want, got); d != "" {
				t.Fatalf("seed %d step %d (-want +got):\n%s", seed, step, d)
			}
			if d := differ(before, has); d != "" {
				t.Fatalf("seed %d step %d: the old state was changed:\n%s", seed, step, d)
			}
			sent, has = next, got
		}
		if snapshots > deltas {
			t.Errorf("seed %d: %d snapshots and %d deltas", seed, snapshots, deltas)
		}
	}
}

// differ is cmp.Diff at the price of reflect.DeepEqual where there is none.
func differ(a, b ipc.Status) string {
	if reflect.DeepEqual(a, b) {
		return ""
	}
	return cmp.Diff(a, b, cmpAddr)
}

var cmpAddr = cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}

func maybe[T any](r *rand.Rand, v T) *T {
	if r.IntN(3) == 0 {
		return nil
	}
	return &v
}

func randomPeer(r *rand.Rand, key string) ipc.Peer {
	a := netip.AddrFrom4([4]byte{100, 71, byte(r.IntN(4)), byte(r.IntN(250))})
	return ipc.Peer{
		Name: fmt.Sprintf("d%d", r.IntN(20)), Key: key, IPv4: maybe(r, a), Online: r.IntN(2) == 0, Path: ipc.PathDirect,
		Via: maybe(r, "vps"), Endpoint: maybe(r, netip.AddrPortFrom(a, uint16(r.IntN(9)))), LatencyMS: maybe(r, float64(r.IntN(5))),
		RxBytes: maybe(r, r.Uint64N(9)), TxBytes: maybe(r, r.Uint64N(9)), LastSeen: maybe(r, time.Unix(r.Int64N(1e9), 0).UTC()),
		Tags: slices.Repeat([]string{"t"}, r.IntN(3)),
	}
}

func randomNetwork(r *rand.Rand, id string) ipc.Network {
	n := ipc.Network{ID: id, Name: "n" + id, Alias: fmt.Sprintf("a%d", r.IntN(6)), Active: r.IntN(2) == 0}
	for _, k := range r.Perm(r.IntN(8)) {
		n.Peers = append(n.Peers, randomPeer(r, fmt.Sprint(k)))
	}
	for i := range r.IntN(2) {
		n.Shares = append(n.Shares, ipc.Share{ID: fmt.Sprint(i), Ports: []string{"22"}})
	}
	return n
}

func randomStatus(r *rand.Rand) ipc.Status {
	st := ipc.Status{Version: "1", State: ipc.StateRunning}
	for _, id := range r.Perm(r.IntN(4)) {
		st.Networks = append(st.Networks, randomNetwork(r, fmt.Sprint(id)))
	}
	return st
}

// mutate returns a changed copy; some steps change nothing.
func mutate(r *rand.Rand, st ipc.Status) ipc.Status {
	st.Networks = slices.Clone(st.Networks)
	n := &ipc.Network{}
	if len(st.Networks) > 0 {
		n = &st.Networks[r.IntN(len(st.Networks))]
		n.Peers = slices.Clone(n.Peers)
	}
	switch r.IntN(12) {
	case 0:
		id := fmt.Sprint(r.IntN(6))
		if !slices.ContainsFunc(st.Networks, func(n ipc.Network) bool { return n.ID == id }) {
			st.Networks = append(st.Networks, randomNetwork(r, id))
		}
	case 1:
		if len(st.Networks) > 0 {
			st.Networks = slices.Delete(st.Networks, 0, 1)
		}
	case 2:
		n.Alias = fmt.Sprintf("a%d", r.IntN(6))
	case 3:
		n.Peers = append(n.Peers, randomPeer(r, fmt.Sprint(r.IntN(20)))) // its key may be there already
	case 4:
		if len(n.Peers) > 0 {
			n.Peers = slices.Delete(n.Peers, 0, 1)
		}
	case 5:
		st.State = []ipc.State{ipc.StateOff, ipc.StateRunning}[r.IntN(2)]
	case 6:
		st.Health = slices.Repeat([]ipc.Health{{Code: "x"}}, r.IntN(3))
	case 7:
		st.Joining = slices.Repeat([]ipc.Joining{{ID: "x"}}, r.IntN(3))
	case 8:
		if r.IntN(5) == 0 {
			st.Version += "1"
		}
	default:
		for i := range n.Peers {
			if r.IntN(2) == 0 {
				n.Peers[i] = randomPeer(r, n.Peers[i].Key)
			}
		}
	}
	return st
}

// TestDiffSeesEveryField changes each field of a state in turn, so that a new
// field cannot be forgotten.
func TestDiffSeesEveryField(t *testing.T) {
	sample := func() *ipc.Status {
		v := filled(reflect.TypeFor[ipc.Status](), 0).Interface().(ipc.Status)
		return &v
	}
	n := 0
	eachLeaf(reflect.ValueOf(sample()).Elem(), "Status", func(path string, flip func(reflect.Value)) {
		n++
		// Walk a fresh one to the same leaf.
		changed := sample()
		eachLeaf(reflect.ValueOf(changed).Elem(), "Status", func(p string, f func(reflect.Value)) {
			if p == path {
				f(reflect.ValueOf(changed).Elem())
			}
		})
		ev, ok := diff(sample(), changed)
		if !ok {
			t.Errorf("%s: not seen", path)
			return
		}
		got, err := client.Apply(*sample(), ev)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		} else if d := cmp.Diff(*changed, got, cmpAddr); d != "" {
			t.Errorf("%s (-want +got):\n%s", path, d)
		}
	})
	if n < 60 {
		t.Errorf("only %d fields were tried", n)
	}
}

// filled makes a value with something in every field.
func filled(typ reflect.Type, n int64) reflect.Value {
	v := reflect.New(typ).Elem()
	switch v.Interface().(type) {
	case time.Time:
		return reflect.ValueOf(time.Unix(1e9+n, 0).UTC())
	case netip.Addr:
		return reflect.ValueOf(netip.AddrFrom4([4]byte{100, 64, 1, byte(n)}))
	case netip.AddrPort:
		return reflect.ValueOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{1, 2, 3, 4}), uint16(n)))
	case netip.Prefix:
		return reflect.ValueOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(n)}), 32))
	}
	switch typ.Kind() {
	case reflect.Struct:
		for i := range typ.NumField() {
			v.Field(i).Set(filled(typ.Field(i).Type, n))
		}
	case reflect.Pointer:
		v.Set(reflect.New(typ.Elem()))
		v.Elem().Set(filled(typ.Elem(), n))
	case reflect.Slice:
		v.Set(reflect.Append(v, filled(typ.Elem(), n)))
	case reflect.Map:
		v.Set(reflect.MakeMap(typ))
		v.SetMapIndex(filled(typ.Key(), n), filled(typ.Elem(), n))
	case reflect.String:
		v.SetString(fmt.Sprint("s", n))
	case reflect.Bool:
		v.SetBool(n%2 == 1)
	case reflect.Int:
		v.SetInt(1 + n)
	case reflect.Uint16, reflect.Uint64:
		v.SetUint(uint64(n))
	case reflect.Float64:
		v.SetFloat(float64(n))
	default:
		panic(fmt.Sprint("a kind of field that this test does not know: ", typ))
	}
	return v
}

// eachLeaf calls f for each field that holds a value, with what changes it.
func eachLeaf(v reflect.Value, path string, f func(string, func(reflect.Value))) {
	leaf := func() { f(path, func(reflect.Value) { v.Set(filled(v.Type(), 3)) }) }
	switch v.Interface().(type) {
	case time.Time, netip.Addr, netip.AddrPort, netip.Prefix:
		leaf()
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			eachLeaf(v.Field(i), path+"."+v.Type().Field(i).Name, f)
		}
	case reflect.Pointer:
		eachLeaf(v.Elem(), path, f)
		f(path+"=nil", func(reflect.Value) { v.SetZero() })
	case reflect.Slice:
		eachLeaf(v.Index(0), path+"[0]", f)
	default:
		leaf()
	}
}

func TestDiffOfTheSameIsNothing(t *testing.T) {
	for seed := range uint64(50) {
		st := randomStatus(rand.New(rand.NewPCG(seed, 2)))
		a, b := view(st, operator), over(t, view(st, operator))
		if ev, changed := diff(&a, &b); changed {
			t.Fatalf("seed %d: %+v", seed, ev)
		}
	}
}

// BenchmarkPublish is one change among 5,000 peers, as one operator sees it.
func BenchmarkPublish(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 3))
	n := ipc.Network{ID: "1"}
	for i := range 5000 {
		p := randomPeer(r, fmt.Sprint(i))
		p.Name = fmt.Sprintf("d%05d", i)
		n.Peers = append(n.Peers, p)
	}
	st := ipc.Status{Networks: []ipc.Network{n}}
	old := view(st, operator)
	for b.Loop() {
		next := view(st, operator)
		next.Networks[0].Peers[7].Online = !next.Networks[0].Peers[7].Online
		if ev, _ := diff(&old, &next); len(ev.Peers) != 1 {
			b.Fatalf("%d peers", len(ev.Peers))
		}
	}
}
