package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt follows the page numbers that it finds in a mapped file, so damage
// can make it fault, loop or hand out wrong data. verify reads the file first
// and follows every page in use: layout of bbolt's format 2, little-endian.

const (
	pageSize    = 4096
	pageHeader  = 16 // id u64, flags u16, count u16, overflow u32
	elementSize = 16 // branch: pos u32, ksize u32, page u64; leaf: flags u32, pos u32, ksize u32, vsize u32
	inBucket    = 16 // root page u64, sequence u64
	maxDepth    = 64

	flagBranch = 1
	flagLeaf   = 2
	flagMeta   = 4
	leafBucket = 1 // a leaf element that is a bucket

	boltMagic   = 0xED0CDAED
	boltVersion = 2
)

var le = binary.LittleEndian

type walker struct {
	r    io.ReaderAt
	used uint64 // pages below this number may be in use
	seen []bool
}

// verify tells whether the file at path is whole.
func verify(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if why := verifyFrom(f, st.Size()); why != nil {
		return damaged(stateName, "%v", why)
	}
	return nil
}

func verifyFrom(r io.ReaderAt, size int64) error {
	if size < 4*pageSize {
		return fmt.Errorf("%d bytes are too few", size)
	}
	w := &walker{r: r}
	root, err := w.meta(size)
	if err != nil {
		return err
	}
	w.seen = make([]bool, w.used)
	return w.tree(root, 0, 0, true, nil, nil)
}

// meta is the root page by the later of the two meta pages. Each commit
// writes one of them with a single sector, so a broken one is damage and may
// have been the later one: the older is no substitute.
func (w *walker) meta(size int64) (root uint64, err error) {
	var last uint64
	for i := range uint64(2) {
		p := make([]byte, pageSize)
		if _, err := w.r.ReadAt(p, int64(i*pageSize)); err != nil {
			return 0, err
		}
		m := p[pageHeader:]
		sum := fnv.New64a()
		sum.Write(m[:56])
		switch {
		case le.Uint32(m) != boltMagic || le.Uint64(p) != i || le.Uint16(p[8:]) != flagMeta:
			return 0, fmt.Errorf("page %d is no head of a database", i)
		case le.Uint32(m[4:]) != boltVersion:
			return 0, fmt.Errorf("page %d has format %d, not %d", i, le.Uint32(m[4:]), boltVersion)
		case le.Uint64(m[56:]) != sum.Sum64():
			return 0, fmt.Errorf("page %d has a wrong checksum", i)
		case le.Uint32(m[8:]) != pageSize:
			return 0, fmt.Errorf("page %d says that pages have %d bytes, not %d", i, le.Uint32(m[8:]), pageSize)
		}
		if tx := le.Uint64(m[48:]); tx >= last {
			last, root, w.used = tx, le.Uint64(m[16:]), le.Uint64(m[40:])
		}
	}
	if w.used > uint64(size)/pageSize {
		return 0, fmt.Errorf("it was cut off: %d pages of %d are left", size/pageSize, w.used)
	}
	return root, nil
}

