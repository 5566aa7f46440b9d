//go:build !linux

package main

// dropCode does nothing: the system takes such pages by itself.
func dropCode() {}
