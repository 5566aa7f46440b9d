package main

import (
	"context"
	"errors"
	"fmt"
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
		StateDir string `help:"Directory of the state." default:"${stateDir}" type:"path"`
	}
)

func control(action string) error {
	s, err := newService(&program{})
	if err != nil {
		return err
	}
	if err := service.Control(s, action); err != nil {
		return fmt.Errorf("%s the service: %w", action, err)
	}
	return nil
}

func (installCmd) Run() error { return control("install") }
func (startCmd) Run() error   { return control("start") }
func (stopCmd) Run() error    { return control("stop") }

// Run stops the service, removes it, and undoes what it changed.
func (c uninstallCmd) Run() error {
	if err := control("stop"); err != nil && !errors.Is(err, service.ErrNotInstalled) {
		fmt.Println("kithd was not running")
	}
	return errors.Join(control("uninstall"), c.cleanupCmd.Run())
}

func (statusCmd) Run() error {
	s, err := newService(&program{})
	if err != nil {
		return err
	}
	st, err := s.Status()
	switch {
	case errors.Is(err, service.ErrNotInstalled):
		fmt.Println("not installed")
	case err != nil:
		return fmt.Errorf("ask for the service: %w", err)
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
	st, err := store.Open(c.StateDir)
	if err != nil {
		return fmt.Errorf("open the state in %s: %w", c.StateDir, err)
	}
	defer st.Close()
	log := logger(false)
	return engine.Cleanup(host.Host{StateDir: c.StateDir, Log: log}, st, log)
}
