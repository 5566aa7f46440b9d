package model

import (
	"strings"

	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// Verdict is what came of a check.
type Verdict uint8

const (
	Passed Verdict = iota
	Failed
	NotApplicable // or nothing is known yet
)

// VerdictOf is the verdict of a check: a failure is one, whatever else is said.
func VerdictOf(ch ipc.Check) Verdict {
	switch {
	case !ch.OK:
		return Failed
	case ch.NA:
		return NotApplicable
	}
	return Passed
}

// CheckWords says what a check of the helper is about and, if it failed, what
// to do. Codes without words of ours keep the helper's.
func CheckWords(c *text.Catalogue, ch ipc.Check) (title, fix string) {
	key := text.Key("check." + string(ch.Code))
	title = c.Say(text.Msg{Key: key, Fallback: ch.Text})
	if !ch.OK {
		fix = c.Say(text.Msg{Key: c.Case(key+".fix", ch.Args), Args: ch.Args, Fallback: ch.Fix})
	}
	return title, fix
}

// CheckDetail is what a check of the helper found. What has no words of ours keeps
// the helper's.
func CheckDetail(c *text.Catalogue, ch ipc.Check) string {
	if len(ch.Found) == 0 {
		return text.Clean(ch.Detail)
	}
	var words []string
	for _, f := range ch.Found {
		m := text.Msg{Args: f.Args, Fallback: f.Text}
		if f.Code != "" {
			m.Key = c.Case(text.Key("found."+string(f.Code)), f.Args)
		}
		words = append(words, c.Say(m))
	}
	return strings.Join(words, "; ")
}
