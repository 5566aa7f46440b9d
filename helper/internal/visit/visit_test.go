package visit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// end is one end of a stream: each way is a pipe.
type end struct{ r, w net.Conn }

func (e *end) Read(b []byte) (int, error)         { return e.r.Read(b) }
func (e *end) Write(b []byte) (int, error)        { return e.w.Write(b) }
func (e *end) Close() error                       { return e.w.Close() }
func (e *end) CancelRead(uint64)                  { e.r.Close() }
func (e *end) CancelWrite(uint64)                 { e.w.Close() }
func (e *end) SetReadDeadline(t time.Time) error  { return e.r.SetReadDeadline(t) }
func (e *end) SetWriteDeadline(t time.Time) error { return e.w.SetWriteDeadline(t) }
func (e *end) SetDeadline(t time.Time) error {
	return errors.Join(e.r.SetReadDeadline(t), e.w.SetWriteDeadline(t))
}

// session is one end of a session, with a stream in it.
type session struct {
	wire.Session
	end *end
}

func (s session) Open(context.Context) (wire.Stream, error)   { return s.end, nil }
func (s session) Accept(context.Context) (wire.Stream, error) { return s.end, nil }

func sessions() (friend, owner session) {
	a, b := net.Pipe()
	c, d := net.Pipe()
	return session{end: &end{a, d}}, session{end: &end{c, b}}
}

