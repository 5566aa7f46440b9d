package ipc

// Finding is a part of a check's detail.
type Finding struct {
	Code FindingCode       `json:"code"` // "" where Text alone says it
	Text string            `json:"text"` // English
	Args map[string]string `json:"args"` // what a translation needs; never null
}

// FindingCode names what was found.
type FindingCode string

const (
	FoundNone         FindingCode = "none"
	FoundBoth         FindingCode = "both"        // address families
	FoundOff          FindingCode = "off"         // a network
	FoundRemoved      FindingCode = "removed"     // this device
	FoundPort         FindingCode = "port"        // port, interface
	FoundReached      FindingCode = "reached"     // up, n
	FoundUDPBack      FindingCode = "udp-back"    //
	FoundTLSOnly      FindingCode = "tls-only"    // relays answer so
	FoundNobody       FindingCode = "nobody"      // to try it with
	FoundNotYet       FindingCode = "not-yet"     // no datagram has come back
	FoundNoAddress    FindingCode = "no-address"  //
	FoundAddress      FindingCode = "address"     // there is one
	FoundSeenAt       FindingCode = "seen-at"     // at: addresses
	FoundNATUnknown   FindingCode = "nat-unknown" // family, as of all that follow
	FoundNATNone      FindingCode = "nat-none"
	FoundNATEasy      FindingCode = "nat-easy"
	FoundNATHard      FindingCode = "nat-hard"
	FoundNATNoAddress FindingCode = "nat-no-address"
	FoundNoRouter     FindingCode = "no-router"
	FoundNotNeeded    FindingCode = "not-needed"    // no NAT
	FoundGives        FindingCode = "gives"         // router, interface, method, at
	FoundGivesPrivate FindingCode = "gives-private" // the same
	FoundAsking       FindingCode = "asking"        // router, interface
	FoundWorks        FindingCode = "works"
	FoundNoHairpin    FindingCode = "no-hairpin"
	FoundNoRelays     FindingCode = "no-relays"     // network
	FoundSilent       FindingCode = "silent"        // relay
	FoundConnects     FindingCode = "connects"      // relay, ms
	FoundUDPConnects  FindingCode = "udp-connects"  // relay, udp, ms
	FoundNoPortal     FindingCode = "no-portal"     //
	FoundPortal       FindingCode = "portal"        // by
	FoundNoRelay      FindingCode = "no-relay"      // to try a sign-in page with
	FoundOthers       FindingCode = "others"        // answer for the relays
	FoundNoAnswer     FindingCode = "no-answer"     // for the relays
	FoundKept         FindingCode = "kept"          // their word
	FoundDropper      FindingCode = "dropper"       // names
	FoundOtherKey     FindingCode = "other-key"     // relay
	FoundDropped      FindingCode = "dropped"       // n, case: datagrams kept out
	FoundCalls        FindingCode = "removed-calls" // device
)
