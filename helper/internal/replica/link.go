package replica

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash/maphash"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/wire"
)

// Codes with which a session is closed.
const (
	codeClosing   = 1
	codeStranger  = 2
	codeDuplicate = 3
	codeSlow      = 4
	codeBad       = 5
)

const (
	queueLen    = 256       // messages to a neighbour that does not read
	chunk       = 128 << 10 // bytes of records or IDs in one message
	lingering   = 300 * time.Millisecond
	settleAfter = 100 * time.Millisecond
	gatherNews  = 50 * time.Millisecond
	retryAfter  = 15 * time.Second // when records could not be stored
	repeatAfter = 10 * time.Second // for an exchange that changed nothing
	sanestClock = 100 * 365 * 24 * time.Hour
)

// link is one open session with a member.
type link struct {
	r       *Replica
	id      key.Public
	session wire.Session
	ours    bool // we dialled
	queue   chan *message
	done    chan struct{}

	theirs [32]byte // the last digest heard; guarded by Replica.mu
	saying atomic.Bool

	toldMu sync.Mutex
	told   map[uint64]bool // hashes of records that the neighbour has told lately

	// Of the reading goroutine alone.
	lastMine, lastTheirs [32]byte // digests at the last exchange
	lastAt               time.Time
	bad                  int
	greeted              bool
	pace                 pace
}

func newLink(r *Replica, id key.Public, s wire.Session, ours bool) *link {
	return &link{r: r, id: id, session: s, ours: ours, pace: newPace(linkBurst, linkRate), queue: make(chan *message, queueLen), done: make(chan struct{})}
}

// run serves a session until it ends. Of two sessions with one peer the one
// that the smaller key dialled stays.
func (r *Replica) run(id key.Public, s wire.Session, ours bool) {
	l := newLink(r, id, s, ours)
	r.mu.Lock()
	old := r.links[id]
	smaller := bytes.Compare(r.self[:], id[:]) < 0
	stays := old == nil || old.ours == ours || ours == smaller
	full := old == nil && len(r.links) >= maxLinks && !ours
	if r.closed || !r.standing(id) || !stays || full {
		r.mu.Unlock()
		s.Close(codeDuplicate)
		return
	}
	r.links[id] = l
	r.mu.Unlock()
	if old != nil {
		old.close(codeDuplicate)
	} else {
		r.cfg.Handler.Linked(id, true)
	}
	began := time.Now()
	err := l.serve(r.ctx)
	l.close(codeClosing)
	r.mu.Lock()
	last := r.links[id] == l
	if last {
		delete(r.links, id)
	}
	r.mu.Unlock()
	if last {
		r.cfg.Book.With(func(s *roster.Set) { s.DropPending(id) })
		r.cfg.Handler.Linked(id, false)
		r.again(id, time.Since(began))
	}
	r.cfg.Log.Debug("replication ended", "peer", id.Short(), "err", err)
}

func (l *link) serve(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	var st wire.Stream
	var err error
	if l.ours {
		st, err = l.session.Open(ctx)
	} else {
		st, err = l.session.Accept(ctx)
	}
	cancel()
	if err != nil {
		return err
	}
	l.r.wg.Go(func() { l.write(st) })
	l.greet()
	if l.r.cfg.Book.lag() > 0 {
		l.sayDigestSoon() // what came just before is not in the view, and was not told to this neighbour
	}
	for {
		var m message
		if err := frame.Read(st, frame.Max, &m); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return err
		}
		if err := l.handle(m); err != nil {
			l.close(codeBad)
			return err
		}
		l.rest(l.pace.take(cost(m), time.Now()))
	}
}

// rest reads on a little later, so that a neighbour that sends without end is
// held back by its own full windows.
func (l *link) rest(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.done:
	}
}

func (l *link) greet() {
	d := l.digest()
	h := hello{Digest: d[:], Clock: time.Now().UnixMilli()}
	if secret, ok := l.r.cfg.Epoch(); ok {
		sum := sha256.Sum256(secret[:])
		h.Epoch = sum[:]
	}
	l.send(message{Hello: &h, Presence: l.presences()})
}

// presences is what a new neighbour hears: all in a small network; in a large
// one ours, and its own last word, which it must be able to overtake.
func (l *link) presences() [][]byte {
	l.r.mu.Lock()
	large, own, theirs := len(l.r.members) > floodUpTo, l.r.ownRaw, l.r.presence[l.id].raw
	l.r.mu.Unlock()
	if !large {
		return l.r.Presences()
	}
	var out [][]byte
	for _, raw := range [][]byte{own, theirs} {
		if raw != nil {
			out = append(out, raw)
		}
	}
	return out
}

