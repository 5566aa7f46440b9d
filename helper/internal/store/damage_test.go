package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// wholeStore is a closed store whose tree has branches, inline buckets, free
// pages and pages that overflow.
func wholeStore(t testing.TB) string {
	s := withNetwork(t)
	for n := range 8 {
		batch := make([]Record, 0, 50)
		for i := range 50 {
			batch = append(batch, record(n*50+i))
		}
		must(t, s.PutRecords(net1, batch...))
	}
	big := record(1000)
	big.Raw = make([]byte, 20_000)
	must(t, s.PutRecords(net1, big))
	_, err := s.AppendJournal([]byte("route"))
	must(t, err)
	must(t, s.PutValue(net1, "x", []byte("y")))
	must(t, s.Close())
	return s.dir
}

func read(t testing.TB, dir, name string) []byte {
	t.Helper()
	return value(os.ReadFile(filepath.Join(dir, name)))(t)
}

func TestDamageIsRefused(t *testing.T) {
	dir := wholeStore(t)
	pages := len(read(t, dir, stateName)) / pageSize
	garbage := make([]byte, pageSize)
	for i := range garbage {
		garbage[i] = byte(i*31 + 7)
	}
	cases := map[string]struct {
		file   string
		change func(b []byte) []byte
	}{
		"state empty":         {stateName, func(b []byte) []byte { return nil }},
		"state one byte":      {stateName, func(b []byte) []byte { return b[:1] }},
		"state one page":      {stateName, func(b []byte) []byte { return b[:pageSize] }},
		"state half":          {stateName, func(b []byte) []byte { return b[:len(b)/2] }},
		"state all zero":      {stateName, func(b []byte) []byte { return make([]byte, len(b)) }},
		"state a text":        {stateName, func(b []byte) []byte { return bytes.Repeat([]byte("text\n"), 10_000) }},
		"state format 3":      {stateName, func(b []byte) []byte { b[pageHeader+4] = 3; return b }},
		"keys empty":          {keysName, func(b []byte) []byte { return nil }},
		"keys half":           {keysName, func(b []byte) []byte { return b[:len(b)/2] }},
		"keys one byte less":  {keysName, func(b []byte) []byte { return b[:len(b)-1] }},
		"keys one byte more":  {keysName, func(b []byte) []byte { return append(b, 0) }},
		"keys all zero":       {keysName, func(b []byte) []byte { return make([]byte, len(b)) }},
		"keys one bit":        {keysName, func(b []byte) []byte { b[len(b)/2] ^= 4; return b }},
		"state is gone":       {stateName, nil},
		"keys are gone":       {keysName, nil},
		"state's head zeroed": {stateName, func(b []byte) []byte { clear(b[:2*pageSize]); return b }},
	}
	for page := range 2 {
		cases[fmt.Sprintf("head %d zeroed", page)] = struct {
			file   string
			change func(b []byte) []byte
		}{stateName, func(b []byte) []byte { clear(b[page*pageSize:][:pageSize]); return b }}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { refused(t, dir, c.file, c.change) })
	}
	// Pages in use are refused, free ones do not matter.
	before := snapshot(t, dir)
	noticed := 0
	for page := 2; page < pages; page++ {
		for _, with := range [][]byte{make([]byte, pageSize), garbage} {
			if changed(t, dir, before, func(b []byte) { copy(b[page*pageSize:], with) }) {
				noticed++
			}
		}
	}
	if noticed < 20 {
		t.Errorf("only %d of %d overwritten pages were noticed", noticed, 2*(pages-2))
	}
}

