package main

import (
	"fmt"

	"kith.internal/ipc"
)

type portalCmd struct {
	Open  portalOpenCmd  `cmd:"" help:"Let names and web pages past Kith for five minutes, to sign in."`
	Close portalCloseCmd `cmd:"" help:"Do not any more."`
}

type portalOpenCmd struct{}

func (c *portalOpenCmd) Run(a *app) error { return a.portal(true) }

type portalCloseCmd struct{}

func (c *portalCloseCmd) Run(a *app) error { return a.portal(false) }

func (a *app) portal(open bool) error {
	ans, err := a.client.Portal(a.ctx, ipc.PortalRequest{Open: open})
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	case ans.Portal.OpenUntil != nil:
		fmt.Fprintf(a.out, "DNS and TCP 80 and 443 go past exit nodes and resolvers in the mesh until %s: sign in with a browser now.\n", a.clock(*ans.Portal.OpenUntil))
	default:
		fmt.Fprintln(a.out, "Nothing goes past Kith.")
	}
	return nil
}
