package ipc

import "net/netip"

// DNSRecords are the custom records of one name and type.
type DNSRecords struct {
	Name string `json:"name"` // without trailing dot; "*.NAME" is every name below NAME; "." with NS is all names
	// Type is A, AAAA, CNAME, TXT, SRV, MX; DEVICE: the addresses of devices; NS:
	// the resolvers to ask for the names at and below.
	Type   string   `json:"type"`
	Values []string `json:"values"` // a device's by its name
	SetBy  string   `json:"set_by"` // device name, or "root"
	Why    *string  `json:"why"`    // why they have no effect here; null: they have
}

// DNSRecordsRequest adds to the records of a name, or removes from them.
type DNSRecordsRequest struct {
	Network string `json:"network"`
	Name    string `json:"name"` // a single label is a name in the network's zone
	// Type "" leaves it to the values when adding: addresses, or a device. When
	// removing it is every type.
	Type   string   `json:"type"`
	Values []string `json:"values"` // when removing, none are all
}

// DNSRecordsAnswer is what the name has now.
type DNSRecordsAnswer struct {
	Schema  int          `json:"schema"`
	Network string       `json:"network"`
	Records []DNSRecords `json:"records"` // never null
}

// DNSStatus is how names resolve on this machine.
type DNSStatus struct {
	Schema    int              `json:"schema"`
	Mode      string           `json:"mode"` // how the system's resolver is set up
	Why       string           `json:"why"`
	Sockets   []DNSSocket      `json:"sockets"`   // where the stub answers
	Search    []string         `json:"search"`    // domains that complete short names
	Match     []string         `json:"match"`     // only names below these come to the stub; empty: all do
	Upstreams []netip.AddrPort `json:"upstreams"` // who is asked for all other names
	Split     []DNSSplit       `json:"split"`
	Records   int              `json:"records"` // custom ones in effect
	Refused   []DNSRecords     `json:"refused"` // without effect, and why
	Serves    []string         `json:"serves"`  // networks whose members may ask this device too
}

// DNSSocket is one place where the stub answers, or cannot.
type DNSSocket struct {
	Network string         `json:"network"` // "udp" or "tcp"
	Addr    netip.AddrPort `json:"addr"`
	Error   *string        `json:"error"`
}

// DNSSplit is a domain with resolvers of its own.
type DNSSplit struct {
	Suffix  string           `json:"suffix"` // "." is all names
	Servers []netip.AddrPort `json:"servers"`
	// Resolvers are Servers as they are asked: "IP", "IP:PORT", "tls://NAME@IP",
	// "https://NAME@IP/PATH".
	Resolvers []string `json:"resolvers"`
	Network   string   `json:"network"`
}

// DNSServeRequest has this device answer the members' queries too: for names of its
// networks and their records, not for others.
type DNSServeRequest struct {
	Network string `json:"network"`
	On      bool   `json:"on"`
}

// DNSQueryRequest asks the stub what a program would ask.
type DNSQueryRequest struct {
	Name string `json:"name"` // or an address, whose name is asked for
	Type string `json:"type"` // "" is A and AAAA
}

// DNSQueryAnswer is what it answers.
type DNSQueryAnswer struct {
	Schema        int      `json:"schema"`
	Name          string   `json:"name"`
	RCode         string   `json:"rcode"`         // "NOERROR", "NXDOMAIN"…
	Authoritative bool     `json:"authoritative"` // from the networks' own names, not by an upstream
	Records       []string `json:"records"`       // as in a zone file
}
