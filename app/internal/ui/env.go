package ui

import (
	"context"
	"time"

	"kith.internal/app/internal/desktop"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// Helper is the part of the ipc client that the window needs.
type Helper interface {
	Create(ctx context.Context, r ipc.CreateRequest) (ipc.CreateAnswer, error)
	Invite(ctx context.Context, r ipc.InviteRequest) (ipc.InviteAnswer, error)
	Preview(ctx context.Context, link string) (ipc.Preview, error)
	Join(ctx context.Context, r ipc.JoinRequest) (ipc.NetworkAnswer, error)
	Leave(ctx context.Context, network string) (ipc.NetworkAnswer, error)
	Up(ctx context.Context, r ipc.UpRequest) (ipc.Status, error)
	Down(ctx context.Context, network string) (ipc.Status, error)
	Ping(ctx context.Context, r ipc.PingRequest, got func(ipc.PingReply) error) error
	DeviceList(ctx context.Context, network string) (ipc.DeviceList, error)
	DeviceRename(ctx context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error)
	DeviceRevoke(ctx context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error)
	DeviceRole(ctx context.Context, r ipc.RoleRequest) (ipc.RoleAnswer, error)
	DeviceTag(ctx context.Context, r ipc.TagRequest) (ipc.TagAnswer, error)
	Portal(ctx context.Context, r ipc.PortalRequest) (ipc.PortalAnswer, error)
	DeviceRenew(ctx context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error)
	DeviceApprove(ctx context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error)
	Recover(ctx context.Context, r ipc.RecoverRequest) (ipc.RecoverAnswer, error)
	Diag(ctx context.Context, network string) (ipc.Diag, error)

	RelayOn(ctx context.Context, r ipc.RelayRequest) (ipc.RelayAnswer, error)
	RelayOff(ctx context.Context, network string) (ipc.RelayAnswer, error)
	Forward(ctx context.Context, r ipc.ForwardRequest) (ipc.ForwardAnswer, error)
	ExitUse(ctx context.Context, r ipc.ExitUseRequest) (ipc.ExitAnswer, error)
	ExitOff(ctx context.Context, network string) (ipc.ExitAnswer, error)
	ExitOffer(ctx context.Context, r ipc.ExitOfferRequest) (ipc.ExitAnswer, error)
	ExitApprove(ctx context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error)
	RouteAdd(ctx context.Context, r ipc.RouteRequest) (ipc.RouteAnswer, error)
	RouteRemove(ctx context.Context, r ipc.RouteRequest) (ipc.RouteAnswer, error)
	RouteApprove(ctx context.Context, r ipc.RouteRequest) (ipc.RouteAnswer, error)
	RouteAccept(ctx context.Context, r ipc.RouteRequest) (ipc.RouteAnswer, error)
	PolicyShow(ctx context.Context, network string) (ipc.PolicyAnswer, error)
	PolicySet(ctx context.Context, r ipc.PolicyRequest) (ipc.PolicyAnswer, error)
	PolicyReach(ctx context.Context, r ipc.ReachRequest) (ipc.ReachAnswer, error)
	ShareCreate(ctx context.Context, r ipc.ShareRequest) (ipc.ShareAnswer, error)
	ShareAccept(ctx context.Context, r ipc.ShareAcceptRequest) (ipc.ShareAnswer, error)
	ShareApprove(ctx context.Context, r ipc.ShareIDRequest) (ipc.ShareAnswer, error)
	ShareRevoke(ctx context.Context, r ipc.ShareIDRequest) (ipc.ShareAnswer, error)
	ShareRemove(ctx context.Context, r ipc.ShareIDRequest) (ipc.ShareAnswer, error)
	NearbyOpen(ctx context.Context, r ipc.NearbyOpenRequest) (ipc.NearbyList, error)
	NearbyJoin(ctx context.Context, r ipc.NearbyJoinRequest) (ipc.NetworkAnswer, error)
	NearbyApprove(ctx context.Context, r ipc.NearbyApproveRequest) (ipc.NearbyList, error)
	DNSAdd(ctx context.Context, r ipc.DNSRecordsRequest) (ipc.DNSRecordsAnswer, error)
	DNSRemove(ctx context.Context, r ipc.DNSRecordsRequest) (ipc.DNSRecordsAnswer, error)
	DNSRepair(ctx context.Context) (ipc.DNSStatus, error)
	DNSList(ctx context.Context, network string) (ipc.DNSRecordsAnswer, error)
	OperatorAdd(ctx context.Context, user string) (ipc.OperatorList, error)
	OperatorRemove(ctx context.Context, user string) (ipc.OperatorList, error)
	OperatorList(ctx context.Context) (ipc.OperatorList, error)
}

// Env is what the window needs of the rest of the app.
type Env struct {
	Helper       Helper
	Text         *text.Catalogue
	Now          func() time.Time
	Copy         func(string) error
	Start        func(context.Context) error // the background service
	Allow        func(context.Context) error // makes this account an operator; the system asks the person
	Restart      func()                      // the app
	Quit         func(disconnect bool)       // the app, tray included
	Autostart    func() bool
	SetAutostart func(bool) error
	Prefs        func() desktop.Prefs
	SetPrefs     func(desktop.Prefs) error
	SaveReport   func(report string) (path string, err error)
	Tray         bool   // the desktop shows tray icons
	User         string // login name, for the command that allows it
	// Go runs slow work elsewhere, Do runs a function on Fyne's goroutine.
	Go, Do func(func())
}
