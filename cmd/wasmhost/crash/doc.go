// Package crash holds the test that crashes wasmhost.
package crash
