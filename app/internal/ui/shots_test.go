package ui

import (
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/theme"

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// shots is where TestScreenshots writes its pictures; "" for nowhere.
var shots = flag.String("screenshots", "", "write a picture of each page to that folder")

// variant is the theme in one of its two variants.
type variant struct {
	fyne.Theme
	fyne.ThemeVariant
}

var localNets = []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("192.168.1.0/24")}

func addr(s string) *netip.Addr { return ptr(netip.MustParseAddr(s)) }

// sample is a network with something on every page.
func sample() ipc.Status {
	n := ipc.Network{
		Name: "home", Alias: "home", ID: "id-home", Active: true,
		Self: ipc.Self{Name: "laptop", FQDN: "laptop.home.internal", Role: ipc.RoleOwner, Key: "key-laptop", IPv4: addr("100.71.0.2"), IPv6: addr("fd12:3456:789a:1::2")},
		Exit: ipc.Exit{Using: ptr("vps"), State: ipc.ExitOn, Recent: []string{"vps", "nas"}, LANAllowed: true, AllowLAN: localNets, Local: localNets},
	}
	n.Peers = []ipc.Peer{
		{Name: "nas", Online: true, Active: true, Path: ipc.PathLAN, LatencyMS: ptr(0.8), OS: ptr("Debian 12"), Tags: []string{"server"}, Role: ipc.RoleAdmin, Exit: true,
			Endpoint: ptr(netip.MustParseAddrPort("192.168.1.20:41641")), RxBytes: ptr(uint64(1234567)), TxBytes: ptr(uint64(98765)), LastHandshake: ptr(t0.Add(-70 * time.Second))},
		{Name: "phone", Path: ipc.PathNone, LastSeen: ptr(t0.Add(-3 * time.Hour)), OS: ptr("Android"), Role: ipc.RolePlain},
		{Name: "vps", Online: true, Active: true, Path: ipc.PathDirect, LatencyMS: ptr(12.3), OS: ptr("Ubuntu 24.04"), Tags: []string{"relay", "server"}, Role: ipc.RoleSponsor, Relay: true, Exit: true},
		{Name: "office-desktop", Online: true, Active: true, Path: ipc.PathRelayed, Via: ptr("vps"), Why: ptr(ipc.WhyHardBoth), LatencyMS: ptr(48.2), OS: ptr("Windows 11"), Role: ipc.RolePlain},
		{Name: "tablet", Online: true, Path: ipc.PathForwarded, Via: ptr("nas"), LatencyMS: ptr(9.0), OS: ptr("Android"), Role: ipc.RolePlain},
		{Name: "cabin", Path: ipc.PathNone, LastSeen: ptr(t0.Add(-50 * time.Hour)), OS: ptr("Debian 12"), Role: ipc.RolePlain, Exit: true},
	}
	for i := range n.Peers {
		p := &n.Peers[i]
		p.FQDN, p.Key = p.Name+".home.internal", fmt.Sprintf("%052x", i+1)
		p.IPv4, p.IPv6 = addr(fmt.Sprintf("100.71.0.%d", i+3)), addr(fmt.Sprintf("fd12:3456:789a:1::%x", i+3))
	}
	n.Routes = []ipc.Route{
		{Prefix: netip.MustParsePrefix("10.20.0.0/16"), Device: "office-desktop", Approved: true, Accepted: true, Active: true},
		{Prefix: netip.MustParsePrefix("192.168.7.0/24"), Device: "cabin"},
	}
	n.Shares = []ipc.Share{
		{ID: "s1", Name: "nas", Network: "home", Direction: "out", State: ipc.ShareActive, Ports: []string{"445/tcp"}, Label: "Ben", Expires: ptr(t0.Add(20 * 24 * time.Hour)),
			Devices: []ipc.SharedDevice{{Name: "nas"}}, Guests: []ipc.Guest{{Label: "bens-laptop", IPv6: ptr(netip.MustParseAddr("fd00::b")), Online: true}, {Label: "bens-phone", LastSeen: ptr(t0.Add(-5 * time.Hour))}}},
		{ID: "s2", Name: "vps", Network: "home", Direction: "out", State: ipc.SharePending, Ports: []string{"80/tcp", "443/tcp"}, AcceptBy: ptr(t0.Add(22 * time.Hour)),
			Devices: []ipc.SharedDevice{{Name: "vps"}}},
		{ID: "s3", Name: "media", FQDN: "media.oak.internal", Network: "oak", Direction: "in", State: ipc.ShareActive, Ports: []string{"8096/tcp"}, Label: "Chris",
			Devices: []ipc.SharedDevice{{Name: "media", FQDN: "media.oak.internal", Online: true, Path: ipc.PathDirect, LatencyMS: ptr(21.0), IPv4: addr("100.71.0.200")}}},
	}
	return ipc.Status{Schema: 1, Version: "1.4", State: ipc.StateRunning, May: []ipc.Right{ipc.RightOperate, ipc.RightMachine}, Networks: []ipc.Network{n}}
}

// scene brings one picture about.
type scene struct {
	name string
	show func(*bench)
}

