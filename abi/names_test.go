package abi_test

import (
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
)

func TestValidName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"a": true, "archive": true, "gpt-4_mini": true, "0": true, strings.Repeat("x", 64): true,
		"": false, "-": false, "a-": false, "_a": false, "a--b": false, "a-_b": false, "A": false, "é": false,
		"a b": false, "a/b": false, "a.b": false, "..": false, strings.Repeat("x", 65): false,
	} {
		if got := abi.ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %t", name, got)
		}
	}
}
