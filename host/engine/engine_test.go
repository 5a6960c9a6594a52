package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

var (
	guestWasm []byte
	cacheDir  string // shared by all tests: compiling the guest once is enough
)

// TestMain builds testdata/guest: what it does is what real guests do.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "engine")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		file := filepath.Join(dir, "guest.wasm")
		build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", file, "./testdata/guest")
		build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the test guest: %v\n%s", err, out)
			return 1
		}
		if guestWasm, err = os.ReadFile(file); err != nil {
			panic(err)
		}
		cacheDir = filepath.Join(dir, "cache")
		if err := compileOnce(); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

// compileOnce fills the cache, so that parallel tests do not all compile.
func compileOnce() error {
	ctx := context.Background()
	e, err := New(ctx, Config{CacheDir: cacheDir})
	if err != nil {
		return err
	}
	_, err = e.Compile(ctx, "guest", guestWasm, ModuleConfig{})
	return errors.Join(err, e.Close(ctx))
}

func newEngine(t *testing.T, cfg Config) *Engine {
	t.Helper()
	cfg.CacheDir = cacheDir
	e, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

func newModule(t *testing.T, cfg ModuleConfig) *Module {
	t.Helper()
	m, err := newEngine(t, Config{}).Compile(t.Context(), "guest", guestWasm, cfg)
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

// fakeEnv is what the guest reaches in these tests.
type fakeEnv struct {
	mu       sync.Mutex
	lines    []string
	progress [2]int64
	open     func(*abi.Query) (Rows, error)
	write    func([]abi.Mutation, []byte) ([]abi.WriteResult, error)
	command  func(context.Context, *abi.Request) ([]byte, error)
}

func (e *fakeEnv) OpenRows(_ context.Context, q *abi.Query) (Rows, error) { return e.open(q) }

func (e *fakeEnv) WriteRows(_ context.Context, ms []abi.Mutation, rows []byte) ([]abi.WriteResult, error) {
	return e.write(ms, rows)
}

func (e *fakeEnv) Command(ctx context.Context, r *abi.Request) ([]byte, error) {
	return e.command(ctx, r)
}

func (e *fakeEnv) Progress(_ context.Context, done, total int64) error {
	e.progress = [2]int64{done, total}
	return nil
}

func (e *fakeEnv) Log(_ context.Context, level abi.Level, line string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lines = append(e.lines, fmt.Sprintf("%d %s", level, line))
}

func run(t *testing.T, m *Module, env *fakeEnv, kind, arg string) (string, error) {
	t.Helper()
	return runCtx(t.Context(), m, env, kind, arg)
}

func textTask(kind, arg string) *abi.Task {
	var w wire.Writer
	w.String(arg)
	return &abi.Task{ID: "1", Kind: kind, Payload: w.B, Attempt: 1}
}

func runCtx(ctx context.Context, m *Module, env *fakeEnv, kind, arg string) (string, error) {
	var got []byte
	err := m.With(ctx, func(s *Sandbox) (err error) {
		got, _, err = s.Run(ctx, textTask(kind, arg), env)
		return err
	})
	return string(got), err
}

func TestTaskInResultOut(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{})
	got, err := run(t, m, &fakeEnv{}, "echo", "héllo")
	if err != nil {
		t.Fatal(err)
	}
	var want wire.Writer
	want.String("héllo")
	if got != string(want.B) {
		t.Errorf("got %q, want %q", got, want.B)
	}
}

func TestUsageCountsCallsAndBytes(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{})
	var usage Usage
	err := m.With(t.Context(), func(s *Sandbox) (err error) {
		_, usage, err = s.Run(t.Context(), &abi.Task{Kind: "progress"}, &fakeEnv{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if usage.HostCalls != 2 || usage.BytesIn != int64(len("ok 0")) || usage.BytesOut == 0 || usage.PeakMemory == 0 || usage.Wall < usage.Host {
		t.Errorf("usage = %+v", usage)
	}
}

func TestGuestErrorsKeepTheirCode(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{})
	for code, want := range map[string]abi.Code{
		"failed": abi.Failed, "permanent": abi.Permanent, "later": abi.Later, "unknown_column": abi.UnknownColumn,
		// What only the host can know is not the guest's to say.
		"interrupted": abi.Failed, "internal": abi.Failed, "cancelled": abi.Failed, "deadline_exceeded": abi.Failed,
	} {
		_, err := run(t, m, &fakeEnv{}, "fail", code)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), code) {
			t.Errorf("%s: got %v, want code %v", code, err, want)
		}
		var later *LaterError
		if errors.As(err, &later) != (want == abi.Later) || (later != nil && later.After != 1500*time.Millisecond) {
			t.Errorf("%s: later = %+v", code, later)
		}
	}
	if _, err := run(t, m, &fakeEnv{}, "bare", ""); !errors.Is(err, abi.Failed) || !strings.Contains(err.Error(), "bare text") {
		t.Errorf("bare text: %v", err)
	}
	if _, err := run(t, m, &fakeEnv{}, "number", ""); !errors.Is(err, abi.Failed) || !strings.Contains(err.Error(), "code_4711") {
		t.Errorf("a code that does not exist: %v", err)
	}
}

func TestEachTaskFindsACleanSandbox(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{})
	for range 3 {
		if got, err := run(t, m, &fakeEnv{}, "count", ""); got != "1" || err != nil {
			t.Errorf("a task is number %s in its sandbox, %v", got, err)
		}
	}
}

