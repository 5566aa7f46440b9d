package main

import (
	"net/netip"
	"strings"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// serveDNS answers the verbs on names.
func (f *fake) serveDNS(s *server.Server) {
	list := []ipc.DNSRecords{
		{Name: "*.apps.example.com", Type: "DEVICE", Values: []string{"nas"}, SetBy: "laptop"},
		{Name: "corp.example", Type: "NS", Values: []string{"10.0.0.53"}, SetBy: "laptop"},
		{Name: "wiki.home.internal", Type: "A", Values: []string{"192.0.2.1", "192.0.2.2"}, SetBy: "nas", Why: new("the name is a device's")},
	}
	change := func(r ipc.DNSRecordsRequest) ipc.DNSRecordsAnswer {
		t := r.Type
		if t == "" {
			t = "A"
		}
		return ipc.DNSRecordsAnswer{Schema: ipc.Schema, Network: "home", Records: []ipc.DNSRecords{{Name: r.Name, Type: t, Values: r.Values, SetBy: "laptop"}}}
	}
	handle(f, s, ipc.VerbDNSAdd, change)
	handle(f, s, ipc.VerbDNSRemove, func(ipc.DNSRecordsRequest) ipc.DNSRecordsAnswer {
		return ipc.DNSRecordsAnswer{Schema: ipc.Schema, Network: "home", Records: []ipc.DNSRecords{}}
	})
	handle(f, s, ipc.VerbDNSList, func(ipc.NetworkRequest) ipc.DNSRecordsAnswer {
		return ipc.DNSRecordsAnswer{Schema: ipc.Schema, Network: "home", Records: list}
	})
	at := netip.MustParseAddrPort
	handle(f, s, ipc.VerbDNSStatus, func(struct{}) ipc.DNSStatus {
		return ipc.DNSStatus{
			Schema: ipc.Schema, Mode: "systemd-resolved", Why: "it answers at 127.0.0.53",
			Sockets: []ipc.DNSSocket{{Network: "udp", Addr: at("100.71.0.1:53")}, {Network: "tcp", Addr: at("100.71.0.1:53"), Error: new("address already in use")}},
			Search:  []string{"home.internal"}, Match: []string{"home.internal", "corp.example"},
			Upstreams: []netip.AddrPort{at("192.168.1.1:53"), at("192.168.1.1:5353")},
			Split:     []ipc.DNSSplit{{Suffix: "corp.example", Servers: []netip.AddrPort{at("10.0.0.53:53")}, Resolvers: []string{"10.0.0.53"}, Network: "home"}},
			Records:   1, Refused: list[2:],
		}
	})
	handle(f, s, ipc.VerbDNSServe, func(r ipc.DNSServeRequest) ipc.DNSStatus {
		if r.On {
			return ipc.DNSStatus{Serves: []string{"home"}}
		}
		return ipc.DNSStatus{}
	})
	handle(f, s, ipc.VerbDNSRepair, func(struct{}) ipc.DNSStatus { return ipc.DNSStatus{Mode: "systemd-resolved"} })
	handle(f, s, ipc.VerbDNSQuery, func(r ipc.DNSQueryRequest) ipc.DNSQueryAnswer {
		if strings.HasPrefix(r.Name, "nobody") {
			return ipc.DNSQueryAnswer{Schema: ipc.Schema, Name: r.Name, RCode: "NXDOMAIN", Records: []string{}}
		}
		return ipc.DNSQueryAnswer{
			Schema: ipc.Schema, Name: r.Name, RCode: "NOERROR", Authoritative: true,
			Records: []string{r.Name + ".\t10\tIN\tCNAME\tnas.home.internal.", "nas.home.internal.\t10\tIN\tA\t100.71.0.2"},
		}
	})
}
