//go:build race

package queue

// slow is about how many times slower SQLite, being Go, is under the race detector.
const slow = 16
