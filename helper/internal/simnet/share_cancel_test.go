package simnet

import (
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// TestSimShareEarlyCancels: a friend that has removed a device of its own tells that
// with each pass. Where the word that a share was accepted has not come yet, what it
// takes back is not judged before: it comes in when the word does, and nobody is refused.
func TestSimShareEarlyCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		desk, _ := joinedBy(t, nas, "desk"), joinedBy(t, anna, "tablet")
		admin(t, nas, "desk")
		if _, err := anna.Engine.DeviceRevoke(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: "tablet"}); err != nil {
			t.Fatal(err)
		}
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas"}, Ports: []string{"80/tcp"}}))
		for _, h := range []*Host{anna, phone} {
			h.Reach(sharedNAS, 5*time.Second)
		}
		time.Sleep(time.Minute)
		for range 5 {
			mustAccept(t, anna, desk.share(ipc.ShareRequest{Devices: []string{"nas"}, Ports: []string{"22/tcp"}}))
		}
		nas.Until(10*time.Second, "both come by all six", func() bool {
			come := 0
			for _, s := range nas.Status().Networks[0].Shares {
				come += len(s.Guests)
			}
			return come == 12
		})
		time.Sleep(time.Minute) // refusals are told late
		for _, s := range nas.Status().Networks[0].Shares {
			if len(s.Refused) > 0 {
				t.Errorf("the owner is told of %+v", s.Refused)
			}
		}
	})
}
