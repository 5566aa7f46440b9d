package osconf

// system is what Windows is asked beside its registry.
type system struct{}
