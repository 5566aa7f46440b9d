package relay

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"
)

// frameReader takes datagrams out of a stream. It has no buffer: crypto/tls has
// one already.
type frameReader struct {
	r       io.Reader
	head    [frameHead]byte
	heard   atomic.Uint64 // whole frames, keep-alives among them
	dropped atomic.Uint64 // frames that did not fit the reader's buffer
}

// read fills b with the next datagram; one that is longer than b is dropped.
func (f *frameReader) read(b []byte) (int, error) {
	for {
		if _, err := io.ReadFull(f.r, f.head[:]); err != nil {
			return 0, err
		}
		n := int(binary.BigEndian.Uint16(f.head[:]))
		switch {
		case n == 0:
			f.heard.Add(1)
			continue
		case n > MaxFrame:
			return 0, fmt.Errorf("receive frame of %d bytes: %w", n, ErrFrame)
		case n <= len(b):
			if err := full(f.r, b[:n]); err != nil {
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

func (f *frameReader) skip(n int) error {
	c := chunks.Get().(*chunk)
	defer chunks.Put(c)
	return full(f.r, c.b[:n])
}

// full is io.ReadFull within a frame, where no end is a clean one.
func full(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}
