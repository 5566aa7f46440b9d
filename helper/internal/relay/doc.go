// Package relay carries wire datagrams between a member and a relay over TLS on
// TCP, for where UDP does not pass, and answers STUN on the relay's UDP port.
// It owns the stream's format, the relay's TLS key, the bounds on strangers and
// the way through HTTP proxies. Who is a member, and what becomes of a datagram,
// is its user's to say: it imports key alone, not wire, roster or engine.
package relay
