package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"kith.internal/ipc"
)

// Version asks what the helper is; helpers of every version answer.
func (c *Client) Version(ctx context.Context) (ipc.VersionAnswer, error) {
	return call[ipc.VersionAnswer](ctx, c, ipc.VerbVersion, nil, c.opts.Timeout)
}

// Status is the state now; helpers of every version answer.
func (c *Client) Status(ctx context.Context) (ipc.Status, error) {
	return call[ipc.Status](ctx, c, ipc.VerbStatus, nil, c.opts.Timeout)
}

// Create founds a network.
func (c *Client) Create(ctx context.Context, r ipc.CreateRequest) (ipc.CreateAnswer, error) {
	return call[ipc.CreateAnswer](ctx, c, ipc.VerbCreate, r, c.opts.Timeout)
}

// Invite makes a link that lets devices join.
func (c *Client) Invite(ctx context.Context, r ipc.InviteRequest) (ipc.InviteAnswer, error) {
	return call[ipc.InviteAnswer](ctx, c, ipc.VerbInvite, r, c.opts.Timeout)
}

// Preview reads a link; nothing is sent to anyone.
func (c *Client) Preview(ctx context.Context, link string) (ipc.Preview, error) {
	return call[ipc.Preview](ctx, c, ipc.VerbPreview, ipc.LinkRequest{Link: link}, c.opts.Timeout)
}

// Join asks to be let in and waits for it as long as r says. Past that it fails
// with CodeTimeout and the helper goes on asking.
func (c *Client) Join(ctx context.Context, r ipc.JoinRequest) (ipc.NetworkAnswer, error) {
	wait := time.Duration(r.Wait) * time.Second
	if wait <= 0 {
		wait = DefaultJoinWait
	}
	return call[ipc.NetworkAnswer](ctx, c, ipc.VerbJoin, r, wait+joinSlack)
}

// Leave leaves a network, or ends a join that is under way.
func (c *Client) Leave(ctx context.Context, network string) (ipc.NetworkAnswer, error) {
	return call[ipc.NetworkAnswer](ctx, c, ipc.VerbLeave, ipc.NetworkRequest{Network: network}, c.opts.Timeout)
}

// Up connects a network, all for "".
func (c *Client) Up(ctx context.Context, r ipc.UpRequest) (ipc.Status, error) {
	return call[ipc.Status](ctx, c, ipc.VerbUp, r, c.opts.Timeout)
}

// Down disconnects a network, all for "", until Up.
func (c *Client) Down(ctx context.Context, network string) (ipc.Status, error) {
	return call[ipc.Status](ctx, c, ipc.VerbDown, ipc.NetworkRequest{Network: network}, c.opts.Timeout)
}

// Ping calls got for each reply, until the helper is done, got fails or ctx
// ends.
func (c *Client) Ping(ctx context.Context, r ipc.PingRequest, got func(ipc.PingReply) error) error {
	resp, err := c.do(ctx, ipc.VerbPing, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := newLineReader(resp.Body)
	for {
		line, err := lines.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return c.broken(ctx, err)
		}
		var reply ipc.PingReply
		if err := json.Unmarshal(line, &reply); err != nil {
			return ipc.Errorf(ipc.CodeInternal, "the helper's answer makes no sense: %w", err)
		}
		if reply.Done {
			if reply.Error != nil {
				return reply.Error
			}
			return nil
		}
		if err := got(reply); err != nil {
			return err
		}
	}
}

// DeviceList lists a network's devices and what they ask for.
func (c *Client) DeviceList(ctx context.Context, network string) (ipc.DeviceList, error) {
	return call[ipc.DeviceList](ctx, c, ipc.VerbDeviceList, ipc.NetworkRequest{Network: network}, c.opts.Timeout)
}

// DeviceRename gives a device another name, or asks for it.
func (c *Client) DeviceRename(ctx context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	return call[ipc.DeviceAnswer](ctx, c, ipc.VerbDeviceRename, r, c.opts.Timeout)
}

// DeviceRevoke removes a device.
func (c *Client) DeviceRevoke(ctx context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	return call[ipc.DeviceAnswer](ctx, c, ipc.VerbDeviceRevoke, r, c.opts.Timeout)
}

// DeviceRenew gives a device new keys, or asks for them.
func (c *Client) DeviceRenew(ctx context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	return call[ipc.DeviceAnswer](ctx, c, ipc.VerbDeviceRenew, r, c.opts.Timeout)
}

