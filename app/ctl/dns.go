package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kith.internal/ipc"
)

type dnsCmd struct {
	Records dnsRecordsCmd `cmd:"" help:"Names of your own, in any domain, and resolvers for domains."`
	Status  dnsStatusCmd  `cmd:"" help:"Show how names resolve on this machine, and why so."`
	Serve   dnsServeCmd   `cmd:"" help:"Answer the other members' queries too; they ask at this device's address."`
	Repair  dnsRepairCmd  `cmd:"" help:"Set the system's resolver up anew, where another program has changed it."`
	Query   dnsQueryCmd   `cmd:"" help:"Resolve a name as programs on this machine do."`
}

type dnsRecordsCmd struct {
	Add    dnsAddCmd    `cmd:"" help:"Have a name stand for something."`
	Remove dnsRemoveCmd `cmd:"" help:"Take that back."`
	List   dnsListCmd   `cmd:"" help:"List them all."`
}

// dnsTypes are the types that may be named before values.
var dnsTypes = []string{"A", "AAAA", "CNAME", "TXT", "SRV", "MX", "DEVICE", "NS"}

// typed takes a type off the front of values.
func typed(values []string) (string, []string) {
	if len(values) > 0 && slices.Contains(dnsTypes, strings.ToUpper(values[0])) {
		return strings.ToUpper(values[0]), values[1:]
	}
	return "", values
}

type dnsAddCmd struct {
	Name   string   `arg:"" help:"The name: one label is a name in the network, *.NAME every name below NAME."`
	Values []string `arg:"" name:"value" help:"Addresses, or a device; or a type and its values: CNAME NAME, TXT TEXT, SRV 'PRIORITY WEIGHT PORT NAME', MX 'PREFERENCE NAME', NS RESOLVER for all names at and below NAME: IP, IP:PORT, tls://NAME@IP or https://NAME@IP/PATH."`
}

func (c *dnsAddCmd) Help() string {
	return `kith dns records add printer 192.168.1.9
kith dns records add wiki.example.com nas
kith dns records add '*.apps.example.com' CNAME nas.home.internal
kith dns records add corp.example NS 10.0.0.53
kith dns records add . NS tls://dns.example@192.0.2.53`
}

func (c *dnsAddCmd) Run(a *app) error {
	rtype, values := typed(c.Values)
	ans, err := a.client.DNSAdd(a.ctx, ipc.DNSRecordsRequest{Network: a.Network, Name: c.Name, Type: rtype, Values: values})
	return a.printRecords(ans, err)
}

type dnsRemoveCmd struct {
	Name   string   `arg:"" help:"The name."`
	Values []string `arg:"" optional:"" name:"value" help:"What of it: a type, values, or both; all of it otherwise."`
}

func (c *dnsRemoveCmd) Run(a *app) error {
	rtype, values := typed(c.Values)
	ans, err := a.client.DNSRemove(a.ctx, ipc.DNSRecordsRequest{Network: a.Network, Name: c.Name, Type: rtype, Values: values})
	return a.printRecords(ans, err)
}

type dnsListCmd struct{}

func (c *dnsListCmd) Run(a *app) error {
	ans, err := a.client.DNSList(a.ctx, a.Network)
	return a.printRecords(ans, err)
}

func (a *app) printRecords(ans ipc.DNSRecordsAnswer, err error) error {
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	case len(ans.Records) == 0:
		fmt.Fprintln(a.out, "No records.")
		return nil
	}
	t := table{}
	t.row("NAME", "TYPE", "VALUE", "SET BY", "")
	for _, r := range ans.Records {
		row := []string{r.Name, r.Type, or(strings.Join(r.Values, ", "), "-"), r.SetBy, ""}
		if r.Why != nil {
			row[4] = "no effect: " + *r.Why
		}
		t.row(row...)
	}
	t.print(a.out)
	return nil
}

type dnsRepairCmd struct{}

