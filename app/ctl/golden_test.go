package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"kith.internal/ipc"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// result is what a call of the program gave.
type result struct {
	code     int
	out, err string
}

// call runs the program without a terminal against a socket.
func call(t *testing.T, socket, in string, args ...string) result {
	t.Helper()
	return callWith(t, socket, env{in: strings.NewReader(in)}, args...)
}

func callWith(t *testing.T, socket string, e env, args ...string) result {
	t.Helper()
	var out, msg bytes.Buffer
	e.out, e.err = &out, &msg
	e.now = func() time.Time { return now }
	e.login = func() string { return "bob" }
	t.Setenv("KITH_SOCKET", socket)
	code := run(t.Context(), args, e)
	hide := strings.NewReplacer(socket, "SOCKET", ipc.Build(), "BUILD")
	return result{code, hide.Replace(out.String()), hide.Replace(msg.String())}
}

func TestGolden(t *testing.T) {
	reply := func(seq int, ms float64, path ipc.PathKind) ipc.PingReply {
		r := ipc.PingReply{Seq: seq, Addr: netip.MustParseAddr("100.71.0.2"), Name: "nas.home.internal", Path: path}
		if ms > 0 {
			r.RTTMS, r.Endpoint = &ms, new(netip.MustParseAddrPort("192.168.1.9:41641"))
		}
		if path == ipc.PathRelayed {
			r.Via, r.Why = new("vps"), new(ipc.WhyHardThere)
		}
		return r
	}
	pings := []ipc.PingReply{reply(1, 48.25, ipc.PathRelayed), reply(2, 0, ipc.PathNone), reply(3, 1.5, ipc.PathLAN)}
	lost := []ipc.PingReply{reply(1, 0, ipc.PathNone), reply(2, 0, ipc.PathNone)}
	noNet := ipc.Status{State: ipc.StateRunning}
	alone := running()
	alone.Networks, alone.Joining, alone.Health = alone.Networks[1:], nil, nil
	tests := []struct {
		name string
		fake *fake
		in   string
		args string
	}{
		{"status", &fake{status: running()}, "", "status"},
		{"status-json", &fake{status: running()}, "", "status --json"},
		{"status-reader", &fake{status: running(), deny: true}, "", "status --json"},
		{"status-one-network", &fake{status: running()}, "", "status --network home-2"},
		{"status-by-id", &fake{status: running()}, "", "-n 2222 status"},
		{"status-unknown-network", &fake{status: running()}, "", "status --network nope"},
		{"status-no-network", &fake{status: noNet}, "", "status"},
		{"status-no-network-json", &fake{status: noNet}, "", "status --json"},
		{"status-alone", &fake{status: alone}, "", "status"},
		{"status-off", &fake{status: ipc.Status{State: ipc.StateOff}}, "", "status"},
		{"peers", &fake{status: running()}, "", "peers"},
		{"peers-json", &fake{status: running()}, "", "peers --json -n home"},
		{"peers-shared", &fake{status: exiting(ipc.ExitOn)}, "", "peers -n home"},
		{"peers-shared-json", &fake{status: exiting(ipc.ExitOn)}, "", "peers -n home --json"},
		{"peers-none", &fake{status: noNet}, "", "peers"},
		{"peers-none-json", &fake{status: noNet}, "", "peers --json"},
		{"device-list", &fake{}, "", "device list"},
		{"device-list-json", &fake{}, "", "device list --json"},
		{"device-rename", &fake{}, "", "device rename nas storage"},
		{"device-revoke", &fake{}, "", "device revoke nas --yes"},
		{"device-revoke-unasked", &fake{}, "", "device revoke nas"},
		{"device-revoke-since", &fake{}, "", "device revoke nas --since 3h --yes"},
		{"device-revoke-dry-run", &fake{}, "", "device revoke nas --since 2026-02-27 --dry-run"},
		{"device-revoke-dry-run-plain", &fake{}, "", "device revoke nas --dry-run"},
		{"device-revoke-dry-run-json", &fake{}, "", "device revoke nas --since 2026-02-27T10:00:00Z --dry-run --json"},
		{"device-revoke-since-future", &fake{}, "", "device revoke nas --since 2036-02-27T10:00 --yes"},
		{"device-revoke-since-what", &fake{}, "", "device revoke nas --since yesterday --yes"},
		{"device-readmit", &fake{}, "", "device readmit tv"},
		{"device-renew", &fake{}, "", "device renew"},
		{"device-approve", &fake{}, "", "device approve nas.home.internal"},
		{"device-approve-json", &fake{}, "", "device approve nas --json"},
		{"device-role", &fake{}, "", "device role nas admin"},
		{"device-role-json", &fake{}, "", "device role nas sponsor --json"},
		{"device-role-lower", &fake{}, "", "device role nas member"},
		{"device-role-owner", &fake{}, phrase, "device role nas owner"},
		{"device-role-owner-no-phrase", &fake{}, "", "device role nas owner"},
		{"device-role-bad", &fake{}, "", "device role nas king"},
		{"device-role-last", &fake{err: ipc.Errorf(ipc.CodeNotAdmin, "laptop is the only owner")}, "", "device role laptop plain"},
		{"device-tag", &fake{}, "", "device tag nas +server +media -old"},
		{"device-tag-none", &fake{}, "", "device tag nas -old"},
		{"device-tag-json", &fake{}, "", "device tag nas +server -old --json"},
		{"device-tag-unsigned", &fake{}, "", "device tag nas server"},
		{"device-tag-nothing", &fake{}, "", "device tag nas"},
		{"portal-open", &fake{}, "", "portal open"},
		{"portal-open-json", &fake{}, "", "portal open --json"},
		{"portal-close", &fake{}, "", "portal close"},
		{"relay-on", &fake{}, "", "relay on"},
		{"relay-on-json", &fake{}, "", "relay on --listen 8443 --advertise vps.example:8443 --json"},
		{"relay-on-limit", &fake{}, "", "relay on --limit 100"},
		{"relay-on-pending", &fake{pending: true}, "", "relay on"},
		{"relay-on-taken", &fake{err: ipc.Errorf(ipc.CodePortTaken, "another program holds TCP port 443")}, "", "relay on"},
		{"relay-off", &fake{}, "", "relay off"},
		{"forward-off", &fake{}, "", "forward off"},
		{"forward-on-guests", &fake{}, "", "forward on --guests"},
		{"forward-on-json", &fake{}, "", "forward on --json"},
		{"dns-add", &fake{}, "", "dns records add wiki.example.com 192.0.2.1 192.0.2.2"},
		{"dns-add-typed", &fake{}, "", "dns records add *.apps.example.com cname nas.home.internal"},
		{"dns-add-nothing", &fake{}, "", "dns records add wiki"},
		{"dns-add-refused", &fake{err: ipc.Errorf(ipc.CodeUsage, "co.uk A: co.uk is a public suffix: strangers have names below it")}, "", "dns records add co.uk 192.0.2.1"},
		{"dns-remove-json", &fake{}, "", "dns records remove wiki.example.com A --json"},
		{"dns-list", &fake{}, "", "dns records list"},
		{"dns-serve-on", &fake{}, "", "dns serve on"},
		{"dns-serve-off", &fake{}, "", "dns serve off"},
		{"dns-repair", &fake{}, "", "dns repair"},
		{"dns-status", &fake{}, "", "dns status"},
		{"dns-status-json", &fake{}, "", "dns status --json"},
		{"dns-query", &fake{}, "", "dns query wiki.example.com"},
		{"dns-query-json", &fake{}, "", "dns query wiki.example.com txt --json"},
		{"dns-query-none", &fake{}, "", "dns query nobody.example.com"},
		{"share-create", &fake{}, "", "share create nas --port 445/tcp,80/tcp"},
		{"share-create-exit", &fake{}, "", "share create nas --port none --exit"},
		{"share-create-json", &fake{}, "", "share create nas tag:media --port all --both --expires 7d --guests 3 --json"},
		{"share-create-no-port", &fake{}, "", "share create nas"},
		{"share-create-bad-expiry", &fake{}, "", "share create nas --port all --expires soon"},
		{"share-create-not-admin", &fake{err: ipc.Errorf(ipc.CodeNotAdmin, "this device may share nothing of home")}, "", "share create nas --port all"},
		{"share-accept", &fake{}, "kith://share/AAAA\n", "share accept -"},
		{"share-accept-json", &fake{}, "kith://share/AAAA\n", "share accept - --json"},
		{"share-accept-confirm", &fake{pending: true}, "kith://share/AAAA\n", "share accept -"},
		{"share-accept-used", &fake{err: ipc.Errorf(ipc.CodeLinkUsed, "the share was accepted by somebody already")}, "kith://share/AAAA\n", "share accept -"},
		{"share-accept-late", &fake{err: ipc.Errorf(ipc.CodeTimeout, "nas has not answered within 5s; this device goes on asking")}, "kith://share/AAAA\n", "share accept - --wait 5s"},
		{"share-list", &fake{}, "", "share list"},
		{"share-list-json", &fake{}, "", "share list --json"},
		{"share-approve", &fake{}, "", "share approve 0123"},
		{"share-limit", &fake{}, "", "share limit nas 16"},
		{"share-limit-over", &fake{err: ipc.Errorf(ipc.CodeUsage, "a share is for 1 to 64 of a friend's devices")}, "", "share limit nas 65"},
		{"share-revoke", &fake{}, "", "share revoke nas --yes"},
		{"share-revoke-guest", &fake{}, "", "share revoke nas --guest phone --yes"},
		{"share-revoke-unasked", &fake{}, "", "share revoke nas"},
		{"share-remove", &fake{}, "", "share remove nas --yes"},
		{"share-remove-unknown", &fake{err: ipc.Errorf(ipc.CodeNotFound, `no friend shares "x"`)}, "", "share remove x --yes"},
		{"policy-show", &fake{}, "", "policy show"},
		{"policy-show-none", &fake{pending: true}, "", "policy show"},
		{"policy-set", &fake{}, "{}", "policy set -"},
		{"policy-set-default", &fake{}, "", "policy set -"},
		{"policy-set-bad", &fake{}, "bad", "policy set -"},
		{"policy-set-bad-json", &fake{}, "bad", "policy set - --json"},
		{"policy-set-dry-run-json", &fake{}, "{}", "policy set - --dry-run --json"},
		{"policy-check", &fake{}, "{}", "policy check -"},
		{"policy-check-partial", &fake{}, "{} // crowd", "policy check -"},
		{"policy-reach", &fake{}, "", "policy reach nas"},
		{"policy-reach-self", &fake{}, "", "policy reach"},
		{"policy-help", &fake{}, "", "policy --help"},
		{"up-shields", &fake{status: running()}, "", "up --shields"},
		{"up-shields-off", &fake{status: running()}, "", "up --shields=off"},
		{"up-shields-bad", &fake{status: running()}, "", "up --shields=maybe"},
		{"roster", &fake{}, "", "roster"},
		{"roster-json", &fake{}, "", "roster --json"},
		{"diag", &fake{}, "", "diag"},
		{"diag-json", &fake{}, "", "diag --json"},
		{"create", &fake{}, "", "create home"},
		{"create-json", &fake{}, "", "create home --json"},
		{"invite", &fake{}, "", "invite --uses unlimited --expires 7d --tag a --tag b"},
		{"invite-json", &fake{}, "", "invite --json"},
		{"invite-bad-uses", &fake{}, "", "invite --uses 0"},
		{"invite-bad-expiry", &fake{}, "", "invite --expires 1w"},
		{"join", &fake{}, "kith://join/AAAA\n", "join -"},
		{"join-nothing", &fake{}, "\n", "join -"},
		{"join-late", &fake{err: ipc.Errorf(ipc.CodeTimeout, "nas has not answered within 5s; this device goes on asking")}, "", "join kith://join/AAAA --wait 5s"},
		{"leave", &fake{status: running()}, "", "leave -n home --yes"},
		{"leave-unasked", &fake{status: running()}, "", "leave -n home"},
		{"leave-join", &fake{status: noNet}, "", "leave"},
		{"up", &fake{status: running()}, "", "up"},
		{"down-json", &fake{status: ipc.Status{State: ipc.StateOff}}, "", "down --json"},
		{"ping", &fake{pings: pings}, "", "ping nas -c 3"},
		{"ping-json", &fake{pings: pings}, "", "ping nas -c 3 --json"},
		{"ping-lost", &fake{pings: lost}, "", "ping nas -c 2"},
		{"ping-lost-coded", &fake{pings: lost, err: ipc.Errorf(ipc.CodeNotConnected, "no answer")}, "", "ping nas -c 2"},
		{"ping-not-direct", &fake{pings: pings[:1]}, "", "ping nas --until-direct"},
		{"ping-unknown", &fake{err: ipc.Errorf(ipc.CodeNotFound, `no device "nas" in home`)}, "", "ping nas"},
		{"ping-bad-count", &fake{}, "", "ping nas -c 0"},
		{"recover", &fake{}, phrase, "recover --cut nas --yes"},
		{"recover-since", &fake{}, phrase, "recover --cut nas --since 2d --yes"},
		{"recover-dry-run", &fake{}, phrase, "recover --cut nas --since 2d --dry-run"},
		{"recover-since-whom", &fake{}, phrase, "recover --since 2d --yes"},
		{"recover-short", &fake{}, "abandon", "recover"},
		{"recover-show", &fake{}, "", "recover --show"},
		{"recover-show-json", &fake{}, "", "recover --show --json"},
		{"nearby-open", &fake{status: running()}, "", "nearby open"},
		{"nearby-close", &fake{status: running()}, "", "nearby open --close"},
		{"nearby-list", &fake{status: running()}, "", "nearby list"},
		{"nearby-list-json", &fake{status: running()}, "", "nearby list --json"},
		{"nearby-list-none", &fake{}, "", "nearby list"},
		{"nearby-approve", &fake{status: running()}, "", "nearby approve phone --yes"},
		{"nearby-refuse", &fake{status: running()}, "", "nearby approve --refuse"},
		{"exit-use", &fake{status: exiting(ipc.ExitOn)}, "", "-n home exit use nas --allow-lan"},
		{"exit-use-json", &fake{status: exiting(ipc.ExitConnecting)}, "", "exit use nas --json"},
		{"exit-use-connecting", &fake{status: exiting(ipc.ExitConnecting)}, "", "exit use nas --no-allow-lan"},
		{"exit-use-blocked", &fake{status: exiting(ipc.ExitBlocked)}, "", "exit use nas --lan 192.168.1.0/24"},
		{"exit-use-bad-lan", &fake{}, "", "exit use nas --lan nonsense"},
		{"exit-lan", &fake{}, "", "exit lan on"},
		{"exit-lan-some", &fake{}, "", "exit lan on 192.168.1.0/24 10.0.0.0/8"},
		{"exit-lan-off", &fake{}, "", "exit lan off"},
		{"exit-off", &fake{}, "", "exit off"},
		{"exit-list", &fake{status: exiting(ipc.ExitOn)}, "", "exit list -n home"},
		{"exit-list-json", &fake{status: exiting(ipc.ExitOn)}, "", "exit list --json -n home"},
		{"exit-list-none", &fake{}, "", "exit list"},
		{"exit-offer", &fake{}, "", "exit offer on --lan"},
		{"exit-offer-off", &fake{}, "", "exit offer off"},
		{"exit-approve", &fake{}, "", "exit approve nas"},
		{"route-add", &fake{}, "", "route add 192.168.7.0/24"},
		{"route-add-pending", &fake{}, "", "route add 192.168.7.0/24 --no-snat"},
		{"route-add-bad", &fake{}, "", "route add 192.168.7"},
		{"route-list", &fake{status: exiting(ipc.ExitOff)}, "", "route list -n home"},
		{"route-list-none", &fake{}, "", "route list"},
		{"route-accept-early", &fake{}, "", "route accept 10.77.0.0/16"},
		{"route-accept-json", &fake{}, "", "route accept 10.9.0.0/16 --json"},
		{"status-exit-blocked", &fake{status: exiting(ipc.ExitBlocked)}, "", "status -n home"},
		{"operator-add", &fake{}, "", "operator add bob"},
		{"operator-remove", &fake{}, "", "operator remove bob"},
		{"operator-list-json", &fake{}, "", "operator list --json"},
		{"version", &fake{}, "", "version"},
		{"version-json", &fake{}, "", "version --json"},
		{"completion-bash", &fake{}, "", "completion bash"},
		{"completion-zsh", &fake{}, "", "completion zsh"},
		{"completion-fish", &fake{}, "", "completion fish"},
		{"help", &fake{}, "", "--help"},
		{"unknown-command", &fake{}, "", "frobnicate"},
		{"operator-add-not-permitted", &fake{deny: true}, "", "operator add bob"},
		{"status-joining", &fake{status: running()}, "", "status -n work"},
		{"not-permitted", &fake{deny: true}, "", "down"},
		{"not-permitted-json", &fake{deny: true}, "", "down --json"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := call(t, tt.fake.serve(t), tt.in, strings.Fields(tt.args)...)
			golden(t, tt.name, fmt.Sprintf("$ kith %s\nexit %d\n--- stdout\n%s--- stderr\n%s", tt.args, r.code, r.out, r.err))
		})
	}
}

