package forward

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

const (
	hedgeLeast  = 80 * time.Millisecond  // a healthy resolver has mostly answered by then
	hedgeMost   = 200 * time.Millisecond // what a dead one may cost
	suspectMost = 60 * time.Second
	recheckTime = time.Second
	loopPause   = time.Minute
)

// server is one upstream with its running score.
type server struct {
	addr   netip.AddrPort
	local  bool     // on this host
	secure *secured // nil: it is asked in clear

	srtt      time.Duration // smoothed time to answer, 0 for unknown
	fails     int           // in a row
	suspect   time.Time     // asked last until then
	checking  bool          // a recheck is under way
	probing   bool          // a loop probe is under way
	loopUntil time.Time
	plain     time.Time // until then it is asked in small letters
}

// network is how it is asked first.
func (s *server) network() string {
	if s.secure != nil {
		return overTLS
	}
	return "udp"
}

// order puts the servers in the order to ask: as the system lists them, for
// the first may know names that the second does not, but those that failed
// lately last. due is one whose time as a suspect is over, to be tried beside
// the others; it stays last until it has answered.
func order(servers []*server, now time.Time) (sorted []*server, healthy int, due *server) {
	for _, s := range servers {
		if s.fails == 0 {
			sorted = append(sorted, s)
		}
	}
	healthy = len(sorted)
	for _, s := range servers {
		if s.fails > 0 {
			sorted = append(sorted, s)
			if due == nil && healthy > 0 && !s.checking && !s.suspect.After(now) {
				due = s
			}
		}
	}
	return sorted, healthy, due
}

// hedge is how long to wait for s before the next is asked too.
func (s *server) hedge() time.Duration {
	if s.srtt == 0 {
		return hedgeMost
	}
	return min(max(3*s.srtt, hedgeLeast), hedgeMost)
}

func (f *Forwarder) answered(s *server, rtt time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.fails > 0 || s.srtt == 0 {
		s.srtt = rtt
	} else {
		s.srtt += (rtt - s.srtt) / 8
	}
	s.fails = 0
}

// silent notes that s failed, or had not answered when another had.
func (f *Forwarder) silent(s *server, why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.fails++; s.fails == 1 {
		f.cfg.Log.Debug("upstream resolver does not answer", "server", s.addr, "why", why)
	}
	s.suspect = time.Now().Add(min(time.Second<<min(s.fails, 6), suspectMost))
	f.probeLoop(s)
}

// recheck asks a suspect the query beside those that are asked in earnest, so
// that finding it dead still costs nobody anything.
func (f *Forwarder) recheck(s *server, req *request) {
	defer f.work.Done()
	ctx, cancel := context.WithTimeout(f.ctx, recheckTime)
	defer cancel()
	start := time.Now()
	_, err := f.ask(ctx, s.network(), s, req)
	if err == nil {
		f.answered(s, time.Since(start))
	} else {
		f.silent(s, err.Error())
	}
	f.mu.Lock()
	s.checking = false
	f.mu.Unlock()
}

// probeLoop asks a server on this host for a name that nobody else asks us.
// Its answer does not count: coming back to Forward does. The caller holds mu.
func (f *Forwarder) probeLoop(s *server) {
	if !s.local || s.secure != nil || s.probing || f.closed {
		return
	}
	s.probing = true
	f.work.Go(func() {
		ctx, cancel := context.WithTimeout(f.ctx, recheckTime)
		defer cancel()
		query := makeQuery(f.probeName(s))
		if q, ok := parseQuestion(query); ok {
			req := newRequest(query, q)
			f.ask(ctx, "udp", s, &req)
		}
		f.mu.Lock()
		s.probing = false
		f.mu.Unlock()
	})
}

// probeName tells by its first label which server was asked.
func (f *Forwarder) probeName(s *server) string {
	return fmt.Sprintf("%x-%d.%s", s.addr.Addr().AsSlice(), s.addr.Port(), f.probe)
}

// loopFound reports whether name is a probe of ours come back, and if so no
// longer asks the server that it was sent to.
func (f *Forwarder) loopFound(name string) bool {
	if !strings.HasSuffix(name, f.probe) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.servers {
		if name == f.probeName(s) {
			s.loopUntil = time.Now().Add(loopPause)
			f.cfg.Log.Warn("upstream resolver forwards to us, not asked for a while", "server", s.addr)
		}
	}
	return true
}
