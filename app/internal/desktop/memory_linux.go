package desktop

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// GiveBack returns memory that is not in use to the system: what garbage held,
// and the pages of programs and libraries that were read once, at the start.
// Those come back from the page cache where they are wanted again.
func GiveBack() {
	debug.FreeOSMemory()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	var m mapping
	for in := bufio.NewScanner(f); in.Scan(); {
		m.line(in.Text())
		if m.clean {
			// A hint: a kernel that refuses keeps the pages.
			unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED)
			m.clean = false
		}
	}
}

// mapping is the part of smaps that is being read.
type mapping struct {
	start, end uintptr
	file       bool // of a file, and not to be written
	clean      bool // it is all as in the file: no page was ever changed
}

// line reads the next line of smaps (proc(5)).
func (m *mapping) line(s string) {
	if key, value, ok := strings.Cut(s, ":"); ok && !strings.Contains(key, " ") {
		// Pages of a file that were changed once, such as relocations, are
		// anonymous; to drop those would undo the change.
		m.clean = key == "Anonymous" && m.file && strings.TrimSpace(value) == "0 kB"
		return
	}
	*m = mapping{}
	var perms, offset, dev, inode, path string
	if n, _ := fmt.Sscanf(s, "%x-%x %s %s %s %s %s", &m.start, &m.end, &perms, &offset, &dev, &inode, &path); n == 7 {
		m.file = strings.HasPrefix(path, "/") && !strings.Contains(perms, "w") && strings.HasSuffix(perms, "p")
	}
}
