package ipc

// A Verb is one operation of the helper: POST /v1/VERB with a JSON request and
// a JSON answer, unless it says otherwise.
type Verb string

const (
	VerbVersion        Verb = "version"        // GET
	VerbStatus         Verb = "status"         // GET -> Status
	VerbWatch          Verb = "watch"          // GET -> stream of Event, one a line
	VerbCreate         Verb = "create"         // CreateRequest -> CreateAnswer
	VerbInvite         Verb = "invite"         // InviteRequest -> InviteAnswer
	VerbPreview        Verb = "preview"        // LinkRequest -> Preview
	VerbJoin           Verb = "join"           // JoinRequest -> NetworkAnswer
	VerbLeave          Verb = "leave"          // NetworkRequest -> NetworkAnswer; also ends a join under way
	VerbUp             Verb = "up"             // NetworkRequest -> Status
	VerbDown           Verb = "down"           // NetworkRequest -> Status
	VerbPing           Verb = "ping"           // PingRequest -> stream of PingReply, one a line
	VerbDeviceList     Verb = "device/list"    // NetworkRequest -> DeviceList
	VerbDeviceRename   Verb = "device/rename"  // DeviceRequest -> DeviceAnswer
	VerbDeviceRevoke   Verb = "device/revoke"  // DeviceRequest -> DeviceAnswer
	VerbDeviceRenew    Verb = "device/renew"   // DeviceRequest -> DeviceAnswer: new WireGuard and control keys
	VerbDeviceApprove  Verb = "device/approve" // DeviceRequest -> DeviceAnswer
	VerbRoster         Verb = "roster"         // NetworkRequest -> RosterList
	VerbRecover        Verb = "recover"        // RecoverRequest -> RecoverAnswer
	VerbOperatorAdd    Verb = "operator/add"   // OperatorRequest -> OperatorList
	VerbOperatorRemove Verb = "operator/remove"
	VerbOperatorList   Verb = "operator/list"
	VerbDiag           Verb = "diag" // NetworkRequest -> Diag
)
