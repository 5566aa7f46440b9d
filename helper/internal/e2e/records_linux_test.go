package e2e

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	mdns "github.com/miekg/dns"

	"kith.internal/helper/internal/netnstest"
)

// nameServer is a resolver that knows some A records, and what it was asked.
type nameServer struct {
	mu    sync.Mutex
	asked []string
}

// serveNames runs one on a host.
func serveNames(t *testing.T, h *netnstest.Host, at netip.AddrPort, known map[string]string) *nameServer {
	t.Helper()
	s := &nameServer{}
	var pc net.PacketConn
	var err error
	h.Do(func() { pc, err = net.ListenPacket("udp", at.String()) })
	must(t, err)
	srv := &mdns.Server{PacketConn: pc, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		name := strings.ToLower(q.Question[0].Name)
		s.mu.Lock()
		s.asked = append(s.asked, name)
		s.mu.Unlock()
		r := new(mdns.Msg).SetReply(q)
		if addr := known[name]; addr == "" {
			r.Rcode = mdns.RcodeNameError
		} else if q.Question[0].Qtype == mdns.TypeA {
			r.Answer = []mdns.RR{&mdns.A{Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeA, Class: mdns.ClassINET, Ttl: 60}, A: net.ParseIP(addr)}}
		}
		w.WriteMsg(r)
	})}
	ready := make(chan struct{})
	srv.NotifyStartedFunc = func() { close(ready) }
	done := make(chan error, 1)
	go func() { done <- srv.ActivateAndServe() }()
	<-ready
	t.Cleanup(func() { srv.Shutdown(); <-done })
	return s
}

func (s *nameServer) forget() {
	s.mu.Lock()
	s.asked = nil
	s.mu.Unlock()
}

func (s *nameServer) heard(suffix string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.asked, func(n string) bool { return strings.HasSuffix(n, suffix) })
}

// TestNetnsRecords: a name in a public domain is a device's by a record, the rest
// of that domain and all others resolve as ever, and a domain of a company's goes
// to its resolver behind the mesh alone.
func TestNetnsRecords(t *testing.T) {
	w := newBed(t)
	laptop, nas := w.start("laptop"), w.node("nas")
	public := w.Host("public")
	public.Attach(w.lan, prefix("192.168.77.100/24"))
	internet := serveNames(t, public, netip.MustParseAddrPort("192.168.77.100:53"), map[string]string{
		"www.example.com.": "203.0.113.1", "wiki.example.com.": "203.0.113.2",
	})
	resolvConf := "nameserver 192.168.77.100\n"
	must(t, os.WriteFile(nas.resolv(), []byte(resolvConf), 0o644))
	nas.start()
	laptop.create("home")
	nas.join(laptop)
	self := *laptop.network().Self.IPv4
	company := serveNames(t, laptop.host, netip.AddrPortFrom(self, 5353), map[string]string{"db.corp.example.": "10.9.9.9"})

	laptop.kith("dns", "records", "add", "wiki.example.com", "laptop")
	laptop.kith("dns", "records", "add", "corp.example", "NS", netip.AddrPortFrom(self, 5353).String())
	until(t, "nas has the records", patience, func() bool { return nas.getent("wiki.example.com") == self.String() })
	internet.forget()
	for name, want := range map[string]string{"www.example.com": "203.0.113.1", "db.corp.example": "10.9.9.9", "none.example.com": "", "wiki.example.com": self.String(), "laptop": self.String()} {
		if got := nas.getent(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if internet.heard("corp.example.") || internet.heard("wiki.example.com.") || company.heard("example.com.") {
		t.Errorf("names went to the wrong resolver: %q, %q", internet.asked, company.asked)
	}
	if out := nas.kith("dns", "status"); !strings.Contains(out, "corp.example") || !strings.Contains(out, "192.168.77.100") {
		t.Errorf("kith dns status: %s", out)
	}
	// By choice the other members are answered too, for what we know ourselves.
	dig := func(name string) answer {
		return laptop.exec("", "dig", "+short", "+time=1", "+tries=1", "@"+nas.network().Self.IPv4.String(), name)
	}
	if a := dig("laptop.home.internal"); a.code == 0 {
		t.Errorf("nas answers laptop unasked: %v", a)
	}
	nas.kith("dns", "serve", "on")
	if a := dig("laptop.home.internal"); strings.TrimSpace(a.out) != self.String() {
		t.Errorf("nas answers laptop: %v", a)
	}
	internet.forget()
	if a := dig("www.example.com"); a.out != "" || internet.heard("www.example.com.") {
		t.Errorf("nas asks others for laptop: %v", a)
	}
	laptop.kith("dns", "records", "remove", "wiki.example.com")
	until(t, "the record is gone", patience, func() bool { return nas.getent("wiki.example.com") == "203.0.113.2" })
	laptop.refuse(laptop.try("dns", "records", "add", "co.uk", "192.0.2.1"), 2, "public suffix")
	nas.term()
	if got := nas.resolvConf(); got != resolvConf {
		t.Errorf("resolv.conf is %q after the end", got)
	}
}

// getent is the first IPv4 address that the C library finds for a name, "" for none.
func (n *node) getent(name string) string {
	a := n.exec("", "getent", "ahostsv4", name)
	addr, _, _ := strings.Cut(a.out, " ")
	return addr
}
