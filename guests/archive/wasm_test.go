package main

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
)

// The module that is built for the host has exactly the contract's exports,
// and imports nothing but the contract and WASI.
func TestModuleKeepsTheContract(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "archive.wasm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", path, ".")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building for wasip1: %v\n%s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("archive.wasm has %d bytes", len(b))
	m, err := readModule(b)
	if err != nil {
		t.Fatal(err)
	}
	wantExports := map[string]string{
		abi.ExportMemory:     "memory",
		abi.ExportInitialize: "() -> ()",
		abi.ExportInput:      "(i32) -> (i32)",
		abi.ExportWork:       "(i32) -> (i32)",
	}
	if !maps.Equal(m.exports, wantExports) {
		t.Errorf("exports:\n got %v\nwant %v", m.exports, wantExports)
	}
	wantImports := map[string]string{
		abi.ImportRowsOpen:   "(i32 i32) -> (i64)",
		abi.ImportRowsNext:   "(i32 i32 i32) -> (i64)",
		abi.ImportRowsClose:  "(i32) -> (i64)",
		abi.ImportRowsWrite:  "(i32 i32 i32 i32 i32 i32) -> (i64)",
		abi.ImportCommand:    "(i32 i32 i32 i32) -> (i64)",
		abi.ImportProgress:   "(i64 i64) -> (i64)",
		abi.ImportLog:        "(i32 i32 i32) -> ()",
		abi.ImportPending:    "(i32 i32) -> (i64)",
		abi.ImportTaskReturn: "(i32 i32) -> (i64)",
	}
	if got := m.imports[abi.Module]; !maps.Equal(got, wantImports) {
		t.Errorf("imports of %s:\n got %v\nwant %v", abi.Module, got, wantImports)
	}
	for from := range m.imports {
		if from != abi.Module && from != "wasi_snapshot_preview1" {
			t.Errorf("the module imports from %q: %v", from, slices.Sorted(maps.Keys(m.imports[from])))
		}
	}
}

// module is what a Wasm binary imports and exports, each with its type.
type module struct {
	imports map[string]map[string]string // by module and name
	exports map[string]string
}

// sections reads the parts of a Wasm binary that a module's interface is in:
// https://webassembly.github.io/spec/core/binary/modules.html
type sections struct {
	b   []byte
	err error
}

func readModule(b []byte) (*module, error) {
	if len(b) < 8 || string(b[:8]) != "\x00asm\x01\x00\x00\x00" {
		return nil, fmt.Errorf("no Wasm binary of version 1")
	}
	m := &module{imports: map[string]map[string]string{}, exports: map[string]string{}}
	var types, funcs []string // the functions' types, imported ones first
	s := &sections{b: b[8:]}
	for s.err == nil && len(s.b) > 0 {
		id := s.byte()
		body := &sections{b: s.take(s.u32())}
		switch id {
		case 1:
			for range body.u32() {
				body.byte() // 0x60
				types = append(types, body.valueTypes()+" -> "+body.valueTypes())
			}
		case 2:
			for range body.u32() {
				from, name := body.name(), body.name()
				typ := body.importType(types)
				if strings.HasPrefix(typ, "(") {
					funcs = append(funcs, typ)
				}
				if m.imports[from] == nil {
					m.imports[from] = map[string]string{}
				}
				m.imports[from][name] = typ
			}
		case 3:
			for range body.u32() {
				funcs = append(funcs, at(types, body.u32()))
			}
		case 7:
			for range body.u32() {
				name, kind, index := body.name(), body.byte(), body.u32()
				switch kind {
				case 0:
					m.exports[name] = at(funcs, index)
				case 2:
					m.exports[name] = "memory"
				default:
					m.exports[name] = fmt.Sprintf("kind %d", kind)
				}
			}
		}
		if body.err != nil {
			return nil, fmt.Errorf("section %d: %w", id, body.err)
		}
	}
	return m, s.err
}

func at(list []string, i uint32) string {
	if uint64(i) >= uint64(len(list)) {
		return fmt.Sprintf("index %d of %d", i, len(list))
	}
	return list[i]
}

func (s *sections) importType(types []string) string {
	switch kind := s.byte(); kind {
	case 0:
		return at(types, s.u32())
	default:
		s.err = fmt.Errorf("an import of kind %d, which the contract does not have", kind)
		return ""
	}
}

func (s *sections) valueTypes() string {
	var names []string
	for range s.u32() {
		c := s.byte()
		name, ok := map[byte]string{0x7f: "i32", 0x7e: "i64", 0x7d: "f32", 0x7c: "f64"}[c]
		if !ok {
			name = fmt.Sprintf("%#x", c)
		}
		names = append(names, name)
	}
	return "(" + strings.Join(names, " ") + ")"
}

func (s *sections) name() string { return string(s.take(s.u32())) }

func (s *sections) byte() byte {
	if b := s.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (s *sections) u32() uint32 {
	v, n := binary.Uvarint(s.b)
	if n <= 0 || v > 1<<32-1 {
		s.err, s.b = fmt.Errorf("a number is cut off"), nil
		return 0
	}
	s.b = s.b[n:]
	return uint32(v)
}

func (s *sections) take(n uint32) []byte {
	if uint64(n) > uint64(len(s.b)) {
		s.err, s.b = fmt.Errorf("%d bytes are cut off", n), nil
		return nil
	}
	b := s.b[:n]
	s.b = s.b[n:]
	return b
}
