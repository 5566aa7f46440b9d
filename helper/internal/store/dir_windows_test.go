package store

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/windows"
)

func TestAccess(t *testing.T) {
	dir := newDir(t)
	openTest(t, dir)
	sd, err := windows.GetNamedSecurityInfo(dir, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
	must(t, err)
	if got := sd.String(); !strings.HasPrefix(got, "D:P") {
		t.Errorf("access list %s inherits", got)
	}
	other := newDir(t)
	must(t, os.Mkdir(other, 0o700)) // inherits the user's own entries
	if _, err := Open(other); !errors.Is(err, ErrUnsafe) {
		t.Errorf("error %v", err)
	}
}

func TestSecondOpener(t *testing.T) {
	s := openTest(t, newDir(t))
	if _, err := Open(s.dir); !errors.Is(err, ErrLocked) {
		t.Errorf("error %v", err)
	}
}
