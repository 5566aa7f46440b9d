// Package e2e holds tests alone: the real kithd and kith in network namespaces,
// with real TUNs, real sockets and the system's own ping and resolver. It imports
// netnstest and the wire types of ipc, and nothing of the helper.
package e2e
