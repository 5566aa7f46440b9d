// Package e2e holds tests alone: the real kithd and kith in network namespaces,
// with real TUNs, real sockets and the system's own ping and resolver. The rows
// are those of the table of paths; the files that begin with bad test that what
// is wrong around Kith or given to it is answered by a clear message and exit
// code, and that nothing is lost by it. It imports netnstest, the wire types and
// the client of ipc, and of the helper only what reads and spells its files and
// links.
package e2e
