package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime/debug"
	"time"
	"unicode/utf8"

	"kith.internal/ipc"
)

func stack() string { return string(debug.Stack()) }

// Handle registers fn for verb. Its context ends with the client, the request
// or the server. An *ipc.Error in the chain of its error goes to the client as
// it is; any other becomes CodeInternal. Schema is filled in, null lists become
// empty ones, and of a Status callers see what is theirs to see.
func Handle[Req, Resp any](s *Server, verb ipc.Verb, fn func(context.Context, Caller, Req) (Resp, error)) {
	s.register(verb, func(w http.ResponseWriter, r *http.Request, c Caller) {
		req, err := read[Req](s, w, r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		resp, err := fn(r.Context(), c, req)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if st, ok := any(resp).(ipc.Status); ok {
			resp = any(*redact(&st, c.May)).(Resp)
		}
		s.reply(w, http.StatusOK, tidy(resp))
	})
}

// HandleStream registers fn for a verb that answers with one JSON object a
// line. Each item is sent as soon as send is called; send fails when the client
// is gone or too slow. After fn a line {"done":true,"error":…} ends the stream.
func HandleStream[Req, Item any](s *Server, verb ipc.Verb, fn func(ctx context.Context, c Caller, req Req, send func(Item) error) error) {
	s.register(verb, func(w http.ResponseWriter, r *http.Request, c Caller) {
		req, err := read[Req](s, w, r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		out := s.lines(w)
		err = fn(r.Context(), c, req, func(it Item) error { return out.send(tidy(it)) })
		if err != nil && !out.began {
			s.fail(w, r, err)
			return
		}
		end := ipc.StreamEnd{Done: true}
		if err != nil {
			end.Error = s.asError(r, err)
		}
		if err := out.send(end); err != nil {
			s.log.Debug("a stream's client went away", "verb", verb, "err", err)
		}
	})
}

// read decodes a request strictly: JSON in UTF-8, one value, no unknown field.
func read[Req any](s *Server, w http.ResponseWriter, r *http.Request) (Req, error) {
	var req Req
	ctl := http.NewResponseController(w)
	if r.Method == http.MethodGet {
		if r.ContentLength != 0 {
			return req, ipc.Errorf(ipc.CodeUsage, "the request has a body and should have none")
		}
	} else {
		if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
			return req, ipc.Errorf(ipc.CodeUsage, "the request is not application/json")
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, ipc.MaxRequest))
		if err != nil {
			var big *http.MaxBytesError
			if errors.As(err, &big) {
				return req, ipc.Errorf(ipc.CodeUsage, "the request is larger than %d bytes", ipc.MaxRequest)
			}
			return req, ipc.Errorf(ipc.CodeUsage, "the request broke off")
		}
		if err := decode(body, &req); err != nil {
			return req, ipc.Errorf(ipc.CodeUsage, "the request is malformed: %w", err)
		}
	}
	// From here on the connection is read only to see the client leave.
	return req, ctl.SetReadDeadline(time.Time{})
}

func decode(body []byte, into any) error {
	if !utf8.Valid(body) {
		return errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// asError is what a client is told of err.
func (s *Server) asError(r *http.Request, err error) *ipc.Error {
	var e *ipc.Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, context.DeadlineExceeded):
		e = ipc.Errorf(ipc.CodeTimeout, "it took too long")
	case errors.Is(err, context.Canceled):
		e = ipc.Errorf(ipc.CodeUnreachable, "the helper is stopping")
	default:
		e = ipc.Errorf(ipc.CodeInternal, "%w", err)
	}
	level := s.log.Debug
	if e.Code == ipc.CodeInternal {
		level = s.log.Error
	}
	level("a request was refused", "verb", r.URL.Path, "code", e.Code, "err", err)
	return e
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := s.asError(r, err)
	s.reply(w, httpStatus(e.Code), ipc.Failure{Error: e})
}

func (s *Server) reply(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("encode an answer: %v", err)) // a type that JSON cannot hold: a mistake of the program
	}
	w.Header().Set("Content-Type", "application/json")
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.limits.Write))
	w.WriteHeader(status)
	if _, err := w.Write(append(b, '\n')); err != nil {
		s.log.Debug("a client went away", "err", err)
	}
}

// httpStatus is for people with curl; our client reads the code.
func httpStatus(c ipc.Code) int {
	switch c {
	case ipc.CodeUsage, ipc.CodeLinkMalformed, ipc.CodeNameInvalid:
		return http.StatusBadRequest
	case ipc.CodePermission, ipc.CodeNotAdmin:
		return http.StatusForbidden
	case ipc.CodeNotFound:
		return http.StatusNotFound
	case ipc.CodeTimeout:
		return http.StatusGatewayTimeout
	case ipc.CodeBusy, ipc.CodeUnreachable:
		return http.StatusServiceUnavailable
	case ipc.CodeVersion:
		return http.StatusUpgradeRequired
	case ipc.CodeInternal, ipc.CodeNoTUN, ipc.CodeDiskFull:
		return http.StatusInternalServerError
	}
	return http.StatusConflict
}

// lines writes one JSON value a line and gives each a bounded time.
type lines struct {
	w     http.ResponseWriter
	ctl   *http.ResponseController
	write time.Duration
	began bool
}

func (s *Server) lines(w http.ResponseWriter) *lines {
	return &lines{w: w, ctl: http.NewResponseController(w), write: s.limits.Write}
}

func (l *lines) send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode an event: %w", err)
	}
	if !l.began {
		l.began = true
		l.w.Header().Set("Content-Type", "application/x-ndjson")
	}
	if err := l.ctl.SetWriteDeadline(time.Now().Add(l.write)); err != nil {
		return err
	}
	if _, err := l.w.Write(append(b, '\n')); err != nil {
		return err
	}
	return l.ctl.Flush()
}
