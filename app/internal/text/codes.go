package text

import (
	"maps"
	"strconv"
	"time"
)

// ErrorKey is the message of an error's code: what happened and what to do.
func ErrorKey(code string) Key { return Key("error." + code) }

// HealthKey is the message of a health code.
func HealthKey(code string) Key { return Key("health." + code) }

// Error says an error of the helper. msg is its English: {why} of a message,
// and shown where the code is unknown to this build. The argument "case" picks
// the words of one case of a code, where there are some.
func (c *Catalogue) Error(code, msg string, args map[string]string) string {
	m := Msg{Key: c.Case(ErrorKey(code), args), Args: Args{"why": msg}, Fallback: msg}
	maps.Copy(m.Args, args)
	return c.Say(m)
}

// Case is the key of the case that the argument "case" names, k where that has
// no words of its own.
func (c *Catalogue) Case(k Key, args map[string]string) Key {
	if one := k + "." + Key(args["case"]); c.Has(one) {
		return one
	}
	return k
}

// Offset says the "offset" argument of a clock warning ("9m12s" or seconds).
// What cannot be read is said as it came.
func (c *Catalogue) Offset(s string) string {
	if d, err := time.ParseDuration(s); err == nil {
		return c.Span(d)
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		return c.Span(time.Duration(n * float64(time.Second)))
	}
	return s
}
