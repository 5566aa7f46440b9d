package authz

import "golang.org/x/sys/windows"

// parseID reads a SID that is an account's, not a group's.
func parseID(s string) (string, bool) {
	sid, err := windows.StringToSid(s)
	if err != nil {
		return "", false
	}
	_, _, kind, err := sid.LookupAccount("")
	if err != nil || kind != windows.SidTypeUser {
		return "", false
	}
	return sid.String(), true
}
