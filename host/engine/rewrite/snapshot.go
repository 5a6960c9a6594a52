package rewrite

import (
	"bytes"
	"strconv"
	"strings"
)

// The exports that preparing for snapshots adds. A module may not export a name
// of its own that begins like these.
const (
	reservedPrefix = "wasmhost_snapshot_"

	// StartName is the start function, which no longer runs by itself.
	StartName    = reservedPrefix + "start"
	globalPrefix = reservedPrefix + "global_"
)

// GlobalName is the export name of the i-th global of [Initial].
func GlobalName(i int) string { return globalPrefix + strconv.Itoa(i) }

// Initial is what a module that was prepared for snapshots leaves to whoever
// instantiates it. To start it anew, write Data into its memory in order, then
// call StartName if Start says so. To restore a snapshot, bring back memory and
// globals as they were; nothing else in such a module can have changed that it
// could tell.
type Initial struct {
	Data    []Segment
	Start   bool
	Globals int // mutable globals, exported as GlobalName(0) and so on
}

// Segment is an active data segment: Bytes belong at Offset when the module
// starts. One that reaches beyond the memory makes the start fail.
type Segment struct {
	Offset uint32
	Bytes  []byte
}

// Obstacle is a kind of thing in a module that memory and globals alone do not
// bring back.
type Obstacle string

// The obstacles. A module with one of them starts anew each time.
const (
	ObstacleNone     Obstacle = ""
	ObstacleTable    Obstacle = "it can change a table"
	ObstacleDrop     Obstacle = "it can drop a segment"
	ObstacleImport   Obstacle = "it imports a memory, a table or a global"
	ObstacleVector   Obstacle = "it has a mutable global of type v128"
	ObstacleRef      Obstacle = "it has a mutable global of a type other than numbers, funcref and externref"
	ObstacleGlobals  Obstacle = "it has too many mutable globals"
	ObstacleOffset   Obstacle = "a data segment begins at a computed offset"
	ObstacleStart    Obstacle = "its start function is imported"
	ObstacleStartRef Obstacle = "it has a start function and takes references of functions"
	ObstacleNoMemory Obstacle = "it has data and no memory"
)

// maxSnapshotGlobals bounds what is set for each sandbox. Compilers make a few.
const maxSnapshotGlobals = 1000

// layout is what of a module matters to a snapshot, as it came.
type layout struct {
	initial Initial
	globals []uint32 // indices of the mutable ones
	start   uint32
	passive bool // a data segment stays
}

// obstruct notes an obstacle; the first one stays.
func (m *module) obstruct(o Obstacle) {
	if m.obstacle == ObstacleNone {
		m.obstacle = o
	}
}

// survey reads what a snapshot needs to know besides code.
func (m *module) survey() (*layout, error) {
	l := &layout{}
	if m.imported[kindTable]+m.imported[kindMemory]+m.imported[kindGlobal] > 0 {
		m.obstruct(ObstacleImport)
	}
	if m.total[kindMemory] == 0 && m.find(secData) != nil {
		m.obstruct(ObstacleNoMemory)
	}
	for _, step := range []struct {
		id   byte
		read func(*reader, *layout) error
	}{
		{secGlobal, m.surveyGlobals},
		{secExport, m.surveyExports},
		{secStart, m.surveyStart},
		{secData, m.surveyData},
	} {
		s := m.find(step.id)
		if s == nil {
			continue
		}
		r := reader{b: s.body}
		err := step.read(&r, l)
		if err == nil {
			err = r.err
		}
		if err != nil {
			return nil, in(step.id, err)
		}
	}
	return l, nil
}

func (m *module) surveyGlobals(r *reader, l *layout) error {
	n := r.count(4)
	for i := range n {
		kind := m.valueTypeByte(r)
		mutable := r.byte()
		m.constExpr(r, 0)
		if r.err != nil {
			break
		}
		if mutable == 0 {
			continue
		}
		switch kind {
		case typeI32, typeI64, typeF32, typeF64, typeFuncref, typeExternref:
		case typeV128:
			m.obstruct(ObstacleVector)
		default:
			m.obstruct(ObstacleRef)
		}
		if len(l.globals) >= maxSnapshotGlobals {
			m.obstruct(ObstacleGlobals)
			continue
		}
		l.globals = append(l.globals, m.imported[kindGlobal]+uint32(i))
	}
	l.initial.Globals = len(l.globals)
	return nil
}

// valueTypeByte passes over a value type and returns its first byte.
func (m *module) valueTypeByte(r *reader) byte {
	at := r.pos
	m.valueType(r)
	if r.err != nil {
		return 0
	}
	return r.b[at]
}

func (m *module) surveyExports(r *reader, _ *layout) error {
	for n := r.count(3); n > 0 && r.err == nil; n-- {
		name := string(r.name())
		r.byte()
		r.u32()
		if r.err == nil && strings.HasPrefix(name, reservedPrefix) {
			return invalid("the export name %q is the host's own", name)
		}
	}
	return nil
}

