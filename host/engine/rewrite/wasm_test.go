package rewrite

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// Just enough of an assembler for modules that no compiler would make.

func cat(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func str(s string) []byte { return appendName(nil, s) }
func u32(v uint32) []byte { return appendU32(nil, v) }
func i32(v int32) []byte  { return appendS32([]byte{opI32Const}, v) }

// sec is a section with a vector of entries.
func sec(id byte, entries ...[]byte) []byte {
	return raw(id, cat(u32(uint32(len(entries))), cat(entries...)))
}

func raw(id byte, body []byte) []byte { return cat([]byte{id}, u32(uint32(len(body))), body) }

func custom(name string, body []byte) []byte { return raw(secCustom, cat(str(name), body)) }

func wasm(sections ...[]byte) []byte { return cat([]byte(header), cat(sections...)) }

func typ(params, results string) []byte {
	return cat([]byte{0x60}, str(params), str(results))
}

const (
	vI32 = "\x7f"
	vI64 = "\x7e"
)

func imp(module, name string, kind byte, desc ...byte) []byte {
	return cat(str(module), str(name), []byte{kind}, desc)
}

func exp(name string, kind byte, index uint32) []byte {
	return cat(str(name), []byte{kind}, u32(index))
}

// body is a function without locals of its own; the end is added.
func body(code ...[]byte) []byte { return bodyWith([]byte{0}, code...) }

func bodyWith(locals []byte, code ...[]byte) []byte {
	b := cat(locals, cat(code...), []byte{opEnd})
	return cat(u32(uint32(len(b))), b)
}

func op(b ...byte) []byte { return b }

// tester runs metered modules and counts what they use.
type tester struct {
	wazero.Runtime
	t     *testing.T
	ticks atomic.Int64
	slice int32                          // what a tick adds
	tick  func(used int64, m api.Module) // more to do at a tick; may panic
}

func newTester(t *testing.T, cfg wazero.RuntimeConfig) *tester {
	t.Helper()
	ctx := context.Background()
	x := &tester{Runtime: wazero.NewRuntimeWithConfig(ctx, cfg), t: t, slice: 10_000}
	t.Cleanup(func() { _ = x.Close(ctx) })
	_, err := x.NewHostModuleBuilder(TickModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, _ []uint64) {
			n := x.ticks.Add(1)
			left := counter(m)
			left.Set(uint64(uint32(int32(left.Get()) + x.slice)))
			if x.tick != nil {
				x.tick(n*int64(x.slice), m)
			}
		}), nil, nil).Export(TickName).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func counter(m api.Module) api.MutableGlobal {
	return m.ExportedGlobal(Counter).(api.MutableGlobal)
}

// start instantiates the metered form of wasm.
func (x *tester) start(wasm []byte) api.Module {
	x.t.Helper()
	out, _, err := Instrument(wasm, Config{})
	if err != nil {
		x.t.Fatal(err)
	}
	m, err := x.InstantiateWithConfig(context.Background(), out, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		x.t.Fatal(err)
	}
	return m
}

// used is the fuel that m has used since the tester was made, if no other
// module ran.
func (x *tester) used(m api.Module) int64 {
	return x.ticks.Load()*int64(x.slice) - int64(int32(counter(m).Get()))
}
