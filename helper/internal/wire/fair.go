package wire

import "time"

// Who has what passed on is held to a share of it, so that one device does not
// push the others aside.
const (
	fairWindow = 100 * time.Millisecond
	fairBurst  = 64 << 10 // bytes that may come at once, whatever the share
	fairMember = 4        // weights
	fairGuest  = 1

	levelRounds = 8 // short of the exact level, at most

	// What passes for one guest, both ways, however idle the relay is.
	guestBurst = 256 << 20 // bytes
	guestRate  = 4_000_000 // bytes a second
)

// fair shares a rate among those who send: nobody is cut while all fit, and
// beyond that those alone who send more than their share, which is what the
// modest leave over divided by weight (max-min fairness). Shares follow what was
// asked for in the window before.
type fair struct {
	rate   float64 // bytes a second in all; 0: no end
	share  float64 // of it, a unit of weight; 0: all of it
	since  time.Time
	asking []*sender // in the window
}

// sender is who is held to a share.
type sender struct {
	weight float64
	asked  float64 // bytes in the window
	sent   bucket  // bytes
}

// allow tells whether the sender's bytes may pass, and counts them.
func (f *fair) allow(s *sender, weight float64, n int, control bool, now time.Time) bool {
	if f.rate <= 0 {
		return true
	}
	if now.Sub(f.since) >= fairWindow {
		f.divide(now)
	}
	s.weight = weight
	if s.asked == 0 {
		f.asking = append(f.asking, s)
	}
	s.asked += float64(n)
	s.sent.rate = f.rate
	if f.share > 0 {
		s.sent.rate = min(f.rate, f.share*weight)
	}
	s.sent.burst = max(fairBurst, s.sent.rate*fairWindow.Seconds())
	return s.sent.spend(n, control, now)
}

// divide begins a window.
func (f *fair) divide(now time.Time) {
	// A window that was long ago tells nothing.
	took := now.Sub(f.since).Seconds()
	left, weights := f.rate, 0.0
	for _, s := range f.asking {
		weights += s.weight
	}
	f.share = 0
	if took < 2*fairWindow.Seconds() {
		f.share = level(f.asking, left*took, weights) / took
	}
	for i, s := range f.asking {
		s.asked, f.asking[i] = 0, nil
	}
	f.asking, f.since = f.asking[:0], now
}

// level is the share of a unit of weight of the bytes; 0 if all that was asked for
// fits. Each round hands on what those leave who want less than the level so far.
func level(asking []*sender, bytes, weights float64) (share float64) {
	share = bytes / weights
	for range levelRounds {
		rest, heavy := bytes, 0.0
		for _, s := range asking {
			if s.asked <= share*s.weight {
				rest -= s.asked
			} else {
				heavy += s.weight
			}
		}
		if heavy == 0 {
			return 0
		}
		if next := rest / heavy; next > share {
			share = next
		} else {
			break
		}
	}
	return share
}
