//go:build !darwin

package main

// takeLinks has nothing to do: links come as arguments.
func takeLinks(func(string)) {}
