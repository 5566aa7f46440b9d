package join

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// pipe is a stream in memory; each direction ends by itself.
type pipe struct {
	r io.ReadCloser
	w io.WriteCloser
}

func (p pipe) Read(b []byte) (int, error)       { return p.r.Read(b) }
func (p pipe) Write(b []byte) (int, error)      { return p.w.Write(b) }
func (p pipe) Close() error                     { return p.w.Close() }
func (p pipe) CancelRead(uint64)                { p.r.Close() }
func (p pipe) CancelWrite(uint64)               { p.w.Close() }
func (p pipe) SetDeadline(time.Time) error      { return nil }
func (p pipe) SetReadDeadline(time.Time) error  { return nil }
func (p pipe) SetWriteDeadline(time.Time) error { return nil }

type session struct {
	peer key.Public
	st   pipe
}

func (s session) Peer() key.Public                            { return s.peer }
func (s session) Open(context.Context) (wire.Stream, error)   { return s.st, nil }
func (s session) Accept(context.Context) (wire.Stream, error) { return s.st, nil }
func (s session) Context() context.Context                    { return context.Background() }
func (s session) Close(uint64) error                          { return nil }

func sessions(peer key.Public) (joiner, sponsor session) {
	r1, w1 := net.Pipe()
	r2, w2 := net.Pipe()
	return session{peer, pipe{r1, w2}}, session{peer, pipe{r2, w1}}
}

var invite = [32]byte{7}

func request() Request {
	return Request{Device: key.New().Public(), WG: key.NewExchange().Public(), Control: key.NewExchange().Public(), N: 1, Pop: make([]byte, 64), Name: "b"}
}

func sign(id [32]byte) (sig [64]byte) { copy(sig[:], id[:]); return sig }

// run lets a joiner ask a sponsor.
func run(t *testing.T, sp Sponsor) (got Answer, asked, served error) {
	t.Helper()
	j, s := sessions(key.New().Public())
	done := make(chan error)
	go func() { done <- Serve(t.Context(), s, sp); s.st.w.Close() }()
	got, asked = Ask(t.Context(), j, request(), sign)
	return got, asked, <-done
}

func TestJoin(t *testing.T) {
	big := bytes.Repeat([]byte{1}, chunk-1)
	want := Answer{Name: "b-2", Records: [][]byte{{1}, big, big, {2}}, Epoch: make([]byte, 32), Presence: [][]byte{{9}}}
	got, asked, served := run(t, Sponsor{
		Invite: func(key.Public) ([32]byte, error) { return invite, nil },
		Admit: func(_ key.Public, req Request, sig [64]byte) (Answer, error) {
			if sig != sign(invite) || req.Name != "b" {
				return Answer{}, errors.New("another request has arrived")
			}
			return want, nil
		},
	})
	if asked != nil || served != nil {
		t.Fatalf("asked %v, served %v", asked, served)
	}
	if got.Name != want.Name || len(got.Records) != 4 || !bytes.Equal(got.Records[2], big) || len(got.Epoch) != 32 || len(got.Presence) != 1 {
		t.Errorf("got %q, %d records, %d, %d", got.Name, len(got.Records), len(got.Epoch), len(got.Presence))
	}
}

// TestRefusals: the joiner hears the sponsor's verdict, by the codes that are
// the sponsor's to give, and no more.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want ipc.Code
	}{
		{"expired", ipc.Errorf(ipc.CodeLinkExpired, "x"), ipc.CodeLinkExpired},
		{"used", ipc.Errorf(ipc.CodeLinkUsed, "x"), ipc.CodeLinkUsed},
		{"taken back", ipc.Errorf(ipc.CodeLinkRevoked, "x"), ipc.CodeLinkRevoked},
		{"foreign", ipc.Errorf(ipc.CodeLinkForeign, "x"), ipc.CodeLinkForeign},
		{"the name is taken", ipc.Errorf(ipc.CodeNameTaken, "x"), ipc.CodeNameTaken},
		{"no verdict of a sponsor's", ipc.Errorf(ipc.CodePermission, "x"), ipc.CodeInternal},
		{"an error of its own", errors.New("secret detail"), ipc.CodeInternal},
	} {
		for _, early := range []bool{true, false} {
			_, asked, served := run(t, Sponsor{
				Invite: func(key.Public) ([32]byte, error) {
					if early {
						return invite, c.err
					}
					return invite, nil
				},
				Admit: func(key.Public, Request, [64]byte) (Answer, error) { return Answer{}, c.err },
			})
			if ipc.CodeOf(asked) != c.want || !errors.Is(served, c.err) || bytes.Contains([]byte(asked.Error()), []byte("secret")) {
				t.Errorf("%s (early %v): asked %v, served %v", c.name, early, asked, served)
			}
		}
	}
	// A sponsor that cannot just now is asked again, so that is no verdict.
	_, asked, _ := run(t, Sponsor{Invite: func(key.Public) ([32]byte, error) { return invite, ipc.Errorf(ipc.CodeBusy, "x") }})
	var verdict *ipc.Error
	if !errors.Is(asked, ErrNotNow) || errors.As(asked, &verdict) {
		t.Errorf("busy: %v", asked)
	}
}

