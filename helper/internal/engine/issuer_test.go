package engine

import (
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/store"
)

// TestAsksForPasses: a device that asks again and again, with its keys or with
// others, has a pass written down once in some seconds.
func TestAsksForPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		st, err := store.Open(filepath.Join(t.TempDir(), "state"))
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		n, sid, issuer := w.n, guest.NewSID(), key.New()
		n.e = &Engine{cfg: Config{Store: st}, log: slog.New(slog.DiscardHandler)}
		share := guest.Share{
			Key: key.New().Public(), Name: "nas", Sponsor: w.owner.Public(), Devices: []key.Public{w.owner.Public()},
			Ports: guest.Ports{{Proto: guest.TCP, First: 80, Last: 80}}, AcceptBy: time.Now().Add(time.Hour).UnixMilli(),
			PassMax: guest.PassDefault.Milliseconds(), MaxGuests: 2,
		}
		proof, err := guest.Prove(w.owner, n.book.View(), &guest.State{SID: sid, Share: &share}, guest.Seen{}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		err = st.AddNetwork(store.Settings{Network: n.id, Alias: "home"}, store.Secrets{
			Device: w.owner, Keys: []store.Keys{w.keys},
			Issuers: []store.Issuer{{Network: n.id, Share: sid, Key: issuer, Accepted: true, Proof: proof}},
		})
		if err == nil {
			n.secrets, err = st.Secrets(n.id)
		}
		if err != nil {
			t.Fatal(err)
		}
		phone := w.admin().Public()
		ask := func() []byte {
			g := key.New()
			raw, err := guest.Ask{Network: n.id, SID: sid, Guest: g.Public(), WG: key.NewExchange().Public(), Control: key.NewExchange().Public()}.Sign(g)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		issued := func() store.Issued {
			t.Helper()
			got := n.issuer(n.id, sid).Issued
			if len(got) != 1 {
				t.Fatalf("%d are issued", len(got))
			}
			return got[0]
		}
		first, other := ask(), ask()
		n.answerAsk(phone, first)
		was := issued()
		for _, c := range []struct {
			name  string
			after time.Duration
			ask   []byte
			again bool
		}{
			{"the same keys", 2 * time.Second, first, false},
			{"other keys at once", 0, other, false},
			{"other keys later", renewKeys, other, true},
			{"the same keys, half its life later", guest.PassDefault, other, true},
		} {
			time.Sleep(c.after)
			n.answerAsk(phone, c.ask)
			if diff := cmp.Diff(was, issued()); (diff != "") != c.again {
				t.Errorf("%s: %s", c.name, diff)
			}
			was = issued()
		}
	})
}
