// Command web is all that a container of a test has: "web serve" answers on port
// 80, "web get URL" prints what another answers.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 1 && args[0] == "serve" {
		return http.ListenAndServe(":80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "docker") }))
	}
	if len(args) != 2 || args[0] != "get" {
		return fmt.Errorf("usage: web serve, or web get URL")
	}
	client := &http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(args[1])
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(os.Stdout, resp.Body)
	return err
}
