package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/kardianos/service"

	"kith.internal/helper/internal/engine"
	"kith.internal/helper/internal/host"
	"kith.internal/helper/internal/store"
)

// program runs kithd under the OS's service manager.
type program struct {
	run    *runCmd
	cancel context.CancelFunc
	done   chan error
}

func (p *program) Start(service.Service) error {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.done = cancel, make(chan error, 1)
	go func() {
		err := p.run.serve(ctx)
		if err != nil && ctx.Err() == nil {
			// Nothing asked it to stop: the service manager sees a crash, and
			// starts it again.
			fmt.Fprintln(os.Stderr, "kithd:", err)
			os.Exit(exitCode(err))
		}
		p.done <- err
	}()
	return nil
}

func (p *program) Stop(service.Service) error {
	p.cancel()
	return <-p.done
}

func newService(p *program) (service.Service, error) {
	return service.New(p, &service.Config{
		Name:        "kithd",
		DisplayName: "Kith",
		Description: "Kith mesh VPN: network interface, tunnels and names",
		Arguments:   []string{"run"},
		Option: service.KeyValue{
			"Restart":                "on-failure",
			"DelayedAutoStart":       true,
			"OnFailure":              "restart",
			"OnFailureDelayDuration": "2s",
			"SystemdScript":          unit,
			"RunAtLoad":              true,
			"KeepAlive":              true,
		},
	})
}

type (
	installCmd   struct{}
	uninstallCmd struct{ cleanupCmd }
	startCmd     struct{}
	stopCmd      struct{}
	statusCmd    struct{}
	cleanupCmd   struct {
		StateDir  string `help:"Directory of the state." default:"${stateDir}" type:"path"`
		KeepBlock bool   `help:"Leave what keeps traffic from leaking around an exit node: for a service manager that starts kithd again." hidden:""`
	}
)

var (
	errNoManager    = errors.New("no service manager that Kith knows runs here: run \"kithd run\" under what starts this machine's programs")
	errNotInstalled = errors.New("kithd is not installed as a service: run \"kithd install\" first")
)

// installed opens the service as the service manager has it.
func installed() (service.Service, service.Status, error) {
	if !managed() {
		return nil, service.StatusUnknown, errNoManager
	}
	s, err := newService(&program{})
	if err != nil {
		return nil, service.StatusUnknown, err
	}
	st, err := s.Status()
	switch {
	case errors.Is(err, service.ErrNotInstalled):
		return s, st, errNotInstalled
	case err != nil:
		return s, st, fmt.Errorf("ask for the service: %w", err)
	}
	return s, st, nil
}

// control does something to the service that is installed.
func control(action string) error {
	s, _, err := installed()
	if err == nil {
		err = service.Control(s, action)
	}
	if err != nil {
		return fmt.Errorf("%s the service: %w", action, err)
	}
	return nil
}

func (installCmd) Run() error {
	s, _, err := installed()
	if errors.Is(err, errNotInstalled) {
		err = s.Install()
	} else if err == nil {
		err = errors.New("it is installed already")
	}
	if err != nil {
		return fmt.Errorf("install the service: %w", err)
	}
	return nil
}

func (startCmd) Run() error { return control("start") }
func (stopCmd) Run() error  { return control("stop") }

// Run stops the service, removes it, and undoes what it changed.
func (c uninstallCmd) Run() error {
	s, st, err := installed()
	switch {
	case errors.Is(err, errNoManager), errors.Is(err, errNotInstalled):
		fmt.Println("not installed")
		return c.cleanupCmd.Run()
	case err != nil:
		return errors.Join(err, c.cleanupCmd.Run())
	}
	if st == service.StatusRunning {
		if err := s.Stop(); err != nil {
			return fmt.Errorf("stop the service: %w", err)
		}
	}
	if err := s.Uninstall(); err != nil {
		return fmt.Errorf("uninstall the service: %w", err)
	}
	return c.cleanupCmd.Run()
}

func (statusCmd) Run() error {
	_, st, err := installed()
	switch {
	case errors.Is(err, errNoManager), errors.Is(err, errNotInstalled):
		fmt.Println("not installed")
	case err != nil:
		return err
	case st == service.StatusRunning:
		fmt.Println("running")
	default:
		fmt.Println("stopped")
	}
	return nil
}

// Run undoes what the journal holds. A running kithd has the store: it undoes
// its changes itself when it stops.
func (c cleanupCmd) Run() error {
	if _, err := os.Lstat(c.StateDir); errors.Is(err, fs.ErrNotExist) {
		return nil // kithd never ran: opening the store would make it
	}
	st, err := store.Open(c.StateDir)
	if err != nil {
		return fmt.Errorf("open the state in %s: %w", c.StateDir, err)
	}
	defer st.Close()
	log := logger(false)
	return engine.Cleanup(host.Host{StateDir: c.StateDir, Log: log}, st, log, c.KeepBlock)
}
