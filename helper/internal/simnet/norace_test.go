//go:build !race

package simnet

// manyJoin is how many join by one link at once.
const manyJoin = 30

// gossips is how many members come to rest.
const gossips = 100
