package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"kith.internal/ipc"
)

// complain says what happened and what to do about it.
func (a *app) complain(err error) {
	var e *ipc.Error
	if !errors.As(err, &e) {
		e = ipc.Errorf(ipc.CodeInternal, "%w", err)
	}
	advice := a.advice(e)
	if a.JSON {
		enc := json.NewEncoder(a.err)
		enc.SetEscapeHTML(false)
		enc.Encode(struct {
			Schema int        `json:"schema"`
			Error  *ipc.Error `json:"error"`
			Advice string     `json:"advice"`
		}{ipc.Schema, e, advice})
		return
	}
	fmt.Fprintf(a.err, "kith: %s\n", clean(e.Msg))
	if advice != "" {
		fmt.Fprintln(a.err, advice)
	}
}

// advices are what to do, one a code; "" where the message says it.
var advices = map[ipc.Code]string{
	ipc.CodeInternal:      "If it happens again, kith diag and the helper's log say more.",
	ipc.CodeUsage:         "See kith --help.",
	ipc.CodeUnreachable:   "Start the helper with: " + elevate + "kithd start",
	ipc.CodeVersion:       "Restart the helper to finish the update: " + elevate + "kithd stop, then " + elevate + "kithd start",
	ipc.CodeNotMember:     "Ask an admin of the network for a new link, or leave it with kith leave.",
	ipc.CodeNotAdmin:      "Ask an owner or admin of the network to do it; kith device list shows who they are.",
	ipc.CodeNotFound:      "kith status and kith device list show what there is.",
	ipc.CodeAmbiguous:     "Say which one; of several networks with --network and its alias or the start of its ID, as kith status --json shows them.",
	ipc.CodeExists:        "This device is in it already; kith status shows it.",
	ipc.CodeNameTaken:     "Choose another name.",
	ipc.CodeNameInvalid:   "A name is one lower-case DNS label: letters, digits and hyphens, at most 63.",
	ipc.CodeLinkMalformed: "Copy the whole link, in one line, from kith:// to its end.",
	ipc.CodeLinkExpired:   "Ask for a new link.",
	ipc.CodeLinkUsed:      "Ask for a new link: an invite is good for as many devices as its maker said, a share for one friend.",
	ipc.CodeLinkRevoked:   "Ask for a new link.",
	ipc.CodeLinkForeign:   "Ask whoever sent it for a link to the network that you mean.",
	ipc.CodeTimeout:       "Try again, or see kith status.",
	ipc.CodeNotConnected:  "kith status shows which devices are online; kith diag checks this one.",
	ipc.CodeNoTUN:         "The system gives no TUN device; on Linux try: sudo modprobe tun",
	ipc.CodeDiskFull:      "Free some space on the disk; nothing that was saved is lost.",
	ipc.CodePhrase:        "Check the 24 words and their order.",
	ipc.CodeNotHeld:       "It was shown before and is kept nowhere else; use the copy that was written down.",
	ipc.CodeLimit:         "Remove what is no longer needed, then try again.",
	ipc.CodeUpgrade:       "Install a newer Kith on this device.",
	ipc.CodeBusy:          "Try again in a moment.",
	ipc.CodePortTaken:     "Name another port, or end what holds it.",
	ipc.CodeNoAddress:     "Name one with --advertise HOST:PORT.",
	ipc.CodeShareRevoked:  "Ask your friend for a new link.",
	ipc.CodeShareExpired:  "Ask your friend for a new link.",
	ipc.CodeNotShared:     "kith share list shows what is shared.",
	ipc.CodePassInvalid:   "Ask whoever accepted the share to remove and accept it again with a new link.",
	ipc.CodePassExpired:   "Connect an admin's device of your own network, which renews it.",
	ipc.CodeClock:         "Set the clocks by a time server; kith diag checks this one.",
	ipc.CodeGuestDenied:   "Ask your friend, or an admin of your own network.",
	ipc.CodeLocksOut:      "Nothing has changed. kith policy check FILE tells what a policy would do, kith policy set FILE puts it in force.",
	ipc.CodePolicy:        "Nothing has changed. kith policy --help tells how to write one.",
	ipc.CodeRouteConflict: "The subnet behind the other device is reached from elsewhere.",
	ipc.CodeUnresolved:    "Check the name, or give its address.",
	ipc.CodeNearbyClosed:  "Have an admin open it again: kith nearby open",
	ipc.CodeRefused:       "Ask the admin why, then try again.",
	ipc.CodeChanged:       "Run it again to see what it would change now.",
	ipc.CodeDigitsDiffer:  "Somebody on this LAN may stand in between; join with a link instead: kith invite",
}

func (a *app) advice(e *ipc.Error) string {
	if e.Code == ipc.CodePermission {
		if e.Args["right"] == string(ipc.RightMachine) {
			return "Run it as an administrator: " + elevate + "kith …"
		}
		if user := a.login(); user != "" {
			return "Ask an administrator to let you act: " + elevate + "kith operator add " + clean(user)
		}
		return "Ask an administrator to do it, or to let you act."
	}
	return advices[e.Code]
}
