package engine

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// TestGuestThatOnlyComputesIsStopped: no host call, no allocation, nothing that
// the host could refuse.
func TestGuestThatOnlyComputesIsStopped(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{Sandboxes: 2})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := runCtx(ctx, m, &fakeEnv{}, "spin", ""); !errors.Is(err, abi.DeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := runCtx(ctx, m, &fakeEnv{}, "spin", ""); !errors.Is(err, abi.Cancelled) {
		t.Errorf("cancel: %v", err)
	}
}

func TestFuelIsTheSameForTheSameWork(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{})
	used := func(n string) int64 {
		var usage Usage
		err := m.With(t.Context(), func(s *Sandbox) (err error) {
			_, usage, err = s.Run(t.Context(), textTask("count-to", n), &fakeEnv{})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return usage.Fuel
	}
	// A Go guest's own start differs from run to run by the random seeds that
	// it takes for its maps, so the difference of two loops is what is exact.
	small, large := used("1000000"), used("3000000")
	if per := float64(large-small) / 2_000_000; per < 1 || per > 50 {
		t.Errorf("%.2f units for each turn of a loop: %d for a million, %d for three", per, small, large)
	}
}

func TestFuelLimit(t *testing.T) {
	t.Parallel()
	const limit = 3_000_000
	m := newModule(t, ModuleConfig{Limits: Limits{Fuel: limit}})
	var usage Usage
	err := m.With(t.Context(), func(s *Sandbox) (err error) {
		_, usage, err = s.Run(t.Context(), textTask("spin", ""), &fakeEnv{})
		return err
	})
	if !errors.Is(err, abi.LimitExceeded) || !strings.Contains(err.Error(), "fuel") {
		t.Errorf("got %v, want limit_exceeded that names fuel", err)
	}
	if usage.Fuel <= limit || usage.Fuel > limit+1000 {
		t.Errorf("%d used of %d", usage.Fuel, limit)
	}
	if got, err := run(t, m, &fakeEnv{}, "count-to", "10"); got != "45" || err != nil {
		t.Errorf("the next task: %q, %v", got, err)
	}
}

// TestCollectorRunsWhileAGuestLoops: a loop that cannot be interrupted would hold
// up the collector, and with it every other goroutine.
func TestCollectorRunsWhileAGuestLoops(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := runCtx(ctx, m, &fakeEnv{}, "spin", "")
		done <- err
	}()
	for range 10 {
		runtime.GC()
	}
	cancel()
	if err := <-done; !errors.Is(err, abi.Cancelled) {
		t.Error(err)
	}
}

func TestModuleThatLoopsAtItsStartIsRefused(t *testing.T) {
	t.Parallel()
	loop := wasmFunc{body: []byte{0x03, 0x40, 0x0c, 0, 0x0b}} // loop br 0 end
	m := minimal()
	m.funcs = append(m.funcs, loop)
	m.exports["_initialize"] = 2
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := newEngine(t, Config{}).Compile(ctx, "x", m.bytes(), ModuleConfig{})
	if !errors.Is(err, abi.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestLimitsOfATask(t *testing.T) {
	t.Parallel()
	answer := func(n int) func(context.Context, *abi.Request) ([]byte, error) {
		return func(context.Context, *abi.Request) ([]byte, error) { return make([]byte, n), nil }
	}
	open := func(*abi.Query) (Rows, error) { return noRows{&hostileEnv{}}, nil }
	long := strings.Repeat("x", 200)
	for name, c := range map[string]struct {
		limits    Limits
		kind, arg string
		command   func(context.Context, *abi.Request) ([]byte, error)
	}{
		"commands":       {Limits{Commands: 3}, "call-until-refused", "x", answer(1)},
		"transfer_bytes": {Limits{TransferBytes: 10_000}, "call-until-refused", "x", answer(1000)},
		"request_bytes":  {Limits{RequestBytes: 100}, "call", long, answer(1)},
		"response_bytes": {Limits{ResponseBytes: 4999}, "call", "x", answer(5000)}, // more than the guest's buffer, too
		"result_bytes":   {Limits{ResultBytes: 999}, "return-too-much", "", nil},
		"open_cursors":   {Limits{OpenCursors: 3}, "cursors", "", nil},
	} {
		got, err := run(t, newModule(t, ModuleConfig{Limits: c.limits}), &fakeEnv{command: c.command, open: open}, c.kind, c.arg)
		if err != nil || !strings.HasPrefix(got, "limit_exceeded") || !strings.HasSuffix(got, "(limit: "+name+")") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestNestedCallsAreLimited(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{Sandboxes: 10, Limits: Limits{NestedCalls: 3}})
	ran := 0
	env := &fakeEnv{}
	env.command = func(ctx context.Context, _ *abi.Request) ([]byte, error) {
		ran++
		got, err := runCtx(ctx, m, env, "call", "again")
		return []byte(got), err
	}
	got, err := run(t, m, env, "call", "again")
	if err != nil || !strings.HasPrefix(got, "limit_exceeded") || !strings.HasSuffix(got, "(limit: nested_calls)") {
		t.Errorf("%q, %v", got, err)
	}
	if ran != 4 { // of the guests 1 to 4, the last of which may call nobody
		t.Errorf("%d calls were made", ran)
	}
}

func TestProcessorTimeIsOnTheBill(t *testing.T) {
	t.Parallel()
	if threadCPU() == 0 {
		t.Skip("this system does not tell a thread's processor time")
	}
	m := newModule(t, ModuleConfig{})
	var usage Usage
	err := m.With(t.Context(), func(s *Sandbox) (err error) {
		_, usage, err = s.Run(t.Context(), textTask("count-to", "10000000"), &fakeEnv{})
		return err
	})
	if err != nil || usage.CPU <= 0 || usage.CPU > usage.Wall+10*time.Millisecond {
		t.Errorf("%v of processor time in %v: %v", usage.CPU, usage.Wall, err)
	}
}
