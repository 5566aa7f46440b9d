package relay

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"
)

// frameReader takes datagrams out of a stream. While it waits it holds no memory
// but a frame's length; then it reads what is there, a TLS record mostly, into a
// chunk, and gives that back when it is read.
type frameReader struct {
	r       io.Reader
	head    [frameHead]byte
	c       *chunk
	at      int           // how far c is read
	heard   atomic.Uint64 // whole frames, keep-alives among them
	dropped atomic.Uint64 // frames that did not fit the reader's buffer
}

// read fills b with the next datagram; one that is longer than b is dropped.
func (f *frameReader) read(b []byte) (int, error) {
	for {
		n, err := f.length()
		if err != nil {
			return 0, err
		}
		switch {
		case n == 0:
			f.heard.Add(1)
			continue
		case n > MaxFrame:
			return 0, fmt.Errorf("receive frame of %d bytes: %w", n, ErrFrame)
		case n <= len(b):
			if err := f.body(b[:n]); err != nil {
				return 0, err
			}
			f.heard.Add(1)
			return n, nil
		}
		if err := f.skip(n); err != nil {
			return 0, err
		}
		f.heard.Add(1)
		f.dropped.Add(1)
	}
}

// buffered is the size of the next datagram if it can be read without waiting,
// else 0.
func (f *frameReader) buffered() int {
	if f.c == nil {
		return 0
	}
	for b := f.c.b[f.at:f.c.n]; len(b) >= frameHead; b = b[frameHead:] {
		n := int(binary.BigEndian.Uint16(b))
		if n > 0 {
			if n > MaxFrame || n > len(b)-frameHead {
				return 0
			}
			return n
		}
	}
	return 0
}

// length reads a frame's length. It waits without a chunk; the stream may end
// here.
func (f *frameReader) length() (int, error) {
	for got := 0; got < frameHead; {
		if f.c != nil {
			got += f.copy(f.head[got:])
			continue
		}
		n, err := f.r.Read(f.head[got:])
		if got += n; err == nil || got == frameHead {
			continue
		}
		if err == io.EOF && got > 0 {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	return int(binary.BigEndian.Uint16(f.head[:])), nil
}

// body fills b.
func (f *frameReader) body(b []byte) error {
	for len(b) > 0 {
		if err := f.fill(); err != nil {
			return err
		}
		b = b[f.copy(b):]
	}
	return nil
}

// skip passes over n bytes.
func (f *frameReader) skip(n int) error {
	for n > 0 {
		if err := f.fill(); err != nil {
			return err
		}
		m := min(n, f.c.n-f.at)
		f.advance(m)
		n -= m
	}
	return nil
}

// fill reads what there is into a chunk, unless some is left.
func (f *frameReader) fill() error {
	if f.c != nil {
		return nil
	}
	c := chunks.Get().(*chunk)
	n, err := f.r.Read(c.b[:])
	if n > 0 {
		f.c, f.at, c.n = c, 0, n // an error comes again
		return nil
	}
	chunks.Put(c)
	switch err {
	case nil:
		err = io.ErrNoProgress
	case io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (f *frameReader) copy(b []byte) int {
	n := copy(b, f.c.b[f.at:f.c.n])
	f.advance(n)
	return n
}

// advance gives the chunk back when it is read.
func (f *frameReader) advance(n int) {
	if f.at += n; f.at == f.c.n {
		f.c.n = 0
		chunks.Put(f.c)
		f.c = nil
	}
}