// page reads page id and those it overflows into, once.
func (w *walker) page(id uint64) ([]byte, error) {
	if id < 2 || id >= w.used {
		return nil, fmt.Errorf("page %d is outside the file", id)
	}
	var head [pageHeader]byte
	if _, err := w.r.ReadAt(head[:], int64(id*pageSize)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	n := uint64(le.Uint32(head[12:])) + 1
	if le.Uint64(head[:]) != id || n > w.used-id {
		return nil, fmt.Errorf("page %d is overwritten", id)
	}
	for i := id; i < id+n; i++ {
		if w.seen[i] {
			return nil, fmt.Errorf("page %d is used twice", i)
		}
		w.seen[i] = true
	}
	p := make([]byte, n*pageSize)
	if _, err := w.r.ReadAt(p, int64(id*pageSize)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return p, nil
}

// tree follows a bucket's pages. Keys lie in [from, to); nil is no bound.
func (w *walker) tree(id uint64, sum uint32, depth int, isTop bool, from, to []byte) error {
	if depth > maxDepth {
		return fmt.Errorf("page %d is nested too deep", id)
	}
	p, err := w.page(id)
	if err != nil {
		return err
	}
	flags := le.Uint16(p[8:])
	if flags == flagLeaf {
		return w.leaf(p, id, sum, depth, isTop, from, to)
	}
	if flags != flagBranch {
		return fmt.Errorf("page %d is of no known kind", id)
	}
	keys, err := elements(p, flagBranch, from, to)
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	if len(keys) == 0 {
		return fmt.Errorf("page %d is empty", id)
	}
	for i, e := range keys {
		until := to
		if i+1 < len(keys) {
			until = keys[i+1].key
		}
		if err := w.tree(e.page, sum, depth+1, isTop, e.key, until); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) leaf(p []byte, id uint64, sum uint32, depth int, isTop bool, from, to []byte) error {
	es, err := elements(p, flagLeaf, from, to)
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	for _, e := range es {
		if !e.bucket {
			if _, ok := unseal(sum, e.key, e.value); !ok || isTop {
				return fmt.Errorf("page %d: an entry has a wrong checksum", id)
			}
			continue
		}
		if len(e.value) < inBucket {
			return fmt.Errorf("page %d: a part is cut off", id)
		}
		root, below := le.Uint64(e.value), extend(sum, e.key)
		if root != 0 {
			err = w.tree(root, below, depth+1, false, nil, nil)
		} else {
			err = w.inline(e.value[inBucket:], id, below)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inline is a small bucket that lives in its parent's page.
func (w *walker) inline(p []byte, id uint64, sum uint32) error {
	if len(p) < pageHeader || le.Uint16(p[8:]) != flagLeaf {
		return fmt.Errorf("page %d: a part is overwritten", id)
	}
	es, err := elements(p, flagLeaf, nil, nil)
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	for _, e := range es {
		if _, ok := unseal(sum, e.key, e.value); !ok || e.bucket {
			return fmt.Errorf("page %d: an entry has a wrong checksum", id)
		}
	}
	return nil
}

type element struct {
	key    []byte
	value  []byte // of a leaf
	bucket bool
	page   uint64 // of a branch
}

// elements cuts a page up and sees that its keys ascend within [from, to).
func elements(p []byte, kind int, from, to []byte) ([]element, error) {
	count := int(le.Uint16(p[10:]))
	if count*elementSize > len(p)-pageHeader {
		return nil, fmt.Errorf("%d entries do not fit", count)
	}
	out := make([]element, 0, count)
	// Entries lie one after the other, from the end of their heads, so that a
	// wrong count shows.
	next := uint64(pageHeader + count*elementSize)
	for i := range count {
		at := pageHeader + i*elementSize
		head := p[at : at+elementSize]
		var e element
		var pos, ksize, vsize uint64
		if kind == flagBranch {
			pos, ksize, e.page = uint64(le.Uint32(head)), uint64(le.Uint32(head[4:])), le.Uint64(head[8:])
		} else {
			flags := le.Uint32(head)
			if flags > leafBucket {
				return nil, fmt.Errorf("entry %d is of no known kind", i)
			}
			e.bucket = flags == leafBucket
			pos, ksize, vsize = uint64(le.Uint32(head[4:])), uint64(le.Uint32(head[8:])), uint64(le.Uint32(head[12:]))
		}
		start := uint64(at) + pos
		if start != next || ksize == 0 || start+ksize+vsize > uint64(len(p)) {
			return nil, fmt.Errorf("entry %d is not where it should be", i)
		}
		next = start + ksize + vsize
		e.key, e.value = p[start:start+ksize], p[start+ksize:start+ksize+vsize]
		if i > 0 && bytes.Compare(out[i-1].key, e.key) >= 0 ||
			from != nil && bytes.Compare(e.key, from) < 0 || to != nil && bytes.Compare(e.key, to) >= 0 {
			return nil, fmt.Errorf("entry %d is out of order", i)
		}
		out = append(out, e)
	}
	return out, nil
}
