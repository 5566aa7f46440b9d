package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/ipc"
)

func TestCreateWritesThePhraseToANewFileAlone(t *testing.T) {
	f := fake{}
	socket := f.serve(t)
	path := filepath.Join(t.TempDir(), "phrase")
	r := call(t, socket, "", "create", "home", "--phrase-file", path)
	if r.code != 0 || strings.Contains(r.out+r.err, "abandon") {
		t.Fatalf("%+v", r)
	}
	b, err := os.ReadFile(path)
	if err != nil || string(b) != phrase+"\n" {
		t.Errorf("%q, %v", b, err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	// A file that is there, or a link to one, is left alone and nothing is made.
	asked := len(f.asked())
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(t.TempDir(), "target"), link); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, link} {
		if r := call(t, socket, "", "create", "home", "--phrase-file", p); r.code != ipc.ExitUsage {
			t.Errorf("a file that exists: %+v", r)
		}
	}
	if len(f.asked()) != asked {
		t.Error("a network was made although its phrase has no place to go")
	}
	// Where the helper refuses, no empty file is left.
	f.err = ipc.Errorf(ipc.CodeNameTaken, "taken")
	other := filepath.Join(t.TempDir(), "phrase")
	if r := call(t, socket, "", "create", "home", "--phrase-file", other); r.code != ipc.ExitFailed {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(other); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}

func TestThePhraseIsShownToAPersonAlone(t *testing.T) {
	f := fake{}
	socket := f.serve(t)
	r := callWith(t, socket, env{in: strings.NewReader(""), errTTY: true}, "create", "home", "--json")
	if !strings.Contains(r.err, "abandon art") || strings.Contains(r.out, "abandon") {
		t.Errorf("on a terminal: %+v", r)
	}
	call(t, socket, "", "create", "home")
	want := []any{
		ipc.CreateRequest{Name: "home", ShowPhrase: true},
		ipc.CreateRequest{Name: "home", ShowPhrase: false},
	}
	if d := cmp.Diff(want, f.asked()); d != "" {
		t.Errorf("asked for (-want +got):\n%s", d)
	}
}

func TestRecoverShowIntoAFile(t *testing.T) {
	f := fake{}
	path := filepath.Join(t.TempDir(), "phrase")
	if r := call(t, f.serve(t), "", "recover", "--show", "--phrase-file", path); r.code != 0 || r.out != "" {
		t.Errorf("%+v", r)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != phrase+"\n" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestRecoverAsksOnATerminal(t *testing.T) {
	f := fake{}
	socket := f.serve(t)
	e := env{
		in: strings.NewReader(""), inTTY: true, errTTY: true,
		secret: func(context.Context) (string, error) { return "  " + strings.ToUpper(phrase) + " ", nil },
	}
	if r := callWith(t, socket, e, "recover"); r.code != 0 || strings.Contains(r.err+r.out, "abandon") {
		t.Errorf("%+v", r)
	}
	if d := cmp.Diff([]any{ipc.RecoverRequest{Phrase: phrase, Cut: []string{}}}, f.asked()); d != "" {
		t.Errorf("asked for (-want +got):\n%s", d)
	}
	e.secret = func(context.Context) (string, error) { return "", io.ErrUnexpectedEOF }
	if r := callWith(t, socket, e, "recover"); r.code != ipc.ExitUsage {
		t.Errorf("a terminal that fails: %+v", r)
	}
}

func TestConfirm(t *testing.T) {
	tests := []struct {
		typed string
		tty   bool
		code  int
		done  bool
	}{
		{"y\n", true, 0, true},
		{"YES\n", true, 0, true},
		{"\n", true, ipc.ExitFailed, false},
		{"", true, ipc.ExitFailed, false},
		{"no\n", true, ipc.ExitFailed, false},
		{"y\n", false, ipc.ExitUsage, false}, // not a person's word
	}
	for _, tt := range tests {
		f := fake{}
		r := callWith(t, f.serve(t), env{in: strings.NewReader(tt.typed), inTTY: tt.tty, errTTY: tt.tty}, "device", "revoke", "nas")
		if r.code != tt.code || len(f.asked()) > 0 != tt.done {
			t.Errorf("%q: exit %d, asked %v", tt.typed, r.code, f.asked())
		}
	}
}

// TestApprove: what is granted is what was shown, after a question on a terminal.
func TestApprove(t *testing.T) {
	shown := []ipc.Request{{Kind: "rename", Value: "storage"}, {Kind: "exit"}}
	for _, tt := range []struct {
		name, args, typed string
		tty               bool
		code              int
		want              []ipc.Request // nil: nothing
	}{
		{"yes", "nas", "y\n", true, 0, shown},
		{"no", "nas", "n\n", true, ipc.ExitFailed, nil},
		{"not asked", "nas --yes", "", true, 0, shown},
		{"a script", "nas.home.internal", "", false, 0, shown},
		{"by address", "fd12:3456:789a::2", "", false, 0, shown},
		{"by key", "bbbbbb", "", false, 0, shown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := fake{}
			args := append([]string{"device", "approve"}, strings.Fields(tt.args)...)
			r := callWith(t, f.serve(t), env{in: strings.NewReader(tt.typed), inTTY: tt.tty, errTTY: tt.tty}, args...)
			var got []ipc.Request
			for _, q := range f.asked() {
				if q, ok := q.(ipc.DeviceRequest); ok {
					got = q.Asks
				}
			}
			if diff := cmp.Diff(tt.want, got); r.code != tt.code || diff != "" {
				t.Errorf("exit %d, %s", r.code, diff)
			}
			if named := strings.Contains(r.err, "nas what it asks for: rename storage; exit?"); named != (tt.typed != "") {
				t.Errorf("asked %q", r.err)
			}
		})
	}
}

func TestRequests(t *testing.T) {
	tests := []struct {
		args, in string
		want     any
	}{
		{"invite", "", ipc.InviteRequest{Uses: 1, Expires: 86400, Tags: []string{}}},
		{"invite --uses 3 --expires 1d12h --tag a -n home", "", ipc.InviteRequest{Network: "home", Uses: 3, Expires: 129600, Tags: []string{"a"}}},
		{"invite --uses unlimited --expires 1500ms", "", ipc.InviteRequest{Expires: 2, Tags: []string{}}},
		{"join - --device box", "  kith://join/AAAA  \nmore", ipc.JoinRequest{Link: "kith://join/AAAA", Device: "box", Wait: 30}},
		{"join kith://join/B --wait 2m", "", ipc.JoinRequest{Link: "kith://join/B", Wait: 120}},
		{"create home --device box", "", ipc.CreateRequest{Name: "home", Device: "box"}},
		{"ping nas", "", ipc.PingRequest{Host: "nas"}},
		{"ping nas -c 9 --until-direct --network home", "", ipc.PingRequest{Network: "home", Host: "nas", Count: 9, UntilDirect: true}},
		{"device rename storage", "", ipc.DeviceRequest{Name: "storage"}},
		{"device rename nas storage", "", ipc.DeviceRequest{Device: "nas", Name: "storage"}},
		{"device role nas owner -n home", phrase, ipc.RoleRequest{Network: "home", Device: "nas", Role: ipc.RoleOwner, Phrase: phrase}},
		{"device role nas member --phrase", phrase, ipc.RoleRequest{Device: "nas", Role: ipc.RolePlain, Phrase: phrase}},
		{"device tag nas -nas -b -network", "", ipc.TagRequest{Device: "nas", Add: []string{}, Remove: []string{"nas", "b", "network"}}},
		{"--network home device tag nas -b +tag", "", ipc.TagRequest{Network: "home", Device: "nas", Add: []string{"tag"}, Remove: []string{"b"}}},
		{"device tag -n home nas +a -b +c", "", ipc.TagRequest{Network: "home", Device: "nas", Add: []string{"a", "c"}, Remove: []string{"b"}}},
		{"recover --cut a --cut b --yes", strings.ReplaceAll(phrase, " ", "\n"), ipc.RecoverRequest{Phrase: phrase, Cut: []string{"a", "b"}}},
		{"recover --show -n home", "", ipc.RecoverRequest{Network: "home", Show: true, Cut: []string{}}},
	}
	for _, tt := range tests {
		f := fake{}
		r := call(t, f.serve(t), tt.in, strings.Fields(tt.args)...)
		if d := cmp.Diff([]any{tt.want}, f.asked()); d != "" {
			t.Errorf("kith %s: %s(-want +got):\n%s", tt.args, r.err, d)
		}
	}
}

func TestDuration(t *testing.T) {
	tests := []struct {
		in   string
		want time.Duration // 0: refused
	}{
		{"24h", 24 * time.Hour}, {"7d", 168 * time.Hour}, {"1d12h30m", 36*time.Hour + 30*time.Minute}, {"90s", 90 * time.Second},
		{"", 0}, {"0", 0}, {"0d", 0}, {"-1h", 0}, {"-1d", 0}, {"1d-1h", 0}, {"5", 0}, {"1w", 0}, {"d", 0}, {"99999d", 0}, {"36500d9999999h", 0}, {"1h1d", 0},
	}
	for _, tt := range tests {
		var d duration
		err := d.UnmarshalText([]byte(tt.in))
		if time.Duration(d) != tt.want || (err == nil) != (tt.want > 0) {
			t.Errorf("%q: %v, %v", tt.in, time.Duration(d), err)
		}
	}
}

// TestBashCompletion has a real bash complete some lines.
func TestBashCompletion(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash")
	}
	f := fake{}
	script := call(t, f.serve(t), "", "completion", "bash").out
	tests := []struct{ line, want string }{
		{"kith de", "device"},
		{"kith device re", "rename revoke readmit renew"},
		{"kith --json device revoke --y", "--yes"},
		{"kith completion z", "zsh"},
		{"kith ping nas --until", "--until-direct"},
	}
	for _, tt := range tests {
		words := strings.Fields(tt.line)
		run := script + "\nCOMP_WORDS=(" + tt.line + "); COMP_CWORD=$1; _kith; echo ${COMPREPLY[*]}"
		out, err := exec.Command(bash, "--norc", "-c", run, "bash", string(rune('0'+len(words)-1))).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v", tt.line, got, err)
		}
	}
}
