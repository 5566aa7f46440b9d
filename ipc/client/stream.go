package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"kith.internal/ipc"
)

// stream reads events a piece at a time: of a large one, no more than a device
// is in memory before it is decoded.
type stream struct {
	in   *bounded
	dec  *json.Decoder
	keep func(*ipc.Peer) // may clear what its caller has no use for; nil keeps all
}

func newStream(r io.Reader, keep func(*ipc.Peer)) *stream {
	in := &bounded{r: r, most: maxAnswer}
	return &stream{in: in, dec: json.NewDecoder(in), keep: keep}
}

// bounded fails past so many bytes an event.
type bounded struct {
	r       io.Reader
	n, most int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.n > b.most {
		return 0, fmt.Errorf("an event larger than %d bytes", b.most)
	}
	n, err := b.r.Read(p)
	b.n += n
	return n, err
}

// next is the event that comes; io.ErrUnexpectedEOF where none comes whole.
func (s *stream) next() (ev ipc.Event, err error) {
	s.in.n = 0
	var peers []ipc.PeerDelta
	var nets []ipc.Network
	err = s.object(&ev, fields{
		"snapshot": func() error { return s.snapshot(&ev) },
		"networks": func() (err error) { nets, err = list(s, s.network); return err },
		"peers":    func() (err error) { peers, err = list(s, s.delta); return err },
	})
	ev.Networks, ev.Peers = nets, peers
	return ev, s.sense(err)
}

// sense says what an error of the decoder means.
func (s *stream) sense(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case errors.As(err, &syntax), errors.As(err, &kind):
		return ipc.Errorf(ipc.CodeInternal, "the helper's event makes no sense: %w", err)
	}
	return err
}

func (s *stream) snapshot(ev *ipc.Event) error {
	var st ipc.Status
	var nets []ipc.Network
	there := false
	err := s.object(&st, fields{"networks": func() (err error) { nets, err = list(s, s.network); return err }}, &there)
	if st.Networks = nets; there {
		ev.Snapshot = &st
	}
	return err
}

func (s *stream) network() (n ipc.Network, err error) {
	var peers []ipc.Peer
	err = s.object(&n, fields{"peers": func() (err error) { peers, err = list(s, s.peer); return err }})
	n.Peers = peers
	return n, err
}

func (s *stream) peer() (p ipc.Peer, err error) {
	err = s.dec.Decode(&p)
	if s.keep != nil {
		s.keep(&p)
	}
	return p, err
}

func (s *stream) delta() (d ipc.PeerDelta, err error) {
	err = s.dec.Decode(&d)
	if s.keep != nil {
		s.keep(&d.Peer)
	}
	return d, err
}

// fields read those of an object's values that can be large.
type fields map[string]func() error

// object reads an object, or null, into v: large fields by themselves, which
// leave v's alone, the others at once. there is set if it was no null.
func (s *stream) object(v any, large fields, there ...*bool) error {
	tok, err := s.dec.Token()
	if err != nil || tok == nil {
		return err
	}
	if tok != json.Delim('{') {
		return ipc.Errorf(ipc.CodeInternal, "the helper's event makes no sense: %v in place of an object", tok)
	}
	small := map[string]json.RawMessage{}
	for s.dec.More() {
		key, err := s.dec.Token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		if read := large[strings.ToLower(name)]; read != nil {
			err = read()
		} else {
			var raw json.RawMessage
			err = s.dec.Decode(&raw)
			small[name] = raw
		}
		if err != nil {
			return err
		}
	}
	if _, err := s.dec.Token(); err != nil {
		return err
	}
	for _, b := range there {
		*b = true
	}
	raw, err := json.Marshal(small)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

// list reads an array, or null.
func list[T any](s *stream, one func() (T, error)) (all []T, err error) {
	tok, err := s.dec.Token()
	if err != nil || tok == nil {
		return nil, err
	}
	if tok != json.Delim('[') {
		return nil, ipc.Errorf(ipc.CodeInternal, "the helper's event makes no sense: %v in place of a list", tok)
	}
	all = []T{}
	for s.dec.More() {
		v, err := one()
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	_, err = s.dec.Token()
	return all, err
}
