//go:build gui

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"kith.internal/ipc"
)

func (b *bed) menuHas(label string) {
	b.t.Helper()
	b.until("the menu row "+label, func() bool { _, ok := findRow(b.host.menu(), label); return ok })
}

// menuLocks waits for a row that is there and cannot be clicked.
func (b *bed) menuLocks(label string) {
	b.t.Helper()
	b.until("the menu row "+label+", disabled", func() bool { r, ok := findRow(b.host.menu(), label); return ok && !r.enabled })
}

// TestFirstRunAndCreate starts with nothing: no helper, no network.
func TestFirstRunAndCreate(t *testing.T) {
	b := newBed(t, false)
	b.welcomed(false)
	b.host.appear(t)
	b.launch()
	b.menuHas("⚠ The background service isn't running.")
	b.see("The background service isn't running.")
	b.shot("1-absent")
	absent := b.host.icon()

	h := newHelper()
	h.start(t, b.sock)
	b.menuHas("○ No networks yet")
	b.see("Welcome to Kith")
	b.shot("2-empty")
	off := b.host.icon()
	if off.W != 44 || string(off.Data) == string(absent.Data) {
		t.Errorf("icons of %d and %d pixels do not differ", off.W, absent.W)
	}

	b.host.click(b, "Create…")
	b.see("Create a network")
	b.typing("Home Net")
	b.key("Return")
	b.see("A name has 1 to 63 letters")
	b.shot("3-badname")
	b.key("ctrl+a")
	b.typing("home")
	b.key("Return")
	b.see("Write these 24 words down")
	b.shot("4-phrase")
	b.click("I have written them down")
	b.click("Done")
	b.until("the phrase to go", func() bool { _, ok := b.find("Write these"); return !ok })
	b.see("Look for Kith in your tray")
	b.shot("4b-welcome")
	b.click("Start Kith at login")
	b.click("OK")
	b.until("the autostart file", func() bool {
		_, err := os.Stat(filepath.Join(filepath.Dir(b.run), "home", ".config", "autostart", "kith.desktop"))
		return err == nil
	})
	b.menuHas("laptop.home.internal")
	b.see("tablet wants to be called kitchen")
	b.shot("5-networks")

	b.click("Invite…")
	b.see("Invite to home")
	b.shot("6-invite")
	b.click("Make a link")
	b.see("kith://join/")
	b.shot("7-qr")
	if !h.wasCalled("invite 1 86400") {
		t.Errorf("calls: %v", h.calls)
	}
	b.click("Copy")
	b.until("the link on the clipboard", func() bool { return b.clipboard() == link })
}

// TestJoinAndDevices goes from a link to peers that are searched and copied.
func TestJoinAndDevices(t *testing.T) {
	for _, dark := range []bool{false, true} {
		t.Run(map[bool]string{false: "light", true: "dark"}[dark], func(t *testing.T) { joinAndDevices(t, dark) })
	}
}

