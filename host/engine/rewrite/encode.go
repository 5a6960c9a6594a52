package rewrite

import (
	"bytes"

	"github.com/wasmhost/wasmhost/abi"
)

// encode puts the sections together. Sizes and indices get their shortest
// form; everything that was not rewritten is the bytes of the file.
func (m *module) encode() []byte {
	n := len(header)
	for _, s := range m.sections {
		n += len(s.body) + len(s.name) + 16
	}
	b := append(make([]byte, 0, n), header...)
	for _, s := range m.sections {
		b = append(b, s.id)
		if s.id != secCustom {
			b = append(appendU32(b, uint32(len(s.body))), s.body...)
			continue
		}
		size := len(s.body) + len(s.name) + len(appendU32(nil, uint32(len(s.name))))
		b = appendName(appendU32(b, uint32(size)), s.name)
		b = append(b, s.body...)
	}
	return b
}

// added is what a rewriting appends to a module. Functions that are not
// imported move up by one index for each import of a function.
type added struct {
	importModule, importName string     // a function without parameters and results; no name for none
	counter                  string     // the export name of a mutable i32 global that begins as zero; "" for none
	table                    *lazyTable // fills the table 0; nil leaves that to the runtime. Only with both of the others
}

func (a added) shift() uint32 {
	if a.importName != "" {
		return 1
	}
	return 0
}

// globals is how many are added.
func (a added) globals() (n uint32) {
	if a.counter != "" {
		n++
	}
	if a.table != nil {
		n++
	}
	return n
}

// functionIndex reads the index of a function and writes the one it has in the
// rewritten module.
func (m *module) functionIndex(r *reader, shift uint32) {
	start := r.pos
	i := r.u32()
	if r.err != nil {
		return
	}
	if i >= m.total[kindFunc] {
		r.fail(invalid("function %d of %d", i, m.total[kindFunc]))
		return
	}
	if i >= m.imported[kindFunc] {
		i += shift
	}
	r.put(start, i)
}

// index reads an index of the kind. What is added gets an index that nothing
// in the original may use: so every index is held against the original count.
func (m *module) index(r *reader, kind byte) uint32 {
	i := r.u32()
	if r.err == nil && i >= m.total[kind] {
		r.fail(invalid("%s %d of %d", [...]string{"function", "table", "memory", "global", "tag"}[kind], i, m.total[kind]))
	}
	return i
}

// constExpr passes over a constant expression.
func (m *module) constExpr(r *reader, shift uint32) {
	for r.err == nil {
		switch op := r.byte(); op {
		case opEnd:
			return
		case opI32Const:
			r.signed(32)
		case opI64Const:
			r.signed(64)
		case opF32Const:
			r.bytes(4)
		case opF64Const:
			r.bytes(8)
		case opGlobalGet:
			m.index(r, kindGlobal)
		case opRefNull:
			r.u32()
		case opRefFunc:
			m.functionIndex(r, shift)
		case opVec:
			if r.byte() != vecConst {
				r.fail(invalid("a vector instruction in a constant expression"))
			}
			r.bytes(16)
		case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e: // add, sub and mul of i32 and i64
		default:
			r.fail(invalid("instruction %#x in a constant expression", op))
		}
	}
}

