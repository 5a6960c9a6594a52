package rewrite

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
)

// Meter names what metering adds to a module. The zero value of a field means
// its default.
type Meter struct {
	ImportModule string // of the tick, a function without parameters and results; default "wasmhost_meter"
	ImportName   string // default "tick"
	Counter      string // the name of the exported counter, a mutable i32 global; default "wasmhost_fuel"
}

// The defaults of [Meter].
const (
	TickModule = "wasmhost_meter"
	TickName   = "tick"
	Counter    = "wasmhost_fuel"
)

func (m Meter) withDefaults() Meter {
	for _, f := range []struct {
		v   *string
		def string
	}{{&m.ImportModule, TickModule}, {&m.ImportName, TickName}, {&m.Counter, Counter}} {
		if *f.v == "" {
			*f.v = f.def
		}
	}
	return m
}

// Config is how a module is to be rewritten.
type Config struct {
	Limits Limits
	Meter  Meter

	// Snapshot prepares the module for being restored from a snapshot, if
	// nothing in it stands against that; see [Initial].
	Snapshot bool

	// FewElements is how many functions a table must hold for it to be filled
	// while they are called; see table.go. Only with Snapshot. Default 64.
	FewElements int
}

// Report says what Instrument did.
type Report struct {
	Functions int      // with code in the module
	Charges   int      // places where fuel is taken or given back
	Checks    int      // places that may call the tick
	Bytes     int      // of the result
	Dropped   []string // custom sections that the rewriting would have made lie
	Elements  uint64   // of all tables together; twice what code can add, which leaves as much behind

	Initial  *Initial // of a module that was prepared for snapshots, else nil
	Obstacle Obstacle // why it was not, although it was asked for
}

// Instrument returns wasm with metering; see the package's comment for what it
// adds. The result shares no memory with wasm. A module that is not valid stays
// invalid, if it is not refused here: with abi.LimitExceeded beyond one of the
// limits, else with abi.InvalidModule. The time it takes and the memory it
// needs are linear in the size of wasm.
func Instrument(wasm []byte, cfg Config) ([]byte, Report, error) {
	m, report, err := instrument(wasm, cfg, cfg.Snapshot)
	if errors.Is(err, errTable) {
		m, report, err = instrument(wasm, cfg, false)
	}
	if err != nil {
		return nil, Report{}, refusal(err)
	}
	b := m.encode()
	report.Bytes = len(b)
	return b, report, nil
}

// instrument fails with errTable if it was to fill the table and cannot.
func instrument(wasm []byte, cfg Config, table bool) (*module, Report, error) {
	meter := cfg.Meter.withDefaults()
	m, err := decode(wasm, cfg.Limits)
	if err != nil {
		return nil, Report{}, err
	}
	a := added{importModule: meter.ImportModule, importName: meter.ImportName, counter: meter.Counter}
	if table {
		a.table = m.lazyTable(cmp.Or(cfg.FewElements, fewElements))
	}
	report, err := m.rewrite(a, cfg.Snapshot)
	return m, report, err
}

// rewrite puts what is added into all sections.
func (m *module) rewrite(a added, snapshot bool) (Report, error) {
	report := Report{Functions: len(m.funcs)}
	var surveyed *layout
	if snapshot {
		var err error
		if surveyed, err = m.survey(); err != nil {
			return report, err
		}
	}
	if err := m.extend(a); err != nil {
		return report, err
	}
	if err := m.rewriteCode(a, &report); errors.Is(err, errTable) {
		return report, err
	} else if err != nil {
		return report, in(secCode, err)
	}
	report.Elements = m.elements
	if m.growsTables {
		report.Elements += 2 * m.growth // growing copies
	}
	m.remove(func(s section) bool {
		if s.id != secCustom || a.importName == "" || !pointsIntoCode(s.name) {
			return false
		}
		report.Dropped = append(report.Dropped, s.name)
		return true
	})
	m.rewriteNames(a.shift(), &report)
	if snapshot {
		if report.Obstacle = m.obstacle; report.Obstacle == ObstacleNone {
			report.Initial = m.detach(surveyed, a)
		}
	}
	return report, nil
}

