// Package authz decides who on this machine may do what to the helper. It is
// pure policy over identities that the transport has established: it opens
// nothing, keeps no list of its own and must not import the server.
package authz

import (
	"log/slog"
	"slices"

	"kith.internal/ipc"
	"kith.internal/ipc/transport"
)

// level is what a verb asks of its caller.
type level int

const (
	anyone  level = iota + 1 // reads names, addresses and state
	operate                  // acts on networks, reads endpoints and traffic
	machine                  // says who may act
)

var levels = map[ipc.Verb]level{
	ipc.VerbVersion:        anyone,
	ipc.VerbStatus:         anyone, // the server leaves out what is the operators'
	ipc.VerbWatch:          anyone, // likewise
	ipc.VerbPreview:        anyone, // tells what the caller's link says, and sends nothing
	ipc.VerbCreate:         operate,
	ipc.VerbInvite:         operate,
	ipc.VerbJoin:           operate,
	ipc.VerbLeave:          operate,
	ipc.VerbUp:             operate,
	ipc.VerbDown:           operate,
	ipc.VerbPing:           operate, // sends packets
	ipc.VerbDeviceList:     operate,
	ipc.VerbDeviceRename:   operate,
	ipc.VerbDeviceRevoke:   operate,
	ipc.VerbDeviceRenew:    operate,
	ipc.VerbDeviceApprove:  operate,
	ipc.VerbDeviceReadmit:  operate,
	ipc.VerbDeviceRole:     operate,
	ipc.VerbDeviceTag:      operate,
	ipc.VerbRelayOn:        operate, // opens ports
	ipc.VerbRelayOff:       operate,
	ipc.VerbForward:        operate,
	ipc.VerbPortal:         operate, // lets names and web pages past the mesh
	ipc.VerbExitUse:        operate,
	ipc.VerbExitOff:        operate,
	ipc.VerbExitOffer:      operate, // lets others' traffic out here
	ipc.VerbExitApprove:    operate,
	ipc.VerbRouteAdd:       operate,
	ipc.VerbRouteRemove:    operate,
	ipc.VerbRouteApprove:   operate,
	ipc.VerbRouteAccept:    operate,
	ipc.VerbPolicyShow:     operate,
	ipc.VerbPolicySet:      operate,
	ipc.VerbPolicyReach:    operate,
	ipc.VerbShareCreate:    operate,
	ipc.VerbShareAccept:    operate,
	ipc.VerbShareList:      operate,
	ipc.VerbShareApprove:   operate,
	ipc.VerbShareLimit:     operate,
	ipc.VerbShareRevoke:    operate,
	ipc.VerbShareRemove:    operate,
	ipc.VerbNearbyOpen:     operate,
	ipc.VerbNearbyList:     operate,
	ipc.VerbNearbyJoin:     operate,
	ipc.VerbNearbyApprove:  operate,
	ipc.VerbDNSAdd:         operate,
	ipc.VerbDNSRemove:      operate,
	ipc.VerbDNSList:        anyone, // the stub tells any program as much
	ipc.VerbDNSServe:       operate,
	ipc.VerbDNSRepair:      operate,
	ipc.VerbDNSStatus:      anyone,
	ipc.VerbDNSQuery:       anyone,
	ipc.VerbRoster:         operate, // shows invites
	ipc.VerbRecover:        operate,
	ipc.VerbDiag:           operate, // shows endpoints
	ipc.VerbOperatorAdd:    machine,
	ipc.VerbOperatorRemove: machine,
	ipc.VerbOperatorList:   machine,
}

// Store knows the users that an administrator named: UIDs or SIDs, as Resolve
// returns them. It is asked for each request and has to be quick.
type Store interface {
	Operators() ([]string, error)
}

// Config is what a Policy needs.
type Config struct {
	Operators Store
	// Self is the UID or SID that the helper runs as where that is not root:
	// who can replace the helper gains nothing by being refused. "" for none.
	Self string
	Log  *slog.Logger
}

// Policy answers the server's questions. It is safe for concurrent use.
type Policy struct {
	cfg Config
}

// New makes a policy.
func New(cfg Config) *Policy {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Policy{cfg}
}

// Authorize returns nil where id may use verb now, else an *ipc.Error with
// CodePermission. What it does not know it refuses.
func (p *Policy) Authorize(id transport.Identity, verb ipc.Verb) error {
	need, ok := levels[verb]
	if ok && need <= p.level(id) {
		return nil
	}
	e := ipc.Errorf(ipc.CodePermission, "your account may look but not act")
	right := ipc.RightOperate
	if need != operate {
		e = ipc.Errorf(ipc.CodePermission, "only an administrator of this machine may do that")
		right = ipc.RightMachine
	}
	e.Args = map[string]string{"uid": id.UID, "right": string(right)}
	return e
}

// Rights is what id may do now, never nil.
func (p *Policy) Rights(id transport.Identity) []ipc.Right {
	switch p.level(id) {
	case machine:
		return []ipc.Right{ipc.RightOperate, ipc.RightMachine}
	case operate:
		return []ipc.Right{ipc.RightOperate}
	}
	return []ipc.Right{}
}

func (p *Policy) level(id transport.Identity) level {
	if id.Root || id.Admin || p.cfg.Self != "" && id.UID == p.cfg.Self {
		return machine
	}
	if id.UID == "" || p.cfg.Operators == nil {
		return anyone
	}
	ops, err := p.cfg.Operators.Operators()
	if err != nil {
		p.cfg.Log.Error("the list of operators cannot be read; nobody on it may act", "err", err)
		return anyone
	}
	if slices.Contains(ops, id.UID) {
		return operate
	}
	return anyone
}
