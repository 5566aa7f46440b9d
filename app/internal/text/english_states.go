package text

// english is put together from the groups below; init order is by file.
var english = merge(states, codes, window, formats)

func merge(groups ...map[Key]Entry) map[Key]Entry {
	all := make(map[Key]Entry)
	for _, g := range groups {
		for k, e := range g {
			if _, twice := all[k]; twice {
				panic("text: key defined twice: " + string(k))
			}
			all[k] = e
		}
	}
	return all
}

// states: the first row of the tray, the top line of the window, rows.
var states = map[Key]Entry{
	"state.reaching":   {Text: "Reaching the background service…", About: "top line while the helper has not answered yet"},
	"state.absent":     {Text: "Service not running", About: "top line: no helper on the socket"},
	"state.versions":   {Text: "Update not finished", About: "top line: app and helper speak different protocol versions"},
	"state.refused":    {Text: "Service does not answer this account", About: "top line: the helper refused the connection"},
	"state.off":        {Text: "Disconnected", About: "top line: stopped by the user; lasts over restarts"},
	"state.starting":   {Text: "Connecting…", About: "top line: a network is being set up"},
	"state.stopping":   {Text: "Disconnecting…", About: "top line"},
	"state.error":      {Text: "Not working", About: "top line: the helper runs but can do nothing; the banner says why"},
	"state.offline":    {Text: "No network", About: "top line: no interface is up"},
	"state.none":       {Text: "No networks yet", About: "top line: connected, but this device is in no network"},
	"state.joining":    {Text: "Joining {network}…", About: "top line: no network yet and one join under way"},
	"state.inactive":   {Text: "Disconnected from all networks", About: "top line: every network is switched off one by one"},
	"state.removed":    {Text: "Removed from {network}", About: "top line: this device was removed from its only network"},
	"state.connected":  {Text: "Connected — {up} of {n} devices", One: "Connected — {up} of {n} device", About: "top line: how many peers are online"},
	"state.alone":      {Text: "Connected — no other devices yet", About: "top line: a network without peers"},
	"row.lan":          {Text: "LAN", About: "device row: path on the local network"},
	"row.direct":       {Text: "Direct", About: "device row: path without a third device"},
	"row.relayed":      {Text: "Relayed via {via}", About: "device row"},
	"row.relayed.anon": {Text: "Relayed", About: "device row: relayed, the relay's name unknown"},
	"row.forwarded":    {Text: "Through {via}", About: "device row: forwarded by another member"},
	"row.forward.anon": {Text: "Through another device", About: "device row: forwarded, by whom unknown"},
	"row.nopath":       {Text: "No way found yet", About: "device row: online but no path known"},
	"row.latency":      {Text: "{path} · {latency}", About: "device row: path and round-trip time"},
	"row.seen":         {Text: "Last seen {ago}", About: "device row of an offline device"},
	"row.never":        {Text: "Not seen yet", About: "device row of a device that never was online"},
	"row.inactive":     {Text: "Network disconnected", About: "device row: its network is switched off"},
	"word.online":      {Text: "Online", About: "word beside the dot"},
	"word.offline":     {Text: "Offline", About: "word beside the dot"},
	"word.unknown":     {Text: "Unknown", About: "word beside the dot: state not known"},
	"why.lan":          {Text: "Both devices are on one local network.", About: "details: why this path"},
	"why.direct":       {Text: "Packets go straight between the two devices.", About: "details: why this path"},
	"why.relayed":      {Text: "No direct way is open, so {via} passes sealed packets on. It cannot read them. Kith goes on looking for a direct way.", About: "details: why relayed"},
	"why.forwarded":    {Text: "No direct way is open, so {via}, another member, passes sealed packets on. It cannot read them.", About: "details: why forwarded"},
	"why.idle":         {Text: "Idle: this is the way last confirmed.", About: "details: no session now"},
	"why.none":         {Text: "Kith is looking for a way to this device.", About: "details: no path"},
	"why.offline":      {Text: "The device is switched off or has no connection.", About: "details of an offline device"},
	"role.owner":       {Text: "Owner", About: "role of a device"},
	"role.admin":       {Text: "Admin", About: "role of a device"},
	"role.sponsor":     {Text: "Sponsor", About: "role: may invite"},
	"role.plain":       {Text: "Member", About: "role without rights"},
	"role.removed":     {Text: "Removed", About: "role of a removed device"},
	"join.searching":   {Text: "Looking for {sponsor}…", About: "stage of a join"},
	"join.asking":      {Text: "{sponsor} answers, asking to be let in…", About: "stage of a join"},
	"join.admitted":    {Text: "Let in. Bringing the connection up…", About: "stage of a join"},
}

