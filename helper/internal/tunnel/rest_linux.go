package tunnel

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// forget gives the memory of buffers, whose content nobody needs, back to the
// system: the whole pages in them.
func forget(bufs [][]byte) {
	page := uintptr(unix.Getpagesize())
	for _, b := range bufs {
		at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
		from := (at + page - 1) &^ (page - 1)
		if to := (at + uintptr(len(b))) &^ (page - 1); to > from {
			unix.Madvise(b[from-at:to-at], unix.MADV_DONTNEED)
		}
	}
}
