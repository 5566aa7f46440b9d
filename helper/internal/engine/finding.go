package engine

import (
	"strings"

	"kith.internal/ipc"
)

// found is a part of a check's detail; kv are its arguments.
func found(code ipc.FindingCode, text string, kv ...string) ipc.Finding {
	f := ipc.Finding{Code: code, Text: text, Args: map[string]string{}}
	for i := 0; i+1 < len(kv); i += 2 {
		f.Args[kv[i]] = kv[i+1]
	}
	return f
}

// details makes parts a check's detail, with sep between them.
func details(c ipc.Check, sep string, parts ...ipc.Finding) ipc.Check {
	var words []string
	for _, p := range parts {
		words = append(words, p.Text)
	}
	c.Detail, c.Found = strings.Join(words, sep), parts
	return c
}
