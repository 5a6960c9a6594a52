package rewrite

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// tabled is a module with a table of 600 elements from 5 on: function i returns
// what it is given plus i, but the first third is of another type and takes nothing,
// and each seventh element is none. Function 0 is imported. Its exports call the
// element i: "f" those of the first type, "g" the others. extra is added to f.
func tabled(segment func(functions []uint32) []byte, extra ...byte) []byte {
	const n = 600
	var types, bodies [][]byte
	var elements []uint32
	for i := range uint32(n) {
		if i < n/3 {
			types = append(types, u32(2))
			bodies = append(bodies, body(i32(int32(1000+i))))
		} else {
			types = append(types, u32(1))
			bodies = append(bodies, body(op(opLocalGet, 0), i32(int32(i)), op(opI32Add)))
		}
		elements = append(elements, 1+i)
	}
	types = append(types, u32(1), u32(1), u32(1))
	bodies = append(bodies,
		body(extra, i32(7), op(opLocalGet, 0, opCallIndirect, 1, 0)),
		body(op(opLocalGet, 0, opCallIndirect, 2, 0)),
		body(op(opLocalGet, 0)))
	return wasm(
		sec(secType, typ("", ""), typ(vI32, vI32), typ("", vI32)),
		sec(secImport, imp("env", "f", kindFunc, 0)),
		sec(secFunction, types...),
		sec(secTable, cat(op(typeFuncref, 0), u32(n+10))),
		sec(secMemory, op(0, 1)),
		sec(secExport, exp("f", kindFunc, n+1), exp("g", kindFunc, n+2)),
		raw(secElement, segment(elements)),
		sec(secCode, bodies...),
	)
}

// indexed fills the table from 5 on, and then the element 9 with the import.
func indexed(functions []uint32) []byte {
	b := cat(u32(2), op(0), i32(5), op(opEnd), u32(uint32(len(functions))))
	for _, f := range functions {
		b = append(b, u32(f)...)
	}
	return cat(b, op(2, 0), i32(9), op(opEnd, 0, 1, 0))
}

// expressed does it by expressions, and leaves out each seventh.
func expressed(functions []uint32) []byte {
	b := cat(u32(2), op(3, 0, 1, 1), op(4), i32(5), op(opEnd), u32(uint32(len(functions))))
	for i, f := range functions {
		if i%7 == 0 {
			b = append(b, opRefNull, typeFuncref, opEnd)
		} else {
			b = append(cat(b, op(opRefFunc), u32(f)), opEnd)
		}
	}
	return b
}

// outcome is what a call comes to, with the fuel that it took.
func (x *tester) outcome(m api.Module, name string, arg uint64) string {
	before := x.used(m)
	res, err := m.ExportedFunction(name).Call(x.t.Context(), arg)
	text := ""
	if err != nil {
		text, _, _ = strings.Cut(err.Error(), "\n")
	}
	return fmt.Sprint(res, text, x.used(m)-before)
}

func TestTableIsFilledWhileItIsCalled(t *testing.T) {
	t.Parallel()
	for name, segment := range map[string]func([]uint32) []byte{"indices": indexed, "expressions": expressed} {
		for engine, cfg := range map[string]wazero.RuntimeConfig{
			"compiler": wazero.NewRuntimeConfigCompiler(), "interpreter": wazero.NewRuntimeConfigInterpreter(),
		} {
			t.Run(name+"/"+engine, func(t *testing.T) {
				t.Parallel()
				x := newEnv(t, cfg)
				in := tabled(segment)
				out, report := prepare(t, in)
				if report.Obstacle != ObstacleNone {
					t.Fatal(report.Obstacle)
				}
				eager, _, err := Instrument(in, Config{Snapshot: true, FewElements: 10_000})
				if err != nil {
					t.Fatal(err)
				}
				if len(out) < len(eager)+600*4 {
					t.Fatalf("%d and %d bytes: the table is filled by the runtime", len(out), len(eager))
				}
				a, b := x.instance(out), x.instance(eager)
				for i := range uint64(620) {
					for _, f := range []string{"f", "g"} {
						want := x.outcome(b, f, i)
						for _, time := range []string{"first", "second"} {
							if got := x.outcome(a, f, i); got != want {
								t.Errorf("%s(%d), the %s time: got %s, want %s", f, i, time, got, want)
							}
						}
					}
				}
			})
		}
	}
}

// A module that would see the stubs, or whose table does not allow for them, is
// left as it is.
func TestTableIsFilledByTheRuntime(t *testing.T) {
	t.Parallel()
	for name, in := range map[string][]byte{
		"table.get":  tabled(indexed, opLocalGet, 0, opTableGet, 0, 0x1a), // drop
		"table.set":  tabled(indexed, opLocalGet, 0, opRefNull, typeFuncref, opTableSet, 0),
		"table.fill": tabled(indexed, cat(i32(0), op(opRefNull, typeFuncref), i32(0), op(opMisc, miscTableFill, 0))...),
		"few functions": tabled(func(f []uint32) []byte {
			return cat(u32(1), op(0), i32(5), op(opEnd), u32(1), u32(f[0]))
		}),
		"a computed offset": tabled(func(f []uint32) []byte {
			return cat(u32(1), op(0), i32(5), i32(1), op(opI32Add, opEnd), u32(2), u32(f[0]), u32(f[1]))
		}),
		"an element outside": tabled(func(f []uint32) []byte {
			return cat(u32(1), op(0), i32(609), op(opEnd), u32(2), u32(f[0]), u32(f[1]))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			with, _, err := Instrument(in, Config{Snapshot: true, FewElements: 2})
			if err != nil {
				t.Fatal(err)
			}
			without, _, err := Instrument(in, Config{Snapshot: true, FewElements: 10_000})
			if err != nil || string(with) != string(without) {
				t.Errorf("%d and %d bytes, %v", len(with), len(without), err)
			}
		})
	}
}