func TestSandboxIsKeptAfterAReturnAndDroppedAfterATrap(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{Isolation: PerWorker})
	count := func() string {
		got, err := run(t, m, &fakeEnv{}, "count", "")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if a, b := count(), count(); a != "1" || b != "2" {
		t.Fatalf("the sandbox was not kept: counts %s, %s", a, b)
	}
	for kind, text := range map[string]string{
		"panic": "panic: out of order: x",
		"exit":  "exited with status 3",
	} {
		_, err := run(t, m, &fakeEnv{}, kind, "x")
		if !errors.Is(err, abi.Trap) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got %v, want a trap that says %q", kind, err, text)
		}
		if got := count(); got != "1" {
			t.Errorf("after %s the old sandbox was used again: count %s", kind, got)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	const limit = 16 << 20
	m := newModule(t, ModuleConfig{Limits: Limits{MemoryBytes: limit}})
	var usage Usage
	err := m.With(t.Context(), func(s *Sandbox) (err error) {
		_, usage, err = s.Run(t.Context(), &abi.Task{Kind: "hog"}, &fakeEnv{})
		return err
	})
	if !errors.Is(err, abi.Trap) || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("got %v, want a trap for memory", err)
	}
	if usage.PeakMemory > limit || usage.PeakMemory < limit/2 {
		t.Errorf("peak memory %d, want at most %d and close to it", usage.PeakMemory, limit)
	}
	// Garbage does not count against the limit: the guest's collector knows it.
	if got, err := run(t, m, &fakeEnv{}, "churn", ""); got != "done" {
		t.Errorf("600 MB of garbage with 6 MB live: %q, %v", got, err)
	}
}

func TestOutputBecomesBoundedLogLines(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{Limits: Limits{LogLines: 10, LogLineBytes: 100}})
	env := &fakeEnv{}
	if _, err := run(t, m, env, "print", ""); err != nil {
		t.Fatal(err)
	}
	if want := []string{"1 to stdout", "2 to stderr", "1 no end ?[31m"}; !slices.Equal(env.lines, want) {
		t.Errorf("lines = %q, want %q", env.lines, want)
	}
	env = &fakeEnv{}
	if _, err := run(t, m, env, "flood", ""); err != nil {
		t.Fatal(err)
	}
	if n := len(env.lines); n != 11 || !strings.Contains(env.lines[10], "dropped over the limit: 4991") {
		t.Errorf("%d lines, the last is %q; want 10 and the count of those dropped", n, env.lines[n-1])
	}
	for _, l := range env.lines {
		if len(l) > 120 {
			t.Errorf("a line of %d bytes", len(l))
		}
	}
}

func TestClockAndRandomAreRealAndTheWorldIsNot(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{})
	seen := map[string]bool{}
	for range 3 {
		got, err := run(t, m, &fakeEnv{}, "clock", "")
		if err != nil {
			t.Fatal(err)
		}
		var now int64
		var slept bool
		var random string
		if _, err := fmt.Sscanf(got, "%d %t %s", &now, &slept, &random); err != nil {
			t.Fatal(got, err)
		}
		if d := time.Now().Unix() - now; d < 0 || d > 60 || !slept || seen[random] {
			t.Errorf("clock off by %d s, slept %t, random %s", d, slept, random)
		}
		seen[random] = true
	}
	got, err := run(t, m, &fakeEnv{}, "world", "")
	if want := "true true [GOMEMLIMIT] 0"; got != want || err != nil {
		t.Errorf("files, file, env, args = %q, %v; want %q", got, err, want)
	}
}

