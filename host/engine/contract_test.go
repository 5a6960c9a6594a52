package engine

import (
	"errors"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
)

func TestModulesThatAreRefused(t *testing.T) {
	t.Parallel()
	one := []byte{typeI32}
	for name, c := range map[string]struct {
		wasm   []byte
		change func(*wasmModule)
		want   string
	}{
		"nothing":          {wasm: []byte{}, want: "not valid Wasm"},
		"garbage":          {wasm: []byte("#!/bin/sh\necho no"), want: "not valid Wasm"},
		"cut short":        {wasm: minimal().bytes()[:30], want: "not valid Wasm"},
		"too large":        {wasm: make([]byte, 2<<20), want: "more than the limit"},
		"no input":         {change: func(m *wasmModule) { delete(m.exports, "wasmhost_input") }, want: "does not export wasmhost_input (i32) -> (i32)"},
		"no work":          {change: func(m *wasmModule) { delete(m.exports, "wasmhost_work") }, want: "does not export wasmhost_work"},
		"no memory":        {change: func(m *wasmModule) { m.memory = 0 }, want: "does not export its memory"},
		"memory not shown": {change: func(m *wasmModule) { m.noExport = true }, want: "does not export its memory"},
		"too much memory":  {change: func(m *wasmModule) { m.memory = 2000 }, want: "2000 pages of memory are more than the limit of 1024"},
		"work of wrong type": {change: func(m *wasmModule) {
			m.funcs[1] = wasmFunc{params: one, results: []byte{typeI64}, body: []byte{0x42, 0}}
		}, want: "exports wasmhost_work as (i32) -> (i64); its type must be (i32) -> (i32)"},
		"initialize of wrong type": {change: func(m *wasmModule) { m.exports["_initialize"] = 0 }, want: "exports _initialize as (i32) -> (i32)"},
		"initialize that traps": {change: func(m *wasmModule) {
			m.funcs = append(m.funcs, wasmFunc{body: []byte{0x00}})
			m.exports["_initialize"] = 2
		}, want: "_initialize failed: wasm error: unreachable"},
		"unknown import": {change: func(m *wasmModule) {
			m.imports = []wasmImport{{module: "wasmhost_v1", name: "rm_rf"}}
		}, want: "imports wasmhost_v1.rm_rf, which does not exist"},
		"unknown module": {change: func(m *wasmModule) {
			m.imports = []wasmImport{{module: "env", name: "abort"}}
		}, want: "imports env.abort; a worker may import functions of wasi_snapshot_preview1 and wasmhost_v1 only"},
		"import of wrong type": {change: func(m *wasmModule) {
			m.imports = []wasmImport{{module: "wasmhost_v1", name: "rows_close", params: []byte{typeI64}, results: one}}
		}, want: "imports wasmhost_v1.rows_close as (i64) -> (i32); its type is (i32) -> (i64)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEngine(t, Config{MaxModuleBytes: 1 << 20})
			wasm := c.wasm
			if c.change != nil {
				m := minimal()
				c.change(&m)
				wasm = m.bytes()
			}
			_, err := e.Compile(t.Context(), "bad", wasm, ModuleConfig{})
			if !errors.Is(err, abi.InvalidModule) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "bad") {
				t.Errorf("got  %v\nwant %q", err, c.want)
			}
		})
	}
}

func TestMinimalModule(t *testing.T) {
	t.Parallel()
	mod, err := newEngine(t, Config{}).Compile(t.Context(), "x", minimal().bytes(), ModuleConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer mod.Close(t.Context())
	err = mod.With(t.Context(), func(s *Sandbox) error {
		_, _, err := s.Run(t.Context(), &abi.Task{}, &fakeEnv{})
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestInputPointerOutsideOfMemory(t *testing.T) {
	t.Parallel()
	for name, ptr := range map[string][]byte{
		"null":       {0x41, 0},
		"at the end": {0x41, 0xff, 0xff, 0x03}, // i32.const 65535
		"negative":   {0x41, 0x7f},
	} {
		m := minimal()
		m.funcs[0].body = ptr
		mod, err := newEngine(t, Config{}).Compile(t.Context(), "x", m.bytes(), ModuleConfig{})
		if err != nil {
			t.Fatal(err)
		}
		err = mod.With(t.Context(), func(s *Sandbox) error {
			_, _, err := s.Run(t.Context(), &abi.Task{}, &fakeEnv{})
			return err
		})
		if !errors.Is(err, abi.Trap) || !strings.Contains(err.Error(), "no room") {
			t.Errorf("%s: %v", name, err)
		}
		mod.Close(t.Context())
	}
}

// FuzzLoad feeds what looks at a module before anything of it runs.
func FuzzLoad(f *testing.F) {
	f.Add(minimal().bytes())
	f.Add([]byte("\x00asm\x01\x00\x00\x00"))
	e, err := New(f.Context(), Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := e.load(t.Context(), "fuzz", wasm, ModuleConfig{Limits: Limits{MemoryBytes: 1 << 20}})
		if err == nil {
			m.Close(t.Context())
			return
		}
		if !errors.Is(err, abi.InvalidModule) {
			t.Errorf("not an invalid_module: %v", err)
		}
	})
}
