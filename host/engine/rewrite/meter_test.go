package rewrite

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasmhost/wasmhost/abi"
)

// one is a module with one exported function f: (i32) -> i32.
func one(sections [][]byte, code ...[]byte) []byte {
	return wasm(append([][]byte{
		sec(secType, typ(vI32, vI32)), sec(secFunction, u32(0)),
		sec(secTable, op(typeFuncref, 0, 100)), sec(secMemory, op(1, 1, 16)),
		sec(secExport, exp("f", kindFunc, 0)),
		sec(secCode, body(code...)),
	}, sections...)...)
}

var (
	getArg  = op(opLocalGet, 0)
	decArg  = cat(getArg, i32(1), op(opI32Sub), op(0x21, 0)) // 4 units
	loopArg = cat(op(opLoop, blockEmpty), decArg, getArg, op(opBrIf, 0, opEnd))
)

// TestFuel says what code costs, to the unit.
func TestFuel(t *testing.T) {
	t.Parallel()
	const entry = 1 // no locals to speak of
	for _, test := range []struct {
		name string
		code [][]byte
		arg  uint64
		want int64
	}{
		{"a constant", [][]byte{i32(1)}, 0, entry + 1},
		{"places cost nothing", [][]byte{op(0x01, opBlock, blockEmpty, 0x01, opEnd), i32(1)}, 0, entry + 1},
		{"a loop of one turn", [][]byte{loopArg, getArg}, 1, entry + 6 + 1},
		{"a loop of ten turns", [][]byte{loopArg, getArg}, 10, entry + 60 + 1},
		{"a loop that is left in its middle", [][]byte{
			op(opBlock, blockEmpty, opLoop, blockEmpty), getArg, op(0x45), op(opBrIf, 1), decArg, op(opBr, 0, opEnd, opEnd), getArg,
		}, 10, entry + 11*3 + 10*5 + 1},
		{"an if that is taken", [][]byte{getArg, op(opIf, blockEmpty), decArg, op(opEnd), getArg}, 1, entry + 2 + 4 + 1},
		{"an if that is not", [][]byte{getArg, op(opIf, blockEmpty), decArg, op(opEnd), getArg}, 0, entry + 2 + 1},
		{"an if that returns", [][]byte{getArg, op(opIf, blockEmpty), i32(7), op(opReturn, opEnd), decArg, getArg}, 1, entry + 2 + 2},
		{"what follows one that does not", [][]byte{getArg, op(opIf, blockEmpty), i32(7), op(opReturn, opEnd), decArg, getArg}, 0, entry + 2 + 4 + 1},
		{"else", [][]byte{getArg, op(opIf, 0x7f), i32(1), op(opElse), i32(1), i32(2), op(opI32Add, opEnd)}, 0, entry + 2 + 3},
		{"br_table into blocks", [][]byte{
			op(opBlock, blockEmpty, opBlock, blockEmpty), getArg, op(opBrTable, 1, 0, 1, opEnd), decArg, op(opEnd), getArg,
		}, 0, entry + 2 + 4 + 1},
		{"br_table past one", [][]byte{
			op(opBlock, blockEmpty, opBlock, blockEmpty), getArg, op(opBrTable, 1, 0, 1, opEnd), decArg, op(opEnd), getArg,
		}, 1, entry + 2 + 1},
		{"br_table back to a loop", [][]byte{
			op(opBlock, blockEmpty, opLoop, blockEmpty), decArg, getArg, op(opBrTable, 1, 1, 0, opEnd, opEnd), getArg,
		}, 3, entry + 3*6 + 1},
		{"dead code", [][]byte{getArg, op(opReturn), decArg, op(opUnreachable)}, 0, entry + 2},
		{"a call of itself", [][]byte{
			getArg, op(opIf, 0x7f), getArg, i32(1), op(opI32Sub, opCall, 0, opElse), i32(9), op(opEnd),
		}, 3, 4*entry + 4*2 + 3*(3+4) + 1},
		{"a loop that calls", [][]byte{
			getArg, op(opIf, blockEmpty, opLoop, blockEmpty), i32(0), op(opCall, 0, 0x1a), decArg, getArg, op(opBrIf, 0, opEnd, opEnd), getArg,
		}, 3, 4*(entry+3) + 3*12},
		{"a loop that calls, and is left by a return", [][]byte{
			getArg, op(opIf, blockEmpty, opLoop, blockEmpty), i32(0), op(opCall, 0, 0x1a), getArg, op(opReturn, opEnd, opEnd), getArg,
		}, 3, entry + 2 + 6 + 2 + entry + 3},
		{"memory.fill of 640 bytes", [][]byte{i32(0), i32(0), getArg, op(opMisc, miscMemoryFill, 0), getArg}, 640, entry + 3 + 8 + 10 + 1},
		{"memory.copy of 63 bytes", [][]byte{i32(0), i32(0), getArg, op(opMisc, miscMemoryCopy, 0, 0), getArg}, 63, entry + 3 + 8 + 1},
		{"memory.grow by two pages", [][]byte{getArg, op(opMemoryGrow, 0)}, 2, entry + 1 + 64 + 2048},
		{"memory.grow by too much", [][]byte{getArg, op(opMemoryGrow, 0)}, 0xffffffff, entry + 1 + 64 + 65536*1024},
		{"table.fill of 16 elements", [][]byte{i32(0), op(opRefNull, typeFuncref), getArg, op(opMisc, miscTableFill, 0), getArg}, 16, entry + 3 + 8 + 2 + 1},
		{"table.grow by too much", [][]byte{op(opRefNull, typeFuncref), getArg, op(opMisc, miscTableGrow, 0)}, 0xffffffff, entry + 2 + 8 + 1<<29 - 1},
	} {
		for name, cfg := range map[string]wazero.RuntimeConfig{
			"compiler": wazero.NewRuntimeConfigCompiler(), "interpreter": wazero.NewRuntimeConfigInterpreter(),
		} {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				x := newTester(t, cfg)
				x.slice = 1 << 30
				m := x.start(one(nil, test.code...))
				if _, err := m.ExportedFunction("f").Call(context.Background(), test.arg); err != nil {
					t.Fatal(err)
				}
				if got := x.used(m); got != test.want && got != 0 {
					t.Errorf("got %d units, want %d", got, test.want)
				}
				// A function without a check has not asked for a slice yet.
				if got := -int64(int32(counter(m).Get())); x.ticks.Load() == 0 && got != test.want {
					t.Errorf("got %d units without a tick, want %d", got, test.want)
				}
			})
		}
	}
}

