package tunnel

import (
	"bufio"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"kith.internal/helper/internal/key"
)

// stats reads the device's own count of its configured peers, by WireGuard key.
func (t *Tunnel) stats() map[key.Exchange]Stats {
	text, err := t.dev.IpcGet()
	if err != nil {
		return nil
	}
	return parseStats(text)
}

// parseStats reads the answer to a "get" of the cross-platform userspace
// interface (wireguard.com/xplatform).
func parseStats(text string) map[key.Exchange]Stats {
	out := map[key.Exchange]Stats{}
	var cur key.Exchange
	var st Stats
	var sec, nsec int64
	flush := func() {
		if cur.IsZero() {
			return
		}
		if sec != 0 || nsec != 0 {
			st.LastHandshake = time.Unix(sec, nsec)
		}
		out[cur] = st
	}
	for sc := bufio.NewScanner(strings.NewReader(text)); sc.Scan(); {
		k, v, _ := strings.Cut(sc.Text(), "=")
		n, _ := strconv.ParseInt(v, 10, 64)
		switch k {
		case "public_key":
			flush()
			cur, st, sec, nsec = key.Exchange{}, Stats{}, 0, 0
			if b, err := hex.DecodeString(v); err == nil && len(b) == len(cur) {
				cur = key.Exchange(b)
			}
		case "rx_bytes":
			st.Rx = uint64(n)
		case "tx_bytes":
			st.Tx = uint64(n)
		case "last_handshake_time_sec":
			sec = n
		case "last_handshake_time_nsec":
			nsec = n
		}
	}
	flush()
	return out
}
