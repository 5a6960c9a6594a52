//go:build race

package queue

// slow is how many times slower SQLite, being Go, is under the race detector.
const slow = 8