// TestGolden shows the code that is added to a loop.
func TestGolden(t *testing.T) {
	t.Parallel()
	m, err := decode(one(nil, loopArg, getArg), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.rewrite(added{importModule: "m", importName: "tick", counter: "fuel"}, false); err != nil {
		t.Fatal(err)
	}
	const (
		load  = "2300 2101 "
		save  = "2001 2400 "
		check = "2001 4100 4e 0440 05 " + save + "1000 " + load + "0b " // fuel >= 0, or call the tick
	)
	want := "01 53 01 01 7f " + load +
		"2001 4108 6b 2101 " + check + // entry 1, loop 6, what follows 1
		"0340 2000 4101 6b 2100 2000 " +
		"0440 2001 4106 6b 2101 " + check + "0c01 0b " + // br_if 0
		"0b 2000 " + save + "0b"
	if got := hex.EncodeToString(m.find(secCode).body); got != strings.ReplaceAll(want, " ", "") {
		t.Errorf("\n got %s\nwant %s", got, strings.ReplaceAll(want, " ", ""))
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	tick := sec(secImport, imp(TickModule, TickName, kindFunc, 0))
	f := func(code ...[]byte) []byte { return one(nil, code...) }
	locals := func(n uint32) []byte {
		return wasm(sec(secType, typ("", "")), sec(secFunction, u32(0)), sec(secCode, bodyWith(cat(op(1), u32(n), op(typeI32)))))
	}
	for _, test := range []struct {
		name string
		wasm []byte
		code abi.Code
		text string
	}{
		{"nothing", nil, abi.InvalidModule, "not a Wasm module"},
		{"zeros", make([]byte, 1000), abi.InvalidModule, "not a Wasm module"},
		{"a component", []byte("\x00asm\x0d\x00\x01\x00"), abi.InvalidModule, "not a Wasm module of version 1"},
		{"a section that is cut off", wasm(op(secType, 5, 1)), abi.InvalidModule, "section 0 of the file: it ends too early"},
		{"sections out of order", wasm(sec(secImport), sec(secType)), abi.InvalidModule, "type section comes twice or too late"},
		{"a section twice", wasm(sec(secType), sec(secType)), abi.InvalidModule, "twice"},
		{"an unknown section", wasm(raw(14, nil)), abi.InvalidModule, "unknown id 14"},
		{"bytes behind a section's entries", wasm(raw(secType, op(0, 0))), abi.InvalidModule, "type section: 1 bytes too many"},
		{"a lying count of types", wasm(raw(secType, u32(1<<31))), abi.InvalidModule, "type section: a count is larger"},
		{"a lying count of functions", wasm(sec(secType, typ("", "")), raw(secFunction, u32(1<<31))), abi.InvalidModule, "function section: a count"},
		{"a lying count of names", wasm(raw(secExport, u32(1<<31))), abi.InvalidModule, "export section: a count"},
		{"a lying count of elements", wasm(raw(secElement, cat(u32(1), u32(1), op(0), u32(1<<31)))), abi.InvalidModule, "element section: a count"},
		{"code without functions", wasm(sec(secCode, body())), abi.InvalidModule, "0 functions are declared and 1 have code"},
		{"an array type", wasm(sec(secType, op(0x5e, 0x7f, 0))), abi.InvalidModule, "garbage-collected types"},
		{"shared memory", wasm(sec(secMemory, op(3, 1, 1))), abi.InvalidModule, "shared memory"},
		{"a memory of 64 bits", wasm(sec(secMemory, op(4, 1))), abi.InvalidModule, "64 bits"},
		{"the tick as an import", wasm(sec(secType, typ("", "")), tick), abi.InvalidModule, "wasmhost_meter.tick is the host's own"},
		{"the counter as an export", wasm(sec(secMemory, op(0, 1)), sec(secExport, exp(Counter, kindMemory, 0))), abi.InvalidModule, "wasmhost_fuel is the host's own"},
		{"the counter by its index", f(i32(-1), op(opGlobalSet, 0), getArg), abi.InvalidModule, "function 0: global 0 of 0"},
		{"the counter by another export", wasm(sec(secExport, exp("x", kindGlobal, 0))), abi.InvalidModule, "export section: global 0 of 0"},
		{"the added local by its index", f(op(opLocalGet, 1), getArg, getArg, op(opMisc, miscMemoryFill, 0), getArg), abi.InvalidModule, "function 0: local 1 of 1"},
		{"the added type by its index", f(op(opBlock, 1, opEnd), getArg), abi.InvalidModule, "function 0: type 1 of 1"},
		{"a function beyond the last", f(getArg, op(opCall, 1)), abi.InvalidModule, "function 0: function 1 of 1"},
		{"a label beyond the outermost", f(op(opBr, 1)), abi.InvalidModule, "function 0: label 1 of 1"},
		{"else without if", f(op(opElse), getArg), abi.InvalidModule, "else without if"},
		{"code behind the end", f(getArg, op(opEnd, 0x01)), abi.InvalidModule, "behind the end"},
		{"code without an end", f(op(opBlock, blockEmpty), getArg), abi.InvalidModule, "function 0: it ends too early"},
		{"an unknown instruction", f(op(0x27)), abi.InvalidModule, "unknown instruction 0x27"},
		{"exceptions in their old form", f(op(0x06, blockEmpty, opEnd), getArg), abi.InvalidModule, "old form"},
		{"relaxed SIMD", f(op(opVec, 0x80, 0x02), getArg), abi.InvalidModule, "relaxed SIMD"},
		{"a vector instruction that can be read in two ways", f(op(opVec, 0x8c, 0x00), getArg), abi.InvalidModule, "unknown instruction 0xfd 0xc"},
		{"a second memory", f(getArg, op(0x28, 0x42, 0, 0), getArg), abi.InvalidModule, "more than one memory"},
		{"a number that is too long", f(op(opI32Const, 0x80, 0x80, 0x80, 0x80, 0x80, 0)), abi.InvalidModule, "function 0: a number is too long"},
		{"too many locals", locals(50_001), abi.LimitExceeded, "function 0: 50001 locals are more than the limit of 50000"},
		{"too many locals to count", locals(0xffffffff), abi.LimitExceeded, "locals"},
		{"blocks too deep", f(bytes.Repeat(op(opBlock, blockEmpty), 60_000)), abi.LimitExceeded, "function 0: 10001 blocks within each other"},
		{"a table too large", wasm(sec(secTable, cat(op(typeFuncref, 0), u32(1_000_001)))), abi.LimitExceeded, "table section: 1000001 elements"},
		{"a table too large, imported", wasm(sec(secImport, imp("m", "t", kindTable, cat(op(typeFuncref, 0), u32(1<<30))...))), abi.LimitExceeded, "import section: 1073741824 elements"},
		{"too many globals", wasm(raw(secGlobal, cat(u32(100_001), bytes.Repeat(op(0x7f, 0, opI32Const, 0, opEnd), 100_001)))), abi.LimitExceeded, "100001 globals"},
		{"too many parameters", wasm(sec(secType, typ(strings.Repeat(vI32, 1001), ""))), abi.LimitExceeded, "1001 parameters"},
		{"too much memory", wasm(sec(secMemory, cat(op(0), u32(65537)))), abi.LimitExceeded, "65537 pages"},
		{"a body too large", f(bytes.Repeat(op(0x01), 5<<20), getArg), abi.LimitExceeded, "bytes of code"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := Instrument(test.wasm, Config{})
			var e *abi.Error
			if !errors.As(err, &e) || e.Code != test.code || !strings.Contains(e.Message, test.text) {
				t.Errorf("got %v, want %v with %q", err, test.code, test.text)
			}
		})
	}
}

// TestBounded holds that tables and memories cannot grow beyond the limits, and
// that the guest is told so in the way it expects.
func TestBounded(t *testing.T) {
	t.Parallel()
	limits := Limits{TableElements: 110, MemoryPages: 4} // of 100 and 1
	slow := Limits{TableElements: 110, TableGrowth: 3}   // the smaller of the two counts
	grow := op(opRefNull, typeFuncref, opLocalGet, 0, opMisc, miscTableGrow, 0)
	for _, test := range []struct {
		name     string
		limits   Limits
		code     []byte
		arg      uint64
		want     int32
		elements uint64
	}{
		{"memory within", limits, op(opLocalGet, 0, opMemoryGrow, 0), 3, 1, 100},
		{"memory beyond", limits, op(opLocalGet, 0, opMemoryGrow, 0), 4, -1, 100},
		{"table within", limits, grow, 10, 100, 120},
		{"table beyond", limits, grow, 11, -1, 120},
		{"growth within", slow, grow, 3, 100, 106},
		{"growth beyond", slow, grow, 4, -1, 106},
	} {
		out, report, err := Instrument(one(nil, test.code), Config{Limits: test.limits})
		if err != nil {
			t.Fatal(err)
		}
		x := newTester(t, wazero.NewRuntimeConfigInterpreter())
		m, err := x.Instantiate(context.Background(), out)
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.ExportedFunction("f").Call(context.Background(), test.arg)
		if err != nil || int32(got[0]) != test.want {
			t.Errorf("%s: got %v, %v; want %d", test.name, got, err, test.want)
		}
		if report.Elements != test.elements {
			t.Errorf("%s: the tables can cost %d elements, want %d", test.name, report.Elements, test.elements)
		}
	}
}

// errStop is what a tick panics with to end a guest.
var errStop = errors.New("stopped")

// TestStopped holds that a guest that would run for ever calls the tick, and
// that a panic there ends it.
func TestStopped(t *testing.T) {
	t.Parallel()
	chain := func() []byte { // 33 functions without loops, each calling the next twice
		const n = 33
		var funcs, code [][]byte
		for i := range uint32(n) {
			funcs = append(funcs, u32(0))
			next := cat(op(opCall), u32(i+1), op(0x1a))
			if i == n-1 {
				next = nil
			}
			once := cat(getArg, next)
			if next == nil {
				once = nil
			}
			code = append(code, body(once, once, getArg))
		}
		return wasm(sec(secType, typ(vI32, vI32)), sec(secFunction, funcs...),
			sec(secExport, exp("f", kindFunc, 0)), sec(secCode, code...))
	}
	guests := map[string][]byte{
		"an empty loop":          one(nil, op(opLoop, blockEmpty, opBr, 0, opEnd, opUnreachable)),
		"a loop by br_table":     one(nil, op(opLoop, blockEmpty), getArg, op(opBrTable, 0, 0, opEnd, opUnreachable)),
		"recursion":              one(nil, getArg, op(opCall, 0), op(opCall, 0)),
		"recursion by tail call": one(nil, getArg, op(opReturnCall, 0)),
		"2^33 calls":             chain(),
		"memory.fill in a loop": one(nil, op(opLoop, blockEmpty), i32(0), i32(0), i32(65536), op(opMisc, miscMemoryFill, 0),
			op(opBr, 0, opEnd, opUnreachable)),
		"a loop that catches everything": one(nil, op(opLoop, blockEmpty, opBlock, blockEmpty, opTryTable, blockEmpty, 1, 2, 0),
			op(opLoop, blockEmpty, opBr, 0, opEnd), op(opEnd, opEnd, opBr, 0, opEnd, opUnreachable)),
		"a start function": cat(wasm(sec(secType, typ("", "")), sec(secFunction, u32(0)), raw(secStart, u32(0)),
			sec(secCode, body(op(opLoop, blockEmpty, opBr, 0, opEnd))))),
	}
	for name, wasm := range guests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			x := newTester(t, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(specSuites[4].features))
			const limit = 1_000_000
			least := int64(0)
			x.tick = func(added int64, m api.Module) {
				// What a region may charge ahead of a check is bounded too.
				least = min(least, int64(int32(counter(m).Get()))-int64(x.slice))
				if added > limit {
					panic(errStop)
				}
			}
			out, _, err := Instrument(wasm, Config{})
			if err != nil {
				t.Fatal(err)
			}
			m, err := x.Instantiate(ctx, out)
			if err == nil {
				_, err = m.ExportedFunction("f").Call(ctx, 0)
			}
			if name == "recursion" && err != nil && strings.Contains(err.Error(), "stack overflow") {
				return // as well
			}
			if !errors.Is(err, errStop) {
				t.Errorf("got %v, want %v", err, errStop)
			}
			if n := x.ticks.Load(); n > limit/int64(x.slice)+1 || least < -2000 {
				t.Errorf("%d ticks, the counter at %d", n, least)
			}
		})
	}
}

