package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"slices"

	"kith.internal/helper/internal/authz"
	"kith.internal/helper/internal/engine"
	"kith.internal/helper/internal/host"
	"kith.internal/helper/internal/store"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
	"kith.internal/ipc/transport"
)

type runCmd struct {
	StateDir string   `help:"Directory of the state." default:"${stateDir}" type:"path"`
	Socket   string   `help:"Where clients connect." env:"KITH_SOCKET" default:""`
	DNS      string   `help:"Whether to change the system's resolver settings." name:"dns" enum:"auto,off" default:"auto"`
	Port     uint16   `help:"UDP port of the first network; 0 keeps the one it has."`
	Operator []string `help:"A user who may act, besides root and administrators; may be given again."`
	STUN     []string `help:"HOST:PORT of a STUN server to ask, which then learns this device's address; none by default; may be given again." name:"stun" placeholder:"HOST:PORT" sep:"none"`
	Pprof    bool     `help:"Serve profiles on a socket beside the clients'."`
	Debug    bool     `help:"Log more: addresses, never keys."`

	ManagerFlags
}

// serve serves until the context ends, then restores the host. It logs to logs.
func (c *runCmd) serve(ctx context.Context, logs io.Writer) error {
	go tendMemory(ctx)
	log := logger(logs, c.Debug)
	st, err := store.Open(c.StateDir)
	if err != nil {
		return fmt.Errorf("open the state in %s: %w", c.StateDir, err)
	}
	defer st.Close()
	if err := c.nameOperators(st); err != nil {
		return err
	}
	servers, err := c.servers(ctx, log)
	if err != nil {
		return err
	}
	path := transport.Path(c.Socket)
	ln, err := transport.Listen(path)
	if err != nil {
		return fmt.Errorf("listen for clients: %w", err)
	}
	defer ln.Close()
	e, err := engine.New(engine.Config{
		Host:    host.Host{StateDir: c.StateDir, LeaveDNS: c.DNS == "off", Log: log},
		Store:   st,
		Version: ipc.Build(),
		Port:    c.Port,
		STUN:    servers,
		Log:     log,
	})
	if err != nil {
		return err
	}
	defer e.Close()
	s := server.New(server.Config{
		Version: ipc.Build(), Source: e.Source(), Log: log,
		Authorizer: authz.New(authz.Config{Operators: engine.Operators{Store: st}, Log: log}),
	})
	e.Register(s)
	if c.Pprof {
		if err := profile(ctx, path+".pprof", log); err != nil {
			return err
		}
	}
	log.Info("ready", "socket", path, "state", c.StateDir, "version", ipc.Build())
	err = s.Serve(ctx, ln)
	log.Info("stopping")
	return err
}

// nameOperators adds the users given on the command line to those stored.
func (c *runCmd) nameOperators(st *store.Store) error {
	for _, user := range c.Operator {
		uid, err := authz.Resolve(user)
		if err != nil {
			return fmt.Errorf("--operator %s: %w", user, err)
		}
		err = st.UpdateMachine(func(m *store.Machine) error {
			if !slices.Contains(m.Operators, uid) {
				m.Operators = append(slices.Clone(m.Operators), uid)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("keep operator %s: %w", user, err)
		}
	}
	return nil
}

// profile serves net/http/pprof on a Unix socket that only root can open.
func profile(ctx context.Context, path string, log *slog.Logger) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	ln, err := listenPrivate(path)
	if err != nil {
		return fmt.Errorf("serve profiles: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	srv := &http.Server{Handler: mux}
	context.AfterFunc(ctx, func() { srv.Close() })
	go func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("profiles", "err", err)
		}
	}()
	return nil
}

func listenPrivate(path string) (net.Listener, error) {
	// Bound under a name nobody else can reach, then moved: never loose.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".kith")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	tmp := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", tmp)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Chmod(tmp, 0o600), os.Rename(tmp, path)); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}
