package simnet

import (
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// TestSimSharePolicy: where the owner's policy lets nothing of a share through both
// sides are told so, at once and also after a restart, and no longer than it holds.
func TestSimSharePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		policy := func(text string) {
			t.Helper()
			if p, err := nas.Engine.PolicySet(t.Context(), server.Caller{}, ipc.PolicyRequest{Text: text}); err != nil || !p.Set {
				t.Fatalf("%+v, %v", p, err)
			}
		}
		says := func(s ipc.Share) ipc.Code {
			if s.Why == nil {
				return ""
			}
			return *s.Why
		}
		told := func(what string, want ipc.Code) {
			t.Helper()
			nas.Until(time.Minute, what+": the owner is told", func() bool { return says(nas.given()) == want })
			for _, h := range []*Host{anna, phone} {
				h.Until(time.Minute, what+": "+h.name+" is told", func() bool { s := h.received(); return s.ID != "" && says(s) == want })
			}
		}
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas"}, Ports: []string{"445/tcp"}}))
		phone.Reach(sharedNAS, 5*time.Second)
		told("without a policy", "")
		policy(`{"allow": [{"from": ["nas"], "to": ["*"]}, {"from": ["guests"], "to": ["nas"], "ports": ["80/tcp", "icmp"]}]}`)
		told("another port alone", ipc.CodePolicy)
		phone.Restart()
		nas.Restart()
		told("after a restart", ipc.CodePolicy)
		for _, text := range []string{
			`{"allow": [{"from": ["nas"], "to": ["*"]}, {"from": ["guests"], "to": ["nas"], "ports": ["1-1024/tcp"]}]}`,
			`{"allow": [{"from": ["*"], "to": ["*"]}]}`,
		} {
			policy(text)
			told(text, "")
			policy(`{"allow": [{"from": ["nas"], "to": ["*"]}]}`)
			told("nothing", ipc.CodePolicy)
		}
		a, err := nas.Engine.ShareCreate(t.Context(), server.Caller{}, ipc.ShareRequest{Devices: []string{"nas"}, Ports: []string{"all"}})
		if err != nil || says(a.Share) != ipc.CodePolicy {
			t.Errorf("made under such a policy: %+v, %v", a.Share, err)
		}
		policy("")
		told("none again", "")
	})
}
