package roster

import (
	"github.com/hdevalence/ed25519consensus"
)

// batchSize is how many records' signatures are verified at once: enough to
// halve the cost of each, few enough to find a bad one soon.
const batchSize = 128

// Result is what became of one of the records offered together.
type Result struct {
	Verdict Verdict
	Err     error
}

// AddAll is Add for many records from one place, such as a neighbour's answer
// or a store: it verifies signatures in batches, by the same rules (ZIP-215).
func (s *Set) AddAll(raws [][]byte, o AddOptions) []Result {
	out := make([]Result, len(raws))
	if o.Verified {
		for i, raw := range raws {
			out[i].Verdict, out[i].Err = s.Add(raw, o)
		}
		return out
	}
	invites := map[ID]*Invite{} // that came earlier in this call
	for from := 0; from < len(raws); from += batchSize {
		to := min(from+batchSize, len(raws))
		s.addBatch(raws[from:to], out[from:to], o, invites)
	}
	return out
}

func (s *Set) addBatch(raws [][]byte, out []Result, o AddOptions, invites map[ID]*Invite) {
	recs := make([]*Record, len(raws))
	sure := make([]bool, len(raws)) // all its signatures are in the batch
	batch := ed25519consensus.NewPreallocatedBatchVerifier(3 * len(raws))
	for i, raw := range raws {
		r, err := Decode(raw)
		if err != nil {
			continue // Add says what is wrong
		}
		recs[i] = r
		if b, ok := r.Body.(*Invite); ok {
			invites[r.ID] = b
		}
		if s.Has(r.ID) || s.pend.has(r.ID) {
			continue
		}
		list := r.signatures()
		if sure[i] = true; r.Type == TypeAdmit && !r.Body.(*Admit).Invite.IsZero() {
			inv, ok := s.inviteFor(r, invites)
			if sure[i] = ok; ok {
				list = append(list, inv)
			}
		}
		for _, c := range list {
			batch.Add(c.by[:], append(append([]byte(c.tag), 0), c.msg...), c.sig)
		}
	}
	good := batch.Verify()
	for i, r := range recs {
		if r == nil {
			out[i].Verdict, out[i].Err = s.Add(raws[i], o)
			continue
		}
		one := o
		one.Verified = good && sure[i]
		out[i].Verdict, out[i].Err = s.AddRecord(r, one)
	}
}

// inviteFor is the signature by an admission's invite, if that is known. The
// invite's ID binds its key, whether or not it turns out acceptable.
func (s *Set) inviteFor(r *Record, invites map[ID]*Invite) (signature, bool) {
	a := r.Body.(*Admit)
	inv := invites[a.Invite]
	if held := s.Get(a.Invite); held != nil {
		inv, _ = held.Body.(*Invite)
	}
	if inv == nil {
		return signature{}, false
	}
	return signature{inv.Key, tagInvite, inviteMessage(a.Invite, a.Device, a.WG), a.InviteSig[:]}, true
}
