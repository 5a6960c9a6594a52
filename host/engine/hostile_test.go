package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// The guests of testdata/hostile do what no good guest does. Each is one small
// .wat with a comment that says what it tries; here stands how that must end.
// After every one of them the same engine runs a good guest.

const tenth = 100 * time.Millisecond

// hostileGuest is one guest and how it ends.
type hostileGuest struct {
	name     string // of testdata/hostile/name.wasm, or of what wasm makes
	wasm     func() []byte
	limits   Limits
	deadline time.Duration // of each task, and of compiling what must not compile; 0 for none
	grace    time.Duration // how much later the end may come on a busy machine; 0 for two seconds
	compile  abi.Code      // how Compile ends
	tasks    int           // how many are run, one after the other; 0 for one
	want     abi.Code      // how each task ends
	text     string        // part of the error
	result   string
	sees     func(*hostileEnv) bool // what the guest must have done
	spends   uint64                 // bytes that the host may allocate meanwhile; 0 for not looked at
}

var hostileGuests = []hostileGuest{
	// Stack.
	{name: "traps", want: abi.Trap, text: "unreachable"},
	{name: "endless_recursion", want: abi.Trap, text: "stack overflow"},
	{name: "stack_bomb", want: abi.Trap, text: "stack overflow"},
	{name: "deep_and_back", tasks: 3},

	// Work without end.
	{name: "endless_loop", deadline: tenth, want: abi.DeadlineExceeded},
	{name: "endless_loop_in_input", deadline: tenth, want: abi.DeadlineExceeded},
	{name: "start_loops", deadline: tenth, compile: abi.DeadlineExceeded},
	{name: "initialize_loops", deadline: tenth, compile: abi.DeadlineExceeded},
	{name: "fill_loop", deadline: tenth, want: abi.DeadlineExceeded},
	{name: "exponential", deadline: tenth, want: abi.DeadlineExceeded},

	// Memory and tables.
	{name: "memory_bomb", limits: Limits{MemoryBytes: 32 << 20}, tasks: 2, result: "\x00\x02\x00\x00",
		sees: func(e *hostileEnv) bool { return e.usage.PeakMemory == 32<<20 }},
	{name: "memory_bomb_at_once", sees: func(e *hostileEnv) bool { return e.usage.PeakMemory == pageSize }},
	{name: "table_bomb", tasks: 2, result: "\x00\x40\x00\x00", spends: 2 << 20},
	{name: "tables_full", tasks: 2, result: "ok", spends: 16 << 20},
	{name: "table_too_large", compile: abi.InvalidModule, text: "limit"},
	{name: "tables_too_large", compile: abi.InvalidModule, text: "limit"},
	{name: "memory_of_no_pages", want: abi.Trap, text: "no room"},

	// Pointers and lengths.
	{name: "pointers_at_the_end"},
	{name: "pointers_past_4g"},
	{name: "negative_lengths"},

	// Requests.
	{name: "msgpack_deep", want: abi.Failed, spends: 4 << 20},
	{name: "msgpack_long", spends: 4 << 20},
	{name: "msgpack_lies", want: abi.Failed, spends: 4 << 20},

	// Cursors.
	{name: "cursor_leak", tasks: 20, sees: func(e *hostileEnv) bool { return e.opened == 20*16 && e.closed == e.opened }},
	{name: "use_after_close", sees: func(e *hostileEnv) bool { return e.opened == 1 && e.closed == 1 }},

	// Host functions at odd times.
	{name: "calls_from_initialize", sees: func(e *hostileEnv) bool { return e.calls == 0 }},
	{name: "calls_from_start", sees: func(e *hostileEnv) bool { return e.calls == 0 }},
	{name: "calls_from_input", result: "early", sees: func(e *hostileEnv) bool { return e.calls == 5 && e.closed == 1 }},
	{name: "logs_from_start"},

	// Floods.
	{name: "event_flood", sees: func(e *hostileEnv) bool { return e.commands == 100_000 && e.usage.CommandsRun == 100_000 }},
	{name: "endless_commands", deadline: tenth, want: abi.DeadlineExceeded},
	{name: "log_flood", sees: func(e *hostileEnv) bool { return e.lines == 1001 && e.longest < 4200 }},
	{name: "endless_log", deadline: tenth, want: abi.DeadlineExceeded},
	{name: "iovec_bomb", deadline: tenth, want: abi.DeadlineExceeded},
	{name: "newline_bomb", deadline: tenth, want: abi.DeadlineExceeded},
	{name: "random_bomb", deadline: tenth, want: abi.DeadlineExceeded},
	{name: "endless_sleep", deadline: tenth, want: abi.DeadlineExceeded},
	{name: "poll_lies", want: abi.Trap},
	{name: "poll_stdin"},

	// Results.
	{name: "giant_result"},
	{name: "result_outside"},
	{name: "no_result"},
	{name: "no_reason", want: abi.Failed, text: "gave no reason"},
	{name: "unknown_code", want: abi.Failed, text: "code_4294967295"},
	{name: "result_twice", result: "second"},
	{name: "result_then_trap", want: abi.Trap, text: "unreachable"},
	{name: "escape_codes", want: abi.Failed, text: "?]0;owned??[2J\n?"},
	{name: "trap_in_write", want: abi.Trap, text: "unreachable", sees: func(e *hostileEnv) bool { return e.writes == 2 }},
	{name: "exit_in_work", want: abi.Trap, text: "exited with status 3"},
	{name: "exit_in_input", want: abi.Trap, text: "exited with status 0"},
	{name: "exit_in_initialize", compile: abi.InvalidModule, text: "exited with status 0"},
	{name: "exit_in_start", compile: abi.InvalidModule, text: "exited with status 0"},
	{name: "exit_as_cancelled", want: abi.Trap, text: "exited with status 4294967295"},
	{name: "exit_as_cancelled_in_start", compile: abi.InvalidModule, text: "exited with status 4294967295"},

	// The module's shape.
	{name: "missing_work", compile: abi.InvalidModule, text: "does not export wasmhost_work"},
	{name: "misspelt_work", compile: abi.InvalidModule, text: "does not export wasmhost_work"},
	{name: "missing_input", compile: abi.InvalidModule, text: "does not export wasmhost_input"},
	{name: "missing_memory", compile: abi.InvalidModule, text: "does not export its memory"},
	{name: "misspelt_memory", compile: abi.InvalidModule, text: "does not export its memory"},
	{name: "work_of_wrong_type", compile: abi.InvalidModule, text: "its type must be (i32) -> (i32)"},
	{name: "work_is_a_global", compile: abi.InvalidModule, text: "does not export wasmhost_work"},
	{name: "memory_is_a_function", compile: abi.InvalidModule, text: "does not export its memory"},
	{name: "unknown_function", compile: abi.InvalidModule, text: "rows_drop, which does not exist"},
	{name: "unknown_module", compile: abi.InvalidModule, text: "imports env.system"},
	{name: "import_of_wrong_type", compile: abi.InvalidModule, text: "imports wasmhost_v1.rows_open as (i64, i64)"},
	{name: "memory_import", compile: abi.InvalidModule, text: "imports the memory"},
	{name: "table_import", compile: abi.InvalidModule},
	{name: "global_import", compile: abi.InvalidModule},
	{name: "shared_memory", compile: abi.InvalidModule},
	{name: "duplicate_export", compile: abi.InvalidModule, text: "duplicate"},
	{name: "data_outside", compile: abi.InvalidModule},
	{name: "data_far_outside", compile: abi.InvalidModule},
	// The runtime leaves such a segment out instead of refusing the module; the
	// elements stay null.
	{name: "element_outside"},
	{name: "element_far_outside"},
	{name: "host_functions_as_exports", compile: abi.InvalidModule, text: "must be a function of its own"},
}

