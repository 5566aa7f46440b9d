//go:build !linux

package main

// managed tells whether a service manager runs: it is part of these systems.
func managed() bool { return true }
