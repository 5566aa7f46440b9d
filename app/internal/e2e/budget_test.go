//go:build gui

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"kith.internal/ipc"
)

// overBare is what the window may hold beyond a bare Fyne window, in kB.
const overBare = 30 << 10

// TestWindowBudget measures the window after as many events as an hour brings
// (one a second), beside a bare Fyne window in the same run.
func TestWindowBudget(t *testing.T) {
	b := newBed(t, false)
	b.host.appear(t)
	bare := filepath.Join(t.TempDir(), "bare")
	build := exec.Command("go", "build", "-tags", "gui,gles,no_emoji", "-o", bare, "kith.internal/app/internal/e2e/bare")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	h := member(t, b)
	start := time.Now()
	b.launch()
	b.window()
	up := time.Since(start)
	b.see("Relayed via vps")
	win := b.windowPid()
	for i := range 3600 {
		h.net(func(n *ipc.Network) {
			p := &n.Peers[i%len(n.Peers)]
			p.LatencyMS, p.RxBytes = ptr(float64(10+i%40)), ptr(uint64(i)<<10)
		})
		<-time.After(2 * time.Millisecond)
	}
	for _, page := range []string{"Networks", "Sharing", "Exit nodes", "Diagnostics", "Settings", "Devices"} {
		b.click(page)
	}
	cmd := b.spawn(bare)
	b.until("the bare window", func() bool {
		out, err := b.tool("xdotool", "search", "--onlyvisible", "--name", "^Bare$")
		return err == nil && out != ""
	})
	<-time.After(3 * time.Second)
	base := status(t, cmd.Process.Pid, "VmRSS")
	rss := status(t, win, "VmRSS")
	for end := time.Now().Add(patience); rss-base > overBare && time.Now().Before(end); { // garbage goes in its own time
		<-time.After(time.Second)
		rss = min(rss, status(t, win, "VmRSS"))
	}
	t.Logf("window up in %v from launch; VmRSS %d kB after 3,600 events, a bare Fyne window %d kB: %d kB more", up, rss, base, rss-base)
	if rss-base > overBare {
		t.Errorf("%d kB over a bare window", rss-base)
	}
}
