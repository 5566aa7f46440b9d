package main

import (
	"fmt"

	"kith.internal/ipc"
)

type rosterCmd struct{}

func (c *rosterCmd) Run(a *app) error {
	ans, err := a.client.Roster(a.ctx, a.Network)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.json(ans)
	}
	fmt.Fprintf(a.out, "Network %s: %s, %s\n  ID      %s\n  Digest  %s\n\n",
		clean(ans.Network), count(ans.Members, "member"), count(len(ans.Records), "record"), clean(ans.ID), clean(ans.Digest))
	t := table{}
	t.row("RECORD", "TIME", "TYPE", "AUTHOR", "COUNTS", "WHAT", "WHY")
	for _, r := range ans.Records {
		counts := "no"
		if r.Valid {
			counts = "yes"
		}
		t.row(short(r.ID), a.clock(r.Time), r.Type, r.Author, counts, r.Text, or(r.Why, "-"))
	}
	t.print(a.out)
	return nil
}

// short is enough of an ID to find it again.
func short(id string) string { return id[:min(len(id), 12)] }

type operatorCmd struct {
	Add    operatorAddCmd    `cmd:"" help:"Let a user act."`
	Remove operatorRemoveCmd `cmd:"" help:"Take that back."`
	List   operatorListCmd   `cmd:"" help:"List the users who may act."`
}

type operatorAddCmd struct {
	User string `arg:"" help:"A login name or a numeric user ID."`
}

func (c *operatorAddCmd) Run(a *app) error {
	ans, err := a.client.OperatorAdd(a.ctx, c.User)
	return a.printOperators(ans, err)
}

type operatorRemoveCmd struct {
	User string `arg:"" help:"A login name or a numeric user ID."`
}

func (c *operatorRemoveCmd) Run(a *app) error {
	ans, err := a.client.OperatorRemove(a.ctx, c.User)
	return a.printOperators(ans, err)
}

type operatorListCmd struct{}

func (c *operatorListCmd) Run(a *app) error {
	ans, err := a.client.OperatorList(a.ctx)
	return a.printOperators(ans, err)
}

func (a *app) printOperators(ans ipc.OperatorList, err error) error {
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	case len(ans.Operators) == 0:
		a.note("Nobody but administrators may act.")
	}
	for _, o := range ans.Operators {
		fmt.Fprintln(a.out, clean(o))
	}
	return nil
}

type diagCmd struct{}

func (c *diagCmd) Run(a *app) error {
	ans, err := a.client.Diag(a.ctx, a.Network)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.json(ans)
	}
	t := table{}
	failed := 0
	for _, ch := range ans.Checks {
		verdict := "ok"
		switch {
		case !ch.OK:
			verdict = "FAIL"
			failed++
		case ch.NA:
			verdict = "-"
		}
		t.row(verdict, string(ch.Code), ch.Text, ch.Detail)
		if !ch.OK && ch.Fix != "" {
			t.row("", "", "-> "+ch.Fix)
		}
	}
	t.print(a.out)
	if failed > 0 {
		a.note("%d of %s failed.", failed, count(len(ans.Checks), "check"))
	}
	return nil
}

type versionCmd struct{}

func (c *versionCmd) Run(a *app) error {
	var helper *ipc.VersionAnswer
	v, err := a.client.Version(a.ctx)
	if err == nil {
		helper = &v
	}
	if a.JSON {
		return a.json(struct {
			Schema   int                `json:"schema"`
			Version  string             `json:"version"`
			Protocol int                `json:"protocol"`
			Helper   *ipc.VersionAnswer `json:"helper"`
		}{ipc.Schema, ipc.Build(), ipc.Version, helper})
	}
	fmt.Fprintf(a.out, "kith %s (protocol %d)\n", ipc.Build(), ipc.Version)
	if helper == nil {
		a.note("The helper gives no version: %s", clean(err.Error()))
		return nil
	}
	fmt.Fprintf(a.out, "kithd %s (protocol %d)\n", clean(v.Version), v.Protocol)
	if v.Protocol != ipc.Version || v.Version != ipc.Build() {
		a.note("They differ: restart the helper to finish the update.")
	}
	return nil
}