// pointsIntoCode says whether a custom section is known to hold offsets of
// instructions or indices of functions, in forms that are not rewritten:
// debugging information, branch hints, a linker's relocations.
func pointsIntoCode(name string) bool {
	return strings.HasPrefix(name, ".debug_") || strings.HasPrefix(name, "metadata.code.") ||
		strings.HasPrefix(name, "reloc.") || name == "linking" || name == "sourceMappingURL" ||
		name == "external_debug_info"
}

// rewriteCode rewrites every body.
func (m *module) rewriteCode(a added, report *Report) error {
	s := m.find(secCode)
	if s == nil {
		return nil
	}
	r := reader{b: s.body}
	n := r.count(2)
	w := writer{
		planner: planner{m: m, shift: a.shift(), meter: a.importName != "" && a.counter != ""},
		tick:    m.imported[kindFunc],
		counter: m.total[kindGlobal],
		report:  report,
	}
	add := uint32(0)
	if a.table != nil {
		refs := a.table.refs(m, a)
		w.table, w.element = true, refs.global
		add = a.table.functions()
	}
	// Metered Go code grows by a third; what is to spare saves copying.
	out := appendU32(make([]byte, 0, len(s.body)+len(s.body)/2+16), uint32(n)+add)
	for i := range n {
		size := r.u32()
		if int64(size) > int64(m.limits.FunctionBytes) {
			return inFunction(m, i, exceeded("bytes of code", uint64(size), m.limits.FunctionBytes))
		}
		body := r.bytes(uint64(size))
		if r.err != nil {
			return inFunction(m, i, r.err)
		}
		w.out = w.out[:0]
		if err := w.body(body, m.types[m.funcs[i]]); err != nil {
			return inFunction(m, i, err)
		}
		if a.table != nil && (m.readsTables || m.obstacle != ObstacleNone) {
			return errTable
		}
		out = append(appendU32(out, uint32(len(w.out))), w.out...)
	}
	if err := m.done(&r); err != nil {
		return err
	}
	if a.table != nil {
		out = a.table.appendCode(out, m, a.table.refs(m, a), a.shift())
	}
	s.body = out
	return nil
}

// inFunction says in which function a failure is, by its index in the module
// as it came.
func inFunction(m *module, i int, err error) error {
	code := abi.CodeOf(err)
	if code != abi.LimitExceeded {
		code = abi.InvalidModule
	}
	return abi.Errorf(code, "function %d: %s", int(m.imported[kindFunc])+i, abi.MessageOf(err))
}

// writer writes what a planner has planned.
type writer struct {
	planner
	tick, counter uint32
	element       uint32 // the global that tells which one is called
	inLocal       bool   // the counter is in a local while the function runs
	local         uint32
	report        *Report
	out           []byte
}

func (w *writer) body(body []byte, t funcType) error {
	r := reader{b: body}
	groups := r.count(2)
	start := r.pos
	locals := uint64(t.params)
	for ; groups > 0 && r.err == nil; groups-- {
		locals += uint64(r.u32())
		w.m.valueType(&r)
		if locals > uint64(w.m.limits.Locals) {
			return exceeded("locals", locals, w.m.limits.Locals)
		}
	}
	if r.err != nil {
		return fmt.Errorf("locals: %w", r.err)
	}
	code := body[r.pos:]
	if err := w.function(code, t, uint32(locals)); err != nil {
		return err
	}

	declared := reader{b: body}
	n, add := declared.u32(), uint32(0)
	if w.scratch {
		add++
	}
	// Going round a loop would wait for the counter to come back from memory. A
	// handler of an exception would not find it in the local.
	if w.inLocal = w.loops && !w.catches && w.meter; w.inLocal {
		w.local = w.locals + add
		add++
	}
	w.out = append(appendU32(w.out, n+min(add, 1)), body[start:r.pos]...)
	if add > 0 {
		w.out = append(appendU32(w.out, add), typeI32)
	}
	w.load()
	copied := uint32(0)
	for i := range w.edits {
		e := &w.edits[i]
		w.out = append(w.out, code[copied:e.at]...)
		copied = e.end
		w.edit(e, code)
	}
	w.out = append(w.out, code[copied:]...)
	return nil
}

