//go:build docker

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/ipc"
)

// startDocker is Docker's own daemon in a namespace, with a container that serves
// the web on a published port. Its image is one static program. ip netns exec
// hides the control groups; the mounts of this process show them.
const startDocker = `dir=$(mktemp -d /tmp/kith-docker-XXXXXX)
	export DOCKER_HOST=unix://$dir/sock
	nsenter --mount=/proc/%[2]d/ns/mnt unshare --mount dockerd --data-root $dir/data --exec-root $dir/exec \
		--pidfile $dir/pid --host $DOCKER_HOST --storage-driver vfs >$dir/log 2>&1 &
	trap "docker rm --force web >/dev/null 2>&1; kill $!; wait $!; rm -rf $dir" EXIT
	for i in $(seq 240); do ! docker version >/dev/null 2>&1 || break; sleep 0.25; done
	tar -c -C %[1]s web | docker import - web >/dev/null
	docker run --detach --name web --publish 8080:80 web /web serve >/dev/null || cat $dir/log >&2
	echo $DOCKER_HOST >%[3]s`

// TestNetnsExitDocker: an exit node passes on beside Docker's daemon, whose
// container is reached from outside and reaches the internet all the while, and
// whose rules are as before in the end. KITH_DOCKER is where "make e2e" has
// unpacked Docker.
func TestNetnsExitDocker(t *testing.T) {
	root := os.Getenv("KITH_DOCKER")
	if root == "" {
		t.Fatal("KITH_DOCKER names no directory: run installer/linux/docker.sh")
	}
	t.Setenv("PATH", strings.Join([]string{root + "/usr/sbin", root + "/usr/bin", os.Getenv("PATH")}, ":"))
	w := newExitWorld(t)
	c, e := w.c, w.e1
	w.useE1()
	e.term()

	must(t, build("web", "./testdata/web"))
	web, told := filepath.Join(tmp, "web"), filepath.Join(t.TempDir(), "socket")
	end := w.firewall(fmt.Sprintf(startDocker, tmp, os.Getpid(), told))
	defer end()
	docker := func(args ...string) string {
		t.Helper()
		socket, err := os.ReadFile(told)
		must(t, err)
		a := e.exec("", append([]string{"docker", "--host", strings.TrimSpace(string(socket))}, args...)...)
		if a.code != 0 {
			t.Fatalf("docker %s: %v", args, a)
		}
		return a.out
	}
	var at netip.Addr
	for a, name := range w.exits {
		if name == "e1" && a.Is4() {
			at = a
		}
	}
	works := func(when string) {
		t.Helper()
		until(t, when+": the container is reached from outside", patience, func() bool {
			return w.e2.exec("", web, "get", "http://"+at.String()+":8080/").out == "docker"
		})
		if got := docker("exec", "web", "/web", "get", "http://"+w.web[0].String()+"/"); got != at.String() {
			t.Errorf("%s: from the container the web server sees %q, want %s", when, got, at)
		}
	}
	works("without us")
	// A container's interface is another each time that it starts.
	rules := func() []string {
		return slices.DeleteFunc(strings.Split(e.rules(), "\n"), func(l string) bool { return strings.Contains(l, ".veth") })
	}
	same := func(want []string, when string) {
		t.Helper()
		if d := cmp.Diff(want, rules()); d != "" {
			t.Errorf("%s: the host's rules are not as before (-before +after):\n%s", when, d)
		}
	}
	before := rules()
	if !slices.ContainsFunc(before, func(l string) bool { return strings.Contains(l, "DOCKER") }) {
		t.Fatalf("Docker has made no rules: %q", before)
	}

	e.start()
	w.leavesBy("e1", patience)
	works("an exit node")
	if st := e.network().Exit; st.NAT != "kernel" {
		t.Errorf("passed on by %q", st.NAT)
	}
	if got := c.getent("web.test"); !strings.Contains(got, w.web[0].String()) {
		t.Errorf("web.test is %q", got)
	}
	docker("stop", "--time", "0", "web")
	docker("start", "web")
	works("started again")
	w.leavesBy("e1", patience)
	docker("network", "create", "other") // more rules, and an interface
	w.leavesBy("e1", patience)
	docker("network", "rm", "other")
	if e.health(ipc.HealthNotPassing) {
		t.Error("it warns that nothing passes")
	}
	e.term()
	same(before, "stopped")
	works("stopped")
	e.start()
	w.leavesBy("e1", patience)
	e.kill()
	if a := e.exec("", e.kithd, "cleanup", "--state-dir", e.state()); a.code != 0 {
		t.Errorf("cleanup: %v", a)
	}
	same(before, "killed, and cleaned up after")
}
