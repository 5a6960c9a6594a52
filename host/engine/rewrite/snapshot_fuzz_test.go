package rewrite

import (
	"context"
	"errors"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/wasmhost/wasmhost/abi"
)

// FuzzPrepare: preparing for a snapshot changes nothing about whether a module
// is valid, and every refusal has one of the two codes.
func FuzzPrepare(f *testing.F) {
	f.Add(stateful())
	f.Add(wasm(sec(secType, typ("", "")), sec(secFunction, u32(0)), sec(secMemory, op(0, 1)), raw(secStart, u32(0)),
		raw(secDataCount, u32(2)), sec(secCode, body()), sec(secData, active(0, "a"), passive("b"))))
	f.Add(wasm(sec(secMemory, op(0, 1)), sec(secGlobal, cat(op(typeI32, 1), i32(0), op(opEnd))), sec(secData, active(0, "a"))))
	f.Add(tabled(indexed))
	f.Add(tabled(expressed, opLocalGet, 0, opTableGet, 0, 0x1a))
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	f.Cleanup(func() { _ = r.Close(ctx) })
	limits := Limits{TableElements: 1000, MemoryPages: 100}
	valid := func(t *testing.T, wasm []byte, snapshot bool) bool {
		out, report, err := Instrument(wasm, Config{Limits: limits, Snapshot: snapshot, FewElements: 1})
		if err != nil {
			if !errors.Is(err, abi.InvalidModule) && !errors.Is(err, abi.LimitExceeded) {
				t.Errorf("the error has another code: %v", err)
			}
			return false
		}
		if snapshot && (report.Initial == nil) == (report.Obstacle == ObstacleNone) {
			t.Errorf("prepared %t, obstacle %q", report.Initial != nil, report.Obstacle)
		}
		c, err := r.CompileModule(ctx, out)
		if err != nil {
			return false
		}
		_ = c.Close(ctx)
		return true
	}
	f.Fuzz(func(t *testing.T, wasm []byte) {
		if before, after := valid(t, wasm, false), valid(t, wasm, true); before != after {
			t.Errorf("valid %t without being prepared, %t with", before, after)
		}
	})
}
