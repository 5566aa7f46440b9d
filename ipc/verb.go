package ipc

// A Verb is one operation of the helper: POST /v1/VERB with a JSON request and
// a JSON answer, unless it says otherwise.
type Verb string

const (
	VerbVersion        Verb = "version"            // GET
	VerbStatus         Verb = "status"             // GET -> Status
	VerbWatch          Verb = "watch"              // GET -> stream of Event, one a line
	VerbCreate         Verb = "create"             // CreateRequest -> CreateAnswer
	VerbInvite         Verb = "invite"             // InviteRequest -> InviteAnswer
	VerbPreview        Verb = "preview"            // LinkRequest -> Preview
	VerbJoin           Verb = "join"               // JoinRequest -> NetworkAnswer
	VerbLeave          Verb = "leave"              // NetworkRequest -> NetworkAnswer; also ends a join under way
	VerbUp             Verb = "up"                 // UpRequest -> Status
	VerbDown           Verb = "down"               // NetworkRequest -> Status
	VerbPing           Verb = "ping"               // PingRequest -> stream of PingReply, one a line
	VerbDeviceList     Verb = "device/list"        // NetworkRequest -> DeviceList
	VerbDeviceRename   Verb = "device/rename"      // DeviceRequest -> DeviceAnswer
	VerbDeviceRevoke   Verb = "device/revoke"      // DeviceRequest -> DeviceAnswer
	VerbDeviceReadmit  Verb = "device/readmit"     // DeviceRequest -> DeviceAnswer
	VerbDeviceRenew    Verb = "device/renew"       // DeviceRequest -> DeviceAnswer: new WireGuard and control keys
	VerbDeviceApprove  Verb = "device/approve"     // DeviceRequest -> DeviceAnswer
	VerbDeviceRole     Verb = "device/role"        // RoleRequest -> RoleAnswer
	VerbDeviceTag      Verb = "device/tag"         // TagRequest -> TagAnswer
	VerbRelayOn        Verb = "relay/on"           // RelayRequest -> RelayAnswer
	VerbRelayOff       Verb = "relay/off"          // NetworkRequest -> RelayAnswer
	VerbForward        Verb = "forward"            // ForwardRequest -> ForwardAnswer
	VerbExitUse        Verb = "exit/use"           // ExitUseRequest -> ExitAnswer
	VerbExitOff        Verb = "exit/off"           // NetworkRequest -> ExitAnswer
	VerbExitOffer      Verb = "exit/offer"         // ExitOfferRequest -> ExitAnswer
	VerbExitApprove    Verb = "exit/approve"       // DeviceRequest -> DeviceAnswer
	VerbRouteAdd       Verb = "route/add"          // RouteRequest -> RouteAnswer
	VerbRouteRemove    Verb = "route/remove"       // RouteRequest -> RouteAnswer
	VerbRouteApprove   Verb = "route/approve"      // RouteRequest -> RouteAnswer
	VerbRouteAccept    Verb = "route/accept"       // RouteRequest -> RouteAnswer
	VerbPolicyShow     Verb = "policy/show"        // NetworkRequest -> PolicyAnswer
	VerbPolicySet      Verb = "policy/set"         // PolicyRequest -> PolicyAnswer
	VerbPolicyReach    Verb = "policy/reach"       // ReachRequest -> ReachAnswer
	VerbShareCreate    Verb = "share/create"       // ShareRequest -> ShareAnswer
	VerbShareAccept    Verb = "share/accept"       // ShareAcceptRequest -> ShareAnswer
	VerbShareList      Verb = "share/list"         // NetworkRequest -> ShareList
	VerbShareApprove   Verb = "share/approve"      // ShareIDRequest -> ShareAnswer
	VerbShareLimit     Verb = "share/limit"        // ShareIDRequest -> ShareAnswer
	VerbShareRevoke    Verb = "share/revoke"       // ShareIDRequest -> ShareAnswer
	VerbShareRemove    Verb = "share/remove"       // ShareIDRequest -> ShareAnswer: a received one
	VerbNearbyOpen     Verb = "nearby/open"        // NearbyOpenRequest -> NearbyList
	VerbNearbyList     Verb = "nearby/list"        // NetworkRequest -> NearbyList
	VerbNearbyJoin     Verb = "nearby/join"        // NearbyJoinRequest -> NetworkAnswer
	VerbNearbyApprove  Verb = "nearby/approve"     // NearbyApproveRequest -> NearbyList
	VerbDNSAdd         Verb = "dns/records/add"    // DNSRecordsRequest -> DNSRecordsAnswer
	VerbDNSRemove      Verb = "dns/records/remove" // DNSRecordsRequest -> DNSRecordsAnswer
	VerbDNSList        Verb = "dns/records/list"   // NetworkRequest -> DNSRecordsAnswer
	VerbDNSServe       Verb = "dns/serve"          // DNSServeRequest -> DNSStatus
	VerbDNSRepair      Verb = "dns/repair"         // -> DNSStatus: the system's resolver is set up anew
	VerbDNSStatus      Verb = "dns/status"         // -> DNSStatus
	VerbDNSQuery       Verb = "dns/query"          // DNSQueryRequest -> DNSQueryAnswer
	VerbRoster         Verb = "roster"             // NetworkRequest -> RosterList
	VerbRecover        Verb = "recover"            // RecoverRequest -> RecoverAnswer
	VerbOperatorAdd    Verb = "operator/add"       // OperatorRequest -> OperatorList
	VerbOperatorRemove Verb = "operator/remove"
	VerbOperatorList   Verb = "operator/list"
	VerbDiag           Verb = "diag"   // NetworkRequest -> Diag
	VerbPortal         Verb = "portal" // PortalRequest -> PortalAnswer
)

