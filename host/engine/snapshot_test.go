package engine

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
)

func code(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

func i32Const(n int) []byte { return append([]byte{0x41}, sleb(n)...) }

// scribbler is a module whose task writes over all of its memory and all of its
// globals, and then does what more says. Its start function and _initialize
// grow the memory and leave marks in it and in a global.
func scribbler(more ...byte) wasmModule {
	m := minimal()
	m.globals = [][]byte{
		{typeI32, 1, 0x41, 7, 0x0b},
		{typeI64, 1, 0x42, 0x7f, 0x0b},
		{0x7c, 1, 0x44, 1, 0, 0, 0, 0, 0, 0xf4, 0x7f, 0x0b}, // f64, a signalling NaN
	}
	m.data = map[int]string{1024: "clean", 65_500: "also clean"}
	m.funcs[1].body = code(
		i32Const(0), i32Const(0xa5), 0x3f, 0, i32Const(16), 0x74, 0xfc, 11, 0, // memory.fill 0, 0xa5, memory.size << 16
		i32Const(-1), 0x24, 0, // global.set
		0x42, 0x55, 0x24, 1,
		0x44, make([]byte, 8), 0x24, 2,
		more,
		i32Const(0),
	)
	m.funcs = append(m.funcs,
		wasmFunc{body: code(i32Const(1), 0x40, 0, 0x1a, i32Const(70_000), i32Const(4711), 0x36, 2, 0)}, // memory.grow, i32.store
		wasmFunc{body: code(i32Const(70_004), i32Const(70_000), 0x28, 2, 0, 0x36, 2, 0, i32Const(8), 0x24, 0)},
	)
	m.start = 2
	m.exports["_initialize"] = 3
	return m
}

func (s *Sandbox) content() []byte {
	b, _ := s.instance.Memory().Read(0, s.instance.Memory().Size())
	return b
}

func compile(t *testing.T, wasm []byte, cfg ModuleConfig) *Module {
	t.Helper()
	m, err := newEngine(t, Config{}).Compile(t.Context(), "x", wasm, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

// TestNothingOfATaskIsLeftForTheNext holds for each way to a clean sandbox. What
// a clean one looks like is taken from a module that is started in the usual
// way.
func TestNothingOfATaskIsLeftForTheNext(t *testing.T) {
	t.Parallel()
	grow := code(i32Const(1), 0x40, 0, 0x1a)
	trap := []byte{0x00}
	plain := scribbler()
	plain.globals = append(plain.globals, append([]byte{0x7b, 1, 0xfd, 0x0c}, append(make([]byte, 16), 0x0b)...))
	want := func() []byte {
		s, err := compile(t, plain.bytes(), ModuleConfig{}).newSandbox(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer s.close(t.Context())
		return bytes.Clone(s.content())
	}()
	if len(want) != 2*pageSize || string(want[1024:1029]) != "clean" || want[70_000] != want[70_004] || want[70_000] == 0 {
		t.Fatal("the module does not start as it should")
	}
	for name, c := range map[string]struct {
		wasm   wasmModule
		plain  bool // there is no snapshot
		same   bool // one sandbox serves all tasks
		broken bool // tasks fail
	}{
		"plain":            {wasm: plain, plain: true},
		"reset":            {wasm: scribbler(), same: true},
		"grown":            {wasm: scribbler(grow...)},
		"trapped":          {wasm: scribbler(trap...), broken: true},
		"grown to a limit": {wasm: scribbler(bytes.Repeat(grow, 4)...)},
	} {
		for _, heap := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, heap %t", name, heap), func(t *testing.T) {
				t.Parallel()
				m := compile(t, c.wasm.bytes(), ModuleConfig{Limits: Limits{MemoryBytes: 4 * pageSize}})
				if ok, why := m.Snapshot(); ok == c.plain || ok != (why == "") {
					t.Fatalf("snapshot %t, %q", ok, why)
				}
				if heap {
					if c.plain {
						t.Skip("there is no image to be held in the heap")
					}
					useHeap(m)
				}
				var last *Sandbox
				for i := range 4 {
					err := m.With(t.Context(), func(s *Sandbox) error {
						if !bytes.Equal(s.content(), want) {
							t.Errorf("task %d finds another memory, of %d bytes", i, len(s.content()))
						}
						for g, want := range []uint64{8, 1<<64 - 1, 0x7ff4_0000_0000_0001} {
							if !c.plain && s.globals[g].Get() != want {
								t.Errorf("task %d finds %#x in global %d", i, s.globals[g].Get(), g)
							}
						}
						if i > 0 && (s == last) != c.same {
							t.Errorf("task %d has the sandbox of the one before it: %t", i, s == last)
						}
						last = s
						_, usage, err := s.Run(t.Context(), &abi.Task{Kind: "x"}, &fakeEnv{})
						if (err != nil) != c.broken {
							t.Errorf("task %d: %v", i, err)
						}
						if got := s.content(); got[0] != 0xa5 || got[2*pageSize-1] != 0xa5 {
							t.Error("the task wrote less than it should")
						}
						if usage.PeakMemory != uint64(len(s.content())) {
							t.Errorf("peak memory %d of %d bytes", usage.PeakMemory, len(s.content()))
						}
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

// useHeap makes m's sandboxes copy the image, as they do on systems where it
// cannot be mapped.
func useHeap(m *Module) {
	b := bytes.Clone(m.idle[0].content())
	m.idle[0].close(context.Background())
	m.idle = nil
	m.snapshot.image.close()
	m.snapshot.image = &image{size: uint64(len(b)), bytes: b}
}

func TestWhatCannotBeTakenSaysWhy(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*wasmModule)
		cfg    ModuleConfig
		why    string
	}{
		"kept": {func(*wasmModule) {}, ModuleConfig{Isolation: PerWorker}, "kept"},
		"v128": {func(m *wasmModule) {
			m.globals = append(m.globals, append([]byte{0x7b, 1, 0xfd, 0x0c}, append(make([]byte, 16), 0x0b)...))
		}, ModuleConfig{}, "v128"},
		"reference": {func(m *wasmModule) {
			m.globals = append(m.globals, []byte{0x70, 1, 0xd2, 1, 0x0b}) // ref.func 1
		}, ModuleConfig{}, "reference"},
		"no reference": {func(m *wasmModule) {
			m.globals = append(m.globals, []byte{0x70, 1, 0xd0, 0x70, 0x0b}, []byte{0x6f, 1, 0xd0, 0x6f, 0x0b})
		}, ModuleConfig{}, ""},
	}
	for name, c := range tests {
		m := scribbler()
		c.change(&m)
		if ok, why := compile(t, m.bytes(), c.cfg).Snapshot(); ok != (c.why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%s: %t, %q; want %q", name, ok, why, c.why)
		}
	}
}

func TestSegmentBeyondTheMemoryIsRefused(t *testing.T) {
	t.Parallel()
	m := minimal()
	m.data = map[int]string{pageSize - 2: "abc"}
	_, err := newEngine(t, Config{}).Compile(t.Context(), "x", m.bytes(), ModuleConfig{})
	if err == nil || !strings.Contains(err.Error(), "data segment 0: out of bounds") {
		t.Errorf("got %v", err)
	}
}

// TestGuestsDoTheSameFromASnapshot runs the same tasks both ways.
func TestGuestsDoTheSameFromASnapshot(t *testing.T) {
	t.Parallel()
	env := func() *fakeEnv {
		return &fakeEnv{
			open: func(*abi.Query) (Rows, error) { return nil, abi.Errorf(abi.UnknownCollection, "none") },
			command: func(_ context.Context, r *abi.Request) ([]byte, error) {
				return nil, abi.Errorf(abi.UnknownCommand, "no %s", r.Name)
			},
		}
	}
	outcomes := func(wasm []byte, isolation Isolation, fresh bool, tasks [][2]string) []string {
		m := compile(t, wasm, ModuleConfig{Isolation: isolation})
		if ok, why := m.Snapshot(); ok != (isolation == PerTask) {
			t.Fatalf("snapshot %t, %q", ok, why)
		}
		var out []string
		for _, task := range tasks {
			e := env()
			err := m.With(t.Context(), func(s *Sandbox) error {
				got, usage, err := s.Run(t.Context(), textTask(task[0], task[1]), e)
				out = append(out, fmt.Sprintf("%s: %q, %v, %q, %d calls, %d in, %d out", task, got, err, e.lines, usage.HostCalls, usage.BytesIn, usage.BytesOut))
				s.broken = s.broken || fresh
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	type guest struct {
		wasm  []byte
		tasks [][2]string
	}
	guests := map[string]guest{
		"test": {guestWasm, [][2]string{{"echo", "x"}, {"count", ""}, {"fail", "permanent"}, {"panic", "y"}, {"exit", ""},
			{"print", ""}, {"progress", ""}, {"count-to", "1000"}, {"call", "name"}, {"count", ""}, {"world", ""}, {"churn", ""}, {"count", ""}}},
	}
	if !underRace { // compiling it takes half a minute then, and shows no race of ours
		guests["archive"] = guest{archiveGuest(t), [][2]string{{"archive", ""}, {"archive", "orders"}, {"", ""}, {"archive", ""}}}
	}
	for name, c := range guests {
		want := outcomes(c.wasm, PerWorker, true, c.tasks)
		if got := outcomes(c.wasm, PerTask, true, c.tasks); !slices.Equal(got, want) {
			t.Errorf("%s, from a snapshot:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if got := outcomes(c.wasm, PerTask, false, c.tasks); !slices.Equal(got, want) {
			t.Errorf("%s, reset:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestSnapshotFreezesSeedsAndNotCryptoRand: as docs/security.md says.
func TestSnapshotFreezesSeedsAndNotCryptoRand(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{})
	draw := func(kind string) string {
		got, err := run(t, m, &fakeEnv{}, kind, "")
		if err != nil || got == "" {
			t.Fatalf("%q, %v", got, err)
		}
		return got
	}
	if a, b := draw("random"), draw("random"); a == b {
		t.Errorf("crypto/rand gave %s to two tasks", a)
	}
	if a, b := draw("random-math"), draw("random-math"); a != b {
		t.Errorf("math/rand gave %s and %s: it is not frozen any more, and the documents say it is", a, b)
	}
}

// TestClosedStreamsAreOpenForTheNextTask: they are the one thing that WASI
// keeps for a guest without files.
func TestClosedStreamsAreOpenForTheNextTask(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{})
	for i := range 3 {
		env := &fakeEnv{}
		got, err := run(t, m, env, "close-streams", "")
		if want := "true true false"; got != want || err != nil {
			t.Errorf("closed stdout, stderr, and file 9: %q, %v; want %q", got, err, want)
		}
		if len(env.lines) != 1 {
			t.Errorf("task %d printed %q", i, env.lines)
		}
	}
}

func TestMappingsAreGivenBack(t *testing.T) {
	// Not parallel: it counts what the process has.
	if runtime.GOOS != "linux" {
		t.Skip("counts lines of /proc/self/maps")
	}
	maps := func() int {
		b, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(b, []byte("\n"))
	}
	e, err := New(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(t.Context())
	round := func() {
		for name, c := range map[string]wasmModule{
			"reset": scribbler(), "grown": scribbler(code(i32Const(1), 0x40, 0, 0x1a)...), "trapped": scribbler(0),
		} {
			m, err := e.Compile(t.Context(), name, c.bytes(), ModuleConfig{Sandboxes: 2})
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					for range 35 {
						_ = m.With(t.Context(), func(s *Sandbox) error {
							_, _, err := s.Run(t.Context(), &abi.Task{Kind: "x"}, &fakeEnv{})
							return err
						})
					}
				})
			}
			wg.Wait()
			if err := m.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	round()
	before := maps()
	round()
	if after := maps(); after > before+10 {
		t.Errorf("%d mappings before 200 sandboxes, %d after", before, after)
	}
}

func TestMemoryImplementations(t *testing.T) {
	t.Parallel()
	const limit, size = 8 * pageSize, 2 * pageSize
	content := make([]byte, size)
	copy(content[100:], "begin")
	copy(content[pageSize+4096:], "page")
	mapped := newImage(content)
	t.Cleanup(mapped.close)
	heap := &image{size: size, bytes: content[:pageSize+5000]}
	for name, from := range map[string]*image{"as the system has it": mapped, "heap": heap} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			open := func() (memory, []byte) {
				m, err := newMemory(limit, size, from)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(m.release)
				if b := m.Reallocate(pageSize); len(b) != pageSize {
					t.Fatalf("%d bytes at first", len(b))
				}
				return m, m.Reallocate(size)
			}
			m, b := open()
			if !bytes.Equal(b, content) {
				t.Fatal("it does not begin as the image")
			}
			for i := range b {
				b[i] = 0xff
			}
			if _, other := open(); !bytes.Equal(other, content) {
				t.Error("what is written to one memory is seen in another")
			}
			if err := m.reset(); err != nil || !bytes.Equal(b, content) {
				t.Errorf("after a reset it is not the image: %v", err)
			}
			b[0] = 1
			grown := m.Reallocate(limit)
			if len(grown) != limit || grown[0] != 1 || !bytes.Equal(grown[1:size], content[1:]) ||
				!bytes.Equal(grown[size:], make([]byte, limit-size)) {
				t.Error("growing changed what was there, or added what is not zero")
			}
			grown[limit-1] = 1
			if m.Reallocate(limit+1) != nil {
				t.Error("it grew beyond its limit")
			}
			if m.size() != limit || m.peak() != limit {
				t.Errorf("size %d and peak %d", m.size(), m.peak())
			}
			m.Free()
			grown[limit-1] = 2 // still there
			m.release()
			m.release()
		})
	}
}

func TestClosedImageMakesNoMemory(t *testing.T) {
	t.Parallel()
	im := newImage([]byte("x"))
	if im.bytes != nil {
		t.Skip("the image is not in a file here")
	}
	im.close()
	if _, err := newMemory(pageSize, pageSize, im); err == nil {
		t.Error("a memory was made")
	}
}
