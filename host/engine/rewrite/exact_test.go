package rewrite

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// byInstruction meters a module in the plainest way: each instruction is
// charged where it stands. It is slow, and exact by its looks.
func byInstruction(t *testing.T, wasm []byte) []byte {
	t.Helper()
	m, err := decode(wasm, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.extend(added{importModule: TickModule, importName: TickName, counter: Counter}); err != nil {
		t.Fatal(err)
	}
	w := writer{planner: planner{m: m, shift: 1, meter: true}, tick: m.imported[kindFunc], counter: m.total[kindGlobal], report: &Report{}}
	r := reader{b: m.find(secCode).body}
	n := r.u32()
	out := appendU32(nil, n)
	for i := range n {
		in := r.bytes(uint64(r.u32()))
		typ := m.types[m.funcs[i]]
		l := reader{b: in}
		locals, groups := typ.params, l.u32()
		declared := l.pos
		for range groups {
			locals += l.u32()
			m.valueType(&l)
		}
		code := in[l.pos:]
		w.begin(code, typ, locals)
		var edits []edit
		w.static = 0
		charge := func(at int, cost int64) {
			point := w.points.add()
			w.points.all[point].cost = cost
			w.points.all[point].check = at == 0
			edits = append(edits, edit{kind: editCharge, at: uint32(at), end: uint32(at), point: point})
		}
		charge(0, costEntry(locals))
		costs := map[int32]int64{}
		for len(w.frames) > 0 {
			start, before, seen := w.r.pos, w.static, len(w.edits)
			if err := w.instruction(); err != nil {
				t.Fatal(err)
			}
			if cost := w.static - before; cost > 0 {
				charge(start, cost)
				costs[int32(len(w.points.all))-1] = cost
			}
			for _, e := range w.edits[seen:] {
				if e.kind == editFunction || e.kind == editBulk || e.kind == editGrow {
					edits = append(edits, e)
				}
			}
		}
		// What the planner has added to these points meanwhile is not theirs.
		for point, cost := range costs {
			w.points.all[point].cost = cost
		}
		w.out = w.out[:0]
		if w.scratch {
			groups++
		}
		w.out = append(appendU32(w.out, groups), in[declared:l.pos]...)
		if w.scratch {
			w.out = append(w.out, 1, typeI32)
		}
		copied := uint32(0)
		for i := range edits {
			w.out = append(w.out, code[copied:edits[i].at]...)
			copied = edits[i].end
			w.edit(&edits[i], code)
		}
		w.out = append(w.out, code[copied:]...)
		out = append(appendU32(out, uint32(len(w.out))), w.out...)
	}
	m.find(secCode).body = out
	return m.encode()
}

// fuelOf starts a module and calls its functions, and returns the fuel used by
// the start and by each call. Functions that it imports, but for WASI's, do
// nothing.
func fuelOf(t *testing.T, cfg wazero.RuntimeConfig, wasm []byte, calls ...string) []int64 {
	t.Helper()
	ctx := context.Background()
	x := newTester(t, cfg)
	x.slice = 1 << 20
	wasi_snapshot_preview1.MustInstantiate(ctx, x)
	compiled, err := x.CompileModule(ctx, wasm)
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string]wazero.HostModuleBuilder{}
	for _, f := range compiled.ImportedFunctions() {
		mod, name, _ := f.Import()
		if x.Module(mod) != nil {
			continue
		}
		if hosts[mod] == nil {
			hosts[mod] = x.NewHostModuleBuilder(mod)
		}
		hosts[mod].NewFunctionBuilder().WithGoFunction(api.GoFunc(func(_ context.Context, stack []uint64) {
			clear(stack)
		}), f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	for _, h := range hosts {
		if _, err := h.Instantiate(ctx); err != nil {
			t.Fatal(err)
		}
	}
	m, err := x.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithStartFunctions("_initialize").WithName(""))
	if err != nil {
		t.Fatal(err)
	}
	used := []int64{x.used(m)}
	for _, name := range calls {
		if _, err := m.ExportedFunction(name).Call(ctx, 1); err != nil {
			t.Fatal(err)
		}
		used = append(used, x.used(m))
	}
	return used
}

// fuelC is what the functions of guest-c.wasm use, on whatever machine.
var fuelC = []int64{0, 2204973, 2778441, 4396831, 13264739, 14265042}

// fuelGenerated is what the programs of TestExactGenerated use together.
const fuelGenerated = 113229

// TestExact holds that charging together what runs together makes no
// difference to the sum, and neither does the engine, nor, for the guest whose
// bytes are kept here, the machine.
func TestExact(t *testing.T) {
	t.Parallel()
	works := []string{"crc", "fnv", "sorting", "sha", "pack"}
	for _, guest := range []struct {
		name  string
		wasm  func(testing.TB) []byte
		calls []string
	}{
		{"c", cGuest, works},
		{"go", func(t testing.TB) []byte { return goGuest(t, "./testdata/guest") }, works},
		{"archive", func(t testing.TB) []byte { return goGuest(t, "../../../guests/archive") }, nil},
	} {
		t.Run(guest.name, func(t *testing.T) {
			t.Parallel()
			if underRace && guest.name != "c" {
				t.Skip("compiling megabytes takes minutes under the race detector, and starts no goroutine")
			}
			wasm := guest.wasm(t)
			out, report, err := Instrument(wasm, Config{})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d bytes become %d; %d functions, %d charges, %d checks",
				len(wasm), len(out), report.Functions, report.Charges, report.Checks)
			want := fuelOf(t, wazero.NewRuntimeConfigCompiler(), byInstruction(t, wasm), guest.calls...)
			for engine, cfg := range map[string]wazero.RuntimeConfig{
				"compiler": wazero.NewRuntimeConfigCompiler(), "interpreter": wazero.NewRuntimeConfigInterpreter(),
			} {
				got := fuelOf(t, cfg, out, guest.calls...)
				for i := range want {
					if got[i] != want[i] || got[i] < 0 {
						t.Errorf("%s: %d units after call %d, want %d", engine, got[i], i, want[i])
					}
				}
			}
			t.Logf("fuel on %s: %v", runtime.GOARCH, want)
			if guest.name == "c" && !slices.Equal(want, fuelC) {
				t.Errorf("fuel on %s: %v, want %v as everywhere", runtime.GOARCH, want, fuelC)
			}
		})
	}
}

