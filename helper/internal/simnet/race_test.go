//go:build race

package simnet

// manyJoin is fewer here: the detector breaks down in a large process.
const manyJoin = 12

const gossips = 24
