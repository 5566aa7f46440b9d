package osconf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	backupName = "resolv.conf.backup" // what a program restores from
	copyName   = "resolv.conf.before" // the same for a person: the bytes alone
)

func (c Config) entry() Entry {
	return Entry{Kind: "resolv.conf", Path: c.inRoot(resolvPath), Backup: c.StateDir}
}

// saveBackup stores s durably; it is whole or the one before it.
func (c Config) saveBackup(s snapshot) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := writeState(filepath.Join(c.StateDir, copyName), s.Data); err != nil {
		return fmt.Errorf("back up resolv.conf: %w", err)
	}
	if err := writeState(filepath.Join(c.StateDir, backupName), data); err != nil {
		return fmt.Errorf("back up resolv.conf: %w", err)
	}
	return nil
}

// loadBackup returns nil if there is none.
func (c Config) loadBackup() (*snapshot, error) {
	data, err := os.ReadFile(filepath.Join(c.StateDir, backupName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := new(snapshot)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("read %s: %w", backupName, err)
	}
	switch {
	case s.Kind != kindAbsent && s.Kind != kindFile && s.Kind != kindLink, s.Kind == kindLink && s.Target == "":
		return nil, fmt.Errorf("read %s: kind %q is none", backupName, s.Kind)
	}
	return s, nil
}

func (c Config) dropBackup() error {
	var errs []error
	for _, name := range []string{backupName, copyName} {
		if err := os.Remove(filepath.Join(c.StateDir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(c.StateDir, ".resolv.conf.*-*")); err == nil {
		for _, path := range left {
			errs = append(errs, os.Remove(path))
		}
	}
	return errors.Join(errs...)
}

// byHand are commands, for our file's head, that put s back.
func (c Config) byHand(s snapshot) []string {
	path := c.inRoot(resolvPath)
	cmds := []string{"kithd cleanup"}
	switch s.Kind {
	case kindAbsent:
		return append(cmds, "rm "+path)
	case kindLink:
		if strings.ContainsFunc(s.Target, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("'\"\\$`;&|<>()*?[]#~", r) }) {
			return cmds
		}
		return append(cmds, "ln -sfn "+s.Target+" "+path)
	}
	return append(cmds, "cp "+filepath.Join(c.StateDir, copyName)+" "+path)
}

// Restore puts back what a crash left of ours and forgets the backup. A file
// that another program has written since is left alone. With nothing to put
// back it does nothing.
func Restore(cfg Config) error {
	err := restoreRecord(cfg)
	if err != nil {
		err = fmt.Errorf("take our record from resolvconf: %w", err)
	}
	return errors.Join(err, restoreFile(cfg))
}

// restoreFile puts back resolv.conf itself.
func restoreFile(cfg Config) error {
	path := cfg.inRoot(resolvPath)
	if err := sweep(path); err != nil {
		return fmt.Errorf("remove temporary files: %w", err)
	}
	backup, err := cfg.loadBackup()
	if err != nil {
		// Where nothing of ours is left, a damaged backup is of no use to anybody.
		if now, takeErr := take(cfg, path); takeErr != nil || isOurs(now.Data) {
			return fmt.Errorf("%w; put %s back by hand, from %s", err, path, filepath.Join(cfg.StateDir, copyName))
		}
	} else if backup == nil {
		return nil
	} else if err := putBack(cfg, path, *backup); err != nil {
		return err
	}
	if err := cfg.dropBackup(); err != nil {
		return fmt.Errorf("remove the backup of resolv.conf: %w", err)
	}
	return cfg.done(cfg.entry())
}

// putBack restores if what is at path is ours, and where it was.
func putBack(cfg Config, path string, was snapshot) error {
	now, err := take(cfg, path)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if was.gone(path) || !isOurs(now.Data) && !halfRestored(now, was) {
		return nil
	}
	if err := was.put(path); err != nil {
		return fmt.Errorf("restore %s: %w", path, err)
	}
	if was.Kind == kindLink && !was.Mount {
		cfg.remindResolved(path)
	}
	return nil
}

// remindResolved restarts systemd-resolved where path leads to its list of
// servers again: it has read ours while that stood there, and would name us in
// its list for good.
func (c Config) remindResolved(path string) {
	hops, _, _ := follow(c, path)
	if !slices.ContainsFunc(hops, func(h string) bool { return strings.HasPrefix(h, "/run/systemd/resolve/") }) {
		return
	}
	b, err := c.dialBus()
	if err != nil {
		return
	}
	defer b.close()
	if !busOwned(b, resolvedName) {
		return
	}
	if err := b.call(systemdName, systemdPath, systemdName+".Manager.TryRestartUnit", nil, "systemd-resolved.service", "replace"); err != nil {
		c.logger().Warn("systemd-resolved is not restarted; it may go on naming us among its servers", "err", err)
	}
}

// halfRestored reports whether now is what writeInPlace leaves of was when it
// is killed before the cut.
func halfRestored(now, was snapshot) bool {
	rest, ok := bytes.CutPrefix(now.Data, was.Data)
	return ok && len(rest) > 0 && len(bytes.Trim(rest, "\n")) == 0
}