// DeviceApprove grants what a device asks for.
func (c *Client) DeviceApprove(ctx context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	return call[ipc.DeviceAnswer](ctx, c, ipc.VerbDeviceApprove, r, c.opts.Timeout)
}

// DeviceReadmit lets a device in again that a removal took along.
func (c *Client) DeviceReadmit(ctx context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	return call[ipc.DeviceAnswer](ctx, c, ipc.VerbDeviceReadmit, r, c.opts.Timeout)
}

// DeviceRole gives a device another role.
func (c *Client) DeviceRole(ctx context.Context, r ipc.RoleRequest) (ipc.RoleAnswer, error) {
	return call[ipc.RoleAnswer](ctx, c, ipc.VerbDeviceRole, r, c.opts.Timeout)
}

// DeviceTag changes a device's tags.
func (c *Client) DeviceTag(ctx context.Context, r ipc.TagRequest) (ipc.TagAnswer, error) {
	return call[ipc.TagAnswer](ctx, c, ipc.VerbDeviceTag, r, c.opts.Timeout)
}

// RelayOn makes this device a relay, or asks for it.
func (c *Client) RelayOn(ctx context.Context, r ipc.RelayRequest) (ipc.RelayAnswer, error) {
	return call[ipc.RelayAnswer](ctx, c, ipc.VerbRelayOn, r, c.opts.Timeout)
}

// RelayOff ends that.
func (c *Client) RelayOff(ctx context.Context, network string) (ipc.RelayAnswer, error) {
	return call[ipc.RelayAnswer](ctx, c, ipc.VerbRelayOff, ipc.NetworkRequest{Network: network}, c.opts.Timeout)
}

// Forward says whether this device passes on the packets of members who cannot
// reach one another.
func (c *Client) Forward(ctx context.Context, r ipc.ForwardRequest) (ipc.ForwardAnswer, error) {
	return call[ipc.ForwardAnswer](ctx, c, ipc.VerbForward, r, c.opts.Timeout)
}

// Portal lets DNS, and TCP 80 and 443, past exit nodes and resolvers in the
// mesh for five minutes, to sign in to a captive portal, or ends that.
func (c *Client) Portal(ctx context.Context, r ipc.PortalRequest) (ipc.PortalAnswer, error) {
	return call[ipc.PortalAnswer](ctx, c, ipc.VerbPortal, r, c.opts.Timeout)
}

// ExitUse sends internet traffic through a device.
func (c *Client) ExitUse(ctx context.Context, r ipc.ExitUseRequest) (ipc.ExitAnswer, error) {
	return call[ipc.ExitAnswer](ctx, c, ipc.VerbExitUse, r, c.opts.Timeout)
}

// ExitOff ends that, and what blocks traffic while the exit node is away.
func (c *Client) ExitOff(ctx context.Context, network string) (ipc.ExitAnswer, error) {
	return call[ipc.ExitAnswer](ctx, c, ipc.VerbExitOff, ipc.NetworkRequest{Network: network}, c.opts.Timeout)
}

// ExitOffer makes this device an exit node, or asks for it, or ends that.
func (c *Client) ExitOffer(ctx context.Context, r ipc.ExitOfferRequest) (ipc.ExitAnswer, error) {
	return call[ipc.ExitAnswer](ctx, c, ipc.VerbExitOffer, r, c.opts.Timeout)
}

// ExitApprove lets a device be an exit node.
func (c *Client) ExitApprove(ctx context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	return call[ipc.DeviceAnswer](ctx, c, ipc.VerbExitApprove, r, c.opts.Timeout)
}

// RouteAdd offers a subnet behind this device, or asks for it.
func (c *Client) RouteAdd(ctx context.Context, r ipc.RouteRequest) (ipc.RouteAnswer, error) {
	return call[ipc.RouteAnswer](ctx, c, ipc.VerbRouteAdd, r, c.opts.Timeout)
}

// RouteRemove takes that back.
func (c *Client) RouteRemove(ctx context.Context, r ipc.RouteRequest) (ipc.RouteAnswer, error) {
	return call[ipc.RouteAnswer](ctx, c, ipc.VerbRouteRemove, r, c.opts.Timeout)
}

// RouteApprove lets a device be the way to a subnet.
func (c *Client) RouteApprove(ctx context.Context, r ipc.RouteRequest) (ipc.RouteAnswer, error) {
	return call[ipc.RouteAnswer](ctx, c, ipc.VerbRouteApprove, r, c.opts.Timeout)
}

