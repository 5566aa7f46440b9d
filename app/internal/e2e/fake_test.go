//go:build gui

package e2e

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
	"kith.internal/ipc/transport"
)

// helper is a scripted backend behind the real ipc server.
type helper struct {
	board *server.Board

	mu     sync.Mutex
	st     ipc.Status
	may    []ipc.Right
	cancel context.CancelFunc
	ended  chan error
	joined chan struct{} // closed: joins come through
	calls  []string
}

func (h *helper) Authorize(_ transport.Identity, v ipc.Verb) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case len(h.may) > 0, v == ipc.VerbVersion, v == ipc.VerbStatus, v == ipc.VerbWatch, v == ipc.VerbPreview, v == ipc.VerbDiag:
		return nil
	}
	return ipc.Errorf(ipc.CodePermission, "no")
}

func (h *helper) Rights(transport.Identity) []ipc.Right {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.may
}

func newHelper() *helper {
	h := &helper{may: []ipc.Right{ipc.RightOperate}, joined: make(chan struct{})}
	h.st = ipc.Status{Schema: 1, Version: "0.1", State: ipc.StateRunning}
	h.board = server.NewBoard(&h.st)
	return h
}

// change publishes a changed status.
func (h *helper) change(f func(*ipc.Status)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	st := h.st
	st.Networks = append([]ipc.Network(nil), st.Networks...)
	f(&st)
	h.st = st
	h.board.Publish(&st)
}

func (h *helper) called(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, s)
}

func (h *helper) wasCalled(s string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.calls {
		if c == s {
			return true
		}
	}
	return false
}

func (h *helper) start(t *testing.T, sock string) {
	t.Helper()
	ln, err := transport.Listen(sock)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	s := server.New(server.Config{Version: "0.1", Source: h.board, Authorizer: h, Log: log})
	h.verbs(s)
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel, h.ended = cancel, make(chan error, 1)
	go func() { h.ended <- s.Serve(ctx, ln) }()
	t.Cleanup(h.stop)
}

func (h *helper) stop() {
	if h.cancel != nil {
		h.cancel()
		<-h.ended
		h.cancel = nil
	}
}

func ptr[T any](v T) *T { return &v }

func addr(s string) *netip.Addr { return ptr(netip.MustParseAddr(s)) }

func home(self string) ipc.Network {
	return ipc.Network{
		Name: "home", Alias: "home", ID: strings.Repeat("ab", 32), Active: true,
		Self: ipc.Self{Name: self, FQDN: self + ".home.internal", IPv4: addr("100.71.0.2"), IPv6: addr("fd12:3456:789a:1::2"), Role: ipc.RoleOwner, Key: "k-self"},
	}
}

func peers() []ipc.Peer {
	list := []ipc.Peer{
		{Name: "nas", Online: true, Active: true, Path: ipc.PathLAN, LatencyMS: ptr(0.8), OS: ptr("Debian 12"), Tags: []string{"server"}, Role: ipc.RoleAdmin, Endpoint: ptr(netip.MustParseAddrPort("192.168.1.20:41641")), RxBytes: ptr(uint64(1234567)), TxBytes: ptr(uint64(98765))},
		{Name: "phone", Path: ipc.PathNone, LastSeen: ptr(time.Now().Add(-3*time.Hour - time.Minute)), OS: ptr("Android"), Role: ipc.RolePlain},
		{Name: "vps", Online: true, Active: true, Path: ipc.PathDirect, LatencyMS: ptr(12.3), OS: ptr("Ubuntu 24.04"), Tags: []string{"relay", "server"}, Role: ipc.RoleSponsor},
		{Name: "office-desktop-with-a-rather-long-name-that-fills-the-row-up", Online: true, Active: true, Path: ipc.PathRelayed, Via: ptr("vps"), LatencyMS: ptr(48.2), OS: ptr("Windows 11"), Role: ipc.RolePlain},
		{Name: "tablet", Online: true, Path: ipc.PathForwarded, Via: ptr("nas"), LatencyMS: ptr(9.0), OS: ptr("Android"), Role: ipc.RolePlain},
		{Name: "media", Path: ipc.PathNone, OS: ptr("Debian 12"), Tags: []string{"server"}, Role: ipc.RolePlain},
	}
	for i := range list {
		p := &list[i]
		p.FQDN = p.Name + ".home.internal"
		p.Key = fmt.Sprintf("ed25519:%064x", i+1)
		p.IPv4 = addr(fmt.Sprintf("100.71.0.%d", i+3))
		p.IPv6 = addr(fmt.Sprintf("fd12:3456:789a:1::%x", i+3))
		if p.Tags == nil {
			p.Tags = []string{}
		}
	}
	return list
}

