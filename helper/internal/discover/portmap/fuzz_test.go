package portmap

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

func FuzzPCP(f *testing.F) {
	good := pcpMapRequest(lanAddr, nonce{1, 2, 3}, 3600, port, netip.AddrPortFrom(outAddr, port))
	good[1] |= pcpResponse
	f.Add(good)
	f.Add(good[:pcpHeaderSize])
	f.Add([]byte{0, 129, 0, 1})
	f.Add([]byte{0, 129, 0, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, opcode := range []byte{pcpAnnounce, pcpMap} {
			r, ok := parsePCP(b, opcode)
			if ok && r.code == 0 && (b[0] != pcpVersion || opcode == pcpMap && (len(b) < pcpMapSize || r.internal != binary.BigEndian.Uint16(b[40:]))) {
				t.Errorf("%x: %+v", b, r)
			}
			u := uplink{place: place{2, gwAddr, lanAddr}, lan: []netip.Prefix{netip.PrefixFrom(lanAddr, 24)}}
			if ok && u.plausible(r.external) == nil && !usable(r.external.Addr()) {
				t.Errorf("%x: %v is plausible", b, r.external)
			}
		}
	})
}

func FuzzNATPMP(f *testing.F) {
	f.Add([]byte{0, 128, 0, 0, 0, 0, 1, 0, 203, 0, 113, 5})
	f.Add([]byte{0, 129, 0, 0, 0, 0, 1, 0, 160, 40, 160, 40, 0, 0, 14, 16})
	f.Add([]byte{0, 129, 0, 2, 0, 0, 1, 0})
	f.Add(append([]byte{2, 128, 0, 1}, make([]byte, 20)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, opcode := range []byte{pmpAddress, pmpMapUDP} {
			if r, ok := parsePMP(b, opcode); ok && r.code == 0 && opcode == pmpAddress && !r.address.Is4() {
				t.Errorf("%x: %+v", b, r)
			}
		}
	})
}

func FuzzSearch(f *testing.F) {
	f.Add(device().search(nil, searchRequest(searches[0].targets[0])))
	f.Add([]byte("HTTP/1.1 200 OK\r\nST: :WAN\r\nLOCATION: http://[fe80::1%25eth0]:1/\r\n\r\n"))
	l := &link{uplink: uplink{place: place{2, gwAddr, lanAddr}}}
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, ok := parseSearch(b); ok && l.own(u) && u.Hostname() != gwAddr.String() {
			t.Errorf("%q is not the gateway's", u)
		}
	})
}

func FuzzDescription(f *testing.F) {
	service := device().service
	f.Add([]byte(describe("", service, "/ctl")))
	f.Add([]byte(describe("http://198.51.100.1/", service, "ctl")))
	f.Add([]byte(describe("http://192.168.1.1:80/x/", service, "http://192.168.1.1:99/ctl")))
	f.Add([]byte(describe("", service, "//evil/ctl")))
	f.Add([]byte(describe("", service, "http://192.168.1.1@evil/")))
	l := &link{uplink: uplink{place: place{2, gwAddr, lanAddr}}, complain: func(ComplaintKind, string, ...any) {}}
	location, _ := parseSearch(device().search(nil, searchRequest(searches[0].targets[0])))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := l.parseDescription(plainXML(b), location)
		if err == nil && len(list) > maxServices {
			t.Errorf("%d services", len(list))
		}
		for _, w := range list {
			if u := endpoint(w); u.Hostname() != gwAddr.String() || u.Scheme != "http" || u.User != nil {
				t.Errorf("%q is not the gateway's", u)
			}
		}
	})
}
