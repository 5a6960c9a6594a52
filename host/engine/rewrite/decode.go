package rewrite

import (
	"bytes"
	"slices"

	"github.com/wasmhost/wasmhost/abi"
)

const header = "\x00asm\x01\x00\x00\x00"

// The ids of sections.
const (
	secCustom byte = iota
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElement
	secCode
	secData
	secDataCount
	secTag
)

// rank orders the sections: by id, but for the two that came later.
var rank = [...]int{
	secType: 1, secImport: 2, secFunction: 3, secTable: 4, secMemory: 5, secTag: 6, secGlobal: 7,
	secExport: 8, secStart: 9, secElement: 10, secDataCount: 11, secCode: 12, secData: 13,
}

var sectionNames = [...]string{
	secCustom: "custom", secType: "type", secImport: "import", secFunction: "function", secTable: "table",
	secMemory: "memory", secGlobal: "global", secExport: "export", secStart: "start", secElement: "element",
	secCode: "code", secData: "data", secDataCount: "data count", secTag: "tag",
}

// The kinds of imports and exports.
const (
	kindFunc byte = iota
	kindTable
	kindMemory
	kindGlobal
	kindTag
	kinds
)

// section is a part of a module as it stands in the file. Its bytes are read
// where something in them matters, and copied otherwise.
type section struct {
	id   byte
	name string // of a custom section
	body []byte // without id and size; of a custom section without its name
}

// module is a module cut into sections, with what a rewriting of any of them
// needs to know of the others. Sections share the bytes of the file: a
// rewriting replaces a body and never writes into one.
type module struct {
	limits   Limits
	sections []section

	types    []funcType
	imported [kinds]uint32 // how many of each kind are imported
	total    [kinds]uint32 // how many there are, imported ones included
	funcs    []uint32      // the type of each function that is not imported

	importedFuncs []uint32 // the type of each that is

	obstacle     Obstacle // to snapshots
	usesSegments bool     // code names a data segment
	growsTables  bool
	readsTables  bool
	elements     uint64 // of all tables at the start
	growth       uint64 // by how many elements all tables may grow
}

// funcType is what rewriting code needs of a type: how many values go in and
// come out.
type funcType struct{ params, results uint32 }

// decode cuts wasm into sections and reads the ones that give indices their
// meaning. It does not look into the others.
func decode(wasm []byte, limits Limits) (*module, error) {
	limits = limits.withDefaults()
	if len(wasm) > limits.ModuleBytes {
		return nil, exceeded("bytes of module", uint64(len(wasm)), limits.ModuleBytes)
	}
	if !bytes.HasPrefix(wasm, []byte(header)) {
		return nil, invalid("not a Wasm module of version 1")
	}
	m := &module{limits: limits}
	r := reader{b: wasm, pos: len(header)}
	last := 0
	for r.rest() > 0 {
		id := r.byte()
		body := r.bytes(uint64(r.u32()))
		if r.err != nil {
			return nil, invalid("section %d of the file: %w", len(m.sections), r.err)
		}
		if int(id) >= len(rank) {
			return nil, invalid("section %d of the file has the unknown id %d", len(m.sections), id)
		}
		s := section{id: id, body: body}
		if id == secCustom {
			c := reader{b: body}
			s.name = string(c.name())
			if c.err != nil {
				return nil, invalid("the name of a custom section: %w", c.err)
			}
			s.body = body[c.pos:]
		} else {
			if rank[id] <= last {
				return nil, invalid("the %s section comes twice or too late", sectionNames[id])
			}
			last = rank[id]
		}
		m.sections = append(m.sections, s)
	}
	for _, step := range []struct {
		id   byte
		read func(*reader) error
	}{
		{secType, m.readTypes},
		{secImport, m.readImports},
		{secFunction, m.readFunctions},
		{secTable, m.readTotal(kindTable)},
		{secMemory, m.readTotal(kindMemory)},
		{secTag, m.readTotal(kindTag)},
		{secGlobal, m.readTotal(kindGlobal)},
	} {
		s := m.find(step.id)
		if s == nil {
			continue
		}
		r := reader{b: s.body}
		err := step.read(&r)
		if err == nil {
			err = r.err
		}
		if err != nil {
			return nil, in(step.id, err)
		}
	}
	for _, l := range []struct {
		what  string
		n     uint64
		limit int
	}{
		{"functions", uint64(m.total[kindFunc]), limits.Functions},
		{"globals", uint64(m.total[kindGlobal]), limits.Globals},
		{"tables", uint64(m.total[kindTable]), limits.Tables},
	} {
		if l.n > uint64(l.limit) {
			return nil, exceeded(l.what, l.n, l.limit)
		}
	}
	bodies := 0
	if s := m.find(secCode); s != nil {
		r := reader{b: s.body}
		bodies = r.count(1)
	}
	if bodies != len(m.funcs) {
		return nil, invalid("%d functions are declared and %d have code", len(m.funcs), bodies)
	}
	return m, nil
}

// in says in which section a failure is. A failure with a code keeps it.
func in(id byte, err error) error {
	code := abi.CodeOf(err)
	if code != abi.LimitExceeded {
		code = abi.InvalidModule
	}
	return abi.Errorf(code, "%s section: %s", sectionNames[id], abi.MessageOf(err))
}

// find returns the section with the id, which is not secCustom, or nil.
func (m *module) find(id byte) *section {
	for i := range m.sections {
		if m.sections[i].id == id {
			return &m.sections[i]
		}
	}
	return nil
}

