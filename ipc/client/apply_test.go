package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"kith.internal/ipc"
)

func TestApplyRefusesWhatDoesNotFit(t *testing.T) {
	st := ipc.Status{Schema: 1, Networks: []ipc.Network{{ID: "1"}}}
	tests := []struct {
		name string
		st   ipc.Status
		ev   ipc.Event
	}{
		{"a delta without a snapshot", ipc.Status{}, ipc.Event{}},
		{"an unknown network is gone", st, ipc.Event{Removed: []string{"2"}}},
		{"a peer of an unknown network", st, ipc.Event{Peers: []ipc.PeerDelta{{Network: "2"}}}},
		{"a peer of a network that is gone", st, ipc.Event{Removed: []string{"1"}, Peers: []ipc.PeerDelta{{Network: "1"}}}},
	}
	for _, tt := range tests {
		if _, err := Apply(tt.st, tt.ev); !errors.Is(err, errOutOfStep) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestEventsWantEachRevision(t *testing.T) {
	const snap = `{"rev":4,"snapshot":{"schema":1,"state":"off"}}` + "\n"
	tests := []struct {
		name, in string
		states   int
		err      error
	}{
		{"in step", snap + `{"rev":5,"state":"running"}` + "\n", 2, io.ErrUnexpectedEOF},
		{"one missing", snap + `{"rev":6,"state":"running"}` + "\n", 1, errOutOfStep},
		{"one twice", snap + `{"rev":4,"state":"running"}` + "\n", 1, errOutOfStep},
		{"a new snapshot", snap + `{"rev":9,"snapshot":{"schema":1}}` + "\n" + `{"rev":10}` + "\n", 3, io.ErrUnexpectedEOF},
		{"no snapshot", `{"rev":1}` + "\n", 0, errOutOfStep},
		{"cut short", snap + `{"rev":5`, 1, io.ErrUnexpectedEOF},
		{"without a last end of line", snap + `{"rev":5,"state":"running"}`, 2, io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		e := events{in: newStream(strings.NewReader(tt.in), nil)}
		n := 0
		var err error
		for {
			if _, err = e.next(); err != nil {
				break
			}
			n++
		}
		if n != tt.states || !errors.Is(err, tt.err) {
			t.Errorf("%s: %d states, then %v", tt.name, n, err)
		}
	}
}

func TestLongLines(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	l := newLineReader(strings.NewReader(long + "\n\nshort\n"))
	for _, want := range []string{long, "", "short"} {
		if got, err := l.next(); err != nil || string(got) != want {
			t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
		}
	}
	if _, err := l.next(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

// FuzzEvents: whatever a helper sends, a state that comes out is sorted, can be
// sent on, and the ones before it stay as they were.
func FuzzEvents(f *testing.F) {
	for _, s := range []string{
		`{"rev":1,"snapshot":{"schema":1,"networks":[{"id":"1","peers":[{"key":"a"},{"key":"b"}]}]}}` + "\n" +
			`{"rev":2,"peers":[{"network":"1","peer":{"key":"a","name":"z"}}],"health":[]}` + "\n",
		`{"rev":1,"snapshot":{"schema":1,"networks":[{"id":"1"},{"id":"1"}]}}` + "\n" + `{"rev":2,"removed":["1"]}` + "\n" + `{"rev":3,"removed":["1"]}` + "\n",
		`{"rev":1}` + "\n", "\n\n", "null\n", `[]`,
		`{"rev":1,"snapshot":{"schema":1}}` + "\n" + `{"rev":2,"networks":[{"id":"2","alias":"b"},{"id":"1","alias":"a"}],"may":["operate"],"state":"off"}` + "\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		e := events{in: newStream(bytes.NewReader(in), nil)}
		var before *ipc.Status
		var was []byte
		for {
			st, err := e.next()
			if err != nil {
				return
			}
			if before != nil {
				if now, err := json.Marshal(before); err != nil || !bytes.Equal(now, was) {
					t.Fatalf("an earlier state was changed from %s to %s, %v", was, now, err)
				}
			}
			if was, err = json.Marshal(st); err != nil {
				t.Fatalf("a state that cannot be sent on: %v", err)
			}
			before = st
		}
	})
}
