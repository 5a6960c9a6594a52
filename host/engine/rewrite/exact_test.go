package rewrite

import (
	"context"
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
	if err := m.extend(added{TickModule, TickName, Counter}); err != nil {
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

// TestExact holds that charging together what runs together makes no
// difference to the sum, and neither does the engine.
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
			t.Logf("fuel: %v", want)
		})
	}
}