const phrase = "abandon ability able about above absent absorb abstract absurd abuse access accident account accuse achieve acid acoustic acquire across act action actor actress actual"

const link = "kith://join/AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"

func (h *helper) verbs(s *server.Server) {
	h.pages(s)
	server.Handle(s, ipc.VerbCreate, func(_ context.Context, _ server.Caller, r ipc.CreateRequest) (ipc.CreateAnswer, error) {
		if r.Name != "home" {
			return ipc.CreateAnswer{}, ipc.Errorf(ipc.CodeNameInvalid, "no")
		}
		n := home("laptop")
		h.change(func(st *ipc.Status) { st.Networks = []ipc.Network{n} })
		return ipc.CreateAnswer{Network: n, Phrase: phrase}, nil
	})
	server.Handle(s, ipc.VerbInvite, func(_ context.Context, _ server.Caller, r ipc.InviteRequest) (ipc.InviteAnswer, error) {
		h.called(fmt.Sprintf("invite %d %d", r.Uses, r.Expires))
		return ipc.InviteAnswer{ID: "x", Link: link, Expires: time.Now().Add(time.Duration(r.Expires) * time.Second)}, nil
	})
	server.Handle(s, ipc.VerbPreview, func(_ context.Context, _ server.Caller, r ipc.LinkRequest) (ipc.Preview, error) {
		if r.Link == shareLink {
			return ipc.Preview{
				Kind: "share", Network: "oak", ID: strings.Repeat("cd", 32), Sponsor: "chris-nas", Fingerprint: []string{"ocean", "pepper", "silk", "tulip"},
				Expires: time.Now().Add(23 * time.Hour), Reach: []string{"media"},
			}, nil
		}
		if r.Link != link {
			return ipc.Preview{}, ipc.Errorf(ipc.CodeLinkMalformed, "no")
		}
		return ipc.Preview{
			Kind: "join", Network: "home", ID: strings.Repeat("ab", 32), Sponsor: "nas", Fingerprint: []string{"amber", "canyon", "ribbon", "walnut"},
			Expires: time.Now().Add(23 * time.Hour), Reach: []string{""},
		}, nil
	})
	server.Handle(s, ipc.VerbJoin, func(ctx context.Context, _ server.Caller, r ipc.JoinRequest) (ipc.NetworkAnswer, error) {
		n := home("laptop")
		n.Self.Role = ipc.RolePlain
		j := ipc.Joining{Network: "home", ID: n.ID, Sponsor: "nas", Stage: ipc.JoinSearching, Since: time.Now(), Expires: time.Now().Add(time.Hour)}
		h.change(func(st *ipc.Status) { st.Joining = []ipc.Joining{j} })
		j.Stage = ipc.JoinAsking
		h.change(func(st *ipc.Status) { st.Joining = []ipc.Joining{j} })
		select {
		case <-h.joined:
		case <-ctx.Done():
			return ipc.NetworkAnswer{}, ctx.Err()
		}
		n.Peers = peers()
		h.change(func(st *ipc.Status) { st.Joining, st.Networks = nil, []ipc.Network{n} })
		return ipc.NetworkAnswer{Network: n}, nil
	})
	server.Handle(s, ipc.VerbUp, func(_ context.Context, _ server.Caller, r ipc.UpRequest) (ipc.Status, error) {
		h.called("up " + r.Network)
		h.change(func(st *ipc.Status) { st.State = ipc.StateRunning })
		return h.st, nil
	})
	server.Handle(s, ipc.VerbDown, func(_ context.Context, _ server.Caller, r ipc.NetworkRequest) (ipc.Status, error) {
		h.called("down " + r.Network)
		h.change(func(st *ipc.Status) { st.State = ipc.StateOff })
		return h.st, nil
	})
	server.Handle(s, ipc.VerbDeviceList, func(context.Context, server.Caller, ipc.NetworkRequest) (ipc.DeviceList, error) {
		return ipc.DeviceList{Devices: []ipc.Device{{Name: "tablet", Key: "k", Asks: []ipc.Request{{Kind: "rename", Value: "kitchen"}}}}}, nil
	})
	server.Handle(s, ipc.VerbDiag, func(context.Context, server.Caller, ipc.NetworkRequest) (ipc.Diag, error) {
		return ipc.Diag{Checks: []ipc.Check{
			{Code: "tun", OK: true, Text: "Network device", Detail: "kith0 is up"},
			{Code: "dns", OK: false, Text: "Names", Detail: "/etc/resolv.conf was changed by NetworkManager", Fix: "kith down && kith up sets it again"},
			{Code: "clock", OK: true, Text: "Clock", Detail: "agrees with 3 peers"},
		}}, nil
	})
}
