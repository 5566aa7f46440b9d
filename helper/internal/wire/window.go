package wire

// windowSize is how far behind the newest a datagram may arrive.
const windowSize = 1024

// window is a sliding window over the counters of one sender's life (RFC 6479).
// One more word than the window needs lets it move by whole words.
type window struct {
	next uint64 // one above the newest counter taken
	bits [windowSize/64 + 1]uint64
}

// take tells whether the counter is new, and remembers it.
func (w *window) take(counter uint64) bool {
	if counter >= 1<<63 || counter+windowSize < w.next {
		return false
	}
	word := counter / 64
	if counter >= w.next {
		last := uint64(0)
		if w.next > 0 {
			last = (w.next - 1) / 64
		}
		for i := range min(word-last, uint64(len(w.bits))) {
			w.bits[(last+1+i)%uint64(len(w.bits))] = 0
		}
		w.next = counter + 1
	}
	slot, bit := &w.bits[word%uint64(len(w.bits))], uint64(1)<<(counter%64)
	if *slot&bit != 0 {
		return false
	}
	*slot |= bit
	return true
}
