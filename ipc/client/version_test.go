package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/client"
)

// foreign is a helper that is not ours, on a socket of its own.
func foreign(t *testing.T, h http.HandlerFunc) *client.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "k.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	c := client.New(client.Options{Socket: path, Timeout: 20 * time.Second})
	t.Cleanup(func() {
		c.Close()
		srv.Close()
		<-done
	})
	return c
}

// TestWatchOfAnotherVersion: a helper of another version tells its version and
// its status, and that is all.
func TestWatchOfAnotherVersion(t *testing.T) {
	c := foreign(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/version":
			json.NewEncoder(w).Encode(map[string]any{"protocol": 2, "version": "2.0", "more": true})
		case "/v1/status":
			json.NewEncoder(w).Encode(map[string]any{"schema": 2, "version": "2.0", "state": "dreaming", "new": []int{1}})
		default:
			w.WriteHeader(http.StatusUpgradeRequired)
			json.NewEncoder(w).Encode(ipc.Failure{Error: ipc.Errorf(ipc.CodeVersion, "no")})
		}
	})
	var got []client.Update
	for u := range c.Watch(t.Context()) {
		if got = append(got, u); len(got) == 2 {
			break
		}
	}
	u := got[1]
	if u.Link != client.LinkVersion || u.Helper != "2.0" || u.Status == nil || u.Status.State != "dreaming" || ipc.CodeOf(u.Err) != ipc.CodeVersion {
		t.Errorf("%+v", u)
	}
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name  string
		serve http.HandlerFunc
		code  ipc.Code
	}{
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }, ipc.CodeInternal},
		{"a status alone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, ipc.CodeInternal},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://evil.example/", http.StatusFound)
		}, ipc.CodeUnreachable},
		{"it breaks off", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ipc.CodeUnreachable},
		{"an error", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(409)
			fmt.Fprint(w, `{"error":{"code":"name-taken","msg":"taken","args":{"name":"home"}}}`)
		}, ipc.CodeNameTaken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := foreign(t, tt.serve).Status(t.Context())
			if ipc.CodeOf(err) != tt.code {
				t.Errorf("%s: %v", ipc.CodeOf(err), err)
			}
		})
	}
	c := client.New(client.Options{Socket: filepath.Join(t.TempDir(), "none")})
	if _, err := c.Status(t.Context()); ipc.CodeOf(err) != ipc.CodeUnreachable || !strings.Contains(err.Error(), "not running") {
		t.Errorf("nothing there: %v", err)
	}
	hang := foreign(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := hang.Status(ctx); ipc.CodeOf(err) != ipc.CodeTimeout {
		t.Errorf("no answer: %v", err)
	}
}
