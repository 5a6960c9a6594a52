//go:build race

package host_test

func init() { corpusStep = 10 } // SQLite takes many times as long under the race detector
