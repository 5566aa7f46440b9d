// Package filter decides what may pass between the tunnel and this host: it
// reads a network's policy, makes rules of it for one device, and judges packets
// by them, statefully. It knows packets, names and addresses, imports nothing of
// ours but key, and does no I/O.
package filter