func TestDeadlineAndCancelEndHostCallsAndSleep(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{Sandboxes: 4})
	waiting := func(ctx context.Context, _ *abi.Request) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, kind := range []string{"call", "call-forever", "sleep"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			if _, err := runCtx(ctx, m, &fakeEnv{command: waiting}, kind, "x"); !errors.Is(err, abi.DeadlineExceeded) {
				t.Errorf("deadline: %v", err)
			}
			ctx, cancel = context.WithCancel(t.Context())
			time.AfterFunc(20*time.Millisecond, cancel)
			if _, err := runCtx(ctx, m, &fakeEnv{command: waiting}, kind, "x"); !errors.Is(err, abi.Cancelled) {
				t.Errorf("cancel: %v", err)
			}
		})
	}
	t.Run("waiting for a sandbox", func(t *testing.T) {
		t.Parallel()
		m := newModule(t, ModuleConfig{Sandboxes: 1})
		ctx, cancel := context.WithCancel(t.Context())
		err := m.With(t.Context(), func(*Sandbox) error {
			cancel()
			return m.With(ctx, func(*Sandbox) error { return nil })
		})
		if !errors.Is(err, abi.Cancelled) {
			t.Error(err)
		}
	})
}

func TestHostFunctionsRefuseWhatIsWrong(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{})
	env := &fakeEnv{} // every method that is reached would panic
	got, err := run(t, m, env, "wild", "")
	if err != nil {
		t.Fatal(err)
	}
	bad := "invalid_argument"
	want := strings.Join([]string{
		bad, "limit_exceeded", bad, // rows_open
		bad, bad, bad, // rows_next, rows_close
		bad, bad, bad, bad, // rows_write
		bad, bad, bad, // command
		bad,                   // pending
		bad, "limit_exceeded", // task_return
	}, " ")
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, _ := run(t, m, env, "progress-bad", ""); !strings.HasPrefix(got, "invalid_argument") {
		t.Errorf("negative progress: %s", got)
	}
	if _, err := run(t, m, env, "progress", ""); err != nil || env.progress != [2]int64{3, 10} {
		t.Errorf("progress = %v, %v", env.progress, err)
	}
}

func TestPanicInTheHostBecomesInternalAndStaysThere(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	e := newEngine(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	m, err := e.Compile(t.Context(), "guest", guestWasm, ModuleConfig{Isolation: PerWorker})
	if err != nil {
		t.Fatal(err)
	}
	got, err := run(t, m, &fakeEnv{}, "call", "x") // fakeEnv.command is nil
	if want := "internal "; err != nil || !strings.HasPrefix(got, want) || strings.Contains(got, "goroutine") {
		t.Errorf("the guest was told %q, %v", got, err)
	}
	if !strings.Contains(log.String(), "panic in command") || !strings.Contains(log.String(), "engine_test.go") {
		t.Errorf("the log says %s", &log)
	}
	if got, _ := run(t, m, &fakeEnv{}, "count", ""); got != "1" {
		t.Error("the sandbox was used again after a panic inside of its call")
	}
}

func TestCommandAnswersThatFitAndThatDoNot(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{Limits: Limits{ResponseBytes: 10_000}})
	answer := func(n int) *fakeEnv {
		return &fakeEnv{command: func(_ context.Context, r *abi.Request) ([]byte, error) {
			if r.Name != "name" {
				t.Errorf("name = %q", r.Name)
			}
			return bytes.Repeat([]byte("x"), n), nil
		}}
	}
	for n, want := range map[int]string{
		0:      "",
		4096:   strings.Repeat("x", 4096),
		4097:   "buffer_too_small 4097 " + strings.Repeat("x", 4097),
		10_000: "buffer_too_small 10000 " + strings.Repeat("x", 10_000),
	} {
		if got, err := run(t, m, answer(n), "call", "name"); got != want || err != nil {
			t.Errorf("%d bytes: got %d bytes %.40q, %v", n, len(got), got, err)
		}
	}
	if got, _ := run(t, m, answer(10_001), "call", "name"); !strings.HasPrefix(got, "limit_exceeded") {
		t.Errorf("over the limit: %.60q", got)
	}
	failing := &fakeEnv{command: func(context.Context, *abi.Request) ([]byte, error) {
		return nil, abi.Errorf(abi.UnknownCommand, "no such command")
	}}
	if got, _ := run(t, m, failing, "call", "name"); got != "unknown_command 15 no such command" {
		t.Errorf("failing: %q", got)
	}
}

// listRows gives out one part at a time; a part that does not fit is kept.
type listRows struct {
	parts  []string
	closed *int
}