// extend rewrites every section but code and names for what is added, and
// checks on the way what the runtime would take on trust: that a count is not
// larger than what follows, and that an index is one of the original's.
func (m *module) extend(a added) error {
	counterIndex := m.total[kindGlobal]
	for _, step := range []struct {
		id     byte
		always bool // even where the module has no such section
		walk   func(*reader) error
	}{
		{secType, a.importName != "", func(r *reader) error {
			n := r.u32()
			add := a.shift()
			if a.table != nil {
				add += lazyTypes
			}
			r.put(0, n+add)
			if a.importName != "" {
				r.copy(len(r.b))
				r.out = append(r.out, 0x60, 0, 0)
			}
			if a.table != nil {
				r.out = a.table.appendTypes(r.out)
			}
			r.pos = len(r.b)
			return nil
		}},
		{secImport, a.importName != "", func(r *reader) error { return m.extendImports(r, a) }},
		{secFunction, a.table != nil, func(r *reader) error {
			if a.table == nil {
				r.pos = len(r.b)
				return nil // it was read already
			}
			n := r.u32()
			r.put(0, n+a.table.functions())
			r.copy(len(r.b))
			r.out = a.table.appendFunctions(r.out, a.table.refs(m, a))
			r.pos = len(r.b)
			return nil
		}},
		{secTable, false, func(r *reader) error { return m.boundTables(r, a.shift()) }},
		{secMemory, false, m.boundMemories},
		{secTag, false, func(r *reader) error {
			for n := r.count(2); n > 0 && r.err == nil; n-- {
				r.byte()
				m.typeIndex(r)
			}
			return nil
		}},
		{secGlobal, a.counter != "", func(r *reader) error {
			n := r.count(4)
			if a.counter != "" {
				r.put(0, uint32(n)+a.globals())
			}
			for ; n > 0 && r.err == nil; n-- {
				m.valueType(r)
				r.byte()
				m.constExpr(r, a.shift())
			}
			r.copy(r.pos)
			for range a.globals() {
				r.out = append(r.out, typeI32, 1, opI32Const, 0, opEnd)
			}
			return nil
		}},
		{secExport, a.counter != "", func(r *reader) error { return m.extendExports(r, a, counterIndex) }},
		{secStart, false, func(r *reader) error { m.functionIndex(r, a.shift()); return nil }},
		{secElement, false, func(r *reader) error { return m.walkElements(r, a) }},
		{secDataCount, false, func(r *reader) error { r.u32(); return nil }},
		{secData, false, func(r *reader) error { return m.walkData(r, a.shift()) }},
	} {
		s := m.find(step.id)
		if s == nil && !step.always {
			continue
		}
		r := reader{b: []byte{0}} // an empty vector
		if s != nil {
			r.b = s.body
		}
		err := step.walk(&r)
		if err == nil {
			err = m.done(&r)
		}
		if err != nil {
			return in(step.id, err)
		}
		m.set(step.id, r.rewritten())
	}
	return nil
}

func (m *module) extendImports(r *reader, a added) error {
	n := r.count(4)
	r.put(0, uint32(n)+a.shift())
	for ; n > 0 && r.err == nil; n-- {
		mod, name, _, _ := m.readImport(r)
		if a.importName != "" && string(mod) == a.importModule && string(name) == a.importName {
			return invalid("%s.%s is the host's own and cannot be imported", mod, name)
		}
	}
	if a.importName != "" {
		// Last, so that imported functions keep their indices.
		r.copy(r.pos)
		r.out = appendName(appendName(r.out, a.importModule), a.importName)
		r.out = appendU32(append(r.out, kindFunc), uint32(len(m.types)))
	}
	return nil
}

func (m *module) extendExports(r *reader, a added, counterIndex uint32) error {
	n := r.count(3)
	if n > m.limits.Exports {
		return exceeded("exports", uint64(n), m.limits.Exports)
	}
	if a.counter != "" {
		r.put(0, uint32(n)+1)
	}
	for ; n > 0 && r.err == nil; n-- {
		name, kind := r.name(), r.byte()
		switch {
		case a.counter != "" && string(name) == a.counter:
			return invalid("the export name %s is the host's own", name)
		case kind >= kinds:
			return invalid("export %q is of the unknown kind %d", name, kind)
		case kind == kindFunc:
			m.functionIndex(r, a.shift())
		default:
			m.index(r, kind)
		}
	}
	if a.counter != "" {
		r.copy(r.pos)
		r.out = appendName(r.out, a.counter)
		r.out = appendU32(append(r.out, kindGlobal), counterIndex)
	}
	return nil
}

