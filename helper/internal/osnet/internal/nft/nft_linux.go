// Package nft builds nftables tables as data that can be shown, compared and
// loaded in one transaction. What it does not need of nft(8) it lacks. It
// imports nothing of ours.
package nft

import (
	"fmt"
	"strings"
)

// Table is a table of family inet.
type Table struct {
	Name   string
	Chains []Chain
}

// Hook is where a base chain is called.
type Hook int

const (
	Prerouting Hook = iota + 1
	Output
	Forward
	Postrouting
)

var hookNames = [...]string{Prerouting: "prerouting", Output: "output", Forward: "forward", Postrouting: "postrouting"}

// Chain is a base chain.
type Chain struct {
	Name     string
	NAT      bool // else of type filter
	Hook     Hook
	Priority int
	Drop     bool // what no rule decided
	Rules    []Rule
}

// Rule is matches, then what is done.
type Rule []Part

// String is as nft(8) has it.
func (r Rule) String() string {
	words := make([]string, len(r))
	for i, p := range r {
		words[i] = p.Text
	}
	return strings.Join(words, " ")
}

// String is as nft(8) has it.
func (t Table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table inet %s {\n", t.Name)
	for i, c := range t.Chains {
		if i > 0 {
			b.WriteByte('\n')
		}
		kind, policy := "filter", "accept"
		if c.NAT {
			kind = "nat"
		}
		if c.Drop {
			policy = "drop"
		}
		fmt.Fprintf(&b, "\tchain %s {\n\t\ttype %s hook %s priority %d; policy %s;\n", c.Name, kind, hookNames[c.Hook], c.Priority, policy)
		for _, r := range c.Rules {
			fmt.Fprintf(&b, "\t\t%s\n", r)
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}