// program makes functions of random control flow: (i32) -> i32, with one local
// that a random number lives in, and branches that depend on it.
type program struct {
	*rand.Rand
	code  []byte
	loops []bool // the open blocks, the function itself included
}

func (p *program) emit(parts ...[]byte) { p.code = append(p.code, cat(parts...)...) }

// random leaves a number below n, a power of two, on the stack.
func (p *program) random(n int32) {
	p.emit(op(opLocalGet, 1), i32(1664525), op(0x6c), i32(1013904223), op(opI32Add, opLocalTee, 1), i32(16), op(opI32ShrU), i32(n-1), op(0x71))
}

// label is one that the function's own may not be: a branch there takes a value.
func (p *program) label() byte { return byte(p.IntN(len(p.loops) - 1)) }

func (p *program) statements(depth int) {
	for range 1 + p.IntN(4) {
		kind := p.IntN(12)
		if depth > 5 && kind > 5 || len(p.loops) == 1 && kind >= 3 && kind <= 5 {
			kind = 0
		}
		switch kind {
		case 0, 1:
			p.emit(bytes.Repeat(op(0x01), p.IntN(2)), i32(int32(p.IntN(1000))), op(0x1a))
		case 2:
			p.random(16)
			p.emit(op(opIf, blockEmpty), op(opLocalGet, 1), op(opReturn, opEnd))
		case 3:
			p.random(2 << p.IntN(2))
			p.emit(op(opBrIf, p.label()))
		case 4:
			p.random(4)
			p.emit(op(opBrTable, 2, p.label(), p.label(), p.label()))
			return
		case 5:
			p.emit(op(opBr, p.label()))
			if p.IntN(2) == 0 {
				p.emit(decArg)
			}
			return
		case 6, 7, 8:
			loop := kind == 6
			p.emit(op(map[bool]byte{false: opBlock, true: opLoop}[loop], blockEmpty))
			p.nested(loop, depth)
			p.emit(op(opEnd))
		default:
			p.random(2)
			p.emit(op(opIf, blockEmpty))
			p.nested(false, depth)
			if kind > 9 {
				p.emit(op(opElse))
				p.nested(false, depth)
			}
			p.emit(op(opEnd))
		}
	}
}

func (p *program) nested(loop bool, depth int) {
	p.loops = append(p.loops, loop)
	p.statements(depth + 1)
	p.loops = p.loops[:len(p.loops)-1]
}

// TestExactGenerated holds the same as TestExact for control flow that no
// compiler would make.
func TestExactGenerated(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const limit = 100_000
	ran, loops, sum := 0, 0, int64(0)
	seeds := uint64(3000)
	if underRace {
		seeds = 300
	}
	for seed := range seeds {
		p := &program{Rand: rand.New(rand.NewPCG(seed, 1)), loops: []bool{false}}
		p.statements(0)
		p.emit(op(opLocalGet, 1))
		wasm := wasm(sec(secType, typ(vI32, vI32)), sec(secFunction, u32(0)), sec(secExport, exp("f", kindFunc, 0)),
			sec(secCode, bodyWith(op(1, 1, typeI32), p.code)))
		out, report, err := Instrument(wasm, Config{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if report.Checks > 1 {
			loops++
		}
		tester := func(cfg wazero.RuntimeConfig) *tester {
			x := newTester(t, cfg)
			x.slice = 1000
			x.tick = func(added int64, _ api.Module) {
				if added > limit {
					panic(errStop)
				}
			}
			return x
		}
		x := tester(wazero.NewRuntimeConfigInterpreter())
		forms := [][]byte{out, byInstruction(t, wasm)}
		if seed%10 == 0 {
			forms = append(forms, out)
		}
		var got, results [3]int64
		stopped := false
		for i, wasm := range forms {
			if x.ticks.Store(0); i == 2 {
				x = tester(wazero.NewRuntimeConfigCompiler())
			}
			m, err := x.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName(""))
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			result, err := m.ExportedFunction("f").Call(ctx, seed)
			if stopped = errors.Is(err, errStop); stopped {
				break
			}
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			got[i], results[i] = x.used(m), int64(result[0])
			_ = m.Close(ctx)
		}
		if stopped {
			continue
		}
		ran++
		sum += got[0]
		if got[0] != got[1] || results[0] != results[1] {
			t.Errorf("seed %d: %d units and %d, want %d and %d\n%x", seed, got[0], results[0], got[1], results[1], p.code)
		}
		if len(forms) == 3 && (got[2] != got[0] || results[2] != results[0]) {
			t.Errorf("seed %d, compiled: %d units and %d, want %d and %d\n%x", seed, got[2], results[2], got[0], results[0], p.code)
		}
	}
	t.Logf("%d programs ended, %d had loops; fuel on %s: %d", ran, loops, runtime.GOARCH, sum)
	if !underRace && sum != fuelGenerated {
		t.Errorf("fuel on %s: %d in all, want %d as everywhere", runtime.GOARCH, sum, fuelGenerated)
	}
	if ran < int(seeds/3) || loops < int(seeds/10) {
		t.Errorf("only %d programs ended, %d had loops", ran, loops)
	}
}
