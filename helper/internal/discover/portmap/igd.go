package portmap

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/huin/goupnp"
	"github.com/huin/goupnp/dcps/internetgateway2"
	"github.com/huin/goupnp/soap"
)

const (
	maxServices = 4 // connections of one gateway that are tried
	otherPorts  = 3 // outside ports that are tried where ours is taken
)

// UPnP's error codes that lead on.
const (
	upnpInvalidArgs   = 402
	upnpActionFailed  = 501
	upnpNoSuchEntry   = 714
	upnpConflict      = 718
	upnpPermanentOnly = 725
	upnpOtherConflict = 729
)

// wan is a connection of an Internet gateway: WANIPConnection:1 or :2, or
// WANPPPConnection:1.
type wan interface {
	AddPortMappingCtx(ctx context.Context, remoteHost string, external uint16, protocol string, internal uint16, client string, enabled bool, description string, lease uint32) error
	DeletePortMappingCtx(ctx context.Context, remoteHost string, external uint16, protocol string) error
	GetSpecificPortMappingEntryCtx(ctx context.Context, remoteHost string, external uint16, protocol string) (internal uint16, client string, enabled bool, description string, lease uint32, err error)
	GetExternalIPAddressCtx(ctx context.Context) (string, error)
}

// parseDescription finds the connections that a device description offers, all
// with their URLs at the gateway.
func (l *link) parseDescription(b []byte, location *url.URL) (out []wan, err error) {
	root := new(goupnp.RootDevice)
	d := xml.NewDecoder(bytes.NewReader(b))
	d.DefaultSpace = goupnp.DeviceXMLNamespace
	if err := d.Decode(root); err != nil {
		return nil, fmt.Errorf("read the gateway's description: %w", err)
	}
	base := location
	if u, err := url.Parse(strings.TrimSpace(root.URLBaseStr)); err == nil && u.Host != "" {
		if l.own(u) {
			base = u
		} else {
			l.complain(ForeignURL, "base %q", short(u.Host))
		}
	}
	root.SetURLBase(base)
	root.Device.VisitServices(func(s *goupnp.Service) {
		if len(out) >= maxServices || !s.ControlURL.Ok {
			return
		}
		client := connections[strings.TrimSpace(s.ServiceType)]
		if client == nil {
			return
		}
		if !l.own(&s.ControlURL.URL) {
			l.complain(ForeignURL, "control at %q", short(s.ControlURL.URL.Host))
			return
		}
		c := soap.NewSOAPClient(s.ControlURL.URL)
		c.HTTPClient = *l.web()
		out = append(out, client(goupnp.ServiceClient{SOAPClient: c, RootDevice: root, Location: location, Service: s}))
	})
	return out, nil
}

var connections = map[string]func(goupnp.ServiceClient) wan{
	internetgateway2.URN_WANIPConnection_1:  func(c goupnp.ServiceClient) wan { return &internetgateway2.WANIPConnection1{ServiceClient: c} },
	internetgateway2.URN_WANIPConnection_2:  func(c goupnp.ServiceClient) wan { return &internetgateway2.WANIPConnection2{ServiceClient: c} },
	internetgateway2.URN_WANPPPConnection_1: func(c goupnp.ServiceClient) wan { return &internetgateway2.WANPPPConnection1{ServiceClient: c} },
}

// igd asks by UPnP. It is one goroutine's but for shut.
type igd struct {
	*link
	wan       wan
	address   netip.Addr // outside
	permanent bool       // it takes no other mappings
}

func (*igd) name() Method { return UPnP }

// probe finds the gateway's connection: the first with a public address, or
// else with any.
func (g *igd) probe(ctx context.Context) error {
	var why error
	err := g.search(ctx, func(location *url.URL) bool {
		why = g.describe(ctx, location)
		return why == nil
	})
	if errors.Is(err, ErrNotOffered) && why != nil {
		return why
	}
	return err
}

func (g *igd) describe(ctx context.Context, location *url.URL) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, location.String(), nil)
	if err != nil {
		return err
	}
	resp, err := g.web().Do(r)
	if err != nil {
		return fmt.Errorf("fetch the gateway's description: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("fetch the gateway's description: status %d", resp.StatusCode)
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return err
	}
	list, err := g.parseDescription(body.Bytes(), location)
	if err != nil {
		g.complain(Malformed, "description")
		return err
	}
	failed := ErrNotOffered
	for _, w := range list {
		a, err := g.outside(ctx, w)
		if err != nil {
			failed = err
			continue
		}
		if g.wan == nil || isPublic(a) && !isPublic(g.address) {
			g.wan, g.address = w, a
		}
	}
	if g.wan == nil {
		return failed
	}
	return nil
}

