package ipc

import (
	"errors"
	"fmt"
)

// Code is an error's stable name. Words for people live in the app's catalogue.
type Code string

const (
	CodeInternal      Code = "internal"
	CodeUsage         Code = "usage"       // a malformed request
	CodeUnreachable   Code = "unreachable" // no helper on the socket
	CodeVersion       Code = "version"     // client and helper differ
	CodePermission    Code = "permission"  // the OS identity may not
	CodeNotMember     Code = "not-member"  // this device was removed
	CodeNotAdmin      Code = "not-admin"   // the roster gives this device no such capability
	CodeNotFound      Code = "not-found"
	CodeAmbiguous     Code = "ambiguous" // more than one network or device matches
	CodeExists        Code = "exists"    // already in that network
	CodeNameTaken     Code = "name-taken"
	CodeNameInvalid   Code = "name-invalid"
	CodeLinkMalformed Code = "link-malformed"
	CodeLinkExpired   Code = "link-expired"
	CodeLinkUsed      Code = "link-used"
	CodeLinkRevoked   Code = "link-revoked"
	CodeLinkForeign   Code = "link-foreign" // the sponsor is not in that network, or the link is for something else
	CodeTimeout       Code = "timeout"
	CodeNotConnected  Code = "not-connected"
	CodeNoTUN         Code = "no-tun"
	CodeDiskFull      Code = "disk-full"
	CodePhrase        Code = "phrase"   // the words are not this network's root phrase
	CodeNotHeld       Code = "not-held" // the phrase was already shown
	CodeLimit         Code = "limit"    // a quota is reached
	CodeUpgrade       Code = "upgrade"  // the roster's format is newer than this build
	CodeBusy          Code = "busy"
	CodePortTaken     Code = "port-taken"     // the port is held; args: port, network (where one of this device's holds it)
	CodeNoAddress     Code = "no-address"     // no address by which others could find this device; it has to be told one
	CodeRouteConflict Code = "route-conflict" // a subnet is also connected here; args: route, with
	CodeUnresolved    Code = "unresolved"     // a name has no address; args: name

	CodeShareRevoked Code = "share-revoked" // the owner has taken the share back
	CodeShareExpired Code = "share-expired"
	CodeNotShared    Code = "not-shared"   // that device is not what is shared
	CodePassInvalid  Code = "pass-invalid" // the owner's side does not take this device for the friend's
	CodePassExpired  Code = "pass-expired" // not renewed in time
	CodeClock        Code = "clock"        // what the other side has made is from the future: a clock is wrong
	CodePolicy       Code = "policy"       // a policy was refused: its faults say why. Of a share: it lets nothing through
	CodeLocksOut     Code = "locks-out"    // the policy in force would then lock every admin out
	CodeGuestDenied  Code = "guest-denied" // this device has been put out, by either side

	CodeNearbyClosed Code = "nearby-closed" // the network is not open to this LAN any more
	CodeRefused      Code = "refused"       // the admin said no: the digits differ there, or the device is not wanted
	CodeChanged      Code = "changed"       // what was agreed to is not what it would be by now
	CodeDigitsDiffer Code = "digits-differ" // the digits were not the same on both sides
)

// Cases of a code, or of a check's, that have words of their own, in Args["case"].
const (
	CaseRemoved = "removed" // CheckNetwork: this device was removed
	CaseFailed  = "failed"  // CheckNetwork: it could not be connected; the detail says why
	CaseUser    = "user"    // CodeNotFound: args: user
	CaseOffers  = "offers"  // CodeUsage: this device offers to be an exit node itself
	CaseUses    = "uses"    // CodeUsage: this device uses an exit node itself
)

// Error is what a verb answers when it fails. Msg is English, for logs and the
// command line; Args is what a translation needs.
type Error struct {
	Code Code              `json:"code"`
	Msg  string            `json:"msg"`
	Args map[string]string `json:"args,omitempty"`
}

func (e *Error) Error() string { return e.Msg }

// Errorf makes an Error with a code.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Msg: fmt.Errorf(format, args...).Error()}
}

// Case says which case of its code an Error is.
func (e *Error) Case(of string) *Error {
	if e.Args == nil {
		e.Args = map[string]string{}
	}
	e.Args["case"] = of
	return e
}

// CodeOf is the code of the first Error in err's chain, CodeInternal if there
// is none, "" for nil.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Code
	}
	return CodeInternal
}

// Exit codes of the command line.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitUnreachable = 3
	ExitPermission  = 4
	ExitNoAnswer    = 5
	ExitNotFound    = 6
	ExitTimeout     = 7
)

// ExitCode maps an error to the command line's exit code.
func ExitCode(err error) int {
	switch CodeOf(err) {
	case "":
		return ExitOK
	case CodeUsage, CodeLinkMalformed, CodeNameInvalid, CodeAmbiguous:
		return ExitUsage
	case CodeUnreachable, CodeVersion:
		return ExitUnreachable
	case CodePermission, CodeNotAdmin, CodeRefused:
		return ExitPermission
	case CodeNotConnected, CodeNotMember, CodeNearbyClosed:
		return ExitNoAnswer
	case CodeNotFound:
		return ExitNotFound
	case CodeTimeout:
		return ExitTimeout
	}
	return ExitFailed
}