func (r *listRows) Next(_ context.Context, dst []byte) (int, error) {
	if len(r.parts) == 0 {
		return 0, nil
	}
	part := r.parts[0]
	if len(part) > len(dst) {
		return 0, fmt.Errorf("row: %w", &TooSmallError{Size: len(part)})
	}
	r.parts = r.parts[1:]
	return copy(dst, part), nil
}

func (r *listRows) Close() error {
	*r.closed++
	return nil
}

func TestRowsArriveInOrderAlsoThoseThatDoNotFit(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{Limits: Limits{ResponseBytes: 100}})
	closed := 0
	open := func(parts ...string) func(*abi.Query) (Rows, error) {
		return func(q *abi.Query) (Rows, error) {
			lookup := q.Lookup
			if !bytes.Equal(lookup, []byte{0x91, 0xa1, 'k'}) {
				t.Errorf("lookup = %x", lookup)
			}
			// The guest clears its request after this: the query must not see it.
			return &listRows{parts: append(parts, string(lookup)), closed: &closed}, nil
		}
	}
	got, err := run(t, m, &fakeEnv{open: open("small,", strings.Repeat("L", 40)+",", "last,")}, "read", "c")
	want := "small," + strings.Repeat("L", 40) + ",last,\x91\xa1k then invalid_argument"
	if got != want || err != nil {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if closed != 1 {
		t.Errorf("closed %d times", closed)
	}
	got, _ = run(t, m, &fakeEnv{open: open(strings.Repeat("L", 101))}, "read", "c")
	if !strings.HasPrefix(got, "limit_exceeded") {
		t.Errorf("a row over the limit: %q", got)
	}
	if closed != 2 {
		t.Errorf("a cursor that the guest left open was closed %d times", closed-1)
	}
}

func TestOpenCursorsAreLimitedAndClosedAtTheEnd(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{Limits: Limits{OpenCursors: 3}})
	opened, closed := 0, 0
	env := &fakeEnv{open: func(*abi.Query) (Rows, error) {
		opened++
		return &listRows{closed: &closed}, nil
	}}
	got, err := run(t, m, env, "cursors", "")
	if !strings.HasPrefix(got, "limit_exceeded") || err != nil || opened != 3 || closed != 3 {
		t.Errorf("got %q, %v with %d opened and %d closed", got, err, opened, closed)
	}
}

func TestWriteHandsOverTheGuestsBytes(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{})
	env := &fakeEnv{write: func(ms []abi.Mutation, rows []byte) ([]abi.WriteResult, error) {
		if len(ms) != 1 || ms[0].Collection != "some rows" || ms[0].Verb != abi.Insert || string(rows) != "some rows" {
			t.Errorf("got %+v, %q", ms, rows)
		}
		return []abi.WriteResult{{Applied: 7, Unapplied: []int64{2}}}, nil
	}}
	got, err := run(t, m, env, "write", "some rows")
	if err != nil {
		t.Fatal(err)
	}
	res, err := wire.ReadWriteResults([]byte(got))
	if err != nil || len(res) != 1 || res[0].Applied != 7 || !slices.Equal(res[0].Unapplied, []int64{2}) {
		t.Errorf("results = %+v, %v", res, err)
	}
}

func TestSandboxesAreNeverShared(t *testing.T) {
	t.Parallel()
	const limit = 3
	m := newModule(t, ModuleConfig{Sandboxes: limit, Isolation: PerWorker})
	var mu sync.Mutex
	inUse, most := map[*Sandbox]bool{}, 0
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20 {
				err := m.With(t.Context(), func(s *Sandbox) error {
					mu.Lock()
					if inUse[s] {
						t.Error("a sandbox was lent twice at once")
					}
					inUse[s] = true
					most = max(most, len(inUse))
					mu.Unlock()
					_, _, err := s.Run(t.Context(), &abi.Task{Kind: "echo"}, &fakeEnv{})
					mu.Lock()
					delete(inUse, s)
					mu.Unlock()
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if most > limit {
		t.Errorf("%d sandboxes in use at once, the limit is %d", most, limit)
	}
}

func TestClosedModuleRefuses(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{})
	err := m.With(t.Context(), func(s *Sandbox) error {
		if err := m.Close(t.Context()); err != nil {
			return err
		}
		// In use while the module closes: it works to its end.
		_, _, err := s.Run(t.Context(), &abi.Task{Kind: "echo"}, &fakeEnv{})
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := run(t, m, &fakeEnv{}, "echo", ""); !errors.Is(err, abi.Unavailable) {
		t.Errorf("after Close: %v", err)
	}
}
