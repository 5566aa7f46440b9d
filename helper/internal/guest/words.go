package guest

import (
	"crypto/sha256"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/link"
	"kith.internal/helper/internal/roster"
)

// Words are what the owner and the friend compare before an acceptance counts:
// they stand for who has accepted what.
func Words(network roster.ID, sid SID, issuer, door key.Public) []string {
	h := sha256.New()
	h.Write([]byte("kith share words 1\x00"))
	for _, b := range [][]byte{network[:], sid[:], issuer[:], door[:]} {
		h.Write(b)
	}
	return link.Fingerprint([32]byte(h.Sum(nil)))
}

// LANSecret is what the tags of announcements on a LAN are made of, for who
// holds a share's link or door.
func LANSecret(k key.Public) [32]byte {
	return sha256.Sum256(append([]byte("kith lan tag of a share 1\x00"), k[:]...))
}
