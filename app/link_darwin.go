package main

/*
#cgo CFLAGS: -x objective-c
#cgo LDFLAGS: -framework Cocoa
void kithTakeLinks(void);
*/
import "C"

// links gets what macOS sends; set before the event handler is.
var links func(string)

// takeLinks hears of the links that macOS opens: they come as Apple events and
// not as arguments.
func takeLinks(f func(string)) {
	links = f
	C.kithTakeLinks()
}

//export kithLink
func kithLink(s *C.char) {
	if links != nil {
		links(C.GoString(s))
	}
}
