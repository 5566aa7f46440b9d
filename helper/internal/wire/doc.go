// Package wire is the wire of one network: it shares one UDP port between
// WireGuard and sealed control datagrams, finds paths to peers, chooses among
// them, and carries control sessions (QUIC) over them. Its Bind is what
// wireguard-go sends and receives through.
//
// It knows peers by their keys and the addresses that it is told; who is a
// member, and what sessions mean, is its user's business. It must not import
// the roster, the engine or the store.
package wire