func joinAndDevices(t *testing.T, dark bool) {
	b := newBed(t, dark)
	b.host.appear(t)
	h := newHelper()
	h.start(t, b.sock)
	b.launch("--background")
	b.menuHas("○ No networks yet")
	if code, errs := b.once(link); code != 0 { // a second launch hands its link over
		t.Fatalf("handing over: %d %s", code, errs)
	}
	b.see("amber  canyon  ribbon  walnut")
	b.shot("1-preview")
	if len(h.st.Joining) != 0 {
		t.Fatal("a link alone did something")
	}
	b.click("Join")
	b.see("nas answers, asking to be let in…")
	b.shot("2-joining")
	b.menuHas("○ Joining home…")
	close(h.joined)
	b.see("This device is in home now.")
	b.shot("3-joined")
	b.key("Escape")
	b.gone("This device is in home now.")
	b.menuHas("● Connected — 5 of 7 devices")

	b.key("ctrl+f")
	b.see("Relayed via vps · 48 ms")
	b.see("Last seen 3 h ago")
	b.shot("4-devices")
	b.typing("nas")
	b.see("1 device")
	b.key("Down")
	b.see("Both devices are on one local network.")
	b.shot("5-details")
	b.key("Return")
	b.until("the name on the clipboard", func() bool { return b.clipboard() == "nas.home.internal" })
	b.key("ctrl+shift+c")
	b.until("the address on the clipboard", func() bool { return b.clipboard() == "100.71.0.3" })
	b.key("ctrl+a")
	b.typing("nobody")
	b.see("No device matches “nobody”.")
	b.shot("6-nomatch")

	b.host.click(b, "laptop.home.internal")
	b.until("this device's name on the clipboard", func() bool { return b.clipboard() == "laptop.home.internal" })
	b.until("a word of it", func() bool { return b.host.noted("Copied laptop.home.internal") })

	b.host.click(b, "Disconnect")
	b.menuHas("○ Disconnected")
	b.see("Disconnected") // Connect is where Disconnect was
	b.click("Connect")
	b.menuHas("● Connected — 5 of 7 devices")
	b.click("Networks")
	b.see("Member · 4 of 6 other devices online")
	b.shot("7-networks")
	b.click("Diagnostics")
	b.see("agrees with 3 peers")
	b.shot("8-diagnostics")
	b.click("Settings")
	b.see("Start Kith at login")
	b.shot("9-settings")

	b.click("Devices")
	b.key("ctrl+a", "BackSpace")
	h.change(func(st *ipc.Status) {
		st.Health = []ipc.Health{{Code: ipc.HealthIPv4Conflict, Severity: ipc.SeverityWarning, Network: "home", Args: map[string]string{"with": "100.71.0.0/16 on eth0"}}}
	})
	b.see("The IPv4 addresses of home are also used by 100.71.0.0/16 on eth0.")
	b.shot("10-conflict")
	h.stop()
	b.see("The background service isn't running.")
	b.see("Devices show here once the background service runs.")
	b.menuHas("○ Service not running")
	b.shot("11-gone")
	h.start(t, b.sock)
	b.menuHas("● Connected — 5 of 7 devices")

	b.host.click(b, "Disconnect and quit")
	b.until("the app to end", func() bool { return len(b.host.menu()) == 0 })
	if !h.wasCalled("down ") {
		t.Error("it did not disconnect")
	}
}

// TestReadOnly is an account that may look only.
func TestReadOnly(t *testing.T) {
	b := newBed(t, false)
	b.host.appear(t)
	h := newHelper()
	h.may = nil
	n := home("laptop")
	n.Peers = peers()
	h.change(func(st *ipc.Status) { st.Networks = []ipc.Network{n} })
	h.start(t, b.sock)
	b.launch()
	b.see("Your account can view but not change the VPN.")
	b.menuHas("⚠ Your account can view but not change the VPN.")
	b.menuLocks("Join…")
	if _, ok := findRow(b.host.menu(), "Disconnect"); ok {
		t.Error("Disconnect can be clicked")
	}
	b.click("Allow me…")
	b.see("An administrator of this computer can allow it")
	b.shot("allow")
}

// TestNoTray is a desktop without tray icons: the window works alone, and its
// end is the app's. A panel that comes later finds the item.
func TestNoTray(t *testing.T) {
	b := newBed(t, false)
	h := newHelper()
	h.start(t, b.sock)
	cmd := b.launch()
	b.see("No networks yet")
	b.click("Settings")
	b.see("This desktop shows no tray icons.")
	b.shot("settings")
	if out, err := b.tool("wmctrl", "-c", "Kith"); err != nil {
		t.Fatal(err, out)
	}
	b.until("the app to end", func() bool { return !alive(cmd.Process.Pid) })

	b.launch("--background")
	b.host.appear(t)
	b.menuHas("○ No networks yet")
}