// hostileEnv is what hostile guests reach. It answers whatever is asked.
type hostileEnv struct {
	calls, opened, closed, writes, commands, lines, longest int
	usage                                                   Usage
}

type noRows struct{ env *hostileEnv }

func (noRows) Next(context.Context, []byte) (int, error) { return 0, nil }
func (r noRows) Close() error                            { r.env.closed++; return nil }

func (e *hostileEnv) OpenRows(context.Context, *abi.Query) (Rows, error) {
	e.calls++
	e.opened++
	return noRows{e}, nil
}

func (e *hostileEnv) WriteRows(_ context.Context, ms []abi.Mutation, _ []byte) ([]abi.WriteResult, error) {
	e.calls++
	e.writes++
	return make([]abi.WriteResult, len(ms)), nil
}

func (e *hostileEnv) Command(context.Context, *abi.Request) ([]byte, error) {
	e.calls++
	e.commands++
	return []byte{0xc0}, nil
}

func (e *hostileEnv) Progress(context.Context, int64, int64) error { e.calls++; return nil }

func (e *hostileEnv) Log(_ context.Context, _ abi.Level, line string) {
	e.calls++
	e.lines++
	e.longest = max(e.longest, len(line))
}

func hostileWasm(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "hostile", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func runTask(ctx context.Context, m *Module, env Env) (result []byte, usage Usage, err error) {
	err = m.With(ctx, func(s *Sandbox) error {
		result, usage, err = s.Run(ctx, &abi.Task{ID: "1", Kind: "x", Attempt: 1}, env)
		return err
	})
	return result, usage, err
}

// try runs one hostile guest and compares.
func (g *hostileGuest) try(t *testing.T, e *Engine) {
	wasm := g.wasm
	if wasm == nil {
		wasm = func() []byte { return hostileWasm(t, g.name) }
	}
	within := func(limited bool, f func(context.Context) error) error {
		if g.deadline == 0 || !limited {
			return f(t.Context())
		}
		ctx, cancel := context.WithTimeout(t.Context(), g.deadline)
		defer cancel()
		start := time.Now()
		err := f(ctx)
		if took := time.Since(start); took > g.deadline+cmp.Or(g.grace, 2*time.Second) {
			t.Errorf("took %v with a deadline of %v", took, g.deadline)
		}
		return err
	}
	compare := func(err error, want abi.Code) {
		t.Helper()
		if abi.CodeOf(err) != want {
			t.Errorf("got  %v\nwant %v", err, want)
			return
		}
		if err == nil {
			return
		}
		if text := err.Error(); !strings.Contains(text, g.text) || len(text) > 6000 || strings.ContainsAny(text, "\x1b\x07\u009b") {
			t.Errorf("got  %.6000q\nwant it to contain %q", text, g.text)
		}
		if want != abi.Cancelled && errors.Is(err, context.Canceled) || want != abi.DeadlineExceeded && errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v passes for the end of the context", err)
		}
	}
	b := wasm()
	var m *Module
	// What is to be admitted may take the compiler as long as it likes.
	err := within(g.compile != abi.OK, func(ctx context.Context) (err error) {
		m, err = e.Compile(ctx, "hostile", b, ModuleConfig{Limits: g.limits})
		return err
	})
	compare(err, g.compile)
	if err != nil {
		return
	}
	defer m.Close(context.Background())
	env := &hostileEnv{}
	before := allocated()
	for range max(g.tasks, 1) {
		var result []byte
		err = within(true, func(ctx context.Context) (err error) {
			result, env.usage, err = runTask(ctx, m, env)
			return err
		})
		compare(err, g.want)
		if string(result) != g.result {
			t.Errorf("result %q, want %q", result, g.result)
		}
	}
	if g.sees != nil && !g.sees(env) {
		t.Errorf("the host saw %+v", env)
	}
	// The memory of one sandbox counts as the guest's.
	if spent := allocated() - before; g.spends > 0 && spent > g.spends {
		t.Errorf("the host allocated %d bytes, want at most %d", spent, g.spends)
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// resident is the memory that the process holds, in bytes, or 0 where that
// cannot be read. What only waits for the collector is given back first.
func resident() int {
	debug.FreeOSMemory()
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, _ := strconv.Atoi(strings.TrimSpace(strings.SplitN(rest, "kB", 2)[0]))
	return kb << 10
}

// TestHostileGuests is not parallel: it looks at the memory of the process.
func TestHostileGuests(t *testing.T) {
	e := newEngine(t, Config{})
	good, err := e.Compile(t.Context(), "good", hostileWasm(t, "good"), ModuleConfig{Sandboxes: 2, Isolation: PerWorker})
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close(context.Background())
	quiet := neighbour(t, good, func() { time.Sleep(100 * time.Millisecond) })
	before := resident()
	beside := neighbour(t, good, func() {
		for _, g := range slices.Concat(hostileGuests, hostileModules) {
			t.Run(g.name, func(t *testing.T) {
				g.try(t, e)
				if result, _, err := runTask(t.Context(), good, &hostileEnv{}); err != nil || string(result) != "ok" {
					t.Errorf("a good guest right after it: %q, %v", result, err)
				}
			})
		}
	})
	const most = 64 << 20
	grown := resident() - before
	// Compiled code is unmapped by finalizers, some time after a collection.
	for end := time.Now().Add(3 * time.Second); grown > most && !underRace && time.Now().Before(end); grown = resident() - before {
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("the process holds %d MiB more than before", grown>>20)
	// The race detector keeps memory of its own about every byte.
	if grown > most && !underRace {
		t.Errorf("that is more than %d MiB", most>>20)
	}
	t.Logf("p99 of a good guest's task: %v alone, %v beside the hostile ones", quiet, beside)
	if beside > time.Second {
		t.Errorf("p99 of a good guest beside hostile ones: %v", beside)
	}
}

// neighbour runs tasks of a good guest, one after the other, as long as during
// runs, and returns the 99th percentile of the time they took.
func neighbour(t testing.TB, good *Module, during func()) time.Duration {
	t.Helper()
	var stop atomic.Bool
	var times []time.Duration
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() || len(times) == 0 {
			start := time.Now()
			if result, _, err := runTask(context.Background(), good, &hostileEnv{}); err != nil || string(result) != "ok" {
				t.Errorf("a good guest beside a hostile one: %q, %v", result, err)
				return
			}
			times = append(times, time.Since(start))
			time.Sleep(time.Millisecond)
		}
	}()
	during()
	stop.Store(true)
	<-done
	slices.Sort(times)
	return times[len(times)*99/100]
}

// Every source has its binary, and where wat2wasm is installed, the same one.
func TestHostileGuestsAreBuilt(t *testing.T) {
	t.Parallel()
	sources, err := filepath.Glob("testdata/hostile/*.wat")
	if err != nil || len(sources) == 0 {
		t.Fatal(sources, err)
	}
	tried := map[string]bool{"good": true, "one_command": true, "corrupts_itself": true}
	for _, g := range hostileGuests {
		tried[g.name] = true
	}
	wat2wasm, err := exec.LookPath("wat2wasm")
	if err != nil {
		t.Log("wat2wasm is not installed: the bytes are not compared")
	}
	for _, source := range sources {
		name := strings.TrimSuffix(filepath.Base(source), ".wat")
		committed := hostileWasm(t, name)
		if !tried[name] {
			t.Errorf("no test runs %s", source)
		}
		if wat2wasm == "" {
			continue
		}
		out := filepath.Join(t.TempDir(), "out.wasm")
		if b, err := exec.Command(wat2wasm, "--no-check", "--enable-threads", "-o", out, source).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", source, err, b)
			continue
		}
		built, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(built, committed) {
			t.Errorf("%s: the committed binary is not what it builds to: run testdata/hostile/build.sh", source)
		}
	}
	binaries, _ := filepath.Glob("testdata/hostile/*.wasm")
	if len(binaries) != len(sources) {
		t.Errorf("%d sources and %d binaries", len(sources), len(binaries))
	}
}
