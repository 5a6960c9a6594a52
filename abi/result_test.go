package abi_test

import (
	"math"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
)

func TestResultKeepsBothHalves(t *testing.T) {
	t.Parallel()
	for _, code := range append(abi.Codes(), 1<<31-1, 1<<31, math.MaxUint32) {
		for _, n := range []uint32{0, 1, 255, 1<<31 - 1, 1 << 31, math.MaxUint32} {
			r := abi.Pack(code, n)
			if r.Code() != code || r.N() != n {
				t.Errorf("Pack(%d, %d) = %#x, which reads (%d, %d)", code, n, uint64(r), r.Code(), r.N())
			}
		}
	}
}

func TestResultBits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		code abi.Code
		n    uint32
		want int64
	}{
		{abi.OK, 0, 0},
		{abi.OK, math.MaxUint32, 0xffffffff}, // success is never negative, whatever n
		{abi.BufferTooSmall, 70000, 10<<32 | 70000},
		{math.MaxUint32, math.MaxUint32, -1},
	} {
		if got := abi.Pack(test.code, test.n); int64(got) != test.want {
			t.Errorf("Pack(%d, %d) = %#x, want %#x", test.code, test.n, int64(got), test.want)
		}
	}
}

// The module's name ends in the version, so that a guest of another version
// cannot be linked by mistake.
func TestModuleNamesItsVersion(t *testing.T) {
	t.Parallel()
	if abi.Module != "wasmhost_v1" || abi.Version != 1 {
		t.Errorf("module %q, version %d", abi.Module, abi.Version)
	}
}
