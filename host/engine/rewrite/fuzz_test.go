package rewrite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/wasmhost/wasmhost/abi"
)

// FuzzInstrument holds, for whatever comes in:
//
//   - it is refused with one of the package's codes, or rewritten, in a time
//     that its size bounds;
//   - what is rewritten is valid for the runtime exactly if the original is.
func FuzzInstrument(f *testing.F) {
	f.Add(cGuest(f))
	for _, code := range [][]byte{
		cat(loopArg, getArg),
		cat(getArg, op(opIf, blockEmpty), decArg, getArg, op(opReturn, opEnd), getArg),
		cat(op(opBlock, blockEmpty, opLoop, blockEmpty), getArg, op(opBrTable, 2, 0, 1, 2, opEnd, opEnd), getArg),
		cat(i32(0), i32(0), getArg, op(opMisc, miscMemoryFill, 0), getArg, op(opMemoryGrow, 0)),
		cat(op(opVec, vecConst), make([]byte, 16), op(opVec, 0x53, 0x1a), getArg),
	} {
		f.Add(one(nil, code))
	}
	dir := specDir(f)
	for _, name := range []string{"block.0", "br_table.0", "if.0", "elem.0", "names.0", "global.0", "table_fill.0", "select.0", "data.0"} {
		b, err := os.ReadFile(filepath.Join(dir, "v2", "testdata", name+".wasm"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(256))
	f.Cleanup(func() { _ = r.Close(ctx) })
	valid := func(wasm []byte) error {
		compiled, err := r.CompileModule(ctx, wasm)
		if err == nil {
			_ = compiled.Close(ctx)
		}
		return err
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		start := time.Now()
		out, report, err := Instrument(in, Config{})
		if took, most := time.Since(start), 200*time.Millisecond+time.Duration(len(in))*time.Microsecond; took > most {
			t.Errorf("%d bytes took %v", len(in), took)
		}
		if err != nil {
			var e *abi.Error
			if !errors.As(err, &e) || e.Code != abi.InvalidModule && e.Code != abi.LimitExceeded {
				t.Errorf("refused without a code: %v", err)
			}
			return
		}
		if len(out) > 64*len(in)+1024 {
			t.Errorf("%d bytes became %d", len(in), len(out))
		}
		// The runtime reads the names too; here they are not at stake.
		m, err := decode(in, Limits{})
		if err != nil {
			t.Fatalf("was decoded before: %v", err)
		}
		m.remove(func(s section) bool { return s.id == secCustom })
		before, after := valid(m.encode()), valid(out)
		if (before == nil) != (after == nil) {
			t.Errorf("before: %v\nafter: %v", before, after)
		}
		if after == nil && strings.Join(report.Dropped, "") == "" {
			if err := valid(in); err != nil {
				t.Errorf("not valid with its custom sections: %v", err)
			}
		}
		if after != nil {
			return
		}
		// A rewritten module is one like any other.
		if _, _, err := Instrument(out, Config{Meter: Meter{ImportModule: "again", ImportName: "tick", Counter: "again"}}); abi.CodeOf(err) == abi.InvalidModule {
			t.Errorf("not read again: %v", err)
		}
	})
}