// send queues a message. A neighbour that does not read is disconnected.
func (l *link) send(m message) {
	select {
	case l.queue <- &m:
	case <-l.done:
	default:
		l.close(codeSlow)
	}
}

// finish lets what is queued go out, then closes.
func (l *link) finish() {
	time.AfterFunc(lingering, func() { l.close(codeClosing) })
}

func (l *link) close(code uint64) {
	l.r.mu.Lock()
	select {
	case <-l.done:
		l.r.mu.Unlock()
		return
	default:
		close(l.done)
	}
	l.r.mu.Unlock()
	l.session.Close(code)
}

// write sends what is queued. What is news to all goes at once, but where more
// comes just after, that goes together: each message costs every member on its
// way. Admissions wait as long as a large roster takes to follow them, and are
// left out if the neighbour has told them meanwhile.
func (l *link) write(st wire.Stream) {
	defer st.Close()
	var m *message
	var news time.Time // when the last went out
	for next := (*message)(nil); ; {
		if next != nil {
			m, next = next, nil
		} else {
			select {
			case m = <-l.queue:
			case <-l.done:
				return
			}
		}
		if m.isNews() {
			wait := gatherNews
			if m.patient {
				wait += l.r.cfg.Book.lag()
			}
			next = l.gather(m, wait-time.Since(news))
			if m.patient {
				if m.Records = l.untold(m.Records); len(m.Records) == 0 {
					continue
				}
			}
			news = time.Now()
		}
		if err := frame.Write(st, m); err != nil {
			l.close(codeClosing)
			return
		}
	}
}

// gather adds to m the news that come while it waits, and are queued then. It
// returns the first message that does not fit in.
func (l *link) gather(m *message, wait time.Duration) (other *message) {
	var end <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		end = t.C
	}
	for size := m.size(); ; {
		var n *message
		if end != nil {
			select {
			case n = <-l.queue:
			case <-end:
				end = nil
				continue
			case <-l.done:
				return nil
			}
		} else {
			select {
			case n = <-l.queue:
			default:
				return nil
			}
		}
		if size += n.size(); !n.isNews() || size > chunk {
			return n
		}
		if m.patient && !n.patient {
			m.patient, end = false, nil
		}
		m.Records = slices.Concat(m.Records, n.Records)
		m.Presence = slices.Concat(m.Presence, n.Presence)
	}
}

// toldMost is how many records are remembered that a neighbour has told.
const toldMost = 512

// hears notes what the neighbour holds, since it has told it: the same may wait
// here to be told to it.
func (l *link) hears(records [][]byte) {
	l.toldMu.Lock()
	defer l.toldMu.Unlock()
	if l.told == nil || len(l.told)+len(records) > toldMost {
		l.told = map[uint64]bool{}
	}
	for _, raw := range records[:min(len(records), toldMost)] {
		l.told[maphash.Bytes(toldSeed, raw)] = true
	}
}

var toldSeed = maphash.MakeSeed()

// untold is the records, of all that waited, that the neighbour has not told us
// itself. Where a hash errs, the digests differ, and it gets the record after all.
func (l *link) untold(records [][]byte) [][]byte {
	l.toldMu.Lock()
	told := l.told
	l.told = nil
	l.toldMu.Unlock()
	return slices.DeleteFunc(slices.Clone(records), func(raw []byte) bool { return told[maphash.Bytes(toldSeed, raw)] })
}

func (l *link) handle(m message) error {
	r := l.r
	r.mu.Lock()
	standing := r.standing(l.id)
	r.mu.Unlock()
	if !standing {
		return nil // it hears of its removal, and is not listened to
	}
	if m.Hello != nil && !l.greeted {
		l.greeted = true
		r.cfg.Handler.ClockOffset(l.id, offset(m.Hello.Clock))
		if secret, ok := r.cfg.Epoch(); ok {
			if sum := sha256.Sum256(secret[:]); !bytes.Equal(sum[:], m.Hello.Epoch) {
				l.send(message{Epoch: secret[:]})
			}
		}
		l.compare(m.Hello.Digest)
	}
	if m.Digest != nil {
		l.compare(m.Digest)
	}
	if m.Buckets != nil {
		if len(m.Buckets) != 256 {
			return errors.New("buckets are not 256")
		}
		l.sendIDs(m.Buckets)
	}
	if len(m.IDs) > 0 {
		l.sendMissing(m.IDs)
	}
	if len(m.Records) > 0 {
		l.hears(m.Records)
		if err := l.take(m.Records); err != nil {
			return err
		}
	}
	if len(m.Epoch) == 32 {
		r.cfg.Handler.Epoch([32]byte(m.Epoch))
	}
	if len(m.Presence) > 0 {
		r.Hear(m.Presence, l.id)
	}
	if len(m.Who) > 0 {
		r.answerWho(l, m.Who, m.Hops)
	}
	for _, note := range m.Notes[:min(len(m.Notes), maxNotes)] {
		if len(note) > MaxNote {
			continue
		}
		select {
		case <-r.cfg.Handler.Note(l.id, note):
		case <-l.done:
			return nil
		}
	}
	return nil
}

