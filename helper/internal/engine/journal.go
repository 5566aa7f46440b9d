package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"kith.internal/dns/osconf"
	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
)

// entry is one change to the host, noted before it is made.
type entry struct {
	Kind   string `cbor:"1,keyasint"` // kindTUN, kindSysctl, or osconf's kinds
	Name   string `cbor:"2,keyasint"` // the interface, the path, or the key
	Backup string `cbor:"3,keyasint,omitempty"`
	Ours   string `cbor:"4,keyasint,omitempty"` // what we made of a setting
}

const (
	kindTUN    = "tun"
	kindSysctl = "sysctl"
)

// journalTUN notes that a TUN is about to be made, or which name it got.
func (e *Engine) journalTUN(name string) (uint64, error) {
	b, err := frame.Marshal(entry{Kind: kindTUN, Name: name})
	if err != nil {
		return 0, err
	}
	id, err := e.cfg.Store.AppendJournal(b)
	if err != nil {
		return 0, fmt.Errorf("journal the interface: %w", err)
	}
	return id, nil
}

// journal is the resolver's part of the OS journal.
type journal struct{ st *store.Store }

func (j journal) Begin(oe osconf.Entry) error {
	b, err := frame.Marshal(entry{Kind: oe.Kind, Name: oe.Path, Backup: oe.Backup})
	if err != nil {
		return err
	}
	_, err = j.st.AppendJournal(b)
	return err
}

func (j journal) Done(oe osconf.Entry) error {
	all, err := j.st.Journal()
	if err != nil {
		return err
	}
	for _, raw := range all {
		var en entry
		if frame.Unmarshal(raw.Data, &en) == nil && en.Kind == oe.Kind && en.Name == oe.Path {
			if err := j.st.DoneJournal(raw.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// Cleanup undoes every change to the host that the journal still holds: after
// a crash, at start and by "kithd cleanup". With keepGuard it leaves what keeps
// traffic from leaking around an exit node, until the next engine decides.
func Cleanup(h Host, st *store.Store, log *slog.Logger, keepGuard bool) error {
	all, err := st.Journal()
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	errs := []error{h.RestoreDNS(journal{st}), h.RestoreNet(settings{st}, keepGuard)}
	for i := len(all) - 1; i >= 0; i-- {
		var en entry
		if err := frame.Unmarshal(all[i].Data, &en); err != nil {
			errs = append(errs, fmt.Errorf("journal entry %d: %w", all[i].ID, err))
			continue
		}
		if en.Kind != kindTUN {
			continue
		}
		if en.Name != "" {
			if err := h.RemoveTUN(en.Name); err != nil {
				errs = append(errs, fmt.Errorf("remove %s: %w", en.Name, err))
				continue
			}
			log.Info("removed what a crash left", "interface", en.Name)
		}
		errs = append(errs, st.DoneJournal(all[i].ID))
	}
	return errors.Join(errs...)
}

func rosterRange(n *network) netip.Prefix { return roster.Range4(n.id) }