// RouteAccept says whether this device uses a route.
func (c *Client) RouteAccept(ctx context.Context, r ipc.RouteRequest) (ipc.RouteAnswer, error) {
	return call[ipc.RouteAnswer](ctx, c, ipc.VerbRouteAccept, r, c.opts.Timeout)
}

// PolicyShow is the policy in force.
func (c *Client) PolicyShow(ctx context.Context, network string) (ipc.PolicyAnswer, error) {
	return call[ipc.PolicyAnswer](ctx, c, ipc.VerbPolicyShow, ipc.NetworkRequest{Network: network}, c.opts.Timeout)
}

// PolicySet checks a policy and, unless it is a dry run, puts it in force.
func (c *Client) PolicySet(ctx context.Context, r ipc.PolicyRequest) (ipc.PolicyAnswer, error) {
	return call[ipc.PolicyAnswer](ctx, c, ipc.VerbPolicySet, r, c.opts.Timeout)
}

// PolicyReach says who can reach a device.
func (c *Client) PolicyReach(ctx context.Context, r ipc.ReachRequest) (ipc.ReachAnswer, error) {
	return call[ipc.ReachAnswer](ctx, c, ipc.VerbPolicyReach, r, c.opts.Timeout)
}

// ShareCreate makes a link that lets a friend's devices reach some of ours.
func (c *Client) ShareCreate(ctx context.Context, r ipc.ShareRequest) (ipc.ShareAnswer, error) {
	return call[ipc.ShareAnswer](ctx, c, ipc.VerbShareCreate, r, c.opts.Timeout)
}

// ShareAccept takes a share and waits for the owner's side as long as r says.
// Past that it fails with CodeTimeout and the helper goes on asking.
func (c *Client) ShareAccept(ctx context.Context, r ipc.ShareAcceptRequest) (ipc.ShareAnswer, error) {
	wait := time.Duration(r.Wait) * time.Second
	if wait <= 0 {
		wait = DefaultJoinWait
	}
	return call[ipc.ShareAnswer](ctx, c, ipc.VerbShareAccept, r, wait+joinSlack)
}

// ShareList lists what is shared and what friends share.
func (c *Client) ShareList(ctx context.Context, network string) (ipc.ShareList, error) {
	return call[ipc.ShareList](ctx, c, ipc.VerbShareList, ipc.NetworkRequest{Network: network}, c.opts.Timeout)
}

// ShareApprove says that the words are the same as the friend's.
func (c *Client) ShareApprove(ctx context.Context, r ipc.ShareIDRequest) (ipc.ShareAnswer, error) {
	return call[ipc.ShareAnswer](ctx, c, ipc.VerbShareApprove, r, c.opts.Timeout)
}

// ShareLimit changes how many of the friend's devices may come by a share.
func (c *Client) ShareLimit(ctx context.Context, r ipc.ShareIDRequest) (ipc.ShareAnswer, error) {
	return call[ipc.ShareAnswer](ctx, c, ipc.VerbShareLimit, r, c.opts.Timeout)
}

// ShareRevoke ends a share.
func (c *Client) ShareRevoke(ctx context.Context, r ipc.ShareIDRequest) (ipc.ShareAnswer, error) {
	return call[ipc.ShareAnswer](ctx, c, ipc.VerbShareRevoke, r, c.opts.Timeout)
}

// ShareRemove gives a received share up.
func (c *Client) ShareRemove(ctx context.Context, r ipc.ShareIDRequest) (ipc.ShareAnswer, error) {
	return call[ipc.ShareAnswer](ctx, c, ipc.VerbShareRemove, r, c.opts.Timeout)
}

// NearbyOpen opens a network to devices on this LAN for ten minutes.
func (c *Client) NearbyOpen(ctx context.Context, r ipc.NearbyOpenRequest) (ipc.NearbyList, error) {
	return call[ipc.NearbyList](ctx, c, ipc.VerbNearbyOpen, r, c.opts.Timeout)
}

// NearbyList says what is open on this LAN and who asks to join.
func (c *Client) NearbyList(ctx context.Context, network string) (ipc.NearbyList, error) {
	return call[ipc.NearbyList](ctx, c, ipc.VerbNearbyList, ipc.NetworkRequest{Network: network}, c.opts.Timeout)
}

