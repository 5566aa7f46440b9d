package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"kith.internal/dns"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// DeviceRevoke ends a device's membership and, where asked, undoes what it did
// since a time.
func (e *Engine) DeviceRevoke(ctx context.Context, _ server.Caller, req ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	if req.Device == "" {
		return ipc.DeviceAnswer{}, ipc.Errorf(ipc.CodeUsage, "say which device to revoke; to end this one's membership, leave")
	}
	since, err := readSince(req.Since)
	if err != nil {
		return ipc.DeviceAnswer{}, err
	}
	find := (*network).deviceNamed
	if !since.IsZero() {
		find = (*network).deviceKnown // it may have been removed in haste
	}
	return e.onDeviceOf(ctx, req, find, func(n *network, k key.Public) (ipc.DeviceAnswer, error) {
		if k == n.self {
			return ipc.DeviceAnswer{}, ipc.Errorf(ipc.CodeUsage, "to end this device's own membership, leave")
		}
		v := n.book.View()
		a := ipc.DeviceAnswer{Device: nameOf(v, v.Former(), k)}
		p := removing{targets: []key.Public{k}, since: since, dry: req.DryRun, plan: req.Plan}
		var err error
		a.Dropped, a.Removal, err = n.remove(n.device, p, func(au *roster.Author) (*roster.Removal, error) {
			return au.PlanRemove(k, roster.RemoveOptions{Readmit: true, Since: since})
		})
		if err != nil {
			return ipc.DeviceAnswer{}, err
		}
		if req.DryRun {
			return a, nil
		}
		n.refresh() // so that what follows no longer reaches it
		if err := n.renewEpoch(); err != nil {
			n.e.log.Error("renew the discovery secret", "network", n.alias, "err", err) // the removal stands
		}
		return a, nil
	})
}

// DeviceReadmit lets a device in again that a removal took along, with the keys
// it has. What has been removed itself needs an invite.
func (e *Engine) DeviceReadmit(ctx context.Context, _ server.Caller, req ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	if req.Device == "" {
		return ipc.DeviceAnswer{}, ipc.Errorf(ipc.CodeUsage, "say which device to let in again")
	}
	return e.onDeviceOf(ctx, req, (*network).deviceKnown, func(n *network, k key.Public) (ipc.DeviceAnswer, error) {
		if m := n.book.View().Member(k); m != nil {
			return ipc.DeviceAnswer{}, ipc.Errorf(ipc.CodeExists, "%s is in %s", m.Name, n.alias)
		}
		if err := n.write(func(a *roster.Author) error { _, err := a.Readmit(k); return err }); err != nil {
			return ipc.DeviceAnswer{}, err
		}
		n.refresh()
		return ipc.DeviceAnswer{Device: n.book.View().NameOf(k)}, nil
	})
}

// readSince reads the time since when all is to be undone; zero for none.
func readSince(t *time.Time) (time.Time, error) {
	switch {
	case t == nil:
		return time.Time{}, nil
	case t.After(time.Now()):
		return time.Time{}, ipc.Errorf(ipc.CodeUsage, "what is to be undone since %s is in the future", t.Format(time.RFC3339))
	case t.Unix() <= 0:
		return time.Time{}, ipc.Errorf(ipc.CodeUsage, "%s is before there were networks", t.Format(time.RFC3339))
	}
	return *t, nil
}

// removing is who is to be removed, and how.
type removing struct {
	targets []key.Public
	since   time.Time
	dry     bool
	plan    string // what was agreed to, "" for whatever it is
}

