package osconf

import (
	"log/slog"
	"os"
	"path/filepath"

	"kith.internal/dns/plan"
)

// ModeOff leaves the OS's configuration alone, as the user asked.
const ModeOff Mode = "off"

// passive is a Manager that writes nothing.
type passive struct {
	cfg  Config
	mode Mode
	why  string
	err  error // what Set answers
	able plan.Abilities
}

// Off is a Manager for those who want their resolver left alone: Set does
// nothing, Base tells what there is.
func Off(cfg Config) Manager {
	return &passive{cfg: cfg, mode: ModeOff, why: "asked for by --dns off"}
}

func unsupported(cfg Config, e *UnsupportedError) Manager {
	return &passive{cfg: cfg, mode: ModeUnsupported, why: e.Owner + ": " + e.Why, err: e}
}

func (m *passive) Set(c plan.OSConfig) error {
	if c.IsZero() {
		return nil
	}
	return m.err
}

// Base is read anew at each call.
func (m *passive) Base() Base {
	data, err := os.ReadFile(m.cfg.inRoot(resolvPath))
	if err != nil {
		return Base{}
	}
	return parseResolvConf(data).base(m.cfg.hostname(), nil)
}

func (m *passive) Mode() (Mode, string)      { return m.mode, m.why }
func (m *passive) Abilities() plan.Abilities { return m.able }
func (m *passive) Close() error              { return nil }

// inRoot is path below the root that tests have; "" is the real one.
func (c Config) inRoot(path string) string { return filepath.Join("/", c.Root, path) }

const resolvPath = "etc/resolv.conf"

func (c Config) hostname() string {
	get := c.Hostname
	if get == nil {
		get = os.Hostname
	}
	name, err := get()
	if err != nil {
		return ""
	}
	return name
}

func (c Config) logger() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

func (c Config) begin(e Entry) error {
	if c.Journal == nil {
		return nil
	}
	return c.Journal.Begin(e)
}

func (c Config) done(e Entry) error {
	if c.Journal == nil {
		return nil
	}
	return c.Journal.Done(e)
}
