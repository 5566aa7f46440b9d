package stub

import (
	"context"
	"errors"
	"fmt"
	"strings"

	mdns "github.com/miekg/dns"
)

// Result is what the server would answer to a program on this host.
type Result struct {
	RCode         string   // "NOERROR", "NXDOMAIN"…
	Authoritative bool     // answered from memory, not by an upstream
	Records       []string // the answer section, one record each, as in a zone file
}

// ErrQuery is in the chain of errors that are about the question itself.
var ErrQuery = errors.New("malformed query")

// Query answers in-process what a packet would be answered; qtype is "A",
// "AAAA", "PTR"…, "" is A.
func (s *Server) Query(ctx context.Context, name, qtype string) (Result, error) {
	t, ok := mdns.StringToType[strings.ToUpper(qtype)]
	if qtype == "" {
		t, ok = mdns.TypeA, true
	}
	if !ok {
		return Result{}, fmt.Errorf("%w: no record type %q", ErrQuery, qtype)
	}
	if _, valid := mdns.IsDomainName(name); !valid {
		return Result{}, fmt.Errorf("%w: %q is no domain name", ErrQuery, name)
	}
	m := new(mdns.Msg).SetQuestion(mdns.Fqdn(name), t)
	m.SetEdns0(maxUDP, false)
	packed, err := m.Pack()
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrQuery, err)
	}
	sc := newScratch()
	sc.stream = true
	out, foreign := sc.answer(s.zones.Load(), packed)
	if foreign {
		if s.cfg.Forward == nil {
			return Result{RCode: mdns.RcodeToString[mdns.RcodeServerFailure]}, nil
		}
		if sc.over.query != nil {
			packed = sc.over.query
		}
		if out, err = s.cfg.Forward.Forward(ctx, packed); err != nil {
			return Result{}, fmt.Errorf("ask upstreams for %s: %w", name, err)
		}
		if out, err = sc.over.finish(out); err != nil {
			return Result{}, fmt.Errorf("read the answer for %s: %w", name, err)
		}
	}
	var reply mdns.Msg
	if err := reply.Unpack(out); err != nil {
		return Result{}, fmt.Errorf("read the answer for %s: %w", name, err)
	}
	r := Result{RCode: mdns.RcodeToString[reply.Rcode], Authoritative: !foreign, Records: []string{}}
	for _, rr := range reply.Answer {
		r.Records = append(r.Records, rr.String())
	}
	return r, nil
}