func (l *link) digest() [32]byte { return l.r.cfg.Book.View().Digest().Sum }

// offset is how far a neighbour's clock is ahead of ours.
func offset(clock int64) time.Duration {
	limit := sanestClock.Milliseconds()
	now := time.Now().UnixMilli()
	return time.Duration(min(max(clock, now-limit), now+limit)-now) * time.Millisecond
}

// compare starts an exchange when the digests differ, once for each pair.
func (l *link) compare(theirs []byte) {
	if len(theirs) != 32 {
		return
	}
	mine := l.digest()
	l.r.mu.Lock()
	l.theirs = [32]byte(theirs)
	l.r.mu.Unlock()
	l.r.stepped()
	again := mine == l.lastMine && [32]byte(theirs) == l.lastTheirs && time.Since(l.lastAt) < repeatAfter
	if bytes.Equal(mine[:], theirs) || again {
		return
	}
	l.lastMine, l.lastTheirs, l.lastAt = mine, [32]byte(theirs), time.Now()
	buckets := make([][]byte, 256)
	for i, h := range l.r.cfg.Book.View().Digest().Buckets {
		buckets[i] = slices.Clone(h[:])
	}
	l.send(message{Buckets: buckets})
}

// sendIDs lists what we hold in the buckets that differ.
func (l *link) sendIDs(theirs [][]byte) {
	var out []bucketIDs
	size := 0
	flush := func() {
		if len(out) > 0 {
			l.send(message{IDs: out})
			out, size = nil, 0
		}
	}
	view := l.r.cfg.Book.View()
	for i, h := range view.Digest().Buckets {
		if bytes.Equal(h[:], theirs[i]) {
			continue
		}
		var ids []byte
		for _, id := range view.Bucket(byte(i)) {
			ids = append(ids, id[:]...)
		}
		out = append(out, bucketIDs{Bucket: uint8(i), IDs: ids})
		if size += len(ids); size > chunk {
			flush()
		}
	}
	flush()
}

// sendMissing sends what the neighbour did not list, in the roster's sending
// order.
func (l *link) sendMissing(lists []bucketIDs) {
	theirs := map[roster.ID]bool{}
	var asked [256]bool
	for _, b := range lists {
		asked[b.Bucket] = true
		for i := 0; i+32 <= len(b.IDs); i += 32 {
			theirs[roster.ID(b.IDs[i:i+32])] = true
		}
	}
	var out [][]byte
	for r := range l.r.cfg.Book.View().Wanted() {
		if asked[r.ID[0]] && !theirs[r.ID] {
			out = append(out, r.Raw)
		}
	}
	l.sendRecords(out)
}

// sendRecords sends records in messages of a bounded size.
func (l *link) sendRecords(records [][]byte) { l.sendEach(records, false) }

func (l *link) sendEach(records [][]byte, patient bool) {
	for len(records) > 0 {
		n, size := 0, 0
		for n < len(records) && (n == 0 || size+len(records[n]) <= chunk) {
			size += len(records[n])
			n++
		}
		l.send(message{Records: records[:n:n], patient: patient})
		records = records[n:]
	}
}

var errRepeats = errors.New("neighbour repeats records that are not acceptable")

// take takes records in and passes the new ones on. A neighbour that goes on
// sending unacceptable records is dropped; an error of ours is not its fault.
func (l *link) take(raws [][]byte) error {
	added, err := l.r.cfg.Book.Add(raws, l.id)
	if err != nil {
		l.r.cfg.Log.Warn("records refused", "from", l.id.Short(), "err", err)
		if errors.Is(err, ErrRefused) {
			if l.bad++; l.bad > 1 {
				return errRepeats
			}
		} else {
			time.AfterFunc(retryAfter, l.sayDigest) // the disk may have room by then
		}
	}
	if len(added) > 0 {
		l.r.Push(added, l.id)
		l.sayDigestSoon()
	}
	return nil
}

// sayDigestSoon says it once what has come meanwhile is in it.
func (l *link) sayDigestSoon() {
	if l.saying.CompareAndSwap(false, true) {
		time.AfterFunc(settleAfter+l.r.cfg.Book.lag(), func() {
			l.saying.Store(false)
			l.sayDigest()
			l.r.stepped() // in step with who said before that it holds them
		})
	}
}

// sayDigest lets the neighbour notice what is still missing on either side.
func (l *link) sayDigest() {
	d := l.digest()
	l.send(message{Digest: d[:]})
}
