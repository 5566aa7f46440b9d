//go:build race

package roster

// slack is how much slower than a quiet machine a test may run.
const slack = 30
