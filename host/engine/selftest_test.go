package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// sumOf is a module whose task returns the eight bytes of the sum of two f64,
// given by their bits. The specification leaves open which of two
// not-a-numbers comes out of that, and the engines do not choose alike.
func sumOf(a, b uint64) []byte {
	m := minimal()
	m.imports = []wasmImport{{"wasmhost_v1", "task_return", []byte{typeI32, typeI32}, []byte{typeI64}}}
	f64Const := func(bits uint64) []byte { return binary.LittleEndian.AppendUint64([]byte{0x44}, bits) }
	m.funcs[1].body = code(
		i32Const(256), f64Const(a), f64Const(b), 0xa0, 0x39, 3, 0, // f64.store of f64.add
		i32Const(256), i32Const(8), 0x10, 0, 0x1a, // call task_return, drop
		i32Const(0),
	)
	return m.bytes()
}

func admit(t *testing.T, wasm []byte, selfTest *abi.Task) error {
	t.Helper()
	m, err := newEngine(t, Config{}).Compile(t.Context(), "x", wasm, ModuleConfig{SelfTest: selfTest})
	if err == nil {
		t.Cleanup(func() { _ = m.Close(context.Background()) })
	}
	return err
}

// loaded is the test guest as a self-test finds it.
func loaded(t *testing.T) *Module {
	t.Helper()
	m, err := newEngine(t, Config{}).load(t.Context(), "guest", guestWasm, ModuleConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	return m
}

func TestSelfTestFindsWhereTheEnginesDiffer(t *testing.T) {
	t.Parallel()
	const one, two, nanA, nanB = 0x3ff0_0000_0000_0000, 0x4000_0000_0000_0000, 0x7ff8_0000_0000_0123, 0x7ff8_0000_0000_0456
	if err := admit(t, sumOf(one, two), &abi.Task{}); err != nil {
		t.Errorf("1 + 2: %v", err)
	}
	errs := []error{admit(t, sumOf(nanA, nanB), &abi.Task{}), admit(t, sumOf(nanB, nanA), &abi.Task{})}
	for _, err := range errs {
		if err != nil && (!errors.Is(err, abi.InvalidModule) || !strings.Contains(err.Error(), "as compiled code and on the interpreter: the result was ")) {
			t.Errorf("got %v", err)
		}
	}
	// The race detector's build of the interpreter adds the other way round.
	if runtime.GOARCH == "amd64" && !underRace && !slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		t.Error("the engines are known to differ here, and it was not noticed")
	}
}

func TestSelfTestIsPassedByAGoGuest(t *testing.T) {
	if underRace {
		t.Skip("the interpreter takes half a minute for it then")
	}
	t.Parallel()
	for _, kind := range []string{"echo", "world", "random", "random-math", "print"} {
		if err := admit(t, guestWasm, textTask(kind, "x")); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestSelfTestThatFailsKeepsAModuleOut(t *testing.T) {
	t.Parallel()
	loop := minimal()
	loop.funcs[1].body = code(0x03, 0x40, 0x0c, 0, 0x0b, i32Const(0)) // loop br 0 end
	fails := minimal()
	fails.funcs[1].body = i32Const(int(abi.Permanent))
	for name, c := range map[string]struct {
		wasm []byte
		want string
	}{
		"an error": {fails.bytes(), "its self-test failed: permanent: the worker gave no reason"},
		"a trap":   {minimalTrap().bytes(), "its self-test failed: trap: wasm error: unreachable"},
		"commands": {hostileWasm(t, "one_command"), "its self-test failed: "},
	} {
		if err := admit(t, c.wasm, &abi.Task{}); !errors.Is(err, abi.InvalidModule) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := newEngine(t, Config{}).Compile(ctx, "x", loop.bytes(), ModuleConfig{SelfTest: &abi.Task{}}); !errors.Is(err, abi.DeadlineExceeded) {
		t.Errorf("a loop: got %v", err)
	}
}

// Every self-test is run in the same world, from its first moment on.
func TestSelfTestsSeeTheSameWorld(t *testing.T) {
	t.Parallel()
	m := loaded(t)
	for _, kind := range []string{"random", "random-math", "world"} {
		var got []string
		for range 2 {
			tr, err := m.tryOut(t.Context(), textTask(kind, ""))
			if err != nil || tr.err != nil {
				t.Fatal(err, tr.err)
			}
			got = append(got, string(tr.result))
		}
		if got[0] != got[1] || got[0] == "" {
			t.Errorf("%s: %q", kind, got)
		}
	}
}

func TestSelfTestReachesNothing(t *testing.T) {
	t.Parallel()
	m := loaded(t)
	for kind, arg := range map[string]string{"call": "ping", "write": "t"} {
		tr, err := m.tryOut(t.Context(), textTask(kind, arg))
		if err != nil || !strings.Contains(string(tr.result), "no rows and commands in a self-test") {
			t.Errorf("%s: %q, %v, %v", kind, tr.result, tr.err, err)
		}
	}
}

func TestWhatDiffersIsNamed(t *testing.T) {
	t.Parallel()
	m := loaded(t)
	try := func(kind, arg string) *trial {
		tr, err := m.tryOut(t.Context(), textTask(kind, arg))
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	for want, o := range map[string]*trial{
		"":                      try("count-to", "10"),
		"the result was 3435 ":  try("count-to", "11"),
		"the interpreter ended": try("fail", "permanent"),
		"units of fuel":         try("count-to", "010"),
	} {
		if got := try("count-to", "10").differs(o); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