// NearbyJoin asks to join an open network. It is answered when an admin has
// approved; the digits to compare are in the status meanwhile.
func (c *Client) NearbyJoin(ctx context.Context, r ipc.NearbyJoinRequest) (ipc.NetworkAnswer, error) {
	wait := time.Duration(r.Wait) * time.Second
	if wait <= 0 {
		wait = nearbyWait
	}
	return call[ipc.NetworkAnswer](ctx, c, ipc.VerbNearbyJoin, r, wait+joinSlack)
}

// NearbyApprove says whether the digits are the same.
func (c *Client) NearbyApprove(ctx context.Context, r ipc.NearbyApproveRequest) (ipc.NearbyList, error) {
	return call[ipc.NearbyList](ctx, c, ipc.VerbNearbyApprove, r, c.opts.Timeout)
}

// DNSAdd adds custom records.
func (c *Client) DNSAdd(ctx context.Context, r ipc.DNSRecordsRequest) (ipc.DNSRecordsAnswer, error) {
	return call[ipc.DNSRecordsAnswer](ctx, c, ipc.VerbDNSAdd, r, c.opts.Timeout)
}

// DNSRemove removes them.
func (c *Client) DNSRemove(ctx context.Context, r ipc.DNSRecordsRequest) (ipc.DNSRecordsAnswer, error) {
	return call[ipc.DNSRecordsAnswer](ctx, c, ipc.VerbDNSRemove, r, c.opts.Timeout)
}

// DNSList lists them.
func (c *Client) DNSList(ctx context.Context, network string) (ipc.DNSRecordsAnswer, error) {
	return call[ipc.DNSRecordsAnswer](ctx, c, ipc.VerbDNSList, ipc.NetworkRequest{Network: network}, c.opts.Timeout)
}

// DNSServe has this device answer the members' queries too, or no longer.
func (c *Client) DNSServe(ctx context.Context, r ipc.DNSServeRequest) (ipc.DNSStatus, error) {
	return call[ipc.DNSStatus](ctx, c, ipc.VerbDNSServe, r, c.opts.Timeout)
}

// DNSRepair sets the system's resolver up anew.
func (c *Client) DNSRepair(ctx context.Context) (ipc.DNSStatus, error) {
	return call[ipc.DNSStatus](ctx, c, ipc.VerbDNSRepair, struct{}{}, c.opts.Timeout)
}

// DNSStatus says how names resolve on this machine.
func (c *Client) DNSStatus(ctx context.Context) (ipc.DNSStatus, error) {
	return call[ipc.DNSStatus](ctx, c, ipc.VerbDNSStatus, struct{}{}, c.opts.Timeout)
}

// DNSQuery asks the stub.
func (c *Client) DNSQuery(ctx context.Context, r ipc.DNSQueryRequest) (ipc.DNSQueryAnswer, error) {
	return call[ipc.DNSQueryAnswer](ctx, c, ipc.VerbDNSQuery, r, c.opts.Timeout)
}

// Roster lists every record of a network.
func (c *Client) Roster(ctx context.Context, network string) (ipc.RosterList, error) {
	return call[ipc.RosterList](ctx, c, ipc.VerbRoster, ipc.NetworkRequest{Network: network}, c.opts.Timeout)
}

// Recover uses the root phrase, or shows the one that is still held.
func (c *Client) Recover(ctx context.Context, r ipc.RecoverRequest) (ipc.RecoverAnswer, error) {
	return call[ipc.RecoverAnswer](ctx, c, ipc.VerbRecover, r, c.opts.Timeout)
}

// OperatorAdd lets a user of this machine act.
func (c *Client) OperatorAdd(ctx context.Context, user string) (ipc.OperatorList, error) {
	return call[ipc.OperatorList](ctx, c, ipc.VerbOperatorAdd, ipc.OperatorRequest{User: user}, c.opts.Timeout)
}

// OperatorRemove takes that back.
func (c *Client) OperatorRemove(ctx context.Context, user string) (ipc.OperatorList, error) {
	return call[ipc.OperatorList](ctx, c, ipc.VerbOperatorRemove, ipc.OperatorRequest{User: user}, c.opts.Timeout)
}

// OperatorList lists the users who may act.
func (c *Client) OperatorList(ctx context.Context) (ipc.OperatorList, error) {
	return call[ipc.OperatorList](ctx, c, ipc.VerbOperatorList, struct{}{}, c.opts.Timeout)
}

// Diag runs the checks.
func (c *Client) Diag(ctx context.Context, network string) (ipc.Diag, error) {
	return call[ipc.Diag](ctx, c, ipc.VerbDiag, ipc.NetworkRequest{Network: network}, c.opts.Timeout)
}