// remove plans a removal and, unless it is a dry run, carries out that plan.
func (n *network) remove(by key.Private, p removing, plan func(*roster.Author) (*roster.Removal, error)) (dropped []string, told *ipc.Removal, err error) {
	err = n.writeAs(by, func(a *roster.Author) error {
		r, err := plan(a)
		if err != nil {
			return err
		}
		dropped = namesOf(r.Drops)
		all := n.tellRemoval(p, r)
		if p.dry || p.plan != "" || !p.since.IsZero() {
			told = all
		}
		switch {
		case p.dry:
			return nil
		case p.plan != "" && p.plan != all.Plan:
			return ipc.Errorf(ipc.CodeChanged, "more has come in meanwhile, and the removal would change something else by now: look again")
		}
		return a.Apply(r)
	})
	return dropped, told, err
}

// tellRemoval says what a removal changes.
func (n *network) tellRemoval(p removing, r *roster.Removal) *ipc.Removal {
	v := n.book.View()
	former := v.Former()
	out := &ipc.Removal{
		Undone: r.Undone, Early: r.Early, Dropped: []ipc.Dropped{}, Returned: namesOf(r.Returns), Demoted: namesOf(r.Demoted),
		Repeated: []string{}, Readmitted: []string{}, Invites: len(r.Invites), Settings: []string{},
	}
	if !p.since.IsZero() {
		out.Since = moment(p.since)
		if held := v.HeldSince(); held.After(p.since) {
			out.Held = moment(held)
		}
	}
	// The names may be anything; the keys tell which plan it is.
	sum := sha256.New()
	fmt.Fprintln(sum, p.targets, p.since.UnixNano(), r.Undone, r.Settings)
	for _, list := range [][]*roster.Member{r.Drops, r.Returns, r.Demoted} {
		for _, m := range list {
			fmt.Fprintln(sum, m.Key)
		}
		fmt.Fprintln(sum)
	}
	for _, m := range r.Drops {
		out.Dropped = append(out.Dropped, ipc.Dropped{Name: m.Name, Key: m.Key.String(), Added: moment(roster.Time(m.Admit.Clock))})
	}
	for _, rec := range r.Records {
		switch b := rec.Body.(type) {
		case *roster.Revoke:
			if !b.Key.IsZero() && !slices.Contains(p.targets, b.Key) {
				out.Repeated = append(out.Repeated, nameOf(v, former, b.Key))
				fmt.Fprintln(sum, "repeated", b.Key)
			}
		case *roster.Admit:
			out.Readmitted = append(out.Readmitted, nameOf(v, former, b.Device))
			fmt.Fprintln(sum, "readmitted", b.Device)
		}
	}
	for _, s := range r.Settings {
		out.Settings = append(out.Settings, settingName(v, former, s))
	}
	out.Plan = hex.EncodeToString(sum.Sum(nil)[:16])
	return out
}

// settingName is a setting's key as a person reads it: with a device's name where
// its key stands.
func settingName(v *roster.View, former map[key.Public]string, s string) string {
	parts := strings.Split(s, "/")
	if len(parts) == 3 && (parts[0] == "dev" || parts[0] == "net") {
		if k, err := key.Parse(parts[1]); err == nil {
			parts[1] = nameOf(v, former, k)
		}
	}
	return strings.Join(parts, "/")
}

// nameOf names a device, member or not.
func nameOf(v *roster.View, former map[key.Public]string, k key.Public) string {
	if name := former[k]; name != "" {
		return name
	}
	return v.NameOf(k)
}

// deviceKnown is deviceNamed for those, too, that are no members any more: by the
// name under which they were let in last, or the beginning of the key.
func (n *network) deviceKnown(name string) (key.Public, error) {
	k, err := n.deviceNamed(name)
	if ipc.CodeOf(err) != ipc.CodeNotFound {
		return k, err
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	var found []key.Public
	for k, as := range n.book.View().Former() {
		if as == strings.TrimSuffix(name, "."+n.alias+"."+dns.Domain) || len(name) >= 6 && strings.HasPrefix(k.String(), name) {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return key.Public{}, err
	}
	return key.Public{}, ipc.Errorf(ipc.CodeAmbiguous, "more than one device that was in %s goes by %.60q: give the beginning of its key", n.alias, name)
}
