package main

import (
	"errors"
	"os"
	"strconv"
)

// allowMeCmd is what the app has pkexec run as root: it makes the user who
// asked an operator, and can do nothing else. pkexec says who that is; no
// argument does.
type allowMeCmd struct{}

func (c *allowMeCmd) Run(a *app) error {
	if a.Socket != "" || a.Network != "" || a.JSON {
		return usage(errors.New("allow-me takes no flags"))
	}
	uid, err := strconv.ParseUint(os.Getenv("PKEXEC_UID"), 10, 32)
	if err != nil {
		return usage(errors.New("allow-me is run by pkexec, which says who asks; see kith operator add"))
	}
	if _, err := a.client.OperatorAdd(a.ctx, strconv.FormatUint(uid, 10)); err != nil {
		return err
	}
	a.note("User %d may change the VPN now.", uid)
	return nil
}
