package desktop

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMappings(t *testing.T) {
	const smaps = `00400000-00500000 r-xp 00000000 fe:01 12                         /usr/bin/kith-app
Size:               1024 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00500000-00600000 r--p 00100000 fe:01 12                         /usr/bin/kith-app
Anonymous:             4 kB
00600000-00700000 rw-p 00200000 fe:01 12                         /usr/bin/kith-app
Anonymous:             0 kB
00700000-00800000 r--s 00000000 fe:01 13                         /usr/share/a b
Anonymous:             0 kB
00800000-00900000 r--p 00000000 00:00 0
Anonymous:             0 kB
00900000-00a00000 r--p 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
7f0000000000-7f0000001000 r--p 00000000 fe:01 14                 /usr/lib/a b.so
Anonymous:             0 kB
nonsense
Anonymous:             0 kB`
	var got [][2]uintptr
	var m mapping
	for _, l := range strings.Split(smaps, "\n") {
		if m.line(l); m.clean {
			got = append(got, [2]uintptr{m.start, m.end})
		}
	}
	want := [][2]uintptr{{0x400000, 0x500000}, {0x7f0000000000, 0x7f0000001000}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestGiveBackKeepsAll: whoever goes on after it finds all as it was.
func TestGiveBackKeepsAll(t *testing.T) {
	kept := strings.Repeat("kith", 1<<18)
	for range 3 {
		GiveBack()
	}
	if kept != strings.Repeat("kith", 1<<18) {
		t.Error("memory changed")
	}
}
