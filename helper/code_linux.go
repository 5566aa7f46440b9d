package main

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// dropCode unmaps the program's pages that were needed once: the system maps
// those that are used again from its cache. It touches read-only mappings of
// the program file alone, and none that holds a page of its own.
func dropCode() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	for _, m := range codeMappings(bufio.NewScanner(f), exe) {
		unix.Syscall(unix.SYS_MADVISE, m[0], m[1]-m[0], unix.MADV_DONTNEED)
	}
}

// codeMappings finds in smaps (proc_pid_smaps(5)) the address ranges of file
// that nobody has written to.
func codeMappings(s *bufio.Scanner, file string) (out [][2]uintptr) {
	var at [2]uintptr
	ours := false
	for s.Scan() {
		f := strings.Fields(s.Text())
		switch {
		case len(f) >= 6 && !strings.HasSuffix(f[0], ":"):
			from, to, _ := strings.Cut(f[0], "-")
			a, err1 := strconv.ParseUint(from, 16, 64)
			b, err2 := strconv.ParseUint(to, 16, 64)
			at = [2]uintptr{uintptr(a), uintptr(b)}
			ours = err1 == nil && err2 == nil && f[1][0] == 'r' && f[1][1] == '-' && f[1][3] == 'p' && strings.Join(f[5:], " ") == file
		case len(f) >= 2 && f[0] == "Anonymous:":
			if ours && f[1] == "0" {
				out = append(out, at)
			}
			ours = false
		case len(f) >= 6:
			ours = false
		}
	}
	return out
}
