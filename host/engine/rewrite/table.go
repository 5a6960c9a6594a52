package rewrite

import (
	"errors"
	"slices"
)

// A guest's table of functions is filled by the runtime at each start, one
// reference after the other, and a guest in Go has thousands: most of the time
// and half of the heap that a sandbox from a snapshot takes, for the few functions
// that a task calls through the table. So it is filled with stubs, all elements of
// a type with the same one, which takes a few operations. A stub puts the function
// that was called for into the table, and calls it; the next call goes there
// directly.
//
//   - Each call through the table first leaves the element's index in a global.
//   - The start function fills the table with the stubs.
//   - A stub hands that index to the resolver, which sets the element, and makes
//     the call again.
//   - The resolver finds the function by two steps of br_table.
//
// Nothing of it is charged, so fuel is the same whether an element was called
// before or not. A module that could tell the difference is left as it is: one
// that reads or changes a table other than by calling through it.
type lazyTable struct {
	base     uint32   // of elements, a multiple of chunk
	elements []uint32 // from base on: the function's index + 1, or 0 for none
	runs     []run    // of elements of one type
	types    []uint32 // that stubs are for, in the order of the stubs
	segments uint32   // that filled it
	named    []uint32 // functions that these named, which code may refer to for that
}

// run is n elements from at on, which hold functions of one type.
type run struct{ at, n, kind uint32 }

const (
	chunk       = 256 // elements that one function of the resolver knows
	maxChunks   = 256
	maxRuns     = 256 // more would take as long as to fill in the functions
	fewElements = 64  // the default of [Config.FewElements]
)

// errTable says that the module cannot do with stubs after all.
var errTable = errors.New("the table is read or changed")

// lazyTable returns how the table 0 is to be filled, or nil if the runtime is
// to do it. What is wrong with the module is not told here.
func (m *module) lazyTable(few int) *lazyTable {
	tables, segments := m.find(secTable), m.find(secElement)
	if tables == nil || segments == nil || m.imported[kindTable] > 0 || m.exportsTable() {
		return nil
	}
	r := reader{b: tables.body}
	if r.u32() == 0 || r.byte() != typeFuncref {
		return nil
	}
	size := m.bounds(&r).min
	if r.err != nil || int64(size) > int64(m.limits.TableElements) {
		return nil
	}
	l := &lazyTable{}
	all := make([]uint32, size)
	r = reader{b: segments.body}
	for n := r.count(2); n > 0 && r.err == nil; n-- {
		first, ok := m.fill(&r, l, all)
		if !ok {
			return nil
		}
		if first {
			l.segments++
		}
	}
	if r.err != nil || !l.arrange(m, all, few) {
		return nil
	}
	return l
}

// exportsTable says whether others could have the table 0, who would not tell
// which element they call.
func (m *module) exportsTable() bool {
	s := m.find(secExport)
	if s == nil {
		return false
	}
	r := reader{b: s.body}
	for n := r.count(3); n > 0 && r.err == nil; n-- {
		r.name()
		kind := r.byte()
		if r.u32() == 0 && kind == kindTable {
			return true
		}
	}
	return r.err != nil
}

// fill does what an element segment does when a module starts, if it is one of
// the table 0. It is not ok if it is not understood, or does not fit.
func (m *module) fill(r *reader, l *lazyTable, all []uint32) (first, ok bool) {
	flags := r.u32()
	active, explicit, exprs := flags&1 == 0, flags&2 != 0, flags&4 != 0
	offset, constant := uint32(0), false
	if active {
		first = !explicit || r.u32() == 0
		offset, constant = m.constantOffset(r)
	}
	kind := byte(typeFuncref)
	if !active || explicit {
		if kind = r.byte(); !exprs && kind == 0 {
			kind = typeFuncref
		}
	}
	n := r.count(1)
	if flags > 7 || kind != typeFuncref || first && (!constant || uint64(offset)+uint64(n) > uint64(len(all))) {
		return false, false
	}
	for i := range n {
		function, ok := m.element(r, exprs)
		if !ok {
			return false, false
		}
		if !first {
			continue
		}
		all[offset+uint32(i)] = function
		if function > 0 {
			l.named = append(l.named, function-1)
		}
	}
	return first, r.err == nil
}

