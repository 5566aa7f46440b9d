package main

import (
	"bufio"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const smaps = `00400000-00a00000 r-xp 00000000 fe:01 12 /usr/sbin/kithd
Size:               6144 kB
Anonymous:             0 kB
00a00000-01000000 r--p 00600000 fe:01 12 /usr/sbin/kithd
Anonymous:             0 kB
01000000-01100000 r--p 00c00000 fe:01 12 /usr/sbin/kithd
Anonymous:             4 kB
01100000-01200000 rw-p 00d00000 fe:01 12 /usr/sbin/kithd
Anonymous:             0 kB
c000000000-c000400000 rw-p 00000000 00:00 0
Anonymous:             0 kB
7f0000000000-7f0000001000 r--p 00000000 fe:01 13 /usr/lib/libc.so
Anonymous:             0 kB
`

func TestCodeMappings(t *testing.T) {
	got := codeMappings(bufio.NewScanner(strings.NewReader(smaps)), "/usr/sbin/kithd")
	want := [][2]uintptr{{0x400000, 0xa00000}, {0xa00000, 0x1000000}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestDropCode(t *testing.T) {
	before := fileRSS(t)
	dropCode()
	after := fileRSS(t) // and the program still runs
	t.Logf("resident pages of files: %d, then %d", before, after)
	if after >= before {
		t.Errorf("%d pages of files are resident, %d before", after, before)
	}
}

// fileRSS is proc_pid_statm(5)'s third field.
func fileRSS(t *testing.T) (pages int) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range strings.Fields(string(b))[2] {
		pages = 10*pages + int(c-'0')
	}
	return pages
}

func TestCollections(t *testing.T) {
	c := collections()
	for range 3 {
		deadline := time.After(time.Minute)
		for told := false; !told; {
			var garbage [][]byte
			for range 64 {
				garbage = append(garbage, make([]byte, 1<<20))
			}
			select {
			case <-c:
				told = true
			case <-deadline:
				t.Fatal("not told of collections")
			default:
			}
			_ = garbage
		}
	}
}
