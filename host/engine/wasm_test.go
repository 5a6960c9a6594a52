package engine

import (
	"bytes"
	"slices"
)

// Just enough of an assembler to make modules that no compiler would: each
// section is given by its entries.

const (
	typeI32 = 0x7f
	typeI64 = 0x7e
)

type wasmFunc struct {
	params, results []byte
	locals          []byte // the vector of groups, each a count and a type; nil for none
	body            []byte // instructions without the final end
}

type wasmImport struct {
	module, name    string
	params, results []byte
}

type wasmModule struct {
	imports  []wasmImport
	funcs    []wasmFunc
	exports  map[string]int // name → index into funcs
	memory   int            // minimum pages; 0 for no memory
	noExport bool           // do not export the memory
	globals  [][]byte       // type, mutability and initial value of each
	start    int            // index into funcs; 0 for no start function
	data     map[int]string // active segments, by offset
}

func uleb(n int) []byte {
	var b []byte
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

func sleb(n int) []byte {
	var b []byte
	for ; n >= 0x40 || n < -0x40; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n)&0x7f)
}

func vec(b []byte) []byte { return append(uleb(len(b)), b...) }

func section(id byte, count int, entries []byte) []byte {
	if count == 0 {
		return nil
	}
	return append([]byte{id}, vec(append(uleb(count), entries...))...)
}

func (m wasmModule) bytes() []byte {
	var types, imports, funcs, exports, code []byte
	n := 0
	addType := func(params, results []byte) int {
		types = append(types, 0x60)
		types = append(append(types, vec(params)...), vec(results)...)
		n++
		return n - 1
	}
	for _, i := range m.imports {
		imports = append(append(imports, vec([]byte(i.module))...), vec([]byte(i.name))...)
		imports = append(append(imports, 0), uleb(addType(i.params, i.results))...)
	}
	for _, f := range m.funcs {
		funcs = append(funcs, uleb(addType(f.params, f.results))...)
		body := append([]byte{0}, f.body...)
		if f.locals != nil {
			body = append(slices.Clone(f.locals), f.body...)
		}
		code = append(code, vec(append(body, 0x0b))...)
	}
	for name, i := range m.exports {
		exports = append(append(exports, vec([]byte(name))...), 0)
		exports = append(exports, uleb(len(m.imports)+i)...)
	}
	exported := len(m.exports)
	var memory []byte
	if m.memory > 0 {
		memory = append([]byte{0}, uleb(m.memory)...)
		if !m.noExport {
			exports = append(append(exports, vec([]byte("memory"))...), 2, 0)
			exported++
		}
	}
	var data, start []byte
	for offset, s := range m.data {
		data = append(append(data, 0, 0x41), sleb(offset)...)
		data = append(append(data, 0x0b), vec([]byte(s))...)
	}
	if m.start > 0 {
		start = append([]byte{8}, vec(uleb(len(m.imports)+m.start))...)
	}
	b := []byte("\x00asm\x01\x00\x00\x00")
	b = append(b, section(1, n, types)...)
	b = append(b, section(2, len(m.imports), imports)...)
	b = append(b, section(3, len(m.funcs), funcs)...)
	b = append(b, section(5, min(m.memory, 1), memory)...)
	b = append(b, section(6, len(m.globals), bytes.Join(m.globals, nil))...)
	b = append(b, section(7, exported, exports)...)
	b = append(b, start...)
	b = append(b, section(10, len(m.funcs), code)...)
	b = append(b, section(11, len(m.data), data)...)
	return b
}

// minimal is a module that fulfils the contract and does nothing.
func minimal() wasmModule {
	one := []byte{typeI32}
	return wasmModule{
		funcs: []wasmFunc{
			{params: one, results: one, body: []byte{0x41, 16}}, // wasmhost_input: i32.const 16
			{params: one, results: one, body: []byte{0x41, 0}},  // wasmhost_work: i32.const 0
		},
		exports: map[string]int{"wasmhost_input": 0, "wasmhost_work": 1},
		memory:  1,
	}
}