func (w *writer) edit(e *edit, code []byte) {
	switch e.kind {
	case editFunction:
		w.out = appendU32(w.out, e.value)
	case editCharge:
		p := &w.points.all[e.point]
		w.take(p.cost)
		if p.check {
			w.check()
		}
	case editBack:
		if !w.points.all[e.loop].check {
			w.check()
		}
	case editBrIf:
		p := &w.points.all[e.point]
		check := e.loop != none && !w.points.all[e.loop].check
		if p.cost == 0 && !check {
			if e.leave {
				w.save()
			}
			w.out = append(w.out, code[e.at:e.end]...)
			return
		}
		w.out = append(w.out, opIf, blockEmpty)
		w.take(p.cost)
		if check {
			w.check()
		}
		if e.leave {
			w.save()
		}
		w.out = append(appendU32(append(w.out, opBr), e.value+1), opEnd)
	case editSave:
		w.save()
	case editLoad:
		w.load()
	case editElement:
		// The global is not read back: the call would wait for it.
		w.out = appendU32(append(w.out, opLocalTee), w.locals)
		w.out = appendU32(append(w.out, opGlobalSet), w.element)
		w.out = appendU32(append(w.out, opLocalGet), w.locals)
	case editBulk, editGrow:
		w.out = appendU32(append(w.out, opLocalTee), w.locals)
		w.get()
		if e.kind == editBulk {
			w.out = appendU32(append(w.out, opLocalGet), w.locals)
			w.out = append(w.out, opI32Const, byte(e.value), opI32ShrU)
		} else {
			// More pages than there can be are refused at no cost: the
			// clamp keeps the product in range.
			w.out = appendS32(append(w.out, opI32Const), maxPages)
			w.out = appendU32(append(w.out, opLocalGet), w.locals)
			w.out = appendU32(append(w.out, opLocalGet), w.locals)
			w.out = appendS32(append(w.out, opI32Const), maxPages)
			w.out = append(w.out, opI32GtU, opSelect, opI32Const, byte(e.value), opI32Shl)
		}
		w.out = append(w.out, opI32Sub)
		w.set()
		w.report.Charges++
		w.check()
	}
}

func (w *writer) get() {
	if w.inLocal {
		w.out = appendU32(append(w.out, opLocalGet), w.local)
		return
	}
	w.out = appendU32(append(w.out, opGlobalGet), w.counter)
}

func (w *writer) set() {
	if w.inLocal {
		w.out = appendU32(append(w.out, opLocalSet), w.local)
		return
	}
	w.out = appendU32(append(w.out, opGlobalSet), w.counter)
}

// save and load move the counter from the local, if it is in one, and back.
func (w *writer) save() {
	if w.inLocal {
		w.out = appendU32(append(w.out, opLocalGet), w.local)
		w.out = appendU32(append(w.out, opGlobalSet), w.counter)
	}
}

func (w *writer) load() {
	if w.inLocal {
		w.out = appendU32(append(w.out, opGlobalGet), w.counter)
		w.out = appendU32(append(w.out, opLocalSet), w.local)
	}
}

func (w *writer) take(cost int64) {
	if cost == 0 {
		return
	}
	op := byte(opI32Sub)
	if cost < 0 {
		op, cost = opI32Add, -cost
	}
	w.get()
	w.out = append(appendS32(append(w.out, opI32Const), int32(cost)), op)
	w.set()
	w.report.Charges++
}

// check calls the tick if the slice is used up. The way that needs no tick
// comes first: the compiler keeps in registers what is there on that one.
func (w *writer) check() {
	w.get()
	w.out = append(w.out, opI32Const, 0, opI32GeS, opIf, blockEmpty, opElse)
	w.save()
	w.out = appendU32(append(w.out, opCall), w.tick)
	w.load()
	w.out = append(w.out, opEnd)
	w.report.Checks++
}
