//go:build !darwin

package ui

// modifier is what the keys help says before a key.
const modifier = "Ctrl+"
