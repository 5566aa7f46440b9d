package text

import "strings"

// languages are all translations, by their two-letter code.
var languages = map[string]map[Key]Entry{"de": german}

// For is the catalogue of a locale such as "de_AT.UTF-8" or "de-DE", or of the
// first known one of several with colons; English where none is known.
func For(locale string) *Catalogue {
	for _, l := range strings.Split(locale, ":") {
		l = strings.ToLower(l)
		if i := strings.IndexAny(l, "_-.@"); i >= 0 {
			l = l[:i]
		}
		if l == "en" || l == "c" || l == "posix" {
			return English()
		}
		if entries, ok := languages[l]; ok {
			return &Catalogue{Lang: l, entries: entries, base: English()}
		}
	}
	return English()
}

// Pseudo is English with every letter changed and a third longer, for tests:
// words that stand outside the catalogue show, and so does what is cut off.
func Pseudo() *Catalogue {
	entries := make(map[Key]Entry, len(english))
	for k, e := range english {
		entries[k] = Entry{Text: pseudo(e.Text), One: pseudo(e.One), About: e.About}
	}
	return &Catalogue{Lang: "xx", entries: entries, base: English()}
}

var accents = strings.NewReplacer(
	"a", "á", "e", "é", "i", "í", "o", "ó", "u", "ú", "y", "ý", "c", "ç", "n", "ñ", "s", "š", "z", "ž",
	"A", "Á", "E", "É", "I", "Í", "O", "Ó", "U", "Ú", "C", "Ç", "N", "Ñ", "S", "Š", "Z", "Ž")

func pseudo(s string) string {
	if s == "" {
		return ""
	}
	var b strings.Builder
	b.WriteString("[")
	for rest := s; rest != ""; {
		i := strings.IndexByte(rest, '{')
		j := strings.IndexByte(rest, '}')
		if i < 0 || j < i {
			b.WriteString(accents.Replace(rest))
			break
		}
		b.WriteString(accents.Replace(rest[:i]) + rest[i:j+1])
		rest = rest[j+1:]
	}
	b.WriteString(strings.Repeat("~", (len([]rune(s))+2)/3) + "]")
	return b.String()
}

// InLanguage finds the English text of a message without arguments and says it
// in another language; for tests. What is no such text comes back as it is.
func InLanguage(c *Catalogue, words string) string {
	for k, e := range english {
		if e.Text == words {
			return c.S(k)
		}
	}
	return words
}