func (m *module) surveyStart(r *reader, l *layout) error {
	l.start = r.u32()
	if r.err != nil || l.start >= m.total[kindFunc] {
		return nil // refused elsewhere
	}
	if l.start < m.imported[kindFunc] {
		m.obstruct(ObstacleStart)
		return nil
	}
	if t := m.types[m.funcs[l.start-m.imported[kindFunc]]]; t.params+t.results > 0 {
		return invalid("the start function has parameters or results")
	}
	l.initial.Start = true
	return nil
}

func (m *module) surveyData(r *reader, l *layout) error {
	r.b = bytes.Clone(r.b) // the segments outlive the file
	n := r.count(2)
	if s := m.find(secDataCount); s != nil {
		c := reader{b: s.body}
		if declared := c.u32(); c.err == nil && declared != uint32(n) {
			return invalid("there are %d segments, and %d declared", n, declared)
		}
	}
	for ; n > 0 && r.err == nil; n-- {
		flags := r.u32()
		if flags == 1 {
			l.passive = true
			r.bytes(uint64(r.u32()))
			continue
		}
		if flags == 2 {
			r.u32()
		}
		offset, ok := m.constantOffset(r)
		if !ok {
			m.obstruct(ObstacleOffset)
		}
		b := r.bytes(uint64(r.u32()))
		if r.err == nil {
			l.initial.Data = append(l.initial.Data, Segment{Offset: offset, Bytes: b})
		}
		if len(l.initial.Data) > m.limits.Segments {
			return exceeded("data segments", uint64(len(l.initial.Data)), m.limits.Segments)
		}
	}
	return nil
}

// constantOffset reads a constant expression, and its value if it is one
// constant.
func (m *module) constantOffset(r *reader) (uint32, bool) {
	c := *r
	if c.byte() == opI32Const {
		v := c.signed(32)
		if c.byte() == opEnd && c.err == nil {
			*r = c
			return uint32(v), true
		}
	}
	m.constExpr(r, 0)
	return 0, false
}

// detach takes out of a rewritten module what it would do by itself when it is
// instantiated, and makes its mutable globals reachable.
func (m *module) detach(l *layout, a added) *Initial {
	if l.initial.Start {
		m.remove(func(s section) bool { return s.id == secStart })
	}
	switch data := m.find(secData); {
	case data == nil:
	case l.passive || m.usesSegments:
		data.body = emptyActive(data.body)
	default:
		// Nothing can name a segment: no section is left for the runtime to
		// copy at each start.
		m.remove(func(s section) bool { return s.id == secData || s.id == secDataCount })
	}
	r := reader{b: []byte{0}}
	if s := m.find(secExport); s != nil {
		r.b = s.body
	}
	n := r.u32()
	add := uint32(len(l.globals))
	if l.initial.Start {
		add++
	}
	r.put(0, n+add)
	r.copy(len(r.b))
	for i, g := range l.globals {
		r.out = appendName(r.out, GlobalName(i))
		r.out = appendU32(append(r.out, kindGlobal), g)
	}
	if l.initial.Start {
		r.out = appendName(r.out, StartName)
		r.out = appendU32(append(r.out, kindFunc), l.start+a.shift())
	}
	m.set(secExport, r.out)
	if a.table != nil {
		m.set(secStart, appendU32(nil, a.table.refs(m, a).start))
	}
	return &l.initial
}

// emptyActive keeps every segment at its index: an active one with no bytes is
// like one that was copied and dropped.
func emptyActive(body []byte) []byte {
	r := reader{b: body}
	n := r.u32()
	out := appendU32(nil, n)
	for range n {
		flags := r.u32()
		if flags == 1 {
			b := r.bytes(uint64(r.u32()))
			out = append(appendU32(append(out, 1), uint32(len(b))), b...)
			continue
		}
		if flags == 2 {
			r.u32()
		}
		r.byte() // surveyed: one i32 constant
		r.signed(32)
		r.byte()
		r.bytes(uint64(r.u32()))
		out = append(out, 0, opI32Const, 0, opEnd, 0)
	}
	return out
}

// watch notes what an instruction means for snapshots. Code that cannot be
// reached counts too: whether it can is not looked at.
func (m *module) watch(op byte, sub uint32) {
	switch {
	case op == opTableGet:
		m.readsTables = true
	case op == opTableSet:
		m.obstruct(ObstacleTable)
	case op == opRefFunc && m.find(secStart) != nil:
		// Code may refer only to functions that are declared somewhere, and
		// exporting the start function would declare it.
		m.obstruct(ObstacleStartRef)
	case op != opMisc:
	case sub == miscMemoryInit:
		m.usesSegments = true
	case sub == miscDataDrop, sub == miscElemDrop:
		m.obstruct(ObstacleDrop)
	case sub == miscTableInit, sub == miscTableCopy, sub == miscTableGrow, sub == miscTableFill:
		m.growsTables = m.growsTables || sub == miscTableGrow
		m.obstruct(ObstacleTable)
	}
}
