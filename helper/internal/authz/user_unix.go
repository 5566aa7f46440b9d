//go:build linux || darwin

package authz

import (
	"math"
	"strconv"
)

// parseID reads a numeric user ID; -1 as a uid_t means "no user".
func parseID(s string) (string, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == math.MaxUint32 {
		return "", false
	}
	return strconv.FormatUint(n, 10), true
}
