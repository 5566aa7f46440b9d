// Package firewall reads the host's firewall: whether somebody's rule drops
// what a network of ours sends. It changes nothing, and imports nothing of
// ours.
package firewall
