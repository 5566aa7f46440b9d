package main

import (
	"context"
	"io"
	"os"
	"os/user"
	"time"
)

// system is the real world.
func system() env {
	return env{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		inTTY: isTerminal(os.Stdin), errTTY: isTerminal(os.Stderr),
		secret: readSecret,
		now:    time.Now,
		login: func() string {
			if u, err := user.Current(); err == nil {
				return u.Username
			}
			return ""
		},
	}
}

// readSecret reads a line from the terminal without showing it.
func readSecret(ctx context.Context) (string, error) {
	restore, err := hideInput(os.Stdin)
	if err != nil {
		return "", err
	}
	defer restore()
	type result struct {
		line string
		err  error
	}
	got := make(chan result, 1)
	go func() {
		line, err := readLine(os.Stdin)
		got <- result{line, err}
	}()
	select {
	case r := <-got:
		return r.line, r.err
	case <-ctx.Done(): // the read goes on, but the program ends
		return "", ctx.Err()
	}
}

func readLine(r io.Reader) (string, error) {
	var line []byte
	b := make([]byte, 1)
	for len(line) < maxSecret {
		n, err := r.Read(b)
		if n == 1 {
			if b[0] == '\n' {
				break
			}
			line = append(line, b[0])
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", err
		}
	}
	return string(line), nil
}
