package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"kith.internal/ipc"
)

const (
	phraseWords = 24
	maxSecret   = 4 << 10 // bytes read of a link or a phrase
)

// phraseFile is a file that only its owner reads, and that did not exist.
type phraseFile struct {
	f    *os.File
	kept bool
}

// write is done only when the phrase is on the disk: nobody else has it.
func (p *phraseFile) write(phrase string) error {
	_, err := p.f.WriteString(phrase + "\n")
	if err == nil {
		err = p.f.Sync()
	}
	if err == nil {
		p.kept = true
	}
	return err
}

// discard removes the file where it holds no phrase.
func (p *phraseFile) discard() {
	if p == nil {
		return
	}
	p.f.Close()
	if !p.kept {
		os.Remove(p.f.Name())
	}
}

// showPhrase puts the phrase into the file, or before a person's eyes. The
// helper has forgotten it by now, so a file that fails is no reason to lose it.
func (a *app) showPhrase(phrase string, file *phraseFile) error {
	if phrase == "" {
		return nil
	}
	if file != nil {
		err := file.write(phrase)
		if err == nil {
			a.note("The root phrase is in %s. Keep it safe: it is the only way back if all owners are lost.", file.f.Name())
			return nil
		}
		a.printPhrase(phrase)
		return ipc.Errorf(ipc.CodeInternal, "the phrase's file could not be written, so the phrase is shown above: %w", err)
	}
	a.printPhrase(phrase)
	return nil
}

func (a *app) printPhrase(phrase string) {
	fmt.Fprintln(a.err, "\nRoot phrase. Write it down: it is shown this once, and it is the only way back if all owners are lost.")
	words := strings.Fields(clean(phrase))
	for i := 0; i < len(words); i += 6 {
		fmt.Fprintln(a.err, "  "+strings.Join(words[i:min(i+6, len(words))], " "))
	}
	fmt.Fprintln(a.err)
}

// argument is s, or for "-" the first line of standard input.
func (a *app) argument(s, prompt string) (string, error) {
	if s != "-" {
		return s, nil
	}
	if a.person() {
		fmt.Fprint(a.err, prompt)
	}
	line, err := bufio.NewReader(io.LimitReader(a.in, maxSecret)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", ipc.Errorf(ipc.CodeUsage, "standard input cannot be read: %w", err)
	}
	if line = strings.TrimSpace(line); line == "" {
		return "", ipc.Errorf(ipc.CodeUsage, "nothing came from standard input")
	}
	return line, nil
}

// readPhrase asks without an echo, or reads all of standard input.
func (a *app) readPhrase() (string, error) {
	var text string
	if a.inTTY {
		fmt.Fprint(a.err, "Root phrase (24 words, not shown): ")
		s, err := a.secret(a.ctx)
		fmt.Fprintln(a.err)
		if errors.Is(err, context.Canceled) {
			return "", err
		}
		if err != nil {
			return "", ipc.Errorf(ipc.CodeUsage, "the phrase cannot be read: %w", err)
		}
		text = s
	} else {
		b, err := io.ReadAll(io.LimitReader(a.in, maxSecret))
		if err != nil {
			return "", ipc.Errorf(ipc.CodeUsage, "standard input cannot be read: %w", err)
		}
		text = string(b)
	}
	words := strings.Fields(strings.ToLower(text))
	if len(words) != phraseWords {
		return "", ipc.Errorf(ipc.CodePhrase, "a root phrase has %d words, this has %d", phraseWords, len(words))
	}
	return strings.Join(words, " "), nil
}

// person tells whether there is somebody who can be asked and reads the question.
func (a *app) person() bool { return a.inTTY && a.errTTY }

// confirm asks a person. Without one there is nobody to say yes.
func (a *app) confirm(question string) error {
	if !a.person() {
		return ipc.Errorf(ipc.CodeUsage, "this cannot be undone; say --yes to do it")
	}
	fmt.Fprintf(a.err, "%s [y/N] ", question)
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return ipc.Errorf(ipc.CodeUsage, "the answer cannot be read: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	a.note("Nothing was changed.")
	return silent(ipc.ExitFailed)
}

type recoverCmd struct {
	confirmed
	Show       bool     `help:"Print the phrase that the helper still holds, once."`
	PhraseFile string   `help:"With --show: write it to this new file (mode 0600) instead." placeholder:"FILE"`
	Cut        []string `help:"An owner to remove, by name or key; may be given again." placeholder:"NAME"`
	undoing
}

func (c *recoverCmd) Help() string {
	return "Without --show it asks for the root phrase, or reads it from standard input, and makes this device an owner.\n\n" + undoingHelp
}

func (c *recoverCmd) Run(a *app) error {
	if c.Show {
		return c.show(a)
	}
	if c.PhraseFile != "" {
		return ipc.Errorf(ipc.CodeUsage, "--phrase-file goes with --show; give a phrase on standard input")
	}
	at, err := a.sinceWhen(c.Since)
	switch {
	case err != nil:
		return err
	case len(c.Cut) == 0 && (at != nil || c.DryRun):
		return ipc.Errorf(ipc.CodeUsage, "--since and --dry-run go with --cut: say whom to remove")
	}
	if len(c.Cut) > 0 && !c.Yes && !c.DryRun && at == nil {
		if err := c.sure(a); err != nil {
			return err
		}
	}
	phrase, err := a.readPhrase()
	if err != nil {
		return err
	}
	cut := c.Cut
	if cut == nil {
		cut = []string{}
	}
	req := ipc.RecoverRequest{Network: a.Network, Phrase: phrase, Cut: cut, Since: at, DryRun: c.DryRun}
	if at != nil && !c.Yes && !c.DryRun {
		if req.Plan, err = c.preview(a, req); err != nil {
			return err
		}
	}
	ans, err := a.client.Recover(a.ctx, req)
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	case c.DryRun:
		fmt.Fprintln(a.out, "This device would be an owner.")
		a.printRemoval(a.out, ans.Removal, true)
		return nil
	case ans.Owner:
		fmt.Fprintln(a.out, "This device is an owner now.")
	}
	a.printRemoved(ans.Dropped, ans.Removal)
	return nil
}

// preview shows what a recovery would undo, asks, and names what was agreed to.
func (c *recoverCmd) preview(a *app, req ipc.RecoverRequest) (plan string, err error) {
	if a.person() {
		req.DryRun = true
		ans, err := a.client.Recover(a.ctx, req)
		if err != nil {
			return "", err
		}
		plan = a.showPlan(ans.Removal)
	}
	return plan, c.sure(a)
}

// sure asks. Piped in, the phrase leaves no way to be asked.
func (c *recoverCmd) sure(a *app) error {
	return a.confirm(fmt.Sprintf("Remove %s and make this device an owner?", clean(strings.Join(c.Cut, ", "))))
}

func (c *recoverCmd) show(a *app) error {
	if len(c.Cut) > 0 {
		return ipc.Errorf(ipc.CodeUsage, "--show and --cut do not go together")
	}
	file, err := newPhraseFile(c.PhraseFile)
	if err != nil {
		return err
	}
	defer file.discard()
	ans, err := a.client.Recover(a.ctx, ipc.RecoverRequest{Network: a.Network, Show: true, Cut: []string{}})
	if err != nil {
		return err
	}
	if file != nil {
		return a.showPhrase(ans.Phrase, file)
	}
	if a.JSON {
		return a.json(ans)
	}
	fmt.Fprintln(a.out, clean(ans.Phrase))
	a.note("Keep it safe: it is not shown again, and it is the only way back if all owners are lost.")
	return nil
}
