package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"kith.internal/helper/internal/key"
)

// Environment of the test binary when it is run as another process.
const (
	childEnv  = "KITH_STORE_TEST_DIR"
	childTask = "KITH_STORE_TEST_TASK"
	childBase = "KITH_STORE_TEST_BASE"
)

const exitLocked = 3

// tasks are what a child can be told to do in a directory.
var tasks = map[string]func(dir string) error{
	"open":  func(dir string) error { _, err := Open(dir); return err },
	"write": writeUntilKilled,
}

func child(task, dir string) int {
	switch err := tasks[task](dir); {
	case err == nil:
		return 0
	case errors.Is(err, ErrLocked):
		return exitLocked
	default:
		fmt.Println("error", err)
		return 1
	}
}

func childCommand(t testing.TB, cmd *exec.Cmd, task, dir string, base int) *exec.Cmd {
	t.Helper()
	cmd.Env = append(os.Environ(), childEnv+"="+dir, childTask+"="+task, fmt.Sprintf("%s=%d", childBase, base))
	return cmd
}

// writers is how many goroutines of the child write at once.
const writers = 3

// writeUntilKilled writes, and prints what was acknowledged, one line each.
// Numbers start at childBase, which the parent raises from run to run.
func writeUntilKilled(dir string) error {
	var base int
	fmt.Sscan(os.Getenv(childBase), &base)
	s, err := Open(dir)
	if err != nil {
		return err
	}
	set := testSettings()
	if err := s.AddNetwork(set, testSecrets()); err != nil && !errors.Is(err, ErrExists) {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		wg.Go(func() {
			for n := base + w; errs[w] == nil; n += writers {
				errs[w] = writeOne(s, n)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func writeOne(s *Store, n int) error {
	ack := func(what string, n any) { os.Stdout.WriteString(fmt.Sprintln(what, n)) }
	switch n % 7 {
	case 0:
		if _, err := s.UseInvite(net1, net2, fill[key.Public](n), 0, t0); err != nil {
			return err
		}
		ack("use", n)
	case 1:
		id, err := s.AppendJournal(fmt.Append(nil, n))
		if err != nil {
			return err
		}
		ack("append", id)
		if id%2 == 1 {
			if err := s.DoneJournal(id); err != nil {
				return err
			}
			ack("done", id)
		}
	case 2:
		if err := s.UpdateSecrets(net1, func(x *Secrets) error {
			x.Epochs = append(x.Epochs, Epoch{Secret: fill[[32]byte](n)})
			return nil
		}); err != nil {
			return err
		}
		ack("epoch", n)
	case 3:
		set := testSettings()
		set.Network = fill[[32]byte](n)
		if err := s.AddNetwork(set, testSecrets(), record(n)); err != nil {
			return err
		}
		ack("network", n)
		if n%2 == 1 {
			if err := s.RemoveNetwork(set.Network); err != nil {
				return err
			}
			ack("removed", n)
		}
	default:
		if err := s.PutRecords(net1, record(n)); err != nil {
			return err
		}
		ack("record", n)
	}
	return nil
}
