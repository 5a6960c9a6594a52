package engine

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// hostileModules are hostile by their size or shape and too large to be kept
// as files.
var hostileModules = []hostileGuest{
	{name: "50000 locals", wasm: func() []byte { return manyLocals(50_000) }, compile: abi.InvalidModule, text: "50001 locals"},
	{name: "49000 locals", wasm: func() []byte { return manyLocals(49_000) }, want: abi.Trap, text: "stack overflow"},
	{name: "many functions", wasm: func() []byte {
		if underRace {
			return manyFunctions(5_000, false) // the detector makes the compiler twenty times slower
		}
		return manyFunctions(100_000, false)
	}},
	{name: "5000 exports", wasm: func() []byte { return manyFunctions(5000, true) }},
	{name: "30000 types", wasm: func() []byte { return manyTypes(30_000) }, compile: abi.InvalidModule, text: "types"},
	{name: "1000 nested blocks", wasm: func() []byte { return nestedBlocks(1000) }},
	{name: "10000 branch targets", wasm: func() []byte { return manyTargets(10_000) }},
	{name: "10000 parameters", wasm: manyParams, compile: abi.InvalidModule, text: "10000 parameters"},
	{name: "32 MiB of custom section", wasm: hugeCustom},
	{name: "function name of a megabyte", wasm: func() []byte { return named(minimalTrap()) }, want: abi.Trap, text: "?]0;owned"},
	{name: "import name of a megabyte", wasm: func() []byte {
		m := minimal()
		m.imports = []wasmImport{{module: "wasmhost_v1", name: string(escapes(1 << 20))}}
		return m.bytes()
	}, compile: abi.InvalidModule, text: "does not exist"},
	{name: "import module of a megabyte", wasm: func() []byte {
		m := minimal()
		m.imports = []wasmImport{{module: string(escapes(1 << 20)), name: "x"}}
		return m.bytes()
	}, compile: abi.InvalidModule, text: "a worker may import"},
	// The compiler's time grows with the square of some numbers, and it does not
	// look at the context meanwhile.
	{name: "100000 exports", wasm: func() []byte { return manyFunctions(100_000, true) }, compile: abi.InvalidModule, text: "exports"},
	{name: "100000 nested blocks", wasm: func() []byte { return nestedBlocks(100_000) }, compile: abi.InvalidModule, text: "blocks within each other"},
	{name: "a million branch targets", wasm: func() []byte { return manyTargets(1_000_000) }, compile: abi.InvalidModule, text: "targets"},
	{name: "1 GiB of zeros", wasm: func() []byte { return make([]byte, 1<<30) }, compile: abi.InvalidModule, text: "more than the limit", spends: 1 << 20},
}

// escapes is a text that would take over a terminal.
func escapes(n int) []byte { return bytes.Repeat([]byte("\x1b]0;owned\x07"), n/10) }

// work replaces what the minimal module does.
func work(locals, body []byte) wasmModule {
	m := minimal()
	m.funcs[1].locals, m.funcs[1].body = locals, body
	return m
}

func minimalTrap() wasmModule { return work(nil, []byte{0x00}) } // unreachable

// manyLocals calls itself for ever with n locals.
func manyLocals(n int) []byte {
	locals := slices.Concat([]byte{1}, uleb(n), []byte{typeI64})
	// local.get 0; call self
	return work(locals, []byte{0x20, 0, 0x10, 1}).bytes()
}

// manyFunctions adds n empty functions to the minimal module, of one type, and
// shows each of them if export is set.
func manyFunctions(n int, export bool) []byte {
	types := slices.Concat([]byte{0x60, 1, typeI32, 1, typeI32}, []byte{0x60, 0, 0})
	funcs, code := []byte{0, 0}, slices.Concat(vec([]byte{0, 0x41, 16, 0x0b}), vec([]byte{0, 0x41, 0, 0x0b}))
	exports := slices.Concat(vec([]byte("memory")), []byte{2, 0}, vec([]byte("wasmhost_input")), []byte{0, 0}, vec([]byte("wasmhost_work")), []byte{0, 1})
	exported := 3
	for i := range n {
		funcs = append(funcs, 1)
		code = append(code, 2, 0, 0x0b)
		if export {
			exports = append(exports, vec(fmt.Append(nil, "f", i))...)
			exports = append(append(exports, 0), uleb(i+2)...)
			exported++
		}
	}
	return slices.Concat([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, 2, types), section(3, n+2, funcs), section(5, 1, []byte{0, 1}),
		section(7, exported, exports), section(10, n+2, code))
}

// manyTypes gives each of its functions a type of its own. The compiler looks
// at all types for each function, which takes minutes.
func manyTypes(n int) []byte {
	m := minimal()
	for range n {
		m.funcs = append(m.funcs, wasmFunc{})
	}
	return m.bytes()
}

func nestedBlocks(n int) []byte {
	body := append(bytes.Repeat([]byte{0x02, 0x40}, n), bytes.Repeat([]byte{0x0b}, n)...)
	return work(nil, append(body, 0x41, 0)).bytes()
}

// manyTargets is block; i32.const 0; br_table with n targets and a default; end.
func manyTargets(n int) []byte {
	body := slices.Concat([]byte{0x02, 0x40, 0x41, 0, 0x0e}, uleb(n), make([]byte, n+1), []byte{0x0b, 0x41, 0})
	return work(nil, body).bytes()
}