// set replaces the body of a section, or puts a new one where it belongs.
func (m *module) set(id byte, body []byte) {
	if s := m.find(id); s != nil {
		s.body = body
		return
	}
	at := len(m.sections)
	for i, s := range m.sections {
		if s.id != secCustom && rank[s.id] > rank[id] {
			at = i
			break
		}
	}
	m.sections = slices.Insert(m.sections, at, section{id: id, body: body})
}

// remove drops the sections that drop says true of.
func (m *module) remove(drop func(section) bool) {
	m.sections = slices.DeleteFunc(m.sections, drop)
}

func (m *module) readTypes(r *reader) error {
	for n := r.count(1); n > 0 && r.err == nil; n-- {
		form := r.byte()
		group := 1
		if form == 0x4e { // a group of types that name each other
			group = r.count(3)
		}
		for ; group > 0 && r.err == nil; group-- {
			if form == 0x4e && r.byte() != 0x60 || form != 0x4e && form != 0x60 {
				return invalid("type %d is no function type; garbage-collected types are not supported", len(m.types))
			}
			var t funcType
			for _, n := range []*uint32{&t.params, &t.results} {
				*n = uint32(r.count(1))
				if int(*n) > m.limits.Params {
					return exceeded("parameters or results of a type", uint64(*n), m.limits.Params)
				}
				for range *n {
					m.valueType(r)
				}
			}
			m.types = append(m.types, t)
			if len(m.types) > m.limits.Types {
				return exceeded("types", uint64(len(m.types)), m.limits.Types)
			}
		}
	}
	return m.done(r)
}

// done says whether a section was read to its end.
func (m *module) done(r *reader) error {
	if r.err == nil && r.rest() > 0 {
		return invalid("%d bytes too many", r.rest())
	}
	return r.err
}

// valueType passes over a value type.
func (m *module) valueType(r *reader) {
	switch b := r.byte(); b {
	case 0x7f, 0x7e, 0x7d, 0x7c, 0x7b, typeFuncref, typeExternref, typeExnref:
	case typeRefNull, typeRef:
		r.signed(33)
	default:
		r.fail(invalid("unknown value type %#x", b))
	}
}

func (m *module) typeIndex(r *reader) uint32 {
	i := r.u32()
	if r.err == nil && int64(i) >= int64(len(m.types)) {
		r.fail(invalid("type %d of %d", i, len(m.types)))
		return 0
	}
	return i
}

func (m *module) readImports(r *reader) error {
	n := r.count(4)
	if n > m.limits.Imports {
		return exceeded("imports", uint64(n), m.limits.Imports)
	}
	for ; n > 0 && r.err == nil; n-- {
		_, _, kind, typ := m.readImport(r)
		if r.err == nil {
			if kind == kindFunc {
				m.importedFuncs = append(m.importedFuncs, typ)
			}
			m.imported[kind]++
			m.total[kind]++
		}
	}
	return m.done(r)
}

// readImport passes over an import. The type is a function's.
func (m *module) readImport(r *reader) (mod, name []byte, kind byte, typ uint32) {
	mod, name, kind = r.name(), r.name(), r.byte()
	switch kind {
	case kindFunc:
		typ = m.typeIndex(r)
	case kindTable:
		m.tableType(r)
	case kindMemory:
		m.memoryType(r)
	case kindGlobal:
		m.valueType(r)
		r.byte()
	case kindTag:
		r.byte()
		m.typeIndex(r)
	default:
		r.fail(invalid("import %q.%q is of the unknown kind %d", mod, name, kind))
	}
	return mod, name, kind, typ
}

func (m *module) readFunctions(r *reader) error {
	n := r.count(1)
	if n > m.limits.Functions {
		return exceeded("functions", uint64(n), m.limits.Functions)
	}
	m.funcs = make([]uint32, 0, n)
	for ; n > 0 && r.err == nil; n-- {
		m.funcs = append(m.funcs, m.typeIndex(r))
	}
	m.total[kindFunc] += uint32(len(m.funcs))
	return m.done(r)
}

// readTotal counts the entries of a section, each two bytes or more.
func (m *module) readTotal(kind byte) func(*reader) error {
	return func(r *reader) error {
		m.total[kind] += uint32(r.count(2))
		return nil
	}
}

// bounds are the limits of a table or a memory, and where they stand.
type bounds struct {
	at, end  int // in the section
	min, max uint32
	hasMax   bool
}

func (m *module) bounds(r *reader) bounds {
	b := bounds{at: r.pos}
	switch flags := r.byte(); flags {
	case 0, 1:
		b.min = r.u32()
		if flags == 1 {
			b.max, b.hasMax = r.u32(), true
		}
	case 2, 3:
		r.fail(invalid("shared memory is not supported: a guest that waits on it cannot be stopped"))
	default:
		r.fail(invalid("unknown limits %#x; memories of 64 bits are not supported", flags))
	}
	b.end = r.pos
	return b
}

func (m *module) memoryType(r *reader) bounds {
	b := m.bounds(r)
	if int64(b.min) > int64(m.limits.MemoryPages) {
		r.fail(exceeded("pages of memory", uint64(b.min), m.limits.MemoryPages))
	}
	return b
}

// tableType passes over the type of a table.
func (m *module) tableType(r *reader) bounds {
	m.valueType(r)
	b := m.bounds(r)
	if int64(b.min) > int64(m.limits.TableElements) {
		r.fail(exceeded("elements of a table", uint64(b.min), m.limits.TableElements))
	}
	return b
}