// TestEveryErrorIsTold has a golden line an error code, so that a new one gets
// its advice.
func TestEveryErrorIsTold(t *testing.T) {
	codes := []ipc.Code{
		ipc.CodeInternal, ipc.CodeUsage, ipc.CodeUnreachable, ipc.CodeVersion, ipc.CodePermission, ipc.CodeNotMember,
		ipc.CodeNotAdmin, ipc.CodeNotFound, ipc.CodeAmbiguous, ipc.CodeExists, ipc.CodeNameTaken, ipc.CodeNameInvalid,
		ipc.CodeLinkMalformed, ipc.CodeLinkExpired, ipc.CodeLinkUsed, ipc.CodeLinkRevoked, ipc.CodeLinkForeign,
		ipc.CodeTimeout, ipc.CodeNotConnected, ipc.CodeNoTUN, ipc.CodeDiskFull, ipc.CodePhrase, ipc.CodeNotHeld,
		ipc.CodeLimit, ipc.CodeUpgrade, ipc.CodeBusy, ipc.CodePortTaken, ipc.CodeNoAddress, ipc.CodeRouteConflict, ipc.CodeUnresolved,
		ipc.CodeShareRevoked, ipc.CodeShareExpired, ipc.CodeNotShared, ipc.CodePassInvalid, ipc.CodePassExpired, ipc.CodeClock, ipc.CodeGuestDenied, ipc.CodePolicy, ipc.CodeLocksOut,
		ipc.CodeNearbyClosed, ipc.CodeRefused, ipc.CodeDigitsDiffer, ipc.CodeChanged,
	}
	var b strings.Builder
	for _, c := range codes {
		f := fake{err: fmt.Errorf("wrapped: %w", ipc.Errorf(c, "what happened"))}
		r := call(t, f.serve(t), "", "create", "home")
		if strings.Count(r.err, "\n") != 2 || r.out != "" {
			t.Errorf("%s: %q, %q", c, r.out, r.err)
		}
		fmt.Fprintf(&b, "== %s: exit %d\n%s", c, r.code, r.err)
	}
	golden(t, "errors", b.String())
	if len(codes) != len(advices)+1 {
		t.Errorf("%d codes and %d advices", len(codes), len(advices)+1)
	}
}

