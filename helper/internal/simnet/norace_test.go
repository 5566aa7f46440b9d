//go:build !race

package simnet

// manyJoin is how many join by one link at once.
const manyJoin = 30