// codes: one entry for each ipc error code and health code, and the problems
// that the app finds itself. What happened · what still works · what to do.
var codes = map[Key]Entry{
	"error.internal":       {Text: "The service could not do this. Diagnostics may say why.", About: "ipc CodeInternal"},
	"error.usage":          {Text: "The service did not understand the request. Are app and service from one release?", About: "ipc CodeUsage"},
	"error.unreachable":    {Text: "The background service isn't running.", About: "ipc CodeUnreachable"},
	"error.version":        {Text: "App and service differ: restart to finish updating.", About: "ipc CodeVersion"},
	"error.permission":     {Text: "Your account can view but not change the VPN.", About: "ipc CodePermission"},
	"error.not-member":     {Text: "This device was removed from the network. Ask for a new invite.", About: "ipc CodeNotMember"},
	"error.not-admin":      {Text: "This device may not do that in this network. Ask one of its admins.", About: "ipc CodeNotAdmin"},
	"error.not-found":      {Text: "There is no such network or device any more.", About: "ipc CodeNotFound"},
	"error.ambiguous":      {Text: "More than one network or device has that name. Choose one of them.", About: "ipc CodeAmbiguous"},
	"error.exists":         {Text: "This device is in that network already.", About: "ipc CodeExists"},
	"error.name-taken":     {Text: "That name is taken in this network. Choose another.", About: "ipc CodeNameTaken"},
	"error.name-invalid":   {Text: "A name has 1 to 63 letters a–z, digits and hyphens, and neither starts nor ends with a hyphen.", About: "ipc CodeNameInvalid"},
	"error.link-malformed": {Text: "That is no Kith link, or a part of it is missing. Copy the whole link, from kith:// to its end.", About: "ipc CodeLinkMalformed"},
	"error.link-expired":   {Text: "This invite has expired. Ask for a new one.", About: "ipc CodeLinkExpired"},
	"error.link-used":      {Text: "This invite was used already. Ask for a new one.", About: "ipc CodeLinkUsed"},
	"error.link-revoked":   {Text: "This invite was taken back. Ask for a new one.", About: "ipc CodeLinkRevoked"},
	"error.link-foreign":   {Text: "This link does not fit: who made it is not in that network, or it is for something else. Ask for a new one.", About: "ipc CodeLinkForeign"},
	"error.timeout":        {Text: "No answer in time. Kith goes on trying.", About: "ipc CodeTimeout"},
	"error.not-connected":  {Text: "This network is disconnected. Connect first.", About: "ipc CodeNotConnected"},
	"error.no-tun":         {Text: "This system lets Kith have no network device (/dev/net/tun). In a container it must be passed in.", About: "ipc CodeNoTUN"},
	"error.disk-full":      {Text: "The disk is full; nothing was changed. Free some space and try again.", About: "ipc CodeDiskFull"},
	"error.phrase":         {Text: "These words are not this network's root phrase. Look for a mistyped word.", About: "ipc CodePhrase"},
	"error.not-held":       {Text: "The root phrase was shown already, and Kith keeps no copy.", About: "ipc CodeNotHeld"},
	"error.limit":          {Text: "A limit of this network is reached.", About: "ipc CodeLimit"},
	"error.upgrade":        {Text: "This network needs a newer Kith. Update this device.", About: "ipc CodeUpgrade"},
	"error.busy":           {Text: "The service is busy with that already. Try again in a moment.", About: "ipc CodeBusy"},

	"health.ipv4-conflict":       {Text: "The IPv4 addresses of {network} are also used by {with}. IPv6 works, and names lead there.", About: "ipc HealthIPv4Conflict; {with} is a range, interface or network"},
	"health.ipv4-blocked":        {Text: "A firewall rule drops the IPv4 addresses of {network}: {rule}. IPv6 works, and names lead there.", About: "ipc HealthIPv4Blocked"},
	"health.no-ipv6":             {Text: "This computer has IPv6 switched off. Kith uses IPv4 alone.", About: "ipc HealthNoIPv6"},
	"health.no-tun":              {Text: "This system lets Kith have no network device (/dev/net/tun). In a container it must be passed in.", About: "ipc HealthNoTUN"},
	"health.port-taken":          {Text: "Another program holds UDP port {port}. Kith uses {using} instead.", About: "ipc HealthPortTaken"},
	"health.clock-wrong":         {Text: "This computer's clock is {offset} off.", About: "ipc HealthClock; {offset} is a span such as 9 minutes"},
	"health.dns-overridden":      {Text: "{by} replaced our DNS; names may not resolve. Addresses work.", About: "ipc HealthDNSOverridden"},
	"health.dns-failed":          {Text: "Names cannot be set up: {why}. Addresses work.", About: "ipc HealthDNSFailed"},
	"health.phrase-not-shown":    {Text: "The root phrase of {network} has not been written down yet.", About: "ipc HealthPhrase"},
	"health.disk-full":           {Text: "The disk is full: Kith cannot keep what it learns. Connections go on.", About: "ipc HealthDiskFull"},
	"health.removed":             {Text: "{by} removed this device from {network}.", About: "ipc HealthRemoved"},
	"health.removed.anon":        {Text: "This device was removed from {network}.", About: "ipc HealthRemoved without the admin's name"},
	"health.upgrade-required":    {Text: "{network} needs a newer Kith. Update this device.", About: "ipc HealthUpgrade"},
	"health.roster-fork":         {Text: "{device} wrote contradicting records in {network}. Its key may have been copied; an admin should remove it.", About: "ipc HealthFork"},
	"health.no-uplink":           {Text: "No network. Kith reconnects by itself.", About: "ipc HealthNoNetwork"},
	"health.membership-expiring": {Text: "Access to {network} ends {at}. Ask an admin to renew it.", About: "ipc HealthExpiring"},

	"problem.absent":   {Text: "The background service isn't running.", About: "banner: no helper; action Start"},
	"problem.versions": {Text: "App {app}, service {service}: restart to finish updating.", About: "banner: protocol versions differ; action Restart"},
	"problem.readonly": {Text: "Your account can view but not change the VPN.", About: "banner: no RightOperate; action Allow me"},
	"problem.refused":  {Text: "The service does not answer this account. What is connected stays connected.", About: "banner: connecting was not permitted"},
	"problem.error":    {Text: "The service runs but cannot work. Diagnostics may say why.", About: "banner: StateError without a health entry of severity error"},
	"problem.notray":   {Text: "This desktop shows no tray icons. Kith works from this window; closing it leaves you connected.", About: "hint in the window where no StatusNotifierWatcher is"},
	"problem.nogl":     {Text: "The window needs OpenGL, which this session lacks. The tray and kith (command line) go on working. Install a software renderer, such as the package libgl1-mesa-dri.", About: "tray row and notification: the window could not start"},
	"problem.nogl.row": {Text: "No window: this session lacks OpenGL (libgl1-mesa-dri)", About: "tray row: short form of problem.nogl; a click tries again"},
	"problem.window":   {Text: "The window could not be opened: {why}", About: "notification: the window process ended at once"},
}