// outside asks a connection for its outside address.
func (g *igd) outside(ctx context.Context, w wan) (netip.Addr, error) {
	s, err := w.GetExternalIPAddressCtx(ctx)
	if err != nil {
		return netip.Addr{}, g.refusal(err)
	}
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil || !a.Is4() || !usable(a) {
		if !a.IsUnspecified() { // so it says where it has no connection
			g.complain(Implausible, "%q", short(s))
		}
		return netip.Addr{}, &implausible{netip.AddrPort{}, fmt.Sprintf("%q is no address of a host", short(s))}
	}
	return a, nil
}

// refusal makes ours of UPnP's errors.
func (g *igd) refusal(err error) error {
	var fault *soap.SOAPFaultError
	if errors.As(err, &fault) && fault.Detail.UPnPError.Errorcode != 0 {
		return &Refusal{Method: UPnP, Code: fault.Detail.UPnPError.Errorcode}
	}
	// The library's text may hold all that the gateway said.
	return fmt.Errorf("ask the gateway by UPnP: %.160s", err)
}

func code(err error) int {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return 0
}

// owner is whose an outside port is.
type owner int

const (
	unknown owner = iota // the gateway does not tell
	nobodys
	ours
	anothers
)

func (g *igd) owner(ctx context.Context, external, internal uint16) owner {
	port, client, _, _, _, err := g.wan.GetSpecificPortMappingEntryCtx(ctx, "", external, "UDP")
	a, bad := netip.ParseAddr(strings.TrimSpace(client))
	switch {
	case err != nil && code(g.refusal(err)) == upnpNoSuchEntry:
		return nobodys
	case err != nil || bad != nil:
		return unknown
	case a == g.local && port == internal:
		return ours
	}
	return anothers
}

func (g *igd) check(ctx context.Context, held []lease) (lost bool, err error) {
	a, err := g.outside(ctx, g.wan)
	if err != nil {
		return false, err
	}
	lost = a != g.address
	g.address = a
	for _, l := range held {
		if o := g.owner(ctx, l.external.Port(), l.internal); o == nobodys || o == anothers {
			lost = true
		}
	}
	return lost, nil
}

// open takes the port that was had or that is wanted, or some other where it is
// another's: gateways exist that would let us take it from them.
func (g *igd) open(ctx context.Context, internal uint16, old lease) (l lease, err error) {
	ports := []uint16{internal}
	if p := old.external.Port(); p != 0 && p != internal {
		ports = []uint16{p, internal}
	}
	for range otherPorts {
		ports = append(ports, uint16(20000+rand.IntN(40000)))
	}
	for _, external := range ports {
		was := g.owner(ctx, external, internal)
		if was == anothers {
			err = &Refusal{Method: UPnP, Code: upnpConflict}
			continue
		}
		err = g.add(ctx, external, internal)
		if was == ours && code(err) == upnpConflict {
			// It cannot give more time to what there is.
			_ = g.wan.DeletePortMappingCtx(ctx, "", external, "UDP")
			err = g.add(ctx, external, internal)
		}
		if err == nil {
			if o := g.owner(ctx, external, internal); o == nobodys || o == anothers {
				g.complain(WrongMapping, "port %d was granted and is not ours", external)
				err = &Refusal{Method: UPnP, Code: upnpConflict}
				continue
			}
			return lease{internal: internal, external: netip.AddrPortFrom(g.address, external), lasts: leaseTime}, nil
		}
		switch code(err) {
		case upnpConflict, upnpOtherConflict, upnpActionFailed:
		default:
			return lease{}, err
		}
	}
	return lease{}, err
}

func (g *igd) add(ctx context.Context, external, internal uint16) error {
	for {
		seconds := uint32(leaseTime / time.Second)
		if g.permanent {
			seconds = 0
		}
		err := g.wan.AddPortMappingCtx(ctx, "", external, "UDP", internal, g.local.String(), true, "Kith", seconds)
		if err == nil {
			return nil
		}
		err = g.refusal(err)
		if c := code(err); g.permanent || c != upnpPermanentOnly && c != upnpInvalidArgs {
			return err
		}
		g.permanent = true // until it is given back
	}
}

func (g *igd) shut(ctx context.Context, l lease) error {
	if g.owner(ctx, l.external.Port(), l.internal) == anothers {
		return nil
	}
	if err := g.wan.DeletePortMappingCtx(ctx, "", l.external.Port(), "UDP"); err != nil {
		return g.refusal(err)
	}
	return nil
}