// Verbs are all verbs, in the order above.
var Verbs = []Verb{
	VerbVersion, VerbStatus, VerbWatch, VerbCreate, VerbInvite, VerbPreview, VerbJoin, VerbLeave, VerbUp, VerbDown,
	VerbPing, VerbDeviceList, VerbDeviceRename, VerbDeviceRevoke, VerbDeviceReadmit, VerbDeviceRenew, VerbDeviceApprove, VerbDeviceRole, VerbDeviceTag,
	VerbRelayOn, VerbRelayOff, VerbForward, VerbExitUse, VerbExitOff, VerbExitOffer, VerbExitApprove,
	VerbRouteAdd, VerbRouteRemove, VerbRouteApprove, VerbRouteAccept, VerbPolicyShow, VerbPolicySet, VerbPolicyReach,
	VerbShareCreate, VerbShareAccept, VerbShareList, VerbShareApprove, VerbShareLimit, VerbShareRevoke, VerbShareRemove,
	VerbNearbyOpen, VerbNearbyList, VerbNearbyJoin, VerbNearbyApprove,
	VerbDNSAdd, VerbDNSRemove, VerbDNSList, VerbDNSServe, VerbDNSRepair, VerbDNSStatus, VerbDNSQuery, VerbRoster, VerbRecover,
	VerbOperatorAdd, VerbOperatorRemove, VerbOperatorList, VerbDiag, VerbPortal,
}

// Path is the URL path of v.
func (v Verb) Path() string { return "/v1/" + string(v) }

// Method is the HTTP method of v.
func (v Verb) Method() string {
	switch v {
	case VerbVersion, VerbStatus, VerbWatch:
		return "GET"
	}
	return "POST"
}

// ReadsAcrossVersions tells whether v answers clients of another protocol
// version.
func (v Verb) ReadsAcrossVersions() bool { return v == VerbVersion || v == VerbStatus }

// What a request looks like on the wire, for both sides.
const (
	// Host is the only Host header that is answered: no name a browser could
	// have resolved.
	Host = "kith"
	// ProtocolHeader carries Version, both ways.
	ProtocolHeader = "Kith-Protocol"
	// MaxRequest bounds a request's body, in bytes.
	MaxRequest = 64 << 10
)

// Failure is the body of an answer that is not 200.
type Failure struct {
	Error *Error `json:"error"`
}

// StreamEnd is the last line of a stream of answers (not of watch).
type StreamEnd struct {
	Done  bool   `json:"done"`
	Error *Error `json:"error"`
}