func (c *dnsRepairCmd) Run(a *app) error {
	s, err := a.client.DNSRepair(a.ctx)
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(s)
	}
	fmt.Fprintln(a.out, "The resolver's settings were made anew ("+s.Mode+").")
	return nil
}

type dnsServeCmd struct {
	On  dnsServeOnCmd  `cmd:"" help:"Answer them, for names and records of the networks alone."`
	Off dnsServeOffCmd `cmd:"" help:"Answer this device alone. This is the default."`
}

type dnsServeOnCmd struct{}

func (c *dnsServeOnCmd) Run(a *app) error { return a.serveNames(true) }

type dnsServeOffCmd struct{}

func (c *dnsServeOffCmd) Run(a *app) error { return a.serveNames(false) }

func (a *app) serveNames(on bool) error {
	s, err := a.client.DNSServe(a.ctx, ipc.DNSServeRequest{Network: a.Network, On: on})
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(s)
	case len(s.Serves) > 0:
		fmt.Fprintf(a.out, "This device answers members of %s.\n", clean(strings.Join(s.Serves, ", ")))
	default:
		fmt.Fprintln(a.out, "This device answers nobody but itself.")
	}
	return nil
}

type dnsStatusCmd struct{}

func (c *dnsStatusCmd) Run(a *app) error {
	s, err := a.client.DNSStatus(a.ctx)
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(s)
	}
	t := table{}
	t.row("System's resolver:", s.Mode+or(" ("+s.Why+")", ""))
	for _, sock := range s.Sockets {
		state := "answers"
		if sock.Error != nil {
			state = *sock.Error
		}
		t.row("Stub:", sock.Addr.String()+" "+sock.Network+" "+state)
	}
	if len(s.Serves) > 0 {
		t.row("Answers members of:", strings.Join(s.Serves, ", "))
	}
	t.row("Search domains:", or(strings.Join(s.Search, ", "), "-"))
	t.row("Names that come here:", or(strings.Join(s.Match, ", "), "all"))
	for _, sp := range s.Split {
		suffix := sp.Suffix
		if suffix == "." {
			suffix = "all other names"
		}
		t.row("Asked for "+suffix+":", clean(strings.Join(sp.Resolvers, ", "))+" (set in "+sp.Network+")")
	}
	t.row("Asked for the rest:", servers(s.Upstreams))
	t.row("Records:", fmt.Sprint(s.Records))
	for _, r := range s.Refused {
		t.row("Without effect:", r.Name+" "+r.Type+": "+*r.Why)
	}
	t.print(a.out)
	return nil
}

func servers(list []netip.AddrPort) string {
	var out []string
	for _, ap := range list {
		if ap.Port() == 53 {
			out = append(out, ap.Addr().String())
		} else {
			out = append(out, ap.String())
		}
	}
	return or(strings.Join(out, ", "), "nobody")
}

type dnsQueryCmd struct {
	Name string `arg:"" help:"The name, or an address."`
	Type string `arg:"" optional:"" help:"A, AAAA, PTR, TXT…; A and AAAA otherwise."`
}

func (c *dnsQueryCmd) Run(a *app) error {
	ans, err := a.client.DNSQuery(a.ctx, ipc.DNSQueryRequest{Name: c.Name, Type: strings.ToUpper(c.Type)})
	if err != nil {
		return err
	}
	if a.JSON {
		if err := a.json(ans); err != nil {
			return err
		}
	} else {
		for _, r := range ans.Records {
			fmt.Fprintln(a.out, clean(strings.ReplaceAll(r, "\t", " ")))
		}
	}
	switch {
	case ans.RCode == "NXDOMAIN":
		return ipc.Errorf(ipc.CodeNotFound, "there is no name %s", c.Name)
	case ans.RCode != "NOERROR":
		return ipc.Errorf(ipc.CodeNotConnected, "the resolvers answer %s", ans.RCode)
	case len(ans.Records) == 0:
		return ipc.Errorf(ipc.CodeNotFound, "%s has no such records", c.Name)
	}
	return nil
}
