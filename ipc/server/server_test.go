package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"kith.internal/ipc"
	"kith.internal/ipc/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// policy is an Authorizer made of functions.
type policy struct {
	authorize func(transport.Identity, ipc.Verb) error
	rights    func(transport.Identity) []ipc.Right
}

func (p policy) Authorize(id transport.Identity, v ipc.Verb) error {
	if p.authorize == nil {
		return nil
	}
	return p.authorize(id, v)
}

func (p policy) Rights(id transport.Identity) []ipc.Right {
	if p.rights == nil {
		return []ipc.Right{ipc.RightOperate}
	}
	return p.rights(id)
}

// serve runs a server until the test ends and returns its socket.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "k.sock")
	ln, err := transport.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return path
}

func dialRaw(t *testing.T, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

// raw sends text and returns the answer's status and error code, "ok" for none.
func raw(t *testing.T, path, text string) (int, string) {
	t.Helper()
	c := dialRaw(t, path)
	defer c.Close()
	// Answered early, the rest of the question is not wanted.
	if _, err := io.WriteString(c, text); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	return outcome(c)
}

// outcome reads an answer's status and error code, "ok" for none.
func outcome(c net.Conn) (int, string) {
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if errors.Is(err, syscall.ECONNRESET) {
		return resp.StatusCode, "reset"
	}
	if err != nil {
		return resp.StatusCode, err.Error()
	}
	var f ipc.Failure
	if json.Unmarshal(b, &f) != nil || f.Error == nil {
		return resp.StatusCode, "ok"
	}
	return resp.StatusCode, string(f.Error.Code)
}

// request is an HTTP request; header lines end with \r\n.
func request(line, headers, body string) string {
	if body != "" {
		headers += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return line + " HTTP/1.1\r\n" + headers + "\r\n" + body
}

func TestWhatIsRefused(t *testing.T) {
	s := New(Config{Version: "1", Source: NewBoard(&ipc.Status{}), Authorizer: policy{
		authorize: func(_ transport.Identity, v ipc.Verb) error {
			if v == ipc.VerbDown {
				return ipc.Errorf(ipc.CodePermission, "no")
			}
			return nil
		},
	}})
	called := func(_ context.Context, _ Caller, r ipc.NetworkRequest) (ipc.Status, error) { return ipc.Status{}, nil }
	Handle(s, ipc.VerbUp, called)
	Handle(s, ipc.VerbDown, called)
	path := serve(t, s)

	const (
		host  = "Host: kith\r\n"
		proto = "Kith-Protocol: 1\r\n"
		kind  = "Content-Type: application/json\r\n"
		all   = host + proto + kind
	)
	big := `{"network":"` + strings.Repeat("x", ipc.MaxRequest) + `"}`
	tests := []struct {
		name, text string
		status     int
		code       string
	}{
		{"a good one", request("POST /v1/up", all, `{"network":"home"}`), 200, "ok"},
		{"white space around", request("POST /v1/up", all, " \n{}\n "), 200, "ok"},
		{"a parameter of the type", request("POST /v1/up", host+proto+"Content-Type: application/json; charset=utf-8\r\n", `{}`), 200, "ok"},
		{"another host", request("GET /v1/status", "Host: evil.example\r\n"+proto, ""), 403, "permission"},
		{"localhost", request("GET /v1/status", "Host: localhost\r\n"+proto, ""), 403, "permission"},
		{"no host", request("GET /v1/status", proto, ""), 400, "ok"},
		{"an absolute URL", request("GET http://evil.example/v1/status", host+proto, ""), 403, "permission"},
		{"an origin", request("GET /v1/status", host+proto+"Origin: http://kith\r\n", ""), 403, "permission"},
		{"a null origin", request("GET /v1/status", host+proto+"Origin: null\r\n", ""), 403, "permission"},
		{"a referrer", request("GET /v1/status", host+proto+"Referer: http://kith/\r\n", ""), 403, "permission"},
		{"fetch metadata", request("GET /v1/status", host+proto+"Sec-Fetch-Site: none\r\n", ""), 403, "permission"},
		{"an unknown verb", request("POST /v1/nothing", all, `{}`), 400, "usage"},
		{"a verb without a handler", request("POST /v1/diag", all, `{}`), 400, "usage"},
		{"a query", request("GET /v1/status?x=1", host+proto, ""), 400, "usage"},
		{"another path to it", request("GET /v1//status", host+proto, ""), 400, "usage"},
		{"dots in the path", request("GET /v1/x/../status", host+proto, ""), 400, "usage"},
		{"GET of what acts", request("GET /v1/up", all, ""), 400, "usage"},
		{"POST of what reads", request("POST /v1/status", all, `{}`), 400, "usage"},
		{"a body on GET", request("GET /v1/status", host+proto, `{}`), 400, "usage"},
		{"no protocol", request("POST /v1/up", host+kind, `{}`), 426, "version"},
		{"another protocol", request("POST /v1/up", host+kind+"Kith-Protocol: 2\r\n", `{}`), 426, "version"},
		{"another protocol watches", request("GET /v1/watch", host+"Kith-Protocol: 2\r\n", ""), 426, "version"},
		{"another protocol, unknown verb", request("POST /v1/nothing", host+kind+"Kith-Protocol: 2\r\n", `{}`), 426, "version"},
		{"another protocol reads the version", request("GET /v1/version", host+"Kith-Protocol: 2\r\n", ""), 200, "ok"},
		{"another protocol reads the status", request("GET /v1/status", host+"Kith-Protocol: 2\r\n", ""), 200, "ok"},
		{"no protocol reads the status", request("GET /v1/status", host, ""), 200, "ok"},
		{"no type", request("POST /v1/up", host+proto, `{}`), 400, "usage"},
		{"a form", request("POST /v1/up", host+proto+"Content-Type: text/plain\r\n", `{}`), 400, "usage"},
		{"no body", request("POST /v1/up", all, ""), 400, "usage"},
		{"not JSON", request("POST /v1/up", all, `network=home`), 400, "usage"},
		{"an unknown field", request("POST /v1/up", all, `{"network":"a","x":1}`), 400, "usage"},
		{"two values", request("POST /v1/up", all, `{}{}`), 400, "usage"},
		{"something after", request("POST /v1/up", all, `{} x`), 400, "usage"},
		{"the wrong type", request("POST /v1/up", all, `[]`), 400, "usage"},
		{"not UTF-8", request("POST /v1/up", all, "{\"network\":\"\xff\"}"), 400, "usage"},
		{"too large", request("POST /v1/up", all, big), 400, "usage"},
		{"too large in chunks", "POST /v1/up HTTP/1.1\r\n" + all + "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(big), big), 400, "usage"},
		{"not permitted, and the body never comes", "POST /v1/down HTTP/1.1\r\n" + all + "Content-Length: 10\r\nConnection: close\r\n\r\n", 403, "permission"},
		{"a header that is too large", request("GET /v1/status", host+"X: "+strings.Repeat("x", 20<<10)+"\r\n", ""), 431, "reset"},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 403, "permission"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, code := raw(t, path, tt.text)
			if status != tt.status || code != tt.code {
				t.Errorf("got %d %s, want %d %s", status, code, tt.status, tt.code)
			}
		})
	}
}

func TestPanicsAreAnswered(t *testing.T) {
	logged := make(logChan, 16)
	s := New(Config{Source: NewBoard(&ipc.Status{}), Authorizer: policy{}, Log: slog.New(logged)})
	Handle(s, ipc.VerbUp, func(context.Context, Caller, ipc.NetworkRequest) (ipc.Status, error) { panic("oops") })
	HandleStream(s, ipc.VerbPing, func(_ context.Context, _ Caller, _ ipc.PingRequest, send func(ipc.PingReply) error) error {
		send(ipc.PingReply{Seq: 1})
		panic("oops")
	})
	path := serve(t, s)
	head := "Host: kith\r\nKith-Protocol: 1\r\nContent-Type: application/json\r\n"
	if status, code := raw(t, path, request("POST /v1/up", head, `{}`)); status != 500 || code != "internal" {
		t.Errorf("got %d %s", status, code)
	}
	logged.wait(t, "a request failed inside the helper")
	// Half a stream ends in a way that cannot pass for its end.
	if status, code := raw(t, path, request("POST /v1/ping", head, `{}`)); status != 200 || code != "unexpected EOF" {
		t.Errorf("got %d %s", status, code)
	}
}

func TestRegistering(t *testing.T) {
	s := New(Config{Source: NewBoard(&ipc.Status{}), Authorizer: policy{}})
	if got, want := len(s.Missing()), len(ipc.Verbs)-3; got != want {
		t.Errorf("%d verbs are missing, want %d", got, want)
	}
	defer func() {
		if recover() == nil {
			t.Error("a verb was registered twice")
		}
	}()
	Handle(s, ipc.VerbStatus, func(context.Context, Caller, struct{}) (ipc.Status, error) { return ipc.Status{}, nil })
}

func TestErrorsAsClientsSeeThem(t *testing.T) {
	s := New(Config{Source: NewBoard(&ipc.Status{}), Authorizer: policy{}})
	coded := ipc.Errorf(ipc.CodeNameTaken, "taken")
	tests := []struct {
		err  error
		code ipc.Code
		msg  string
	}{
		{coded, ipc.CodeNameTaken, "taken"},
		{fmt.Errorf("engine: create: %w", coded), ipc.CodeNameTaken, "taken"},
		{fmt.Errorf("wait: %w", context.DeadlineExceeded), ipc.CodeTimeout, "it took too long"},
		{fmt.Errorf("wait: %w", context.Canceled), ipc.CodeUnreachable, "the helper is stopping"},
		{io.ErrShortWrite, ipc.CodeInternal, "short write"},
	}
	r, err := http.NewRequest("POST", "/v1/create", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		if e := s.asError(r, tt.err); e.Code != tt.code || e.Msg != tt.msg {
			t.Errorf("%v became %s %q", tt.err, e.Code, e.Msg)
		}
	}
}

// TestServeEndsRequests has a handler wait for the end.
func TestServeEndsRequests(t *testing.T) {
	s := New(Config{Source: NewBoard(&ipc.Status{}), Authorizer: policy{}, Limits: Limits{Grace: time.Minute}})
	began := make(chan struct{})
	Handle(s, ipc.VerbUp, func(ctx context.Context, _ Caller, _ ipc.NetworkRequest) (ipc.Status, error) {
		close(began)
		<-ctx.Done()
		return ipc.Status{}, ctx.Err()
	})
	path := filepath.Join(t.TempDir(), "k.sock")
	ln, err := transport.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	got := make(chan string, 1)
	go func() {
		status, code := raw(t, path, request("POST /v1/up", "Host: kith\r\nKith-Protocol: 1\r\nContent-Type: application/json\r\n", `{}`))
		got <- fmt.Sprint(status, " ", code)
	}()
	<-began
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if g := <-got; g != "503 unreachable" {
		t.Errorf("the request under way got %s", g)
	}
}

// TestHandlerOutlivesTheReadLimit: the time to send a request does not bound
// the time that its answer takes.
func TestHandlerOutlivesTheReadLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const read = 20 * time.Millisecond
		s := New(Config{Source: NewBoard(&ipc.Status{}), Authorizer: policy{}, Limits: Limits{Read: read}})
		Handle(s, ipc.VerbUp, func(ctx context.Context, _ Caller, _ ipc.NetworkRequest) (ipc.Status, error) {
			return ipc.Status{}, sleep(ctx, 10*read)
		})
		p := servePipes(t, s)
		head := "Host: kith\r\nKith-Protocol: 1\r\nContent-Type: application/json\r\n"
		c := p.dial()
		io.WriteString(c, request("POST /v1/up", head, `{}`))
		if status, _ := outcome(c); status != 200 {
			t.Errorf("got %d", status)
		}
		c.Close()
		// Who sends half a request is cut off.
		for text, want := range map[string]string{
			"POST /v1/up HTTP/1.1\r\n" + head + "Content-Length: 10\r\n\r\n{": "broke off",
			"POST /v1/up HTTP/1.1\r\nHost":                                    "HTTP/1.1 400 ",
		} {
			c := p.dial()
			io.WriteString(c, text)
			if b, err := io.ReadAll(c); err != nil || !strings.Contains(string(b), want) {
				t.Errorf("half a request, %q: %q, %v", text, b, err)
			}
			c.Close()
		}
	})
}