// bound lowers the maximum of a table or memory to the limit, so that growing
// beyond it fails as the guest expects it to.
func (r *reader) bound(b bounds, limit uint32) {
	if r.err != nil || b.hasMax && b.max <= limit {
		return
	}
	r.copy(b.at)
	r.out = appendU32(appendU32(append(r.out, 1), b.min), limit)
	r.copied = b.end
}

func (m *module) boundMemories(r *reader) error {
	for n := r.count(2); n > 0 && r.err == nil; n-- {
		b := m.memoryType(r)
		if m.limits.MemoryPages < maxPages && (!b.hasMax || b.max <= maxPages) {
			r.bound(b, uint32(m.limits.MemoryPages))
		}
	}
	return nil
}

func (m *module) boundTables(r *reader, shift uint32) error {
	for n := r.count(2); n > 0 && r.err == nil; n-- {
		init := r.rest() > 0 && r.b[r.pos] == 0x40 // then an initial value follows
		if init && !bytes.Equal(r.bytes(2), []byte{0x40, 0}) {
			return invalid("a table with an unknown prefix")
		}
		b := m.tableType(r)
		most := uint32(min(int64(m.limits.TableElements), int64(b.min)+int64(m.limits.TableGrowth)))
		if b.hasMax {
			most = min(most, b.max)
		}
		m.elements += uint64(b.min)
		m.growth += uint64(max(most, b.min) - b.min)
		r.bound(b, most)
		if init {
			m.constExpr(r, shift)
		}
	}
	return nil
}

func (m *module) walkElements(r *reader, a added) error {
	n, shift := r.count(2), a.shift()
	if n > m.limits.Segments {
		return exceeded("element segments", uint64(n), m.limits.Segments)
	}
	if a.table != nil {
		r.put(0, uint32(n)-a.table.segments+1)
	}
	for ; n > 0 && r.err == nil; n-- {
		r.copy(r.pos)
		before := len(r.out)
		first, err := m.walkSegment(r, shift)
		if err != nil {
			return err
		}
		if first && a.table != nil {
			r.out, r.copied = r.out[:before], r.pos
		}
	}
	if a.table != nil {
		r.copy(r.pos)
		r.out = a.table.appendSegment(r.out, m, a.table.refs(m, a), shift)
	}
	return nil
}

// walkSegment says whether the segment is the table 0's from the start.
func (m *module) walkSegment(r *reader, shift uint32) (first bool, err error) {
	flags := r.u32()
	if flags > 7 {
		return false, invalid("an element segment with the unknown flags %#x", flags)
	}
	passive, indexed, exprs := flags&1 != 0, flags&2 != 0, flags&4 != 0
	if !passive {
		first = !indexed || m.index(r, kindTable) == 0
		m.constExpr(r, shift)
	}
	if passive || indexed {
		if exprs {
			m.valueType(r)
		} else if r.byte() != 0 {
			return false, invalid("an element segment of an unknown kind")
		}
	}
	for n := r.count(1); n > 0 && r.err == nil; n-- {
		if exprs {
			m.constExpr(r, shift)
		} else {
			m.functionIndex(r, shift)
		}
	}
	return first, nil
}

func (m *module) walkData(r *reader, shift uint32) error {
	n := r.count(2)
	if n > m.limits.Segments {
		return exceeded("data segments", uint64(n), m.limits.Segments)
	}
	for ; n > 0 && r.err == nil; n-- {
		flags := r.u32()
		switch flags {
		case 0, 1:
		case 2:
			m.index(r, kindMemory)
		default:
			return invalid("a data segment with the unknown flags %#x", flags)
		}
		if flags != 1 {
			m.constExpr(r, shift)
		}
		r.bytes(uint64(r.u32()))
	}
	return nil
}

// refusal makes sure that whatever leaves the package has one of its codes.
func refusal(err error) error {
	switch abi.CodeOf(err) {
	case abi.InvalidModule, abi.LimitExceeded:
		return err
	}
	return abi.Errorf(abi.InvalidModule, "%w", err)
}