// refused changes a file and wants it refused, left as it is, and opened
// again once the file is put back.
func refused(t *testing.T, dir, file string, change func(b []byte) []byte) {
	path := filepath.Join(dir, file)
	was := read(t, dir, file)
	defer func() { must(t, os.WriteFile(path, was, 0o600)); must(t, openTest(t, dir).Close()) }()
	if change == nil {
		must(t, os.Remove(path))
	} else {
		must(t, os.WriteFile(path, change(bytes.Clone(was)), 0o600))
	}
	now, _ := os.ReadFile(path)
	for range 2 {
		s, err := Open(dir)
		if err == nil {
			s.Close()
			t.Fatal("opened")
		}
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "Put back a backup") {
			t.Fatalf("error %v", err)
		}
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(now, after) {
		t.Error("refusing it changed the file")
	}
}

// snapshot is all that can be read of a store.
func snapshot(t testing.TB, dir string) []any {
	t.Helper()
	s, err := Open(dir)
	must(t, err)
	defer s.Close()
	return []any{
		value(s.Networks())(t), value(s.Secrets(net1))(t), value(s.Records(net1))(t),
		value(s.Journal())(t), value(s.Machine())(t), value(s.Value(net1, "x"))(t),
	}
}

// changed damages state.db and puts it back. It tells whether the damage was
// refused; if not, all must read as before.
func changed(t *testing.T, dir string, before []any, damage func([]byte)) (noticed bool) {
	t.Helper()
	path := filepath.Join(dir, stateName)
	was := read(t, dir, stateName)
	b := bytes.Clone(was)
	damage(b)
	must(t, os.WriteFile(path, b, 0o600))
	defer func() { must(t, os.WriteFile(path, was, 0o600)) }()
	s, err := Open(dir)
	if err != nil {
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("error %v", err)
		}
		return true
	}
	must(t, s.Close())
	if after := snapshot(t, dir); !reflect.DeepEqual(before, after) {
		t.Error("damage went unnoticed, and it reads otherwise than before")
	}
	return false
}

func TestFlippedBits(t *testing.T) {
	dir := wholeStore(t)
	before := snapshot(t, dir)
	size := len(read(t, dir, stateName))
	random := rand.New(rand.NewPCG(1, 2))
	noticed := 0
	for range 200 {
		at, bit := random.IntN(size), byte(1)<<random.IntN(8)
		if changed(t, dir, before, func(b []byte) { b[at] ^= bit }) {
			noticed++
		}
	}
	t.Logf("%d of 200 flips lay in pages in use", noticed)
	if noticed == 0 {
		t.Error("none was noticed")
	}
}

func TestFilesOfTwoStores(t *testing.T) {
	dir, other := wholeStore(t), wholeStore(t)
	refused(t, dir, stateName, func([]byte) []byte { return read(t, other, stateName) })
	refused(t, dir, keysName, func([]byte) []byte { return read(t, other, keysName) })
}

// TestKeysOfBefore is a file of keys put back from before a network was made.
func TestKeysOfBefore(t *testing.T) {
	s := openTest(t, newDir(t))
	old := read(t, s.dir, keysName)
	must(t, s.AddNetwork(testSettings(), testSecrets()))
	must(t, s.Close())
	refused(t, s.dir, keysName, func([]byte) []byte { return old })
}

