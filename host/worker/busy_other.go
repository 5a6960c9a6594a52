//go:build !linux

package worker

// beingWritten cannot be told here: a file is settled when it looks the same twice.
func beingWritten(string) bool { return false }
