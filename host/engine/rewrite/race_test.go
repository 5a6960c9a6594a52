//go:build race

package rewrite

// underRace says that the race detector is on, which makes the runtime's
// compiler some twenty times slower: what needs it for megabytes of code, or
// for thousands of modules, then runs on less.
const underRace = true
