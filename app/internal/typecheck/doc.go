// Package typecheck holds a test that type-checks the whole app for Windows
// and macOS, where Fyne needs a C toolchain that a Linux machine lacks. It
// imports nothing of ours.
package typecheck
