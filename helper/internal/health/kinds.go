package health

import (
	"cmp"
	"strings"
	"time"

	"kith.internal/ipc"
)

// transient is how long a warning waits that may well pass by itself.
const transient = 5 * time.Second

// kind is what holds for a code, whoever raises it. Text is one sentence:
// what happened, what still works, one action. {arg} stands for an argument;
// what is in brackets is left out where its argument is not given.
type kind struct {
	severity ipc.Severity
	delay    time.Duration
	parents  []string // not shown while one of these is raised
	order    int      // among those of one severity
	text     string
}

func kindOf(code string) kind {
	if k, ok := kinds[code]; ok {
		return k
	}
	// A code without words still has to be seen.
	return kind{severity: ipc.SeverityWarning, order: len(kinds), text: "Kith reports " + code + ", which this build has no words for; see kith diag."}
}

// words fills the text in.
func (k kind) words(network string, args map[string]string) string {
	pairs := []string{"{network}", cmp.Or(network, "this network")}
	for name, v := range args {
		if v != "" {
			pairs = append(pairs, "{"+name+"}", v)
		}
	}
	fill := strings.NewReplacer(pairs...)
	var out strings.Builder
	rest := k.text
	for {
		before, after, found := strings.Cut(rest, "[")
		out.WriteString(fill.Replace(before))
		if !found {
			return out.String()
		}
		var optional string
		optional, rest, _ = strings.Cut(after, "]")
		_, name, _ := strings.Cut(optional, "{")
		name, _, _ = strings.Cut(name, "}")
		if args[name] != "" {
			out.WriteString(fill.Replace(optional))
		}
	}
}

