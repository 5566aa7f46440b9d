// Package text is the one catalogue of words for people: message keys, the
// codes of the ipc package, and the few formats (durations, latencies) that a
// translation has a say in. It imports nothing but the standard library.
package text

import (
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Key names a message.
type Key string

// Args fills a message's {placeholders}.
type Args map[string]string

// Msg is a message to be said: a key, its arguments, and English to fall back
// on where the helper sent a code that this build does not know.
type Msg struct {
	Key      Key
	Args     Args
	Fallback string
}

// M makes a Msg; kv is placeholder, value, placeholder, value…
func M(k Key, kv ...string) Msg {
	m := Msg{Key: k}
	if len(kv) > 0 {
		m.Args = make(Args, len(kv)/2)
	}
	for i := 0; i+1 < len(kv); i += 2 {
		m.Args[kv[i]] = kv[i+1]
	}
	return m
}

// Entry is one message in one language.
type Entry struct {
	Text  string // with {placeholders}
	One   string // for {n} = 1; "" is Text
	About string // for translators: where it stands and what its placeholders are
}

// Catalogue says messages in one language.
type Catalogue struct {
	Lang    string
	entries map[Key]Entry
	base    *Catalogue // what a missing key falls back to
}

// English is the catalogue that every other falls back to.
func English() *Catalogue { return &Catalogue{Lang: "en", entries: english} }

// Has tells whether the catalogue knows a key.
func (c *Catalogue) Has(k Key) bool {
	_, ok := c.entries[k]
	return ok || c.base != nil && c.base.Has(k)
}

// Say renders a message. An unknown key gives the message's fallback, or the
// key itself.
func (c *Catalogue) Say(m Msg) string {
	e, ok := c.entries[m.Key]
	switch {
	case ok:
	case c.base != nil:
		return c.base.Say(m)
	case m.Fallback != "":
		return clean(m.Fallback, 400)
	default:
		return string(m.Key)
	}
	s := e.Text
	if e.One != "" && m.Args["n"] == "1" {
		s = e.One
	}
	return fill(s, m.Args)
}

// S says a key with arguments: Say(M(k, kv...)).
func (c *Catalogue) S(k Key, kv ...string) string { return c.Say(M(k, kv...)) }

// fill puts cleaned arguments in the place of {names}.
func fill(s string, args Args) string {
	if !strings.Contains(s, "{") {
		return s
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '{')
		if i < 0 {
			break
		}
		j := strings.IndexByte(s[i:], '}')
		if j < 0 {
			break
		}
		b.WriteString(s[:i])
		b.WriteString(Clean(args[s[i+1:i+j]]))
		s = s[i+j+1:]
	}
	b.WriteString(s)
	return b.String()
}

// Clean makes a string from outside fit to be shown in one line: no control
// characters, no direction overrides, no more than 200 characters.
func Clean(s string) string { return clean(s, 200) }

func clean(s string, most int) string {
	n := 0
	return strings.Map(func(r rune) rune {
		switch {
		case n == most:
			return -1
		case r == '\n' || r == '\t':
			r = ' '
		case r == unicode.ReplacementChar, unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		n++
		return r
	}, s)
}

// Number is n as digits.
func Number(n int) string { return strconv.Itoa(n) }

// Latency is "1 ms", "12 ms", "under 1 ms".
func (c *Catalogue) Latency(ms float64) string {
	if ms < 1 {
		return c.S("latency.under")
	}
	return c.S("latency.ms", "n", strconv.FormatFloat(ms, 'f', 0, 64))
}

// Ago is "3 h ago" of a duration.
func (c *Catalogue) Ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return c.S("ago.now")
	case d < time.Hour:
		return c.S("ago.minutes", "n", Number(int(d/time.Minute)))
	case d < 48*time.Hour:
		return c.S("ago.hours", "n", Number(int(d/time.Hour)))
	}
	return c.S("ago.days", "n", Number(int(d/(24*time.Hour))))
}

// In is "in 3 hours" of a duration to come.
func (c *Catalogue) In(d time.Duration) string {
	switch {
	case d < time.Minute:
		return c.S("in.now")
	case d < time.Hour:
		return c.S("in.minutes", "n", Number(int((d+30*time.Second)/time.Minute)))
	case d < 48*time.Hour:
		return c.S("in.hours", "n", Number(int((d+30*time.Minute)/time.Hour)))
	}
	return c.S("in.days", "n", Number(int((d+12*time.Hour)/(24*time.Hour))))
}

// Span is "9 minutes" of a duration of either sign.
func (c *Catalogue) Span(d time.Duration) string {
	d = d.Abs()
	switch {
	case d < 2*time.Minute:
		return c.S("span.seconds", "n", Number(int(d.Round(time.Second)/time.Second)))
	case d < 2*time.Hour:
		return c.S("span.minutes", "n", Number(int(d.Round(time.Minute)/time.Minute)))
	case d < 48*time.Hour:
		return c.S("span.hours", "n", Number(int(d.Round(time.Hour)/time.Hour)))
	}
	return c.S("span.days", "n", Number(int(d/(24*time.Hour))))
}

// When is a moment to come, as a person would say it: "today 14:00",
// "Tuesday 14:00" within a week, else "2 Jan 2006".
func (c *Catalogue) When(t, now time.Time) string {
	t = t.In(now.Location())
	day := func(x time.Time) int {
		y, m, d := x.Date()
		return int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
	}
	clock := t.Format("15:04")
	switch n := day(t) - day(now); {
	case n == 0:
		return c.S("when.today", "time", clock)
	case n == 1:
		return c.S("when.tomorrow", "time", clock)
	case n > 1 && n < 7:
		return c.S("when.weekday", "day", c.S(Key("weekday."+strconv.Itoa(int(t.Weekday())))), "time", clock)
	}
	return c.S("when.date", "date", t.Format("2006-01-02"), "time", clock)
}
