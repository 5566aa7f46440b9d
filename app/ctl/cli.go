package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"kith.internal/ipc"
)

const linkHelp = "The link, or - to read it from standard input."

// cli is the grammar.
type cli struct {
	Socket  string `help:"The helper's socket; KITH_SOCKET and the system's default otherwise." placeholder:"PATH"`
	Network string `short:"n" help:"The network: its name, alias or the start of its ID." placeholder:"NAME"`
	JSON    bool   `name:"json" help:"Print JSON."`

	Status     statusCmd     `cmd:"" help:"Show networks, devices and warnings."`
	Peers      peersCmd      `cmd:"" help:"Show the other devices."`
	Create     createCmd     `cmd:"" help:"Create a network with this device as its owner."`
	Invite     inviteCmd     `cmd:"" help:"Print a link that lets a device join."`
	Join       joinCmd       `cmd:"" help:"Join a network with a link."`
	Leave      leaveCmd      `cmd:"" help:"Leave a network, or stop joining it."`
	Up         upCmd         `cmd:"" help:"Connect."`
	Down       downCmd       `cmd:"" help:"Disconnect until the next up, over restarts too."`
	Ping       pingCmd       `cmd:"" help:"See whether a device answers and on which path."`
	Device     deviceCmd     `cmd:"" help:"List and change the network's devices."`
	Nearby     nearbyCmd     `cmd:"" help:"Join on one LAN without a link, by comparing six digits."`
	Relay      relayCmd      `cmd:"" help:"Let this device pass sealed packets on for all members."`
	Forward    forwardCmd    `cmd:"" help:"Pass packets on between members who cannot reach one another."`
	Share      shareCmd      `cmd:"" help:"Let a friend's devices reach some of yours, or use what a friend shares."`
	Policy     policyCmd     `cmd:"" help:"Say which device may reach what."`
	Exit       exitCmd       `cmd:"" help:"Send internet traffic through a device, or let others' out here."`
	Route      routeCmd      `cmd:"" help:"Reach subnets behind devices."`
	DNS        dnsCmd        `cmd:"" name:"dns" help:"Set names of your own and see how names resolve."`
	Portal     portalCmd     `cmd:"" help:"Let the sign-in page of a network such as a hotel's through."`
	Roster     rosterCmd     `cmd:"" help:"Show every record, its author and why it counts or not."`
	Recover    recoverCmd    `cmd:"" help:"Use the network's root phrase, or show it once."`
	Operator   operatorCmd   `cmd:"" help:"Say which users of this machine may act."`
	AllowMe    allowMeCmd    `cmd:"" hidden:"" name:"allow-me" help:"Let the user who asked pkexec for it act."`
	Diag       diagCmd       `cmd:"" help:"Check what Kith depends on."`
	Completion completionCmd `cmd:"" help:"Print a completion script for a shell."`
	Version    versionCmd    `cmd:"" help:"Print this program's version and the helper's."`
}

// confirmed is the flag of what destroys.
type confirmed struct {
	Yes bool `short:"y" help:"Do not ask."`
}

// duration is Go's syntax plus d for days: 36h, 7d, 1d12h. It is positive.
type duration time.Duration

func (d *duration) UnmarshalText(b []byte) error {
	s := string(b)
	bad := fmt.Errorf("%q is not a duration such as 30m, 24h or 7d", s)
	var total time.Duration
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil || n > 36500 {
			return bad
		}
		total, s = time.Duration(n)*24*time.Hour, rest
	}
	if s != "" {
		v, err := time.ParseDuration(s)
		if err != nil || v < 0 || v > math.MaxInt64-total {
			return bad
		}
		total += v
	}
	if total <= 0 {
		return bad
	}
	*d = duration(total)
	return nil
}

// seconds rounds up, since 0 means the default.
func (d duration) seconds() ipc.Seconds {
	return ipc.Seconds((time.Duration(d) + time.Second - 1) / time.Second)
}

// uses is a number above 0, or 0 for "unlimited".
type uses int

func (u *uses) UnmarshalText(b []byte) error {
	if string(b) == "unlimited" {
		*u = 0
		return nil
	}
	n, err := strconv.Atoi(string(b))
	if err != nil || n < 1 || n > ipc.InviteUses {
		return fmt.Errorf("expected a number from 1 to %d, or unlimited", ipc.InviteUses)
	}
	*u = uses(n)
	return nil
}
