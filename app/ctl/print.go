package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kith.internal/ipc"
)

// json prints v for programs.
func (a *app) json(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return ipc.Errorf(ipc.CodeInternal, "the answer cannot be printed: %w", err)
	}
	return nil
}

// note is a message for people, not data.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.err, format+"\n", args...)
}

// clock is a moment in the user's own time.
func (a *app) clock(t time.Time) string {
	return t.In(a.now().Location()).Format("2006-01-02 15:04")
}

func (a *app) clockOr(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return a.clock(*t)
}

// clean takes out what could move the cursor or hide text: names come from
// other people's devices.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsGraphic(r) {
			return '?'
		}
		return r
	}, s)
}

// text is what v says of itself, "-" for nil.
func text[T fmt.Stringer](v *T) string {
	if v == nil {
		return "-"
	}
	return (*v).String()
}

func bytesOf(n *uint64) string {
	if n == nil {
		return "-"
	}
	v, unit := float64(*n), 0
	for v >= 1000 && unit < 5 {
		v, unit = v/1000, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", *n)
	}
	return fmt.Sprintf("%.1f %cB", v, "kMGTP"[unit-1])
}

func or(s, none string) string {
	if s == "" {
		return none
	}
	return s
}

// count is n of what.
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// table aligns columns by their widest cell.
type table struct {
	indent string
	rows   [][]string
}

func (t *table) row(cells ...string) {
	for i := range cells {
		cells[i] = clean(cells[i])
	}
	t.rows = append(t.rows, cells)
}

func (t *table) print(w io.Writer) {
	var widths []int
	for _, r := range t.rows {
		for i, c := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, r := range t.rows {
		var b strings.Builder
		b.WriteString(t.indent)
		for i, c := range r {
			b.WriteString(c)
			b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+2))
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}
