package rewrite

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasmhost/wasmhost/abi"
)

func active(offset int32, data string) []byte {
	return cat(op(0), i32(offset), op(opEnd), str(data))
}

func passive(data string) []byte { return cat(op(1), str(data)) }

// stateful has state of every kind that a snapshot holds. Its start function
// grows the memory and writes to it, to a global, and from a passive segment.
func stateful() []byte {
	f32 := binary.LittleEndian.AppendUint32(op(opF32Const), 0x7fa0_0001) // a signalling NaN
	f64 := binary.LittleEndian.AppendUint64(op(opF64Const), 0xfff4_dead_beef_0001)
	return wasm(
		sec(secType, typ("", "")),
		sec(secImport, imp("env", "f", kindFunc, 0)),
		sec(secFunction, u32(0)),
		sec(secTable, op(typeFuncref, 0, 2)),
		sec(secMemory, op(0, 1)),
		sec(secGlobal,
			cat(op(typeI32, 0), i32(5), op(opEnd)),
			cat(op(typeI32, 1), i32(-7), op(opEnd)),
			cat(op(typeI64, 1, opI64Const), op(0x7f), op(opEnd)), // -1
			cat(op(typeF32, 1), f32, op(opEnd)),
			cat(op(typeF64, 1), f64, op(opEnd)),
			op(typeFuncref, 1, opRefNull, typeFuncref, opEnd),
			op(typeExternref, 1, opRefNull, typeExternref, opEnd),
		),
		sec(secExport, exp("memory", kindMemory, 0), exp("begin", kindFunc, 1)),
		raw(secStart, u32(1)),
		sec(secElement, cat(op(0), i32(0), op(opEnd), op(2, 0, 1))),
		raw(secDataCount, u32(4)),
		sec(secCode, body(
			i32(1), op(opMemoryGrow, 0, 0x1a),
			i32(70_000), i32(0x1234), op(0x36, 2, 0), // i32.store
			i32(99), op(opGlobalSet, 1),
			i32(200), i32(1), i32(2), op(opMisc, miscMemoryInit, 2, 0),
		)),
		sec(secData, active(8, "hello"), active(10, "LL"), passive("xyz"), active(65_530, "end")),
	)
}

