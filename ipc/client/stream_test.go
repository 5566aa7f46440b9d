package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kith.internal/ipc"
)

// TestStreamReadsAsJSONDoes: an event read a piece at a time is the event that
// encoding/json reads at once.
func TestStreamReadsAsJSONDoes(t *testing.T) {
	for _, in := range []string{
		`{"rev":7}`, `{}`, `null`, `{"rev":1,"snapshot":null,"networks":null,"peers":null}`,
		`{"rev":1,"snapshot":{"schema":1,"version":"1","state":"running","networks":[],"joining":[{"id":"j"}],"may":["operate"],"newer":{"networks":[1]}}}`,
		`{"peers":[{"network":"1","peer":{"key":"a","name":"nas","online":true}},{"network":"1","peer":{"key":"b"}}],"rev":2,"health":[],"state":"off"}`,
		`{"rev":3,"networks":[{"id":"1","peers":[{"key":"a","tags":["x"],"exit":true,"latency_ms":1.5},{"key":"b"}],"shares":[{"id":"s"}],"self":{"name":"laptop"}},{"id":"2","peers":null}],"removed":["3"]}`,
	} {
		var want ipc.Event
		if err := json.Unmarshal([]byte(in), &want); err != nil {
			t.Fatal(err)
		}
		got, err := newStream(strings.NewReader(in), nil).next()
		if err != nil {
			t.Errorf("%s: %v", in, err)
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s (-want +got):\n%s", in, d)
		}
	}
}

func TestStreamKeepsWhatItIsTold(t *testing.T) {
	in := `{"rev":1,"networks":[{"id":"1","peers":[{"key":"a","name":"nas","os":"Debian"}]}],"peers":[{"network":"2","peer":{"key":"b","name":"tv","os":"odd"}}]}`
	ev, err := newStream(strings.NewReader(in), func(p *ipc.Peer) { *p = ipc.Peer{Key: p.Key} }).next()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]ipc.Peer{{Key: "a"}, {Key: "b"}}, []ipc.Peer{ev.Networks[0].Peers[0], ev.Peers[0].Peer}); d != "" {
		t.Error(d)
	}
}

func TestStreamRefusesNonsense(t *testing.T) {
	for _, in := range []string{`{"networks":{}}`, `{"networks":[1]}`, `[]`, `7`, `{"rev":"x"}`, `{"rev":1,,}`, `{"peers":[{"peer":[]}]}`, `}`, "\x00"} {
		_, err := newStream(strings.NewReader(in), nil).next()
		if ipc.CodeOf(err) != ipc.CodeInternal {
			t.Errorf("%s: %v", in, err)
		}
	}
	for _, in := range []string{"", "{", `{"rev":`, `{"networks":[{"id":"1"`, `{"networks":[`} {
		if _, err := newStream(strings.NewReader(in), nil).next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// endless is a list of devices without end.
type endless struct{ left string }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == "" {
		e.left = strings.Repeat(`{},`, 1<<14)
	}
	n := copy(p, e.left)
	e.left = e.left[n:]
	return n, nil
}

func TestStreamIsBounded(t *testing.T) {
	for _, begin := range []string{`{"rev":1,"newer":[`, `{"rev":1,"networks":[{"peers":[`, `{"peers":[`} {
		s := newStream(&endless{begin}, nil)
		s.in.most = 1 << 16
		if _, err := s.next(); !strings.Contains(fmt.Sprint(err), "larger than") {
			t.Errorf("%s: %v", begin, err)
		}
	}
}
