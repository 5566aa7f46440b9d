package portmap

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

const (
	ssdpPort     = 1900
	maxLocations = 4 // descriptions that are read of one gateway
)

var ssdpGroup = netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 255, 255, 250}), ssdpPort)

// searches is what is asked for and when (UPnP Device Architecture 1.1, §1.3.2).
// Some gateways answer only when all devices are asked.
var searches = []struct {
	at      time.Duration
	targets []string
}{
	{0, []string{"urn:schemas-upnp-org:device:InternetGatewayDevice:1", "urn:schemas-upnp-org:device:InternetGatewayDevice:2"}},
	{400 * time.Millisecond, []string{"urn:schemas-upnp-org:device:InternetGatewayDevice:1", "urn:schemas-upnp-org:device:InternetGatewayDevice:2"}},
	{1200 * time.Millisecond, []string{"ssdp:all"}},
	{3 * time.Second, nil}, // the end
}

func searchRequest(target string) []byte {
	return []byte("M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: " + target + "\r\n\r\n")
}

// parseSearch reads an answer to a search: where a device's description is, and
// whether the device may be an Internet gateway.
func parseSearch(b []byte) (location *url.URL, ok bool) {
	if len(b) > maxAnswer {
		return nil, false
	}
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
	if err != nil || r.StatusCode != http.StatusOK {
		return nil, false
	}
	kind := r.Header.Get("St") + " " + r.Header.Get("Usn")
	if !strings.Contains(kind, "InternetGatewayDevice") && !strings.Contains(kind, ":WAN") {
		return nil, false
	}
	u, err := url.Parse(r.Header.Get("Location"))
	if err != nil || u.Host == "" {
		return nil, false
	}
	return u, true
}

// search calls found with each description of the gateway's until one is
// what was looked for.
func (l *link) search(ctx context.Context, found func(*url.URL) bool) error {
	conn, err := l.net.UDP(l.local, l.index)
	if err != nil {
		return err
	}
	heard := make(chan *url.URL, maxLocations)
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.hear(conn, heard)
	}()
	defer func() {
		conn.Close()
		<-done
	}()
	failed := ErrSilent
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := 0; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case u := <-heard:
			failed = ErrNotOffered
			if found(u) {
				return nil
			}
			continue
		case <-timer.C:
		}
		if searches[i].targets == nil {
			return failed
		}
		for _, t := range searches[i].targets {
			b := searchRequest(t)
			// One of them may fail: some hosts have no route for multicast.
			_, err1 := conn.WriteToUDPAddrPort(b, l.at(ssdpPort))
			_, err2 := conn.WriteToUDPAddrPort(b, ssdpGroup)
			if err1 != nil && err2 != nil {
				return errors.Join(err1, err2)
			}
		}
		i++
		timer.Reset(searches[i].at - time.Since(start))
	}
}

// hear takes what the gateway answers, from any port, until the socket is
// closed.
func (l *link) hear(conn Conn, heard chan<- *url.URL) {
	buf := make([]byte, maxAnswer)
	had := map[string]bool{}
	for errs := 0; errs < 16; {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			errs++
			continue
		}
		if bare(from.Addr()) != l.gateway || len(had) >= maxLocations {
			continue // other devices on the link answer, too
		}
		u, ok := parseSearch(buf[:n])
		if !ok || had[u.String()] {
			continue
		}
		had[u.String()] = true
		if !l.own(u) {
			l.complain(ForeignURL, "description at %q", short(u.Host))
			continue
		}
		heard <- u
	}
}
