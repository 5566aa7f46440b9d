package authz

import (
	"os/user"

	"kith.internal/ipc"
)

// Resolve returns the UID or SID of the user that the operating system knows by
// this login name, or of a numeric ID or SID. The ID is what is kept: a name may
// come to mean someone else.
func Resolve(name string) (string, error) {
	if name == "" {
		return "", ipc.Errorf(ipc.CodeUsage, "no user is named")
	}
	// The name first, as chown does: a login name may be a number.
	if u, err := user.Lookup(name); err == nil {
		return u.Uid, nil
	}
	if id, ok := parseID(name); ok {
		return id, nil
	}
	e := ipc.Errorf(ipc.CodeNotFound, "this machine knows no user %q", name)
	e.Args = map[string]string{"user": name}
	return "", e.Case(ipc.CaseUser)
}

// Describe is the login name of a UID or SID, itself where there is none.
func Describe(id string) string {
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}
