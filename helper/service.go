package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/kardianos/service"

	"kith.internal/helper/internal/engine"
	"kith.internal/helper/internal/host"
	"kith.internal/helper/internal/store"
)

// serviceName is kithd's name with every service manager.
const serviceName = "kithd"

// program stands for kithd where the service manager is asked about it; what it
// runs is runCmd.Run.
type program struct{}

func (program) Start(service.Service) error { return nil }
func (program) Stop(service.Service) error  { return nil }

func newService() (service.Service, error) {
	return service.New(program{}, &service.Config{
		Name:        serviceName,
		DisplayName: "Kith",
		Description: "Kith mesh VPN: network interface, tunnels and names",
		Arguments:   serviceArgs,
		Option: service.KeyValue{
			"Restart":                "on-failure",
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
	s, err := newService()
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
	log := logger(os.Stderr, false)
	return engine.Cleanup(host.Host{StateDir: c.StateDir, Log: log}, st, log, c.KeepBlock)
}
