// Package client talks to the helper: a method a verb, and Watch, which keeps a
// copy of the helper's state. It holds no words for people beyond its errors'
// and must not import the server.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/transport"
)

const (
	// DefaultTimeout is for verbs that the helper answers by itself.
	DefaultTimeout = 30 * time.Second
	// joinSlack is how much longer than the helper we wait for a join.
	joinSlack = 10 * time.Second
	// nearbyWait is as long as a network stays open.
	nearbyWait = 10 * time.Minute
	// DefaultJoinWait is how long the helper waits where a request says 0.
	DefaultJoinWait = 30 * time.Second
	// maxAnswer bounds an answer and a line of a stream: a roster of 5,000
	// members is some 10 MB.
	maxAnswer = 128 << 20
)

// Options say whom to talk to.
type Options struct {
	Socket  string        // "" is KITH_SOCKET, else the default
	Trust   []string      // users (UIDs, SIDs) that may serve it besides root and ourselves
	Timeout time.Duration // for one answer; 0 is DefaultTimeout
	// Keep is called for each device that Watch reads and may clear what its
	// caller has no use for, but the key; nil keeps all.
	Keep func(*ipc.Peer)
}

// Client is safe for concurrent use. All its errors hold an *ipc.Error.
type Client struct {
	opts Options
	path string
	http *http.Client
}

// New makes a client; it connects with the first request.
func New(o Options) *Client {
	c := &Client{opts: o, path: transport.Path(o.Socket)}
	if c.opts.Timeout == 0 {
		c.opts.Timeout = DefaultTimeout
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return transport.Dial(ctx, c.path, o.Trust...)
			},
			MaxIdleConns:           2,
			IdleConnTimeout:        20 * time.Second, // shorter than the helper's
			MaxResponseHeaderBytes: 16 << 10,
			DisableCompression:     true,
			Proxy:                  nil,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("the helper never redirects") },
	}
	return c
}

// Socket is the path in use.
func (c *Client) Socket() string { return c.path }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call sends one request and decodes the answer.
func call[Resp any](ctx context.Context, c *Client, v ipc.Verb, req any, timeout time.Duration) (Resp, error) {
	var resp Resp
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := c.do(ctx, v, req)
	if err != nil {
		return resp, err
	}
	defer r.Body.Close()
	body, err := readAll(r.Body)
	if err != nil {
		return resp, c.broken(ctx, err)
	}
	if err := json.Unmarshal(body, &resp); err != nil {
		return resp, ipc.Errorf(ipc.CodeInternal, "the helper's answer makes no sense: %w", err)
	}
	return resp, nil
}

// do sends a request and returns an answer that is 200.
func (c *Client) do(ctx context.Context, v ipc.Verb, req any) (*http.Response, error) {
	var body io.Reader
	if req != nil {
		b, err := json.Marshal(req)
		if err != nil {
			return nil, ipc.Errorf(ipc.CodeUsage, "the request cannot be encoded: %w", err)
		}
		body = bytes.NewReader(b)
	}
	hr, err := http.NewRequestWithContext(ctx, v.Method(), "http://"+ipc.Host+v.Path(), body)
	if err != nil {
		return nil, ipc.Errorf(ipc.CodeInternal, "%w", err)
	}
	hr.Header.Set(ipc.ProtocolHeader, strconv.Itoa(ipc.Version))
	if body != nil {
		hr.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(hr)
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	b, err := readAll(resp.Body)
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	return nil, failure(resp.StatusCode, b)
}

// failure reads the helper's error.
func failure(status int, body []byte) *ipc.Error {
	var f ipc.Failure
	if json.Unmarshal(body, &f) != nil || f.Error == nil || f.Error.Code == "" {
		return ipc.Errorf(ipc.CodeInternal, "the helper answered with status %d", status)
	}
	return f.Error
}

// broken says what a failed exchange means.
func (c *Client) broken(ctx context.Context, err error) error {
	var e *ipc.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, transport.ErrUntrusted):
		return ipc.Errorf(ipc.CodeUnreachable, "%w", err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return ipc.Errorf(ipc.CodeTimeout, "the helper gave no answer in time")
	case ctx.Err() != nil:
		return &canceled{ipc.Errorf(ipc.CodeTimeout, "interrupted"), ctx.Err()}
	case errors.Is(err, fs.ErrPermission):
		return ipc.Errorf(ipc.CodePermission, "the socket %s is closed to this account", c.path)
	case errors.Is(err, fs.ErrNotExist):
		return ipc.Errorf(ipc.CodeUnreachable, "the helper is not running (nothing at %s)", c.path)
	case isRefused(err):
		return ipc.Errorf(ipc.CodeUnreachable, "the helper is not running (nobody listens at %s)", c.path)
	}
	return ipc.Errorf(ipc.CodeUnreachable, "the connection to the helper broke off: %w", err)
}

// canceled is an error with a code that still is context.Canceled.
type canceled struct {
	err   *ipc.Error
	cause error
}

func (c *canceled) Error() string { return c.err.Msg }

func (c *canceled) Unwrap() []error { return []error{c.err, c.cause} }

func readAll(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err == nil && len(b) > maxAnswer {
		err = fmt.Errorf("an answer larger than %d bytes", maxAnswer)
	}
	return b, err
}
