package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kith.internal/helper/internal/key"
)

// TestKilled kills a process that writes, 200 times at random instants, of which
// half are counted from its start and half from its first acknowledgement: what
// it had printed as acknowledged is there, and the store opens as it is.
func TestKilled(t *testing.T) {
	const lines, stores, kills = 4, 5, 10 // 200 kills
	var acks, empty atomic.Int64
	var wg sync.WaitGroup
	for line := range lines {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(line), uint64(time.Now().UnixNano())))
			for range stores {
				dir, seen := newDir(t), map[string]bool{}
				for kill := range kills {
					after := time.Duration(random.Int64N(int64(200 * time.Millisecond)))
					n, err := killAfter(t, dir, (kill+1)*1_000_000, after, kill%2 == 1, seen)
					if err == nil && random.IntN(4) > 0 { // else the next child opens what this one left
						err = checkKept(dir, seen)
					}
					if err != nil {
						t.Errorf("kill %d after %v: %v", kill, after, err)
						return
					}
					acks.Add(int64(n))
					if n == 0 {
						empty.Add(1)
					}
				}
				if err := checkKept(dir, seen); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d kills, %d of them before anything was acknowledged; %d acknowledged", lines*stores*kills, empty.Load(), acks.Load())
	if acks.Load() < lines*stores*kills/2 {
		t.Errorf("only %d writes were acknowledged", acks.Load())
	}
}

// firstWrite calls did at the first write.
type firstWrite struct {
	all bytes.Buffer
	did func()
}

func (w *firstWrite) Write(b []byte) (int, error) {
	if w.all.Len() == 0 {
		w.did()
	}
	return w.all.Write(b)
}

// killAfter kills a child some time after its start, or after its first
// acknowledgement, and adds what it acknowledged to seen.
func killAfter(t *testing.T, dir string, base int, after time.Duration, acked bool, seen map[string]bool) (acks int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := childCommand(t, exec.CommandContext(ctx, os.Args[0]), "write", dir, base)
	out := firstWrite{did: func() {}}
	if acked {
		out.did = func() { time.AfterFunc(after, cancel) }
	} else {
		time.AfterFunc(after, cancel)
	}
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err == nil || ctx.Err() == nil {
		return 0, fmt.Errorf("the child ended by itself: %v\n%s", err, out.all.String())
	}
	for _, l := range strings.Split(strings.TrimSpace(out.all.String()), "\n") {
		if l == "" {
			continue
		}
		if strings.HasPrefix(l, "error") || len(strings.Fields(l)) != 2 {
			return 0, fmt.Errorf("the child says: %s", out.all.String())
		}
		seen[l] = true
		acks++
	}
	return acks, nil
}

// checkKept opens the store and looks for all that was acknowledged.
func checkKept(dir string, seen map[string]bool) error {
	s, err := Open(dir)
	if err != nil {
		return err
	}
	defer s.Close()
	have := map[string]bool{}
	networks, err := s.Networks()
	if err != nil {
		return err
	}
	for _, set := range networks {
		have[fmt.Sprint("network ", set.Network)] = true
		if sec, err := s.Secrets(set.Network); err != nil || sec.Device.IsZero() {
			return fmt.Errorf("network %x has no keys: %v", set.Network[:4], err)
		}
	}
	if len(networks) == 0 {
		if len(seen) > 0 {
			return errors.New("the network is gone")
		}
		return nil
	}
	if err := contents(s, have); err != nil {
		return err
	}
	for ack := range seen {
		if err := checkAck(s, have, seen, ack); err != nil {
			return err
		}
	}
	return nil
}

// contents enters what is in the store under net1.
func contents(s *Store, have map[string]bool) error {
	records, err := s.Records(net1)
	if err != nil {
		return err
	}
	for _, r := range records {
		have[fmt.Sprint("record ", r.ID)] = true
	}
	uses, err := s.InviteUses(net1)
	if err != nil {
		return err
	}
	for _, u := range uses {
		have[fmt.Sprint("use ", u.Device)] = true
	}
	journal, err := s.Journal()
	if err != nil {
		return err
	}
	for _, e := range journal {
		have[fmt.Sprint("append ", e.ID)] = true
	}
	secrets, err := s.Secrets(net1)
	if err != nil {
		return err
	}
	for _, e := range secrets.Epochs {
		have[fmt.Sprint("epoch ", e.Secret)] = true
	}
	return nil
}

func checkAck(s *Store, have, seen map[string]bool, ack string) error {
	var what string
	var n int
	fmt.Sscan(ack, &what, &n)
	id := fill[[32]byte](n)
	want := ""
	switch what {
	case "use":
		want = fmt.Sprint("use ", fill[key.Public](n))
	case "append":
		if n%2 == 0 {
			want = ack
		}
	case "done":
		if have[fmt.Sprint("append ", n)] {
			return fmt.Errorf("journal entry %d came back", n)
		}
	case "network":
		if n%2 == 0 {
			want = fmt.Sprint("network ", id)
		}
	case "removed":
		if _, err := s.Secrets(id); have[fmt.Sprint("network ", id)] || !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("network %d came back: %v", n, err)
		}
	default:
		want = fmt.Sprint(what, " ", id)
	}
	if want != "" && !have[want] {
		return fmt.Errorf("%s was acknowledged and is lost", ack)
	}
	return nil
}