// element reads an element of a segment: a function's index + 1, or 0 for none.
func (m *module) element(r *reader, expr bool) (function uint32, ok bool) {
	op, end := byte(opRefFunc), byte(opEnd)
	if expr {
		op = r.byte()
	}
	function = r.u32() + 1
	if expr {
		end = r.byte()
	}
	if op == opRefNull {
		function = 0
	}
	known := function > 0 && function <= m.total[kindFunc] || function == 0 && op == opRefNull
	return function, r.err == nil && (op == opRefFunc || op == opRefNull) && end == opEnd && known
}

// arrange finds the runs of elements of one type. It returns false where stubs
// are not worth it.
func (l *lazyTable) arrange(m *module, all []uint32, few int) bool {
	filled, first, last := 0, 0, 0
	for i, function := range all {
		if function == 0 {
			continue
		}
		if filled == 0 {
			first = i
		}
		last = i
		filled++
		kind := m.typeOf(function - 1)
		if n := len(l.runs); n > 0 && l.runs[n-1].kind == kind && l.runs[n-1].at+l.runs[n-1].n == uint32(i) {
			l.runs[n-1].n++
			continue
		}
		if len(l.runs) == maxRuns {
			return false
		}
		l.runs = append(l.runs, run{uint32(i), 1, kind})
		if !slices.Contains(l.types, kind) {
			l.types = append(l.types, kind)
		}
	}
	if filled == 0 || filled < few {
		return false
	}
	l.base = uint32(first) / chunk * chunk
	l.elements = all[l.base : last+1]
	return len(l.elements) <= chunk*maxChunks
}

// typeOf is the type of a function, by its original index.
func (m *module) typeOf(function uint32) uint32 {
	if n := m.imported[kindFunc]; function >= n {
		return m.funcs[function-n]
	}
	return m.importedFuncs[function]
}

// The functions that are added, behind those of the module: a stub for each type,
// the parts of the resolver, the resolver, and the start function.
func (l *lazyTable) chunks() uint32    { return uint32(len(l.elements)+chunk-1) / chunk }
func (l *lazyTable) functions() uint32 { return uint32(len(l.types)) + l.chunks() + 2 }

// tableRefs are the indices of what is added for a table.
type tableRefs struct {
	global   uint32 // the element that is called
	stub     uint32 // the first one
	chunk    uint32 // the first part of the resolver
	resolver uint32
	start    uint32
	// Types: of a part of the resolver, of the resolver, of the start function.
	part, resolve, empty uint32
}

// refs returns the indices in the rewritten module, which has a.shift() more
// imports, and one more global and type, for metering.
func (l *lazyTable) refs(m *module, a added) tableRefs {
	r := tableRefs{
		global: m.total[kindGlobal] + 1,
		stub:   m.total[kindFunc] + a.shift(),
		empty:  uint32(len(m.types)),
	}
	r.chunk = r.stub + uint32(len(l.types))
	r.resolver = r.chunk + l.chunks()
	r.start = r.resolver + 1
	r.part = r.empty + 1
	r.resolve = r.empty + 2
	return r
}

// appendTypes adds the types behind that of the tick, which is the empty one.
func (l *lazyTable) appendTypes(b []byte) []byte {
	b = append(b, 0x60, 1, typeI32, 1, typeFuncref)
	return append(b, 0x60, 1, typeI32, 0)
}

const lazyTypes = 2

// appendFunctions adds the types of the functions.
func (l *lazyTable) appendFunctions(b []byte, x tableRefs) []byte {
	for _, kind := range l.types {
		b = appendU32(b, kind)
	}
	for range l.chunks() {
		b = appendU32(b, x.part)
	}
	return appendU32(appendU32(b, x.resolve), x.empty)
}