// TestWords: a sponsor's words are fit for a terminal.
func TestWords(t *testing.T) {
	_, asked, _ := run(t, Sponsor{Invite: func(key.Public) ([32]byte, error) {
		return invite, &ipc.Error{Code: ipc.CodeLinkUsed, Msg: "a\x1b[2Jb\n\u202ec" + string(bytes.Repeat([]byte("x"), 500))}
	}})
	if s := asked.Error(); len(s) != 200 || s[:10] != "a?[2Jb??cx" {
		t.Errorf("%d bytes: %q", len(s), s)
	}
}

// TestLyingSponsor: one that sends without end, or breaks off, is an error that
// may be tried again, and costs bounded memory.
func TestLyingSponsor(t *testing.T) {
	part := reply{Records: [][]byte{make([]byte, frame.Max/2)}}
	empty := reply{Records: make([][]byte, 10_000)}
	for name, c := range map[string]func(st pipe) error{
		"records without end": func(st pipe) error { return frame.Write(st, part) },
		"nothing without end": func(st pipe) error { return frame.Write(st, empty) },
		"breaks off":          func(st pipe) error { st.w.Close(); return io.EOF },
		"rubbish":             func(st pipe) error { st.Write([]byte{0, 0, 0, 2, 0xff, 0xff}); return io.EOF },
		"too large a message": func(st pipe) error { st.Write([]byte{0xff, 0xff, 0xff, 0xff}); return io.EOF },
	} {
		j, s := sessions(key.New().Public())
		go func() {
			var req Request
			frame.Read(s.st, requestMax, &req)
			for c(s.st) == nil {
			}
		}()
		_, err := Ask(t.Context(), j, request(), sign)
		var verdict *ipc.Error
		if err == nil || errors.As(err, &verdict) {
			t.Errorf("%s: %v", name, err)
		}
		j.st.r.Close()
		j.st.w.Close()
	}
}

// rest is a stream whose bytes are there already; what is written is lost.
func rest(b []byte) session {
	return session{key.New().Public(), pipe{io.NopCloser(bytes.NewReader(b)), discard{}}}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) Close() error                { return nil }

// FuzzServe: whatever a joiner sends, it is admitted only with a whole request
// and a proof.
func FuzzServe(f *testing.F) {
	var b bytes.Buffer
	for _, v := range []any{request(), proof{InviteSig: make([]byte, 64)}} {
		if err := frame.Write(&b, v); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:b.Len()-1])
	f.Add([]byte{0, 0, 0, 1, 0xa0})
	f.Fuzz(func(t *testing.T, b []byte) {
		admitted := false
		err := Serve(t.Context(), rest(b), Sponsor{
			Invite: func(key.Public) ([32]byte, error) { return invite, nil },
			Admit: func(key.Public, Request, [64]byte) (Answer, error) {
				admitted = true
				return Answer{Name: "x"}, nil
			},
		})
		if admitted != (err == nil) {
			t.Errorf("admitted %v, and %v", admitted, err)
		}
	})
}

// FuzzAsk: whatever a sponsor sends, the joiner ends.
func FuzzAsk(f *testing.F) {
	var b bytes.Buffer
	for _, v := range []any{reply{Invite: invite[:]}, reply{Name: "x", Records: [][]byte{{1}}}, reply{Done: true}} {
		if err := frame.Write(&b, v); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(b.Bytes())
	f.Add([]byte{0, 0, 0, 1, 0xa0})
	f.Fuzz(func(t *testing.T, b []byte) {
		Ask(t.Context(), rest(b), request(), sign)
	})
}