func TestCustomSections(t *testing.T) {
	t.Parallel()
	names := cat(
		raw(0, str("mod")),
		sec(1, cat(u32(0), str("imported")), cat(u32(1), str("defined"))),
		sec(2, cat(u32(1), u32(1), u32(0), str("arg"))),
		sec(7, cat(u32(0), str("a global"))),
	)
	in := wasm(
		custom("wasmhost.manifest", []byte("kept")),
		sec(secType, typ("", "")), sec(secImport, imp("m", "i", kindFunc, 0)),
		custom("between", []byte{0xff, 0x00}),
		sec(secFunction, u32(0)), sec(secCode, body()),
		custom(".debug_info", []byte("addresses")), custom("name", names), custom("producers", []byte("kept too")),
	)
	out, report, err := Instrument(in, Config{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := decode(out, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range m.sections {
		if s.id == secCustom {
			got = append(got, s.name+"="+string(s.body))
		}
	}
	moved := cat(
		raw(0, str("mod")),
		sec(1, cat(u32(0), str("imported")), cat(u32(2), str("defined"))),
		sec(2, cat(u32(2), u32(1), u32(0), str("arg"))),
		sec(7, cat(u32(0), str("a global"))),
	)
	want := []string{"wasmhost.manifest=kept", "between=\xff\x00", "name=" + string(moved), "producers=kept too"}
	if !slices.Equal(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
	if want := []string{".debug_info"}; !slices.Equal(report.Dropped, want) {
		t.Errorf("dropped %q, want %q", report.Dropped, want)
	}

	// Names that cannot be read must not make the runtime refuse the module.
	_, report, err = Instrument(wasm(custom("name", op(1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f))), Config{})
	if err != nil || !slices.Equal(report.Dropped, []string{"name"}) {
		t.Errorf("dropped %q, %v; want the names", report.Dropped, err)
	}
}

// TestIdentity decodes and encodes every module of the specification's suite
// with nothing added. What comes out must be what went in, but for numbers that
// were not in their shortest form; then a second pass must change nothing.
func TestIdentity(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(specDir(t), "*", "testdata", "*.wasm"))
	if err != nil || len(files) < 1000 {
		t.Fatalf("%d modules, %v", len(files), err)
	}
	again := func(b []byte) ([]byte, error) {
		m, err := decode(b, Limits{TableElements: 1 << 29})
		if err != nil {
			return nil, err
		}
		for _, id := range []byte{secTable, secMemory} { // which would be bounded
			m.remove(func(s section) bool { return s.id == id })
		}
		if _, err := m.rewrite(added{}, false); err != nil {
			return nil, err
		}
		return m.encode(), nil
	}
	same, shorter := 0, 0
	for _, file := range files {
		in, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out, err := again(in)
		if err != nil {
			continue // the suite has many that are not valid
		}
		m, _ := decode(in, Limits{TableElements: 1 << 29})
		m.remove(func(s section) bool { return s.id == secTable || s.id == secMemory })
		if bytes.Equal(out, m.encode()) {
			same++
			continue
		}
		shorter++
		if twice, err := again(out); err != nil || !bytes.Equal(twice, out) {
			t.Errorf("%s changes again: %v", filepath.Base(file), err)
		}
	}
	t.Logf("%d equal, %d with shorter numbers", same, shorter)
	if same < 1000 || shorter > 50 {
		t.Errorf("%d equal, %d not", same, shorter)
	}
}
