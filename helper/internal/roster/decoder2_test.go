package roster

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// parser is a second decoder, of the few CBOR forms that records use. It
// shares nothing with Decode.
type parser struct{ b []byte }

var errParse = errors.New("not canonical")

func (p *parser) head() (major byte, n uint64, err error) {
	if len(p.b) == 0 {
		return 0, 0, errParse
	}
	major, n = p.b[0]>>5, uint64(p.b[0]&31)
	p.b = p.b[1:]
	if n < 24 {
		return major, n, nil
	}
	size := map[uint64]int{24: 1, 25: 2, 26: 4, 27: 8}[n]
	if size == 0 || len(p.b) < size {
		return 0, 0, errParse
	}
	var wide [8]byte
	copy(wide[8-size:], p.b[:size])
	p.b = p.b[size:]
	n = binary.BigEndian.Uint64(wide[:])
	least := map[int]uint64{1: 24, 2: 1 << 8, 4: 1 << 16, 8: 1 << 32}[size]
	if n < least {
		return 0, 0, errParse
	}
	return major, n, nil
}

// value reads one item: uint64, []byte, string, []any, map[uint64]any or bool.
func (p *parser) value() (any, error) {
	major, n, err := p.head()
	if err != nil {
		return nil, err
	}
	switch {
	case major == 0:
		return n, nil
	case major == 2 || major == 3:
		if uint64(len(p.b)) < n {
			return nil, errParse
		}
		s := p.b[:n]
		p.b = p.b[n:]
		if major == 3 {
			return string(s), nil
		}
		return s, nil
	case major == 4:
		var list []any
		for range n {
			v, err := p.value()
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case major == 5:
		m := map[uint64]any{}
		last := int64(-1)
		for range n {
			k, err := p.value()
			u, ok := k.(uint64)
			if err != nil || !ok || u > 99 || int64(u) <= last {
				return nil, errParse
			}
			last = int64(u)
			if m[u], err = p.value(); err != nil {
				return nil, err
			}
		}
		return m, nil
	case major == 7 && n == 21:
		return true, nil
	}
	return nil, errParse
}

// cborField describes a map's value: its kind, its size for bytes, and whether it may be absent.
type cborField struct {
	kind     byte // u, b, s, t (true), l (strings), i (IDs)
	size     int
	optional bool
}

var shapes = map[uint64]map[uint64]cborField{
	1: {1: {'s', 0, false}, 2: {'b', 16, false}},
	2: {1: {'b', 32, false}, 2: {'u', 0, true}, 3: {'l', 0, true}, 4: {'l', 0, true}},
	3: {1: {'b', 32, false}, 2: {'b', 32, true}, 3: {'t', 0, true}, 4: {'u', 0, true}, 5: {'u', 0, false}, 6: {'l', 0, true}},
	4: {
		1: {'b', 32, false}, 2: {'b', 32, false}, 3: {'b', 32, false}, 4: {'u', 0, false}, 5: {'b', 64, false}, 6: {'s', 0, false},
		7: {'u', 0, true}, 8: {'l', 0, true}, 9: {'u', 0, true}, 10: {'b', 32, true}, 11: {'b', 64, true},
	},
	5: {1: {'b', 32, true}, 2: {'b', 32, true}, 3: {'i', 0, true}},
	6: {1: {'s', 0, false}, 2: {'b', -1, true}},
	7: {},
}

func (f cborField) fits(v any) bool {
	zero := false
	switch v := v.(type) {
	case uint64:
		zero = v == 0
		return f.kind == 'u' && !(zero && f.optional)
	case []byte:
		zero = len(bytes.Trim(v, "\x00")) == 0 && f.size >= 0 || len(v) == 0
		return f.kind == 'b' && (f.size < 0 || len(v) == f.size) && !(zero && f.optional)
	case string:
		return f.kind == 's'
	case bool:
		return f.kind == 't'
	case []any:
		for _, e := range v {
			if id, ok := e.([]byte); f.kind == 'i' && (!ok || len(id) != 32) {
				return false
			}
			if _, ok := e.(string); f.kind == 'l' && !ok {
				return false
			}
		}
		return len(v) > 0 && (f.kind == 'i' || f.kind == 'l')
	}
	return false
}

// decode2 reads a record's payload into a map, or refuses it.
func decode2(raw []byte) (map[uint64]any, error) {
	if len(raw) <= 64 {
		return nil, errParse
	}
	p := &parser{raw[:len(raw)-64]}
	v, err := p.value()
	m, ok := v.(map[uint64]any)
	if err != nil || !ok || len(p.b) > 0 {
		return nil, errParse
	}
	outer := map[uint64]cborField{
		1: {'u', 0, false}, 2: {'u', 0, false}, 3: {'b', 32, true}, 4: {'b', 32, false}, 5: {'b', 32, true}, 6: {'u', 0, false},
	}
	body, ok := m[7].(map[uint64]any)
	if !ok || m[1] != uint64(1) {
		return nil, errParse
	}
	t, _ := m[2].(uint64)
	shape, ok := shapes[t]
	if !ok {
		return nil, errParse
	}
	delete(m, 7)
	for got, want := range map[*map[uint64]any]map[uint64]cborField{&m: outer, &body: shape} {
		for k, f := range want {
			if v, ok := (*got)[k]; ok && !f.fits(v) || !ok && !f.optional {
				return nil, errParse
			}
		}
		for k := range *got {
			if _, ok := want[k]; !ok {
				return nil, errParse
			}
		}
	}
	m[7] = body
	return m, nil
}
