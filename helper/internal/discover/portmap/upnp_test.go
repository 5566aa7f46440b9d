package portmap

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/huin/goupnp"
	"github.com/huin/goupnp/dcps/internetgateway2"
	"github.com/huin/goupnp/soap"
)

// upnpDevice is a router's UPnP.
type upnpDevice struct {
	location    string // of the description
	description string // "": a good one
	service     string // the connection's type
	outside     string // instead of the router's
	permanent   bool   // takes no other leases
	forgets     bool   // grants and does nothing
	fault       int    // of AddPortMapping
	status      int    // of the description; 0: 200
	action      string // the answer to each action; "": a good one
	stall       time.Duration
	onlyAll     bool // answers no search but one for all
}

func device() *upnpDevice {
	return &upnpDevice{location: "http://192.168.1.1:5000/desc.xml", service: "urn:schemas-upnp-org:service:WANIPConnection:1"}
}

// describe is a device description with the parts that matter.
func describe(base, service, control string) string {
	if base != "" {
		base = "<URLBase>" + base + "</URLBase>"
	}
	return `<?xml version="1.0" encoding="ISO-8859-1"?><root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor></specVersion>` + base +
		`<device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><friendlyName>Bo` + "\xee" + `te</friendlyName><deviceList><device><deviceList><device><serviceList><service><serviceType>` +
		service + `</serviceType><serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId><SCPDURL>/scpd.xml</SCPDURL><controlURL>` + control +
		`</controlURL><eventSubURL>/evt</eventSubURL></service></serviceList></device></deviceList></device></deviceList></device></root>`
}

func (d *upnpDevice) search(r *router, b []byte) []byte {
	_, st, _ := strings.Cut(string(b), "\r\nST: ")
	st = strings.TrimSpace(st)
	if d.onlyAll != (st == "ssdp:all") {
		return nil
	}
	return []byte("HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: " + st + "\r\nUSN: uuid:1::urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nEXT:\r\nSERVER: x\r\nLOCATION: " + d.location + "\r\n\r\n")
}

func (d *upnpDevice) serve(r *router, client netip.Addr, c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	req, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	status, answer := 200, d.description
	if req.Method == http.MethodPost {
		status, answer = d.act(r, client, req.Header.Get("Soapaction"), string(body))
	} else if answer == "" {
		answer = describe("", d.service, "/ctl")
	}
	switch {
	case req.Method == http.MethodPost && d.action != "":
		status, answer = 200, d.action
	case req.Method == http.MethodGet && d.status != 0:
		status = d.status
	}
	resp := http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(answer)), Body: io.NopCloser(bytes.NewReader([]byte(answer))), Close: true}
	if d.stall > 0 {
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(answer))
		for _, x := range []byte(answer) {
			if _, err := c.Write([]byte{x}); err != nil {
				return
			}
			time.Sleep(d.stall)
		}
		return
	}
	_ = resp.Write(c)
}

func arg(body, name string) string {
	m := regexp.MustCompile("<" + name + ">([^<]*)</" + name + ">").FindStringSubmatch(body)
	if m == nil {
		return ""
	}
	return m[1]
}

func (d *upnpDevice) act(r *router, client netip.Addr, action, body string) (int, string) {
	_, name, _ := strings.Cut(strings.Trim(action, `"`), "#")
	done := func(args string) (int, string) {
		return 200, `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><u:` +
			name + `Response xmlns:u="` + d.service + `">` + args + `</u:` + name + `Response></s:Body></s:Envelope>`
	}
	fail := func(code int) (int, string) {
		return 500, `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail><UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>` +
			strconv.Itoa(code) + `</errorCode><errorDescription>x</errorDescription></UPnPError></detail></s:Fault></s:Body></s:Envelope>`
	}
	number := func(name string) uint16 {
		n, _ := strconv.ParseUint(arg(body, name), 10, 16)
		return uint16(n)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	external := number("NewExternalPort")
	e, taken := r.table[external]
	taken = taken && (e.until.IsZero() || time.Now().Before(e.until))
	switch name {
	case "GetExternalIPAddress":
		if d.outside != "" {
			return done("<NewExternalIPAddress>" + d.outside + "</NewExternalIPAddress>")
		}
		return done("<NewExternalIPAddress>" + r.outside.String() + "</NewExternalIPAddress>")
	case "GetSpecificPortMappingEntry":
		if !taken {
			return fail(714)
		}
		return done(fmt.Sprintf("<NewInternalPort>%d</NewInternalPort><NewInternalClient>%v</NewInternalClient><NewEnabled>1</NewEnabled><NewPortMappingDescription>x</NewPortMappingDescription><NewLeaseDuration>%d</NewLeaseDuration>",
			e.internal, e.client, 100))
	case "AddPortMapping":
		lease := arg(body, "NewLeaseDuration")
		r.asked = append(r.asked, fmt.Sprintf("upnp %d %s", number("NewInternalPort"), lease))
		seconds, _ := strconv.Atoi(lease)
		switch {
		case d.fault != 0:
			return fail(d.fault)
		case d.permanent && seconds != 0:
			return fail(725)
		case r.occupied[external]:
			return fail(718)
		case d.forgets:
			return done("")
		}
		n := entry{client: netip.MustParseAddr(arg(body, "NewInternalClient")), internal: number("NewInternalPort")}
		if seconds != 0 {
			n.until = time.Now().Add(time.Duration(seconds) * time.Second)
		}
		r.table[external] = n
		return done("")
	case "DeletePortMapping":
		r.asked = append(r.asked, fmt.Sprintf("upnp delete %d", external))
		if !taken {
			return fail(714)
		}
		delete(r.table, external)
		return done("")
	}
	return fail(401)
}

// endpoint is where a connection is asked.
func endpoint(w wan) *url.URL {
	switch w := w.(type) {
	case *internetgateway2.WANIPConnection1:
		return &w.SOAPClient.EndpointURL
	case *internetgateway2.WANIPConnection2:
		return &w.SOAPClient.EndpointURL
	case *internetgateway2.WANPPPConnection1:
		return &w.SOAPClient.EndpointURL
	}
	return nil
}

// canned answers every request with the same.
type canned []byte

func (c canned) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(plainXML(c)))}, nil
}

func FuzzSOAP(f *testing.F) {
	d := device()
	r := newRouter(func(r *router) { r.upnp = d; r.table[port] = entry{client: lanAddr, internal: port} })
	for _, action := range []string{"GetExternalIPAddress", "GetSpecificPortMappingEntry", "AddPortMapping", "Nonsense"} {
		_, answer := d.act(r, lanAddr, `"x#`+action+`"`, "<NewExternalPort>41000</NewExternalPort><NewInternalClient>192.168.1.10</NewInternalClient>")
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := soap.NewSOAPClient(url.URL{Scheme: "http", Host: "192.168.1.1"})
		c.HTTPClient.Transport = canned(b)
		g := &igd{
			link: &link{uplink: uplink{place: place{2, gwAddr, lanAddr}}, complain: func(ComplaintKind, string, ...any) {}},
			wan:  &internetgateway2.WANIPConnection1{ServiceClient: goupnp.ServiceClient{SOAPClient: c}},
		}
		if a, err := g.outside(t.Context(), g.wan); err == nil && (!a.Is4() || !usable(a)) {
			t.Errorf("%q: %v", b, a)
		}
		if o := g.owner(t.Context(), port, port); o == nobodys && !bytes.Contains(b, []byte("714")) {
			t.Errorf("%q: a mapping has gone", b)
		}
		if err := g.add(t.Context(), port, port); err != nil && len(err.Error()) > 300 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	})
}