func TestLaterVersion(t *testing.T) {
	dir := wholeStore(t)
	keys := read(t, dir, keysName)
	later := bytes.Clone(keys[:len(keys)-32])
	later[len(keysMagic)]++
	must(t, os.WriteFile(filepath.Join(dir, keysName), sealKeys(later), 0o600))
	if _, err := Open(dir); !errors.Is(err, ErrVersion) {
		t.Errorf("keys: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(dir, keysName), keys, 0o600))
	b, err := bolt.Open(filepath.Join(dir, stateName), 0o600, options())
	must(t, err)
	must(t, b.Update(func(tx *bolt.Tx) error { return top(tx, bucketMeta).put(metaVersion, []byte{0, 0, 0, 9}) }))
	must(t, b.Close())
	if _, err := Open(dir); !errors.Is(err, ErrVersion) {
		t.Errorf("state: %v", err)
	}
}

// TestInterrupted leaves what a kill leaves between the two files.
func TestInterrupted(t *testing.T) {
	mark := func(s *Store, p pending) {
		must(t, s.keys.update(func(r *keyring) error {
			if r.entry(net1) == nil {
				r.Networks = append(r.Networks, keyEntry{Network: net1, Secrets: testSecrets()})
			}
			r.entry(net1).Pending = p
			return nil
		}))
	}
	t.Run("first start, before state.db", func(t *testing.T) {
		s := openTest(t, newDir(t))
		must(t, s.keys.update(func(r *keyring) error { r.Complete = false; return nil }))
		must(t, s.Close())
		must(t, os.Remove(filepath.Join(s.dir, stateName)))
		must(t, os.WriteFile(filepath.Join(s.dir, stateName+newSuffix), []byte("half"), 0o600))
		openTest(t, s.dir)
		if _, err := os.Stat(filepath.Join(s.dir, stateName+newSuffix)); err == nil {
			t.Error("the half-made file is left")
		}
	})
	t.Run("adding, before state.db", func(t *testing.T) {
		s := openTest(t, newDir(t))
		must(t, s.PutJoin(Join{Network: net1, Device: fill[[32]byte](10)}))
		mark(s, pendingAdd)
		s = reopened(t, s)
		if _, err := s.Secrets(net1); !errors.Is(err, ErrNotFound) || len(s.Joins()) != 1 {
			t.Errorf("want the join as it was: %v, %v", err, s.Joins())
		}
	})
	t.Run("adding, after state.db", func(t *testing.T) {
		s := withNetwork(t)
		mark(s, pendingAdd)
		must(t, s.keys.update(func(r *keyring) error { r.Joins = []Join{{Network: net1}}; return nil }))
		s = reopened(t, s)
		if _, err := s.Secrets(net1); err != nil || len(s.Joins()) != 0 {
			t.Errorf("want the network alone: %v, %v", err, s.Joins())
		}
	})
	t.Run("removing", func(t *testing.T) {
		s := withNetwork(t)
		mark(s, pendingRemove)
		s = reopened(t, s)
		if got := value(s.Networks())(t); len(got) != 0 {
			t.Errorf("want no network: %v", got)
		}
		must(t, s.AddNetwork(testSettings(), testSecrets()))
	})
}

func TestErasedSecretsAreInNoFile(t *testing.T) {
	s := withNetwork(t)
	must(t, s.UpdateSecrets(net1, func(x *Secrets) error { x.Phrase = ""; return nil }))
	must(t, s.PutJoin(Join{Network: net2, Link: "kith://join/secret"}))
	must(t, s.RemoveJoin(net2))
	for _, e := range value(os.ReadDir(s.dir))(t) {
		b := read(t, s.dir, e.Name())
		for _, secret := range []string{"abandon", "kith://join"} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s still holds %q", e.Name(), secret)
			}
		}
	}
}

// FuzzVerify looks for files that pass and yet make bbolt stumble.
func FuzzVerify(f *testing.F) {
	dir := wholeStore(f)
	whole := read(f, dir, stateName)
	f.Add(uint32(0), []byte{})
	f.Add(uint32(2*pageSize), make([]byte, pageSize))
	f.Add(uint32(pageHeader), []byte{0xed})
	path := filepath.Join(f.TempDir(), stateName)
	f.Fuzz(func(t *testing.T, at uint32, with []byte) {
		b := bytes.Clone(whole)
		copy(b[int(at)%len(b):], with)
		if verifyFrom(bytes.NewReader(b), int64(len(b))) != nil {
			return
		}
		must(t, os.WriteFile(path, b, 0o600))
		db, err := bolt.Open(path, 0o600, options())
		must(t, err)
		defer db.Close()
		must(t, db.View(func(tx *bolt.Tx) error {
			for err := range tx.Check() {
				return err
			}
			return nil
		}))
	})
}