// scenes are all pages, and what is opened from them.
var scenes = []scene{
	{"welcome", func(b *bench) {
		b.take(ipc.Status{Schema: 1, Version: "1.4", State: ipc.StateRunning, May: []ipc.Right{ipc.RightOperate}})
	}},
	{"devices", func(b *bench) {
		for _, ms := range []float64{60, 58, 49, 51, 47, 80, 52, 48, 47, 48.2} {
			st := sample()
			st.Networks[0].Peers[3].LatencyMS = ptr(ms)
			b.take(st)
			b.devices().selected = "id-home/" + st.Networks[0].Peers[3].Key
			b.take(st)
		}
	}},
	{"networks", func(b *bench) {
		st := sample()
		st.Nearby = ipc.Nearby{
			Open:   []ipc.NearbyOpen{{Network: "home", Until: t0.Add(8 * time.Minute), Left: 3}},
			Asking: []ipc.NearbyAsking{{ID: "a", Network: "home", Name: "new-phone", OS: "Android", Digits: "417302"}},
		}
		b.fake.list.Devices = []ipc.Device{{Name: "cabin", Key: "k", Asks: []ipc.Request{{Kind: "route", Value: "192.168.7.0/24"}}}}
		b.take(st)
		b.Open("networks")
	}},
	{"sharing", func(b *bench) { b.take(sample()); b.Open("sharing") }},
	{"exits", func(b *bench) { b.take(sample()); b.Open("exits") }},
	{"exit-blocked", func(b *bench) {
		st := sample()
		die(&st, 2)
		b.take(st)
		b.Open("exits")
	}},
	{"diagnostics", func(b *bench) { b.take(sample()); b.Open("diagnostics") }},
	{"settings", func(b *bench) { b.take(sample()); b.Open("settings") }},
	{"settings-device", func(b *bench) { b.take(sample()); b.openSettings("device") }},
	{"settings-routes", func(b *bench) { b.take(sample()); b.openSettings("routes") }},
	{"settings-names", func(b *bench) { b.take(sample()); b.openSettings("names") }},
	{"settings-rules", func(b *bench) {
		b.take(sample())
		b.openSettings("rules")
		b.fake.policy = ipc.PolicyAnswer{Gains: []ipc.PolicyChange{{From: "phone", To: "nas", Ports: []string{"445/tcp"}}}, Loses: []ipc.PolicyChange{{From: "tablet", To: "nas", Ports: []string{"22/tcp"}}}}
		b.click("Check")
	}},
	{"settings-users", func(b *bench) { b.take(sample()); b.openSettings("users") }},
	{"join", func(b *bench) {
		b.take(sample())
		b.fake.preview = ipc.Preview{Kind: "join", Network: "work", ID: "id-work", Sponsor: "reception", Fingerprint: []string{"amber", "canyon", "ribbon", "walnut"}, Expires: t0.Add(23 * time.Hour)}
		b.ShowLink("kith://join/abc")
	}},
	{"accept", func(b *bench) {
		b.take(sample())
		b.fake.preview = ipc.Preview{Kind: "share", Network: "oak", Sponsor: "chris-nas", Fingerprint: []string{"amber", "canyon", "ribbon", "walnut"}, Expires: t0.Add(23 * time.Hour), Reach: []string{"media"}, Ports: []string{"8096/tcp"}, Confirm: true, Ends: ptr(t0.Add(30 * 24 * time.Hour))}
		b.ShowLink("kith://share/abc")
	}},
	{"share", func(b *bench) { b.take(sample()); b.Open("share") }},
	{"invite", func(b *bench) { b.take(sample()); b.Open("networks"); b.click("Invite…"); b.click("Make a link") }},
	{"report", func(b *bench) { b.take(sample()); b.Open("diagnostics"); b.click("Report…") }},
	{"reach", func(b *bench) { b.take(sample()); b.showReach(b.devices().rows[1]) }},
}

// TestScreenshots draws each scene, light and dark, in full.
func TestScreenshots(t *testing.T) {
	for _, sc := range scenes {
		for name, v := range map[string]fyne.ThemeVariant{"light": theme.VariantLight, "dark": theme.VariantDark} {
			t.Run(sc.name+"-"+name, func(t *testing.T) {
				b := newBench(t)
				fyne.CurrentApp().Settings().SetTheme(variant{Theme(), v})
				sc.show(b)
				img := b.capture()
				colours(t, img)
				if *shots != "" {
					save(t, filepath.Join(*shots, sc.name+"-"+name+".png"), img)
				}
			})
		}
	}
}

// capture draws the window after a layout, which the test driver leaves out.
func (b *bench) capture() image.Image {
	size := b.win.Canvas().Size()
	b.win.Resize(size.AddWidthHeight(1, 1))
	b.win.Resize(size)
	return b.win.Canvas().Capture()
}

func (v variant) Color(n fyne.ThemeColorName, _ fyne.ThemeVariant) color.Color {
	return v.Theme.Color(n, v.ThemeVariant)
}

// colours checks that a picture shows something.
func colours(t *testing.T, img image.Image) {
	t.Helper()
	seen := map[[3]uint32]bool{}
	for y := 0; y < img.Bounds().Dy(); y += 7 {
		for x := 0; x < img.Bounds().Dx(); x += 7 {
			r, g, b, _ := img.At(x, y).RGBA()
			seen[[3]uint32{r, g, b}] = true
		}
	}
	if len(seen) < 5 {
		t.Errorf("%d colours alone", len(seen))
	}
}

func save(t *testing.T, file string, img image.Image) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	enc := png.Encoder{CompressionLevel: png.BestCompression}
	if err := enc.Encode(f, img); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if fi, err := os.Stat(file); err != nil || fi.Size() > 200<<10 {
		t.Errorf("%s: %v %v", file, fi.Size(), err)
	}
}

// TestEverywhereAtEverySize draws each scene with words a third longer, at
// three scales: nothing may panic or lose its text.
func TestEverywhereAtEverySize(t *testing.T) {
	for _, scale := range []float32{1, 1.25, 2} {
		b := newBenchIn(t, text.Pseudo())
		b.take(sample())
		if c, ok := b.win.Canvas().(test.WindowlessCanvas); ok {
			c.SetScale(scale)
		}
		for _, p := range pageNames {
			b.Open(p)
			b.Set(model.New("1.4").Take(sample()).View(t0))
			colours(t, b.capture())
		}
	}
}