var kinds = map[string]kind{
	ipc.HealthDiskFull: {
		severity: ipc.SeverityError, order: 0,
		text: "The disk is full ({why}), so Kith can save no changes; connections stay up, and saving resumes by itself once you free some space.",
	},
	ipc.HealthNoTUN: {
		severity: ipc.SeverityError, order: 1, parents: []string{ipc.HealthRemoved},
		text: "Kith cannot open a network device[ ({why})], so {network} passes no traffic; the network is kept and comes up once you have mended that, as kith diag explains.",
	},
	ipc.HealthRemoved: {
		severity: ipc.SeverityError, order: 2,
		text: "{by} removed this device from {network}; your other networks go on, and to come back here ask for a new invite.",
	},
	ipc.HealthUpgrade: {
		severity: ipc.SeverityError, order: 3, parents: []string{ipc.HealthRemoved},
		text: "{network} has moved to a newer format; connections to the devices known so far go on, but to follow changes upgrade Kith on this device.",
	},
	ipc.HealthNoNetwork: {
		severity: ipc.SeverityWarning, delay: transient, order: 4,
		text: "No network; Kith keeps running and reconnects by itself, so connect this computer to Wi-Fi or a cable.",
	},
	ipc.HealthLANOnly: {
		severity: ipc.SeverityInfo, delay: transient, order: 36, parents: []string{ipc.HealthNoNetwork},
		text: "No way to the internet; devices on this computer's own networks are reached, and Kith takes up the rest by itself.",
	},
	ipc.HealthExpiring: {
		severity: ipc.SeverityWarning, order: 5, parents: []string{ipc.HealthRemoved},
		text: "This device's access to {network} ends at {at}; all works until then, so ask an admin to renew it.",
	},
	ipc.HealthPhrase: {
		severity: ipc.SeverityWarning, order: 6,
		text: "The recovery words of {network} have not been shown yet; all works, but write them down with kith recover --show, after which this device forgets them.",
	},
	ipc.HealthFork: {
		severity: ipc.SeverityWarning, order: 7, parents: []string{ipc.HealthRemoved},
		text: "{device} has signed two histories of {network}, as a restored backup does; both count and all works, but if nobody restored it, remove that device.",
	},
	ipc.HealthClock: {
		severity: ipc.SeverityWarning, delay: transient, order: 8,
		text: "This computer's clock is {offset} off[ ({way})]; connections work, but invites and expiries may be misjudged, so set the clock right.",
	},
	ipc.HealthDNSFailed: {
		severity: ipc.SeverityWarning, delay: transient, order: 9,
		parents: []string{ipc.HealthRemoved, ipc.HealthNoTUN, ipc.HealthNoNetwork},
		text:    "Kith could not set up names ({why}); devices can be reached by address, and kith dns status says what to mend.",
	},
	ipc.HealthDNSOverridden: {
		severity: ipc.SeverityWarning, delay: transient, order: 10,
		parents: []string{ipc.HealthRemoved, ipc.HealthNoTUN, ipc.HealthNoNetwork, ipc.HealthDNSFailed},
		text:    "{by} replaced Kith's DNS settings, so names may not resolve; devices can be reached by address, and kith dns repair puts the settings back.",
	},
	ipc.HealthIPv4Conflict: {
		severity: ipc.SeverityWarning, delay: transient, order: 11,
		parents: []string{ipc.HealthRemoved, ipc.HealthNoTUN, ipc.HealthIPv4Blocked},
		text:    "{network}'s IPv4 range[ {range}] meets {with}, so this device uses IPv6 alone there; names work as before, and leaving that other network brings IPv4 back.",
	},
	ipc.HealthIPv4Blocked: {
		severity: ipc.SeverityWarning, delay: transient, order: 12,
		parents: []string{ipc.HealthRemoved, ipc.HealthNoTUN},
		text:    "A firewall rule ({rule}) drops {network}'s IPv4 traffic, so this device uses IPv6 alone there; names work as before, and removing the rule brings IPv4 back.",
	},
	ipc.HealthNoIPv6: {
		severity: ipc.SeverityWarning, delay: transient, order: 13,
		parents: []string{ipc.HealthRemoved, ipc.HealthNoTUN},
		text:    "IPv6 is switched off on this computer, so devices are reached by IPv4 alone and those without an IPv4 address not at all; switch IPv6 on to reach them.",
	},
	ipc.HealthPortTaken: {
		severity: ipc.SeverityInfo, delay: transient, order: 14, parents: []string{ipc.HealthRemoved},
		text: "Another program holds UDP port {port}, so {network} uses {using}; all works, but change a port forwarding that you have set up.",
	},
	ipc.HealthExitBlocked: {
		severity: ipc.SeverityError, order: 31,
		text: "Exit node {device} cannot be used ({why}), so internet traffic is blocked; your devices are reached as before, and kith exit off lets all traffic go as ever.",
	},
	ipc.HealthExitLeaks: {
		severity: ipc.SeverityError, order: 32,
		text: "Traffic may go around the exit node: {why}; the tunnels to your devices are not touched by it, and kith exit off ends the use of it.",
	},
	ipc.HealthRouteConflict: {
		severity: ipc.SeverityWarning, order: 33, parents: []string{ipc.HealthRemoved, ipc.HealthNoTUN},
		text: "{route} of {network} is also the network on {with} here, so it stays that one; the other device's is reached again elsewhere, or end it with kith route accept --off {route}.",
	},
	ipc.HealthNotPassing: {
		severity: ipc.SeverityWarning, delay: transient, order: 34,
		text: "This device cannot pass on what others send through it: {why}; all else works, and kith exit offer off or kith route remove takes the offer back.",
	},
	ipc.HealthRelayPort: {
		severity: ipc.SeverityWarning, order: 15, parents: []string{ipc.HealthRemoved, ipc.HealthNoTUN},
		text: "Port {port} is taken[ by the network {by}], so this device does not relay for {network}; all else works, and once that port is free, or with kith relay on --listen another one, it relays again.",
	},
	ipc.HealthRelayHidden: {
		severity: ipc.SeverityWarning, delay: transient, order: 16, parents: []string{ipc.HealthRemoved, ipc.HealthNoTUN, ipc.HealthNoNetwork},
		text: "No device of {network} reaches this relay at {addr} from outside; let UDP and TCP in to that port, or name the right address with kith relay on --advertise.",
	},
	ipc.HealthRelayLies: {
		severity: ipc.SeverityWarning, order: 17, parents: []string{ipc.HealthRemoved},
		text: "The relay {device} of {network} does not do what it should[ ({why})]; Kith avoids it and your traffic stays sealed, but an admin should look at that device.",
	},
	ipc.HealthNearbyTries: {
		severity: ipc.SeverityWarning, order: 35, parents: []string{ipc.HealthRemoved},
		text: "Three devices nearby asked to join {network} and were not let in, so it closed to its LAN; nobody got in, and if you expect a device, open it again with kith nearby open.",
	},
	ipc.HealthForwardDrops: {
		severity: ipc.SeverityInfo, delay: transient, order: 18, parents: []string{ipc.HealthRemoved},
		text: "{device} of {network} offers to pass packets on and drops them; Kith goes other ways, and on that device kith forward off ends the offer.",
	},
	ipc.HealthRelayOther: {
		severity: ipc.SeverityWarning, order: 19, parents: []string{ipc.HealthRemoved, ipc.HealthNoNetwork},
		text: "Who answers for the relay {device} of {network} has another key[ ({why})]: a sign-in page, a program that opens TLS, or an impostor; Kith tells it nothing and goes other ways.",
	},
	ipc.HealthPortal: {
		severity: ipc.SeverityWarning, order: -2, parents: []string{ipc.HealthNoNetwork, ipc.HealthPortalOpen},
		text: "The network here wants a sign-in first[ ({by} says so)]; devices on this LAN are still reached, and kith portal open lets names and web pages past Kith for five minutes so that you can sign in.",
	},
	ipc.HealthPortalOpen: {
		severity: ipc.SeverityWarning, order: -1,
		text: "Names and web pages (DNS, TCP 80 and 443) go past Kith until {until} for the sign-in of the network here; all else stays as it was, and kith portal close ends it at once.",
	},
	ipc.HealthPolicy: {
		severity: ipc.SeverityWarning, order: 21, parents: []string{ipc.HealthRemoved},
		text: "This device cannot read {network}'s new policy[ ({why})] and goes by {by}; install a newer Kith here, or have an admin mend it with kith policy set.",
	},
	ipc.HealthSTUNLies: {
		severity: ipc.SeverityInfo, order: 20, parents: []string{ipc.HealthRemoved},
		text: "The STUN server {server} tells another address of this device than all others do; Kith does not believe it, and kithd run without --stun {server} no longer asks it.",
	},
}