// newEnv offers env.f besides the tick.
func newEnv(t *testing.T, cfg wazero.RuntimeConfig) *tester {
	t.Helper()
	x := newTester(t, cfg)
	_, err := x.NewHostModuleBuilder("env").NewFunctionBuilder().
		WithGoFunction(api.GoFunc(func(context.Context, []uint64) {}), nil, nil).Export("f").
		Instantiate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func prepare(t *testing.T, wasm []byte) ([]byte, Report) {
	t.Helper()
	out, report, err := Instrument(wasm, Config{Snapshot: true, FewElements: 1})
	if err != nil {
		t.Fatal(err)
	}
	return out, report
}

func (x *tester) instance(wasm []byte) api.Module {
	x.t.Helper()
	m, err := x.InstantiateWithConfig(x.t.Context(), wasm, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		x.t.Fatal(err)
	}
	return m
}

func content(t *testing.T, m api.Module) []byte {
	t.Helper()
	b, ok := m.Memory().Read(0, m.Memory().Size())
	if !ok {
		t.Fatal("the memory cannot be read")
	}
	return b
}

func TestPreparedModuleStartedByHandIsLikeThePlainOne(t *testing.T) {
	t.Parallel()
	x := newEnv(t, wazero.NewRuntimeConfig())
	plain := x.start(stateful())
	out, report := prepare(t, stateful())
	if report.Obstacle != ObstacleNone || report.Initial == nil {
		t.Fatalf("obstacle %q", report.Obstacle)
	}
	if n := len(report.Initial.Data); n != 3 || !report.Initial.Start || report.Initial.Globals != 6 {
		t.Fatalf("%d segments, start %t, %d globals; want 3, true, 6", n, report.Initial.Start, report.Initial.Globals)
	}
	m := x.instance(out)
	if b := content(t, m); len(b) != 1<<16 || !bytes.Equal(b, make([]byte, len(b))) {
		t.Fatalf("the instance has %d bytes, some of them written, before it was started", len(b))
	}
	for _, d := range report.Initial.Data {
		if !m.Memory().Write(d.Offset, d.Bytes) {
			t.Fatalf("no room for %d bytes at %d", len(d.Bytes), d.Offset)
		}
	}
	if _, err := m.ExportedFunction(StartName).Call(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, want := content(t, m), content(t, plain)
	if !bytes.Equal(got, want) {
		t.Error("the memories differ")
	}
	if s := string(got[8:13]) + string(got[200:202]) + string(got[65_530:65_533]); s != "heLLoyzend" {
		t.Errorf("memory has %q", s)
	}
	for i, want := range []uint64{99, math.MaxUint64, 0x7fa0_0001, 0xfff4_dead_beef_0001, 0, 0} {
		g, ok := m.ExportedGlobal(GlobalName(i)).(api.MutableGlobal)
		if !ok {
			t.Fatalf("global %d is not there, or not mutable", i)
		}
		if got := g.Get(); got != want {
			t.Errorf("global %d = %#x, want %#x", i, got, want)
		}
		// What is set is what is there, to the bit.
		if g.Set(want); g.Get() != want {
			t.Errorf("global %d = %#x after it was set to %#x", i, g.Get(), want)
		}
	}
	if m.ExportedGlobal(GlobalName(6)) != nil {
		t.Error("a global that cannot change is exported")
	}
}

func TestSegmentsOutliveTheFile(t *testing.T) {
	t.Parallel()
	in := stateful()
	_, report := prepare(t, in)
	clear(in)
	if got := string(report.Initial.Data[0].Bytes); got != "hello" {
		t.Errorf("got %q", got)
	}
}

func TestDataSectionGoesWhereNothingNamesASegment(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		data [][]byte
		code []byte
		want string // what is left of the section
	}{
		"only active":          {[][]byte{active(1, "a"), active(-1, "")}, nil, ""},
		"one passive":          {[][]byte{active(1, "a"), passive("b"), active(2, "c")}, nil, "\x03\x00\x41\x00\x0b\x00\x01\x01b\x00\x41\x00\x0b\x00"},
		"one named, none left": {[][]byte{active(1, "a")}, cat(i32(0), i32(0), i32(0), op(opMisc, miscMemoryInit, 0, 0)), "\x01\x00\x41\x00\x0b\x00"},
	} {
		in := wasm(sec(secType, typ("", "")), sec(secFunction, u32(0)), sec(secMemory, op(0, 1)),
			sec(secExport, exp("memory", kindMemory, 0), exp("f", kindFunc, 0)),
			raw(secDataCount, u32(uint32(len(c.data)))), sec(secCode, body(c.code)), sec(secData, c.data...))
		out, report := prepare(t, in)
		if report.Initial == nil {
			t.Errorf("%s: %s", name, report.Obstacle)
			continue
		}
		m, err := decode(out, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if s := m.find(secData); s != nil {
			got = string(s.body)
		}
		if got != c.want || (m.find(secDataCount) == nil) != (c.want == "") {
			t.Errorf("%s: %q is left, want %q", name, got, c.want)
		}
		inst := newTester(t, wazero.NewRuntimeConfig()).instance(out)
		if _, err := inst.ExportedFunction("f").Call(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestObstacles(t *testing.T) {
	t.Parallel()
	vec := cat(op(typeV128, 1, opVec, vecConst), make([]byte, 16), op(opEnd))
	module := func(code []byte, more ...[]byte) []byte {
		sections := map[byte][]byte{
			secType:     sec(secType, typ("", "")),
			secFunction: sec(secFunction, u32(0)),
			secTable:    sec(secTable, op(typeFuncref, 0, 2)),
			secMemory:   sec(secMemory, op(0, 1)),
			secStart:    raw(secStart, u32(0)),
			secElement:  sec(secElement, op(1, 0, 1, 0)),
			secCode:     sec(secCode, body(code)),
			secData:     sec(secData, active(0, "a")),
		}
		for _, s := range more {
			sections[s[0]] = s
		}
		var list [][]byte
		for _, id := range []byte{secType, secImport, secFunction, secTable, secMemory, secGlobal, secStart, secElement, secDataCount, secCode, secData} {
			list = append(list, sections[id])
		}
		return wasm(list...)
	}
	count := raw(secDataCount, u32(1))
	many := make([][]byte, maxSnapshotGlobals+1)
	for i := range many {
		many[i] = cat(op(typeI32, 1), i32(0), op(opEnd))
	}
	three := cat(i32(0), i32(0), i32(0))
	for name, c := range map[string]struct {
		wasm []byte
		want Obstacle
	}{
		"none":              {module(nil), ObstacleNone},
		"table.get":         {module(cat(i32(0), op(0x25, 0, 0x1a))), ObstacleNone},
		"memory.init":       {module(cat(three, op(opMisc, miscMemoryInit, 0, 0)), count), ObstacleNone},
		"table.set":         {module(cat(i32(0), op(opRefNull, typeFuncref, opTableSet, 0))), ObstacleTable},
		"table.set, dead":   {module(cat(op(opReturn), i32(0), op(opRefNull, typeFuncref, opTableSet, 0))), ObstacleTable},
		"table.init":        {module(cat(three, op(opMisc, miscTableInit, 0, 0))), ObstacleTable},
		"table.copy":        {module(cat(three, op(opMisc, miscTableCopy, 0, 0))), ObstacleTable},
		"table.grow":        {module(cat(op(opRefNull, typeFuncref), i32(0), op(opMisc, miscTableGrow, 0, 0x1a))), ObstacleTable},
		"table.fill":        {module(cat(i32(0), op(opRefNull, typeFuncref), i32(0), op(opMisc, miscTableFill, 0))), ObstacleTable},
		"data.drop":         {module(op(opMisc, miscDataDrop, 0), count), ObstacleDrop},
		"elem.drop":         {module(op(opMisc, miscElemDrop, 0)), ObstacleDrop},
		"imported global":   {module(nil, sec(secImport, imp("env", "g", kindGlobal, typeI32, 0))), ObstacleImport},
		"imported table":    {module(nil, sec(secImport, imp("env", "t", kindTable, typeFuncref, 0, 1))), ObstacleImport},
		"no memory":         {module(nil, sec(secMemory), sec(secData)), ObstacleNoMemory}, // and yet a section for data,
		"v128":              {module(nil, sec(secGlobal, vec)), ObstacleVector},
		"v128, constant":    {module(nil, sec(secGlobal, append(op(typeV128, 0), vec[2:]...))), ObstacleNone},
		"many globals":      {module(nil, sec(secGlobal, many...)), ObstacleGlobals},
		"most globals":      {module(nil, sec(secGlobal, many[1:]...)), ObstacleNone},
		"start, imported":   {module(nil, sec(secImport, imp("env", "f", kindFunc, 0))), ObstacleStart},
		"start, references": {module(op(opRefFunc, 0, 0x1a)), ObstacleStartRef},
		"computed offset":   {module(nil, sec(secGlobal, cat(op(typeI32, 0), i32(8), op(opEnd))), sec(secData, cat(op(0), op(opGlobalGet, 0, opEnd), str("a")))), ObstacleOffset},
	} {
		out, report := prepare(t, c.wasm)
		if report.Obstacle != c.want || (report.Initial != nil) != (c.want == ObstacleNone) {
			t.Errorf("%s: %q, prepared %t; want %q", name, report.Obstacle, report.Initial != nil, c.want)
		}
		plain, _, err := Instrument(c.wasm, Config{})
		if err != nil {
			t.Fatal(err)
		}
		if same := bytes.Equal(out, plain); same != (c.want != ObstacleNone) {
			t.Errorf("%s: what has an obstacle, and only that, is left as it is: %t", name, same)
		}
	}
}

func TestPreparingRefusesNamesOfItsOwnAndBadStarts(t *testing.T) {
	t.Parallel()
	base := [][]byte{sec(secType, typ("", ""), typ(vI32, "")), sec(secFunction, u32(0), u32(1)), sec(secMemory, op(0, 1))}
	code := sec(secCode, body(), body())
	for name, section := range map[string][]byte{
		"host's own":          sec(secExport, exp(StartName, kindFunc, 0)),
		"parameters":          raw(secStart, u32(1)),
		"start that is not":   raw(secStart, u32(2)),
		"empty start section": raw(secStart, nil),
	} {
		_, _, err := Instrument(wasm(append(append([][]byte{}, base...), section, code)...), Config{Snapshot: true})
		if !errors.Is(err, abi.InvalidModule) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNamesStayRight(t *testing.T) {
	t.Parallel()
	names := cat(u32(1), u32(1), str("culprit"))
	in := wasm(sec(secType, typ("", "")), sec(secImport, imp("env", "f", kindFunc, 0)), sec(secFunction, u32(0)),
		sec(secMemory, op(0, 1)), raw(secStart, u32(1)), sec(secCode, body(op(opUnreachable))),
		sec(secData, active(0, "a")), custom("name", cat(op(namesFunctions), u32(uint32(len(names))), names)))
	out, _ := prepare(t, in)
	_, err := newEnv(t, wazero.NewRuntimeConfig()).instance(out).ExportedFunction(StartName).Call(t.Context())
	if err == nil || !strings.Contains(err.Error(), "culprit") {
		t.Errorf("got %v, want a trap in culprit", err)
	}
}