// appendSegment declares the functions that code refers to.
func (l *lazyTable) appendSegment(b []byte, m *module, x tableRefs, shift uint32) []byte {
	b = appendU32(append(b, 3, 0), uint32(len(l.types)+len(l.named)))
	for i := range l.types {
		b = appendU32(b, x.stub+uint32(i))
	}
	for _, function := range l.named {
		b = appendU32(b, m.moved(function, shift))
	}
	return b
}

// moved is the index of a function in the rewritten module.
func (m *module) moved(function, shift uint32) uint32 {
	if function >= m.imported[kindFunc] {
		return function + shift
	}
	return function
}

// appendCode adds the bodies of the functions.
func (l *lazyTable) appendCode(b []byte, m *module, x tableRefs, shift uint32) []byte {
	var body []byte
	add := func() {
		b = append(appendU32(b, uint32(len(body))), body...)
		body = append(body[:0], 0) // the next has no locals either
	}
	body = append(body, 0)
	for _, kind := range l.types {
		body = l.stub(body, m.types[kind].params, kind, x)
		add()
	}
	for at := 0; at < len(l.elements); at += chunk {
		body = l.part(body, m, l.elements[at:min(at+chunk, len(l.elements))], shift)
		add()
	}
	body = l.resolver(body, x)
	add()
	for _, r := range l.runs {
		body = appendS32(append(body, opI32Const), int32(r.at))
		body = appendU32(append(body, opRefFunc), x.stub+uint32(slices.Index(l.types, r.kind)))
		body = appendS32(append(body, opI32Const), int32(r.n))
		body = append(body, opMisc, miscTableFill, 0)
	}
	body = append(body, opEnd)
	add()
	return b
}

func (l *lazyTable) stub(b []byte, params, kind uint32, x tableRefs) []byte {
	b = appendU32(append(b, opGlobalGet), x.global)
	b = appendU32(append(b, opCall), x.resolver)
	for i := range params {
		b = appendU32(append(b, opLocalGet), i)
	}
	b = appendU32(append(b, opGlobalGet), x.global)
	return append(appendU32(append(b, opCallIndirect), kind), 0, opEnd)
}

// part returns the function of one of its elements.
func (l *lazyTable) part(b []byte, m *module, elements []uint32, shift uint32) []byte {
	b = switchOn(b, len(elements), blockEmpty, func(b []byte) []byte {
		return append(appendS32(append(b, opLocalGet, 0, opI32Const), chunk-1), opI32And)
	})
	for _, function := range elements {
		if b = append(b, opEnd); function == 0 {
			b = append(b, opRefNull, typeFuncref)
		} else {
			b = appendU32(append(b, opRefFunc), m.moved(function-1, shift))
		}
		b = append(b, opReturn)
	}
	return append(b, opUnreachable, opEnd)
}

// resolver sets an element to its function.
func (l *lazyTable) resolver(b []byte, x tableRefs) []byte {
	b = append(b, opLocalGet, 0, opBlock, typeFuncref)
	n := int(l.chunks())
	b = switchOn(b, n, blockEmpty, func(b []byte) []byte {
		b = appendS32(append(b, opLocalGet, 0, opI32Const), int32(l.base))
		return append(b, opI32Sub, opI32Const, chunkShift, opI32ShrU)
	})
	for i := range n {
		b = append(b, opEnd, opLocalGet, 0)
		b = appendU32(append(b, opCall), x.chunk+uint32(i))
		b = appendU32(append(b, opBr), uint32(n-1-i))
	}
	return append(b, opUnreachable, opEnd, opTableSet, 0, opEnd)
}

const chunkShift = 8 // 1<<chunkShift is chunk

// switchOn opens n blocks and branches to the end of the one that value says, the
// innermost being 0. What runs then stands behind that end.
func switchOn(b []byte, n int, kind byte, value func([]byte) []byte) []byte {
	for range n {
		b = append(b, opBlock, kind)
	}
	b = appendU32(append(value(b), opBrTable), uint32(n-1))
	for i := range n {
		b = appendU32(b, uint32(i))
	}
	return b
}
