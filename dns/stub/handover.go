package stub

import (
	"bytes"
	"context"
	"slices"

	mdns "github.com/miekg/dns"
)

// handover is a query for the Forwarder, and what is made of its answer.
type handover struct {
	query  []byte    // to ask instead of the client's; nil: as it is
	chain  []mdns.RR // our CNAMEs from the client's question to the one to ask
	known  bool      // the name is there, whatever others say
	limit  int       // bytes of an answer
	failed []byte    // the answer when there is none
	client mdns.Question
	id     uint16
}

// handOver sets sc.over: others are to be asked for name, hops CNAMEs on.
func (sc *scratch) handOver(q *mdns.Question, name string, hops int, known bool) {
	sc.over = handover{known: known, limit: sc.limit(), client: *q, id: sc.req.Id}
	if hops > 0 {
		sc.over.chain = slices.Clone(sc.answers)
		ask := mdns.Msg{MsgHdr: sc.req.MsgHdr, Question: []mdns.Question{{Name: name, Qtype: q.Qtype, Qclass: q.Qclass}}, Extra: sc.rep.Extra}
		if b, err := ask.Pack(); err == nil {
			sc.over.query = b
		}
	}
	sc.over.failed = bytes.Clone(sc.servfail())
}

// forward asks a Forwarder and makes its answer fit; nil is silence.
func (s *Server) forward(ctx context.Context, f Forwarder, query []byte, h handover) []byte {
	if h.query != nil {
		query = h.query
	}
	out, err := f.Forward(ctx, query)
	if err == nil {
		out, err = h.finish(out)
	}
	if err != nil || len(out) < headerLen {
		if ctx.Err() != nil {
			return nil
		}
		s.cfg.Log.Debug("query not answered by upstreams", "err", err)
		return h.failed
	}
	return out
}

// finish makes an upstream's answer one to the client's question.
func (h *handover) finish(msg []byte) ([]byte, error) {
	if h.known && len(msg) > headerLen && msg[3]&15 == mdns.RcodeNameError {
		msg[3] &^= 15 // others know nothing of the name; we do
	}
	if len(h.chain) == 0 && len(msg) <= h.limit {
		return msg, nil
	}
	var m mdns.Msg
	if err := m.Unpack(msg); err != nil {
		return nil, err
	}
	if len(h.chain) > 0 {
		m.Id, m.Authoritative, m.AuthenticatedData = h.id, false, false
		m.Question = []mdns.Question{h.client}
		m.Answer = append(slices.Clone(h.chain), m.Answer...)
		m.Compress = true
	}
	m.Truncate(h.limit)
	return m.Pack()
}
