package engine

import (
	"fmt"

	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/osnet/sysctl"
	"kith.internal/helper/internal/store"
)

// settings is the kernel settings' part of the OS journal.
type settings struct{ st *store.Store }

var _ sysctl.Journal = settings{}

func (j settings) Begin(s sysctl.Entry) error {
	b, err := frame.Marshal(entry{Kind: kindSysctl, Name: s.Key, Backup: s.Old, Ours: s.New})
	if err != nil {
		return err
	}
	if _, err := j.st.AppendJournal(b); err != nil {
		return fmt.Errorf("journal the setting %s: %w", s.Key, err)
	}
	return nil
}

func (j settings) Done(key string) error {
	return j.each(func(id uint64, en entry) error {
		if en.Name != key {
			return nil
		}
		return j.st.DoneJournal(id)
	})
}

func (j settings) Entries() (out []sysctl.Entry, err error) {
	err = j.each(func(_ uint64, en entry) error {
		out = append(out, sysctl.Entry{Key: en.Name, Old: en.Backup, New: en.Ours})
		return nil
	})
	return out, err
}

func (j settings) each(fn func(id uint64, en entry) error) error {
	all, err := j.st.Journal()
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	for _, raw := range all {
		var en entry
		if frame.Unmarshal(raw.Data, &en) != nil || en.Kind != kindSysctl {
			continue
		}
		if err := fn(raw.ID, en); err != nil {
			return err
		}
	}
	return nil
}