// TestHello is a hello from its first request to its end.
func TestHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		friend, owner := sessions()
		first := Request{Pass: []byte("pass"), Cancels: [][]byte{[]byte("one")}}
		answer := Answer{Proof: []byte("view"), Contacts: []Contact{{key.Public{1}, []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:5")}}}}
		done := make(chan error, 1)
		go func() {
			g, req, err := Accept(t.Context(), owner)
			if d := cmp.Diff(first, req); d != "" || err != nil {
				done <- fmt.Errorf("the first request: %v %s", err, d)
				return
			}
			err = g.Send(answer)
			req, err2 := g.Next()
			if err2 == nil && string(req.Pass) != "newer" {
				err2 = fmt.Errorf("the second request is %+v", req)
			}
			_, end := g.Next()
			if end == nil {
				end = errors.New("it goes on after its end")
			} else {
				end = nil
			}
			g.Close()
			done <- errors.Join(err, err2, end)
		}()
		h, got, err := Open(t.Context(), friend, first)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(answer, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" {
			t.Error(d)
		}
		time.Sleep(time.Hour) // a hello may be silent for long
		if err := h.Send(Request{Pass: []byte("newer")}); err != nil {
			t.Error(err)
		}
		h.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestAnswers is what the friend's side makes of what the owner's says.
func TestAnswers(t *testing.T) {
	many := make([]Contact, contactsMost+1)
	tests := []struct {
		name string
		in   Answer
		code ipc.Code // of the verdict
		msg  string
		err  string
	}{
		{"good", Answer{Pending: true}, "", "", ""},
		{"a verdict", Answer{Code: ipc.CodeShareRevoked, Msg: "the share was taken back"}, ipc.CodeShareRevoked, "the share was taken back", ""},
		{"words that are not for a terminal", Answer{Code: ipc.CodeLimit, Msg: "a\x1b[31mb\nc\u202ed"}, ipc.CodeLimit, "a?[31mb?c?d", ""},
		{"too many words", Answer{Code: ipc.CodeLimit, Msg: strings.Repeat("x", 1000)}, ipc.CodeLimit, strings.Repeat("x", 200), ""},
		{"a code that is not the owner's to give", Answer{Code: ipc.CodePermission, Msg: "no"}, ipc.CodeInternal, "no", ""},
		{"the owner's disk is full", Answer{Code: ipc.CodeDiskFull}, ipc.CodeBusy, "", ""},
		{"too many contacts", Answer{Contacts: many}, "", "", "too many contacts"},
		{"too many addresses", Answer{Contacts: []Contact{{Addrs: make([]netip.AddrPort, addrsMost+1)}}}, "", "", "too many addresses"},
		{"too much", Answer{Proof: make([]byte, answerMost)}, "", "", "read the friend's answer"},
	}
	for _, c := range tests {
		synctest.Test(t, func(t *testing.T) {
			friend, owner := sessions()
			go func() {
				g, _, err := Accept(t.Context(), owner)
				if err == nil {
					g.Send(c.in)
					g.Settle()
				}
			}()
			a, err := Ask(t.Context(), friend, Request{Pass: []byte("pass")})
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", c.name, err, c.err)
			}
			v := a.Verdict()
			if c.err == "" && (ipc.CodeOf(v) != c.code || a.Msg != c.msg) {
				t.Errorf("%s: %v, %q", c.name, v, a.Msg)
			}
		})
	}
}

// TestRequests is what the owner's side takes from whoever comes.
func TestRequests(t *testing.T) {
	frameOf := func(v any) []byte {
		var b bytes.Buffer
		if err := frame.Write(&b, v); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	long := binary.BigEndian.AppendUint32(nil, 1<<31)
	tests := []struct {
		name string
		in   []byte
		ok   bool
	}{
		{"a pass", frameOf(Request{Pass: make([]byte, 250)}), true},
		{"as many cancels as fit", frameOf(Request{Cancels: make([][]byte, cancelsMost)}), true},
		{"more", frameOf(Request{Cancels: make([][]byte, cancelsMost+1)}), false},
		{"too long a pass", frameOf(Request{Pass: make([]byte, requestMost)}), false},
		{"the length of a flood", long, false},
		{"noise", append(binary.BigEndian.AppendUint32(nil, 4), 1, 2, 3, 4), false},
		{"a field of a later version", frameOf(map[int]int{9: 1}), true},
		{"nothing, for ever", nil, false},
		{"half a frame, for ever", frameOf(Request{Pass: make([]byte, 250)})[:100], false},
	}
	for _, c := range tests {
		synctest.Test(t, func(t *testing.T) {
			friend, owner := sessions()
			go friend.end.Write(c.in)
			start := time.Now()
			g, _, err := Accept(t.Context(), owner)
			if (err == nil) != c.ok || time.Since(start) > patience {
				t.Errorf("%s: %v after %v", c.name, err, time.Since(start))
			}
			if g != nil {
				g.Settle() // the friend does not close
			}
			if took := time.Since(start); took > patience+5*time.Second {
				t.Errorf("%s: it is held for %v", c.name, took)
			}
			friend.end.Close()
			friend.end.CancelRead(0)
		})
	}
}

// TestPatience: an owner's side that says nothing is given up, and so is one that
// reads nothing.
func TestPatience(t *testing.T) {
	for _, reads := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			friend, owner := sessions()
			if reads {
				go Accept(t.Context(), owner)
			}
			start := time.Now()
			_, err := Ask(t.Context(), friend, Request{Pass: []byte("pass")})
			if err == nil || time.Since(start) != patience {
				t.Errorf("reads %v: %v after %v", reads, err, time.Since(start))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			friend, _ = sessions()
			start = time.Now()
			if _, err := Ask(ctx, friend, Request{}); err == nil || time.Since(start) != time.Second {
				t.Errorf("the caller's bound: %v after %v", err, time.Since(start))
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	if got := Refusal(ipc.Errorf(ipc.CodePassExpired, "over")); got.Code != ipc.CodePassExpired || got.Msg != "over" {
		t.Errorf("%+v", got)
	}
	if got := Refusal(errors.New("open /var/lib/kith/secret")); got.Code != ipc.CodeInternal || strings.Contains(got.Msg, "secret") {
		t.Errorf("an error of the owner's host is told: %+v", got)
	}
}

func FuzzFrames(f *testing.F) {
	for _, v := range []any{
		Request{Pass: []byte("pass"), Cancels: [][]byte{{1}}}, Answer{Code: ipc.CodeLimit, Msg: "no"},
		Answer{Proof: []byte("view"), Contacts: []Contact{{key.Public{1}, []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:5")}}}},
	} {
		var b bytes.Buffer
		if err := frame.Write(&b, v); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Request
		frame.Read(bytes.NewReader(b), requestMost, &r)
		var a Answer
		if frame.Read(bytes.NewReader(b), answerMost, &a) == nil && a.checked() == nil {
			for _, c := range a.Msg {
				if c < 0x20 || c > 0x7e {
					t.Fatalf("%q is said", a.Msg)
				}
			}
		}
	})
}
