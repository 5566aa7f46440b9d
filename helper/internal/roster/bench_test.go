package roster

import (
	"fmt"
	"testing"
	"time"

	"kith.internal/helper/internal/key"
)

// fleet is a network of 5,000 members in 20,000 records, as an owner and three
// admins would write it. Signed, all signatures are real.
func fleet(b testing.TB, signed bool) []*Record {
	sign := func(k key.Private, network, prev ID, clock uint64, body Body) *Record {
		var r *Record
		var err error
		if signed {
			r, err = Sign(k, network, prev, clock, body)
		} else {
			r, err = unsigned(k.Public(), network, prev, clock, body)
		}
		if err != nil {
			b.Fatal(err)
		}
		return r
	}
	root, ik := key.New(), key.New()
	recs := []*Record{sign(root, ID{}, ID{}, 1, &Genesis{Name: "fleet"})}
	network := recs[0].ID
	clock := uint64(1)
	put := func(k key.Private, prev ID, body Body) ID {
		clock++
		recs = append(recs, sign(k, network, prev, clock, body))
		return recs[len(recs)-1].ID
	}
	owner := key.New()
	g := OwnerGrant()
	g.Subject = owner.Public()
	ownerHead := put(root, network, &g)
	admins := []key.Private{owner, key.New(), key.New(), key.New()}
	heads := make([]ID, len(admins))
	for i, k := range admins[1:] {
		g := AdminGrant()
		g.Subject = k.Public()
		ownerHead = put(owner, ownerHead, &g)
		heads[i+1] = ownerHead
	}
	heads[0] = ownerHead
	invites := make([]ID, len(admins))
	for i, k := range admins {
		heads[i] = put(k, heads[i], &Invite{Key: ik.Public(), Any: true, Expires: 1 << 50})
		invites[i] = heads[i]
	}
	for i := range 5000 {
		a := i % len(admins)
		d := key.New()
		ad := &Admit{Device: d.Public(), WG: key.Exchange(key.New()), Control: key.Exchange(key.New()), N: 1, Name: fmt.Sprint("host-", i), IP: uint16(i + 1)}
		ad.Pop, ad.InviteSig, ad.Invite = [64]byte{1}, [64]byte{1}, invites[a]
		if signed {
			ad.Pop = SignPop(network, d, ad.WG, ad.Control, 1)
			ad.InviteSig = SignInvite(ik, invites[a], ad.Device, ad.WG)
		}
		heads[a] = put(admins[a], heads[a], ad)
		dev := d.Public()
		put(admins[a], heads[a], &Setting{Key: DevKey(dev, FieldName), Value: []byte(fmt.Sprint("name-", i))})
		put(admins[a], heads[a], &Setting{Key: NetKey(dev, FieldExit), Value: []byte{1}})
		switch {
		case len(recs) > 19950: // the quota is near
		case i%50 != 0:
			tags, _ := EncodeList([]string{"server", fmt.Sprint("rack-", i%40)})
			put(admins[a], heads[a], &Setting{Key: DevKey(dev, FieldTags), Value: tags})
		default:
			heads[a] = put(admins[a], heads[a], &Revoke{Key: key.New().Public()})
		}
	}
	return recs
}

func load5000(b testing.TB, recs []*Record) *Set {
	s := newSet(recs[0])
	for _, r := range recs[1:] {
		if v, err := s.AddRecord(r, AddOptions{Verified: true}); v != Accepted {
			b.Fatal(v, err)
		}
	}
	return s
}

// BenchmarkEvaluate is 5,000 members in 20,000 records, signatures verified before.
func BenchmarkEvaluate(b *testing.B) {
	s := load5000(b, fleet(b, false))
	b.ReportMetric(float64(s.Len()), "records")
	b.ResetTimer()
	for b.Loop() {
		s.view = nil
		if v := s.View(); len(v.Members) != 5000 {
			b.Fatal(len(v.Members))
		}
	}
}

// BenchmarkLoad decodes, adds and evaluates the same from bytes that the store marked verified.
func BenchmarkLoad(b *testing.B) {
	recs := fleet(b, false)
	for b.Loop() {
		s := newSet(recs[0])
		for _, r := range recs[1:] {
			if v, err := s.Add(r.Raw, AddOptions{Verified: true}); v != Accepted {
				b.Fatal(v, err)
			}
		}
		s.View()
	}
}

// BenchmarkCold does so with 30,000 signatures to verify; see it with -cpu 1.
func BenchmarkCold(b *testing.B) {
	recs := fleet(b, true)
	var raws [][]byte
	for _, r := range recs[1:] {
		raws = append(raws, r.Raw)
	}
	for b.Loop() {
		s := newSet(recs[0])
		for _, r := range s.AddAll(raws, AddOptions{}) {
			if r.Verdict != Accepted {
				b.Fatal(r)
			}
		}
		if v := s.View(); len(v.Members) != 5000 {
			b.Fatal(len(v.Members))
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	s := load5000(b, fleet(b, false))
	for b.Loop() {
		s.view = nil
		s.View().Digest()
	}
}

func BenchmarkDecode(b *testing.B) {
	raw := fleet(b, false)[100].Raw
	for b.Loop() {
		if _, err := Decode(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// hostile is an admin's chain of records and as many cuts of it by an owner,
// each with keeps of its own.
func hostile(t testing.TB, chain, cuts, keeps int) *Set {
	l := family(t)
	l.set.quota = quotas{all: 1 << 20, reserved: 1 << 20, branch: 1 << 20, cut: 1 << 20}
	recs := make([]*Record, chain)
	for i := range recs {
		recs[i] = l.admit("carol", fmt.Sprint("d", i))
	}
	for i := range cuts {
		var keep []*Record
		for k := range keeps {
			keep = append(keep, recs[(i*7919+k*chain/keeps)%chain])
		}
		l.revoke("alice", "carol", keep...)
	}
	return l.set
}

func BenchmarkHostileCuts(b *testing.B) {
	for _, keeps := range []int{1, 32} {
		b.Run(fmt.Sprint(keeps, " keeps"), func(b *testing.B) {
			s := hostile(b, 5000, 4096, keeps)
			b.ResetTimer()
			for b.Loop() {
				s.view = nil
				s.View()
			}
		})
	}
}

// TestHostileCutsOnALongChain: 4,096 cuts on a 5,000-record chain take 100 ms
// at most, and the cost is not their product: an eighth of the cuts on an
// eighth of the chain does not take a sixtieth of the time.
func TestHostileCutsOnALongChain(t *testing.T) {
	best := func(s *Set) time.Duration {
		least := time.Hour
		for range 5 {
			s.view = nil
			start := time.Now()
			s.View()
			least = min(least, time.Since(start))
		}
		return least
	}
	full := hostile(t, 5000, 4096, 1)
	whole, eighth := best(full), best(hostile(t, 625, 512, 1))
	t.Logf("whole %v, an eighth %v", whole, eighth)
	if whole > 40*eighth+20*time.Millisecond {
		t.Fatalf("%v for the whole, %v for an eighth", whole, eighth)
	}
	if whole > 100*time.Millisecond*slack {
		t.Fatalf("%v", whole)
	}
}
