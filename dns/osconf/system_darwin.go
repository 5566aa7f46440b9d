package osconf

// system is what is asked of the OS; here nothing is yet.
type system struct{}
