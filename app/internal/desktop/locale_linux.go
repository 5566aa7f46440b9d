package desktop

import "os"

// Locale is the language that the person chose, such as "de_DE.UTF-8"; POSIX
// says in which order the variables count.
func Locale() string {
	for _, k := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := os.Getenv(k); v != "" {
			if list := os.Getenv("LANGUAGE"); list != "" && v != "C" && v != "POSIX" && v != "C.UTF-8" {
				return list
			}
			return v
		}
	}
	return ""
}

// RegisterLinks has nothing to do: the installed .desktop file names the
// scheme.
func RegisterLinks() error { return nil }