func manyParams() []byte {
	m := minimal()
	m.funcs[1].params = bytes.Repeat([]byte{typeI64}, 10_000)
	return m.bytes()
}

func hugeCustom() []byte {
	custom := append(vec([]byte("junk")), make([]byte, 32<<20)...)
	return append(minimal().bytes(), section(0, 1, custom)...)
}

// named gives function 1 a name that is long and would take over a terminal.
func named(m wasmModule) []byte {
	names := slices.Concat([]byte{1, 1}, vec(escapes(1<<20)))
	custom := append(vec([]byte("name")), append([]byte{1}, vec(names)...)...)
	custom = append([]byte{0}, vec(custom)...)
	return append(m.bytes(), custom...)
}

// A file that was cut off anywhere is refused, and so is one with a byte that is
// wrong, unless that makes another good module of it.
func TestDamagedModules(t *testing.T) {
	t.Parallel()
	e := newEngine(t, Config{})
	try := func(what string, i int, wasm []byte) {
		m, err := e.load(t.Context(), "damaged", wasm, ModuleConfig{})
		switch {
		case err == nil:
			if err := m.Close(context.Background()); err != nil {
				t.Errorf("%s %d: %v", what, i, err)
			}
		case abi.CodeOf(err) != abi.InvalidModule:
			t.Errorf("%s %d: %v", what, i, err)
		}
	}
	for _, name := range []string{"table_bomb", "one_command", "memory_bomb"} {
		whole := hostileWasm(t, name)
		for i := range whole {
			try(name+" cut off at", i, whole[:i])
			b := bytes.Clone(whole)
			b[i] ^= 0xff
			try(name+" with another byte at", i, b)
		}
	}
}

// A command's handler runs a task of the same worker while the worker waits for
// the answer.
func TestReentry(t *testing.T) {
	t.Parallel()
	for sandboxes, want := range map[int]abi.Code{
		1: abi.DeadlineExceeded, // the only sandbox is the one that waits
		2: abi.OK,
	} {
		m, err := newEngine(t, Config{}).Compile(t.Context(), "one_command", hostileWasm(t, "one_command"), ModuleConfig{Sandboxes: sandboxes})
		if err != nil {
			t.Fatal(err)
		}
		inner := &fakeEnv{command: func(context.Context, *abi.Request) ([]byte, error) { return []byte("inner"), nil }}
		outer := &fakeEnv{command: func(ctx context.Context, _ *abi.Request) ([]byte, error) {
			result, _, err := runTask(ctx, m, inner)
			return append([]byte("outer, "), result...), err
		}}
		ctx, cancel := context.WithTimeout(t.Context(), tenth)
		result, _, err := runTask(ctx, m, outer)
		cancel()
		if abi.CodeOf(err) != want || want == abi.OK && string(result) != "outer, inner" {
			t.Errorf("%d sandboxes: %q, %v; want %v", sandboxes, result, err, want)
		}
		// And it is none the worse for it.
		if result, _, err := runTask(t.Context(), m, inner); err != nil || string(result) != "inner" {
			t.Errorf("%d sandboxes, afterwards: %q, %v", sandboxes, result, err)
		}
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A guest that overwrote its own memory harms only itself, and once: the next
// task in that sandbox ends with a trap, the one after has a new sandbox.
func TestGuestThatCorruptsItself(t *testing.T) {
	t.Parallel()
	m, err := newEngine(t, Config{}).Compile(t.Context(), "corrupts_itself", hostileWasm(t, "corrupts_itself"), ModuleConfig{Isolation: PerWorker})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(context.Background())
	for i, want := range []abi.Code{abi.OK, abi.Trap, abi.OK, abi.Trap} {
		if _, _, err := runTask(t.Context(), m, &hostileEnv{}); abi.CodeOf(err) != want {
			t.Errorf("task %d: %v, want %v", i, err, want)
		}
	}
}

// BenchmarkBesideHostileGuests reports what a good guest's slowest tasks take
// alone and while another worker runs hostile guests.
func BenchmarkBesideHostileGuests(b *testing.B) {
	ctx := b.Context()
	e, err := New(ctx, Config{CacheDir: cacheDir})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close(context.Background())
	compile := func(name string) *Module {
		m, err := e.Compile(ctx, name, hostileWasm(b, name), ModuleConfig{})
		if err != nil {
			b.Fatal(err)
		}
		return m
	}
	good := compile("good")
	var hostile []*Module
	for _, name := range []string{"endless_recursion", "stack_bomb", "memory_bomb", "table_bomb", "event_flood", "log_flood", "msgpack_long", "traps"} {
		hostile = append(hostile, compile(name))
	}
	quiet := neighbour(b, good, func() { time.Sleep(time.Second) })
	beside := neighbour(b, good, func() {
		for b.Loop() {
			for _, m := range hostile {
				_, _, _ = runTask(ctx, m, &hostileEnv{})
			}
		}
	})
	b.ReportMetric(float64(quiet.Microseconds()), "quiet-p99-µs")
	b.ReportMetric(float64(beside.Microseconds()), "beside-p99-µs")
	b.ReportMetric(float64(beside)/float64(quiet), "beside/quiet")
}
