package desktop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// HasDisplay is true: a Windows session has one.
func HasDisplay() bool { return true }

// HasTray is true: the shell has a notification area.
func HasTray() bool { return true }

// X11 is false.
func X11() bool { return false }

var (
	user32   = windows.NewLazySystemDLL("user32.dll")
	kernel32 = windows.NewLazySystemDLL("kernel32.dll")

	openClipboard    = user32.NewProc("OpenClipboard")
	closeClipboard   = user32.NewProc("CloseClipboard")
	emptyClipboard   = user32.NewProc("EmptyClipboard")
	setClipboardData = user32.NewProc("SetClipboardData")
	globalAlloc      = kernel32.NewProc("GlobalAlloc")
	globalLock       = kernel32.NewProc("GlobalLock")
	globalUnlock     = kernel32.NewProc("GlobalUnlock")
	globalFree       = kernel32.NewProc("GlobalFree")
	moveMemory       = kernel32.NewProc("RtlMoveMemory")
)

const (
	cfUnicodeText = 13
	gmemMoveable  = 2
)

// Clipboard sets the clipboard; Windows keeps the text itself.
type Clipboard struct{}

// Close has nothing to do.
func (*Clipboard) Close() {}

// Set puts a text on the clipboard.
func (*Clipboard) Set(text string) error {
	u, err := windows.UTF16FromString(text)
	if err != nil {
		return fmt.Errorf("copying: %w", err)
	}
	opened := uintptr(0)
	for range 10 { // another program may hold it for a moment
		if opened, _, _ = openClipboard.Call(0); opened != 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if opened == 0 {
		return ErrNoClipboard
	}
	defer closeClipboard.Call()
	emptyClipboard.Call()
	size := uintptr(len(u) * 2)
	mem, _, _ := globalAlloc.Call(gmemMoveable, size)
	if mem == 0 {
		return ErrNoClipboard
	}
	p, _, _ := globalLock.Call(mem)
	if p == 0 {
		globalFree.Call(mem)
		return ErrNoClipboard
	}
	moveMemory.Call(p, uintptr(unsafe.Pointer(&u[0])), size)
	globalUnlock.Call(mem)
	if ok, _, _ := setClipboardData.Call(cfUnicodeText, mem); ok == 0 {
		globalFree.Call(mem)
		return ErrNoClipboard
	}
	return nil
}

// Notifier shows notifications.
type Notifier struct{}

// toast reads title and body from the environment: nothing that came from
// others is ever a part of the script.
const toast = `[Windows.UI.Notifications.ToastNotificationManager, Windows.UI.Notifications, ContentType = WindowsRuntime] | Out-Null
$x = [Windows.UI.Notifications.ToastNotificationManager]::GetTemplateContent([Windows.UI.Notifications.ToastTemplateType]::ToastText02)
$t = $x.GetElementsByTagName('text')
$t.Item(0).AppendChild($x.CreateTextNode($env:KITH_TITLE)) | Out-Null
$t.Item(1).AppendChild($x.CreateTextNode($env:KITH_BODY)) | Out-Null
[Windows.UI.Notifications.ToastNotificationManager]::CreateToastNotifier('Kith').Show([Windows.UI.Notifications.ToastNotification]::new($x))`

// Notify shows one.
func (*Notifier) Notify(title, body string) error {
	dir, err := windows.GetSystemDirectory()
	if err != nil {
		return fmt.Errorf("notifying: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "WindowsPowerShell", "v1.0", "powershell.exe"), "-NoProfile", "-NonInteractive", "-Command", toast)
	cmd.Env = append(os.Environ(), "KITH_TITLE="+title, "KITH_BODY="+body)
	cmd.SysProcAttr = &syscall.SysProcAttr{HideWindow: true}
	return cmd.Run()
}

// StartService starts the helper through its own program; UAC asks the person.
func StartService(context.Context) error {
	return elevated(ServiceName+".exe", "start", ErrNoService)
}

// Allow makes this account an operator; UAC asks for an administrator.
func Allow(context.Context) error {
	u, err := user.Current() // its Uid is the SID
	if err != nil {
		return err
	}
	return elevated("kith.exe", "operator add "+u.Uid, ErrNoAsking)
}

// elevated runs a program that lies beside this one as an administrator.
func elevated(name, args string, missing error) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	path := filepath.Join(filepath.Dir(exe), name)
	if _, err := os.Stat(path); err != nil {
		return missing
	}
	verb, _ := windows.UTF16PtrFromString("runas")
	file, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return err
	}
	arg, err := windows.UTF16PtrFromString(args)
	if err != nil {
		return err
	}
	if err := windows.ShellExecute(0, verb, file, arg, nil, windows.SW_HIDE); errors.Is(err, windows.ERROR_CANCELLED) {
		return ErrDeclined
	} else if err != nil {
		return fmt.Errorf("asking for an administrator: %w", err)
	}
	return nil
}

// Locale is the language that the person chose, such as "de-DE".
func Locale() string {
	list, err := windows.GetUserPreferredUILanguages(windows.MUI_LANGUAGE_NAME)
	if err != nil || len(list) == 0 {
		return ""
	}
	return list[0]
}

// RegisterLinks makes this program the one that opens kith:// links of this
// account.
func RegisterLinks() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	const class = `Software\Classes\kith`
	for _, v := range []struct{ key, name, value string }{
		{class, "", "URL:Kith"}, {class, "URL Protocol", ""}, {class + `\shell\open\command`, "", `"` + exe + `" "%1"`},
	} {
		k, _, err := registry.CreateKey(registry.CURRENT_USER, v.key, registry.SET_VALUE)
		if err != nil {
			return fmt.Errorf("registering links: %w", err)
		}
		err = k.SetStringValue(v.name, v.value)
		k.Close()
		if err != nil {
			return fmt.Errorf("registering links: %w", err)
		}
	}
	return nil
}

const runKey = `Software\Microsoft\Windows\CurrentVersion\Run`

// Autostart tells whether the app starts at login.
func Autostart() bool {
	k, err := registry.OpenKey(registry.CURRENT_USER, runKey, registry.QUERY_VALUE)
	if err != nil {
		return false
	}
	defer k.Close()
	v, _, err := k.GetStringValue("Kith")
	return err == nil && strings.Contains(v, "--background")
}

// SetAutostart makes the app start at login, or no longer.
func SetAutostart(on bool) error {
	k, err := registry.OpenKey(registry.CURRENT_USER, runKey, registry.SET_VALUE)
	if err != nil {
		return err
	}
	defer k.Close()
	if !on {
		if err := k.DeleteValue("Kith"); !errors.Is(err, registry.ErrNotExist) {
			return err
		}
		return nil
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	return k.SetStringValue("Kith", `"`+exe+`" --background`)
}