func TestNoHelper(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "k.sock")
	for _, args := range []string{"status", "status --json", "version", "version --json"} {
		r := call(t, socket, "", strings.Fields(args)...)
		golden(t, "no-helper-"+strings.ReplaceAll(args, " ", ""), fmt.Sprintf("$ kith %s\nexit %d\n--- stdout\n%s--- stderr\n%s", args, r.code, r.out, r.err))
	}
}

func TestInterrupted(t *testing.T) {
	f := fake{}
	socket := f.serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, msg bytes.Buffer
	code := run(ctx, []string{"--socket", socket, "status"}, env{in: strings.NewReader(""), out: &out, err: &msg, login: func() string { return "" }})
	if code != ipc.ExitFailed || !strings.Contains(msg.String(), "interrupted") {
		t.Errorf("exit %d, %q", code, msg.String())
	}
}

// TestHostileHelperText: nothing that a helper sends moves the cursor.
func TestHostileHelperText(t *testing.T) {
	f := fake{err: ipc.Errorf(ipc.CodeNotFound, "no \x1b]0;x\x07 \u009b device")}
	if r := call(t, f.serve(t), "", "device", "list"); strings.ContainsAny(r.err, "\x1b\x07\u009b") {
		t.Errorf("%q", r.err)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Fatalf("no golden file; run with -update")
	}
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