// alive tells whether a process runs and is no zombie.
func alive(pid int) bool {
	s, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(s), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// TestNoOpenGL is a session whose X server has no GLX.
func TestNoOpenGL(t *testing.T) {
	b := newBed(t, false, "-extension", "GLX")
	b.host.appear(t)
	h := newHelper()
	h.change(func(st *ipc.Status) { st.Networks = []ipc.Network{home("laptop")} })
	h.start(t, b.sock)
	cmd := b.launch()
	b.menuHas("● Connected — no other devices yet")
	b.menuHas("⚠ No window: this session lacks OpenGL (libgl1-mesa-dri)")
	b.until("a notification", func() bool { return b.host.noted("The window needs OpenGL") })
	b.host.click(b, "laptop.home.internal")
	b.until("the name on the clipboard", func() bool { return b.clipboard() == "laptop.home.internal" })
	if !alive(cmd.Process.Pid) {
		t.Error("the tray died")
	}
}

func TestNoDisplay(t *testing.T) {
	b := newBed(t, false)
	for i, e := range b.env {
		if strings.HasPrefix(e, "DISPLAY=") {
			b.env[i] = "DISPLAY="
		}
	}
	for _, args := range [][]string{nil, {"--window"}, {"--background"}, {link}} {
		code, errs := b.once(args...)
		if code != 1 || !strings.Contains(errs, "no display") || strings.Contains(errs, "panic") {
			t.Errorf("%q: %d %s", args, code, errs)
		}
	}
	if code, errs := b.once("kith://" + strings.Repeat("x", 100000)); code != 2 || !strings.Contains(errs, "usage") {
		t.Errorf("a link of 100 kB: %d %s", code, errs)
	}
}

// status reads a field of /proc/PID/status.
func status(t *testing.T, pid int, field string) int {
	t.Helper()
	s, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range strings.Split(string(s), "\n") {
		if v, ok := strings.CutPrefix(l, field+":"); ok {
			n, _ := strconv.Atoi(strings.Fields(v)[0])
			return n
		}
	}
	t.Fatalf("no %s", field)
	return 0
}

// wakes counts the context switches of all threads.
func wakes(t *testing.T, pid int) (n int) {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		s, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", pid, task.Name()))
		if err != nil {
			continue
		}
		for _, l := range strings.Split(string(s), "\n") {
			if v, ok := strings.CutPrefix(l, "voluntary_ctxt_switches:"); ok {
				k, _ := strconv.Atoi(strings.TrimSpace(v))
				n += k
			}
		}
	}
	return n
}

// trayBudget is what the tray process may hold, in kB.
const trayBudget = 30 << 10

// TestIdle holds the tray process to its budget.
func TestIdle(t *testing.T) {
	b := newBed(t, false)
	b.host.appear(t)
	h := newHelper()
	n := home("laptop")
	n.Peers = peers()
	h.change(func(st *ipc.Status) { st.Networks = []ipc.Network{n} })
	h.start(t, b.sock)
	cmd := b.launch("--background")
	b.menuHas("● Connected — 5 of 7 devices")
	const quiet = 20 * time.Second
	woke := 11
	for range 4 { // what the start left to do may take a busy machine long
		<-time.After(8 * time.Second)
		before := wakes(t, cmd.Process.Pid)
		<-time.After(quiet)
		if woke = wakes(t, cmd.Process.Pid) - before; woke <= 10 {
			break
		}
	}
	rss := status(t, cmd.Process.Pid, "VmRSS")
	t.Logf("tray process: VmRSS %d kB (anonymous %d kB), %d wake-ups in %v", rss, status(t, cmd.Process.Pid, "RssAnon"), woke, quiet)
	if rss > trayBudget {
		t.Errorf("VmRSS %d kB is over 30 MiB", rss)
	}
	if woke > 10 {
		t.Errorf("%d wake-ups in %v", woke, quiet)
	}

	start := time.Now()
	b.host.click(b, "Devices…")
	b.window()
	up := time.Since(start)
	b.see("Last seen 3 h ago")
	t.Logf("window up in %v", up)
}

// TestSecondLaunchRaises: a second launch brings the first one's window to the
// front, also from the panel, and there is one still.
func TestSecondLaunchRaises(t *testing.T) {
	b := newBed(t, false)
	b.host.appear(t)
	member(t, b)
	cmd := b.launch()
	b.see("Relayed via vps")
	b.focused()
	id, pid := b.window(), b.windowPid()
	if out, err := b.tool("xdotool", "windowminimize", id); err != nil {
		t.Fatal(err, out)
	}
	b.until("the window to be away", func() bool {
		out, _ := b.tool("xdotool", "search", "--onlyvisible", "--name", "^Kith$")
		return out == ""
	})
	if code, errs := b.once(); code != 0 {
		t.Fatal(code, errs)
	}
	b.focused()
	b.window()
	if again := b.windowPid(); again != pid || !alive(cmd.Process.Pid) {
		t.Errorf("the window's process was %d and is %d", pid, again)
	}
}
