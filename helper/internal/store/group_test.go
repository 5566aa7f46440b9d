package store

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestGroupSharesCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var sizes []int
		g := group[*int]{commit: func(batch []func(*int) error) []error {
			<-gate
			sizes = append(sizes, len(batch))
			errs := make([]error, len(batch))
			for i, apply := range batch {
				errs[i] = apply(new(int))
			}
			return errs
		}}
		const n = maxBatch + 10
		bad := errors.New("bad")
		var wg sync.WaitGroup
		wg.Go(func() { must(t, g.do(func(*int) error { return nil })) })
		synctest.Wait() // the first commits, the others gather
		for i := range n {
			wg.Go(func() {
				want := error(nil)
				if i%3 == 0 {
					want = bad
				}
				if err := g.do(func(*int) error { return want }); err != want {
					t.Errorf("writer %d got %v, want %v", i, err, want)
				}
			})
		}
		synctest.Wait()
		close(gate)
		wg.Wait()
		if !slices.Equal(sizes, []int{1, maxBatch, 10}) {
			t.Errorf("batches of %v", sizes)
		}
		must(t, g.do(func(*int) error { return nil }))
	})
}

// TestOneFailsAlone: in one transaction a writer's failure undoes nothing of
// the others', and its own changes not by halves.
func TestOneFailsAlone(t *testing.T) {
	s := withNetwork(t)
	bad := errors.New("bad")
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if i%4 == 0 {
				err := s.inNetwork(net1, func(b bucket) error {
					if err := putRecords(b, []Record{record(1000 + i)}); err != nil {
						return err
					}
					return bad
				})
				if !errors.Is(err, bad) {
					t.Errorf("writer %d: %v", i, err)
				}
				return
			}
			if err := s.PutRecords(net1, record(i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s = reopened(t, s)
	if got := value(s.Records(net1))(t); len(got) != 30 {
		t.Errorf("%d records, want 30", len(got))
	}
}

// BenchmarkPut is one writer; BenchmarkPutTogether is 64.
func BenchmarkPut(b *testing.B) {
	s := withNetwork(b)
	n := 0
	for b.Loop() {
		n++
		must(b, s.PutRecords(net1, record(n)))
	}
}

func BenchmarkPutTogether(b *testing.B) {
	s := withNetwork(b)
	var n atomic.Int64
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			must(b, s.PutRecords(net1, record(int(n.Add(1)))))
		}
	})
}

// BenchmarkLoad opens a store of 20,000 records and reads them.
func BenchmarkLoad(b *testing.B) {
	s := withNetwork(b)
	all := make([]Record, 20_000)
	for i := range all {
		all[i] = record(i)
		all[i].Raw = make([]byte, 350)
	}
	must(b, s.PutRecords(net1, all...))
	must(b, s.Close())
	for b.Loop() {
		start := time.Now()
		s, err := Open(s.dir)
		must(b, err)
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "open-ms")
		if got := value(s.Records(net1))(b); len(got) != len(all) {
			b.Fatal(len(got))
		}
		must(b, s.Close())
	}
}
