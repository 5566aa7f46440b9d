package engine

import (
	"context"
	"slices"

	"kith.internal/helper/internal/authz"
	"kith.internal/helper/internal/store"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// Register gives the IPC server every verb.
func (e *Engine) Register(s *server.Server) {
	server.Handle(s, ipc.VerbCreate, e.Create)
	server.Handle(s, ipc.VerbInvite, e.Invite)
	server.Handle(s, ipc.VerbPreview, e.Preview)
	server.Handle(s, ipc.VerbJoin, e.Join)
	server.Handle(s, ipc.VerbLeave, e.Leave)
	server.Handle(s, ipc.VerbUp, e.Up)
	server.Handle(s, ipc.VerbDown, e.Down)
	server.HandleStream(s, ipc.VerbPing, e.Ping)
	server.Handle(s, ipc.VerbDeviceList, e.DeviceList)
	server.Handle(s, ipc.VerbDeviceRename, e.DeviceRename)
	server.Handle(s, ipc.VerbDeviceRevoke, e.DeviceRevoke)
	server.Handle(s, ipc.VerbDeviceRenew, e.DeviceRenew)
	server.Handle(s, ipc.VerbDeviceApprove, e.DeviceApprove)
	server.Handle(s, ipc.VerbDeviceReadmit, e.DeviceReadmit)
	server.Handle(s, ipc.VerbDeviceRole, e.DeviceRole)
	server.Handle(s, ipc.VerbDeviceTag, e.DeviceTag)
	server.Handle(s, ipc.VerbNearbyOpen, e.NearbyOpen)
	server.Handle(s, ipc.VerbNearbyList, e.NearbyList)
	server.Handle(s, ipc.VerbNearbyJoin, e.NearbyJoin)
	server.Handle(s, ipc.VerbNearbyApprove, e.NearbyApprove)
	server.Handle(s, ipc.VerbRelayOn, e.RelayOn)
	server.Handle(s, ipc.VerbRelayOff, e.RelayOff)
	server.Handle(s, ipc.VerbForward, e.Forward)
	server.Handle(s, ipc.VerbPolicyShow, e.PolicyShow)
	server.Handle(s, ipc.VerbPolicySet, e.PolicySet)
	server.Handle(s, ipc.VerbPolicyReach, e.PolicyReach)
	server.Handle(s, ipc.VerbShareCreate, e.ShareCreate)
	server.Handle(s, ipc.VerbShareAccept, e.ShareAccept)
	server.Handle(s, ipc.VerbShareList, e.ShareList)
	server.Handle(s, ipc.VerbShareApprove, e.ShareApprove)
	server.Handle(s, ipc.VerbShareLimit, e.ShareLimit)
	server.Handle(s, ipc.VerbShareRevoke, e.ShareRevoke)
	server.Handle(s, ipc.VerbShareRemove, e.ShareRemove)
	server.Handle(s, ipc.VerbExitUse, e.ExitUse)
	server.Handle(s, ipc.VerbExitOff, e.ExitOff)
	server.Handle(s, ipc.VerbExitOffer, e.ExitOffer)
	server.Handle(s, ipc.VerbExitApprove, e.ExitApprove)
	server.Handle(s, ipc.VerbRouteAdd, e.RouteAdd)
	server.Handle(s, ipc.VerbRouteRemove, e.RouteRemove)
	server.Handle(s, ipc.VerbRouteApprove, e.RouteApprove)
	server.Handle(s, ipc.VerbRouteAccept, e.RouteAccept)
	server.Handle(s, ipc.VerbDNSAdd, e.DNSAdd)
	server.Handle(s, ipc.VerbDNSRemove, e.DNSRemove)
	server.Handle(s, ipc.VerbDNSList, e.DNSList)
	server.Handle(s, ipc.VerbDNSServe, e.DNSServe)
	server.Handle(s, ipc.VerbDNSRepair, e.DNSRepair)
	server.Handle(s, ipc.VerbDNSStatus, e.DNSStatus)
	server.Handle(s, ipc.VerbDNSQuery, e.DNSQuery)
	server.Handle(s, ipc.VerbRoster, e.Roster)
	server.Handle(s, ipc.VerbRecover, e.Recover)
	server.Handle(s, ipc.VerbOperatorAdd, e.OperatorAdd)
	server.Handle(s, ipc.VerbOperatorRemove, e.OperatorRemove)
	server.Handle(s, ipc.VerbOperatorList, e.OperatorList)
	server.Handle(s, ipc.VerbDiag, e.Diag)
	server.Handle(s, ipc.VerbPortal, e.Portal)
}

// OperatorAdd names a user who may act.
func (e *Engine) OperatorAdd(ctx context.Context, _ server.Caller, req ipc.OperatorRequest) (ipc.OperatorList, error) {
	return e.changeOperators(ctx, req.User, func(ops []string, uid string) []string {
		if slices.Contains(ops, uid) {
			return ops
		}
		return append(ops, uid)
	})
}

// OperatorRemove takes that back.
func (e *Engine) OperatorRemove(ctx context.Context, _ server.Caller, req ipc.OperatorRequest) (ipc.OperatorList, error) {
	return e.changeOperators(ctx, req.User, func(ops []string, uid string) []string {
		return slices.DeleteFunc(ops, func(o string) bool { return o == uid })
	})
}

func (e *Engine) changeOperators(ctx context.Context, user string, change func([]string, string) []string) (ipc.OperatorList, error) {
	uid, err := authz.Resolve(user)
	if err != nil {
		return ipc.OperatorList{}, err
	}
	err = e.cfg.Store.UpdateMachine(func(m *store.Machine) error {
		m.Operators = change(slices.Clone(m.Operators), uid)
		return nil
	})
	if err != nil {
		return ipc.OperatorList{}, writeError(err)
	}
	e.post(e.publishNow)
	return e.OperatorList(ctx, server.Caller{}, struct{}{})
}

// OperatorList names the users who may act, root and administrators aside.
func (e *Engine) OperatorList(context.Context, server.Caller, struct{}) (ipc.OperatorList, error) {
	m, err := e.cfg.Store.Machine()
	if err != nil {
		return ipc.OperatorList{}, err
	}
	out := ipc.OperatorList{Schema: ipc.Schema}
	for _, uid := range m.Operators {
		out.Operators = append(out.Operators, authz.Describe(uid))
	}
	return out, nil
}

// Operators is what the authorizer asks.
type Operators struct{ Store *store.Store }

func (o Operators) Operators() ([]string, error) {
	m, err := o.Store.Machine()
	return m.Operators, err
}
