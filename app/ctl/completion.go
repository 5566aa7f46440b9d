package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (c *completionCmd) Help() string {
	return "bash: kith completion bash > /etc/bash_completion.d/kith; zsh: into a file _kith in $fpath; fish: into ~/.config/fish/completions/kith.fish."
}

func (c *completionCmd) Run(a *app) error {
	words := completions(a.kong.Model.Node, "")
	switch c.Shell {
	case "bash":
		bashScript(a.out, words)
	case "zsh":
		zshScript(a.out, words)
	case "fish":
		fishScript(a.out, words)
	}
	return nil
}

// completion is a word that may follow a command.
type completion struct {
	after string // the command's words, "" for kith alone
	word  string // a command or a flag with its hyphens
	help  string
}

// completions walks the grammar, so that no list has to be kept.
func completions(n *kong.Node, after string) []completion {
	var out []completion
	for _, c := range n.Children {
		if !c.Hidden {
			out = append(out, completion{after, c.Name, c.Help})
		}
	}
	if len(n.Positional) == 1 {
		for _, e := range n.Positional[0].EnumSlice() {
			if e != "" {
				out = append(out, completion{after, e, ""})
			}
		}
	}
	for _, group := range n.AllFlags(true) {
		for _, f := range group {
			out = append(out, completion{after, "--" + f.Name, f.Help})
		}
	}
	for _, c := range n.Children {
		if c.Hidden {
			continue
		}
		out = append(out, completions(c, strings.TrimSpace(after+" "+c.Name))...)
	}
	return out
}

// grouped collects the words of each command, in order.
func grouped(cs []completion) (order []string, words map[string][]string) {
	words = map[string][]string{}
	for _, c := range cs {
		if words[c.after] == nil {
			order = append(order, c.after)
		}
		words[c.after] = append(words[c.after], c.word)
	}
	return order, words
}

// wordsFunction is a shell function that prints what may follow the command in
// its argument; bash and zsh read it alike.
func wordsFunction(w io.Writer, cs []completion) {
	order, words := grouped(cs)
	fmt.Fprint(w, "_kith_words() {\n    case \"$1\" in\n")
	for _, after := range order {
		fmt.Fprintf(w, "    %q) echo %q ;;\n", after, strings.Join(words[after], " "))
	}
	fmt.Fprint(w, "    esac\n}\n")
}

func bashScript(w io.Writer, cs []completion) {
	wordsFunction(w, cs)
	fmt.Fprint(w, `_kith() {
    local cur="${COMP_WORDS[COMP_CWORD]}" at="" i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case " $(_kith_words "$at") " in
        *" ${COMP_WORDS[i]} "*) case "${COMP_WORDS[i]}" in -*) ;; *) at="${at:+$at }${COMP_WORDS[i]}" ;; esac ;;
        esac
    done
    COMPREPLY=($(compgen -W "$(_kith_words "$at")" -- "$cur"))
}
complete -o default -F _kith kith
`)
}

func zshScript(w io.Writer, cs []completion) {
	fmt.Fprintln(w, "#compdef kith")
	wordsFunction(w, cs)
	fmt.Fprint(w, `_kith() {
    local at="" word
    for word in ${words[2,CURRENT-1]}; do
        case " $(_kith_words "$at") " in
        *" $word "*) case "$word" in -*) ;; *) at="${at:+$at }$word" ;; esac ;;
        esac
    done
    compadd -- ${=$(_kith_words "$at")}
    _default
}
if [[ "${funcstack[1]}" == _kith ]]; then
    _kith "$@"
else
    compdef _kith kith
fi
`)
}

func fishScript(w io.Writer, cs []completion) {
	fmt.Fprint(w, `function __kith_at
    set -l words (commandline -opc | string match -v -- '-*')
    test "$words[2..-1]" = "$argv"
end
complete -c kith -f
`)
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	for _, c := range cs {
		fmt.Fprintf(w, "complete -c kith -n '__kith_at %s'", c.after)
		if flag, ok := strings.CutPrefix(c.word, "--"); ok {
			fmt.Fprintf(w, " -l %s", flag)
		} else {
			fmt.Fprintf(w, " -a %s", c.word)
		}
		fmt.Fprintf(w, " -d '%s'\n", quote.Replace(c.help))
	}
}
