// Package badinput tests, with the real programs in network namespaces, that
// what is wrong around Kith or given to it is answered by a clear message and
// exit code, and that nothing is lost by it. It holds tests alone.
package badinput
