package rewrite

// planner reads one function after the other and notes what is to be inserted
// or changed where.
type planner struct {
	m     *module
	shift uint32
	meter bool
	table bool // calls through the table 0 tell which element they call

	r       reader
	frames  []frame
	points  points
	edits   []edit
	current int32 // the point of the next instruction; none where the code is dead
	locals  uint32
	scratch bool // a bulk operation needs a local
	leaf    bool // nothing in it runs for longer than its code is
	loops   bool
	catches bool
	static  int64 // what all instructions cost together
}

// edit is a change at a place of a function's code.
type edit struct {
	kind  editKind
	at    uint32 // insert here
	end   uint32 // and go on from here
	value uint32 // a function's index, a label, or the shift of a bulk operation
	point int32
	loop  int32 // the header that a branch goes back to, or none
	leave bool  // the branch leaves the function
}

type editKind uint8

const (
	editCharge   editKind = iota // charge the point
	editFunction                 // another function index
	editBack                     // br to the header of a loop: check in front
	editBrIf                     // br_if: charge the point, and check for the header, where it is taken
	editBulk                     // charge by the topmost operand
	editGrow                     // the same, for pages
	editElement                  // a call through the table: tell the element
	editSave                     // the counter is about to be another's to see
	editLoad                     // another may have changed it
)

// frame is a block that is open.
type frame struct {
	op       byte   // opBlock, opLoop, opIf, opElse, opTryTable
	entry    int32  // the point before the block; none where that is dead
	arm      int32  // the point at the start of an if, or the header of a loop
	then     int32  // of an else: the point at the end of the if
	loop     int32  // the innermost frame around that is a loop, itself included; or none
	lowest   int32  // the outermost frame that something in it branches to
	values   uint32 // how many values a branch to it takes
	targeted bool   // something branches to its end
}

// function plans one body, which starts behind the declarations of the locals.
func (p *planner) function(body []byte, t funcType, locals uint32) error {
	p.begin(body, t, locals)
	for len(p.frames) > 0 && p.r.err == nil {
		if err := p.instruction(); err != nil {
			return err
		}
	}
	if p.r.err != nil {
		return p.r.err
	}
	if p.r.rest() > 0 {
		return invalid("%d bytes behind the end", p.r.rest())
	}
	p.points.settle()
	if p.leaf && p.static <= maxLeaf {
		p.points.all[0].check = false
	}
	return nil
}

// begin opens the body as a block.
func (p *planner) begin(body []byte, t funcType, locals uint32) {
	p.r = reader{b: body}
	p.frames, p.edits = p.frames[:0], p.edits[:0]
	p.points.reset()
	p.locals = locals
	p.scratch, p.leaf, p.static = false, true, 0
	p.loops, p.catches = false, false

	p.current = p.point(0)
	p.points.all[p.current].check = true
	p.points.all[p.current].cost = costEntry(locals)
	p.push(opBlock, t.results)
}

// maxLeaf is the most that a function may cost altogether to go without a
// check at its start; it must have no loop, no call and no bulk operation.
// What such functions use up shows at their caller's next check.
const maxLeaf = 100

// costEntry is what entering a function costs: its locals are set to zero.
func costEntry(locals uint32) int64 { return 1 + int64(locals)/16 }

// point starts a new one at a place of the code.
func (p *planner) point(at int) int32 {
	i := p.points.add()
	if p.meter {
		p.edits = append(p.edits, edit{kind: editCharge, at: uint32(at), end: uint32(at), point: i})
	}
	return i
}

func (p *planner) spend(cost int64) {
	if p.current != none {
		p.points.all[p.current].cost += cost
		p.static += cost
	}
}

func (p *planner) live() bool { return p.current != none }

func (p *planner) push(op byte, values uint32) *frame {
	i := int32(len(p.frames))
	f := frame{op: op, entry: p.current, arm: none, then: none, loop: none, lowest: i, values: values}
	if i > 0 {
		f.loop = p.frames[i-1].loop
	}
	if op == opLoop {
		f.loop = i
	}
	p.frames = append(p.frames, f)
	return &p.frames[i]
}

// target turns a label into the index of its frame.
func (p *planner) target(label uint32) int32 {
	if p.r.err == nil && uint64(label) >= uint64(len(p.frames)) {
		p.r.fail(invalid("label %d of %d", label, len(p.frames)))
	}
	if p.r.err != nil {
		return 0
	}
	return int32(len(p.frames)) - 1 - int32(label)
}

// branch notes that the code that is live may go to the frame. from is the
// point that is passed exactly when it does, or none where there is no such.
func (p *planner) branch(to, from int32) {
	if !p.live() || p.r.err != nil {
		return
	}
	top := &p.frames[len(p.frames)-1]
	top.lowest = min(top.lowest, to)
	f := &p.frames[to]
	switch {
	case f.op != opLoop:
		f.targeted = true
	case from != none:
		p.points.branchBack(f.arm, from)
	default:
		p.points.all[f.arm].fixed = true
	}
}

func (p *planner) dead() { p.current = none }

// instruction reads one and notes what it means for the points.
func (p *planner) instruction() error {
	r := &p.r
	start := r.pos
	op := r.byte()
	sub := uint32(0)
	what := plainOps[op]
	if what == immPrefix {
		if sub, what = p.prefixed(op); what == immUnknown && r.err == nil {
			return unknown(op, sub)
		}
	}
	if what == immUnknown && r.err == nil {
		return unknown(op, 0)
	}
	p.m.watch(op, sub)
	if op < opMisc {
		p.spend(costs[op])
	} else {
		p.spend(p.costOf(op, sub))
	}
	switch op {
	case opCall, opCallIndirect, opCallRef, opReturnCall, opReturnCallIndirect, opReturnCallRef,
		opReturn, opThrow, opThrowRef, opUnreachable:
		p.hand(editSave, start)
	case opEnd:
		if len(p.frames) == 1 {
			p.hand(editSave, start)
		}
	}
	switch what {
	case immNone:
	case immLocal:
		if i := r.u32(); i >= p.locals && r.err == nil {
			return invalid("local %d of %d", i, p.locals)
		}
	case immMem:
		p.memArg()
	case immS32:
		r.signed(32)
	case immGlobal:
		p.m.index(r, kindGlobal)
	case immFunc:
		p.functionIndex()
	case immBlock:
		params, results := p.blockType()
		return p.open(op, params, results)
	case immTryTable:
		return p.tryTable()
	case immLabel:
		p.label(op, start, r.u32())
	case immBrTable:
		targets := r.count(1)
		if targets > p.m.limits.Targets {
			return exceeded("targets of a branch", uint64(targets), p.m.limits.Targets)
		}
		leaves := false
		for n := targets + 1; n > 0 && r.err == nil; n-- {
			to := p.target(r.u32())
			p.branch(to, none)
			leaves = leaves || to == 0
		}
		if leaves {
			p.hand(editSave, start)
		}
		p.dead()
	case immCallIndirect:
		p.m.typeIndex(r)
		if table := p.m.index(r, kindTable); table == 0 && p.table {
			at := uint32(start)
			p.scratch = true
			p.edits = append(p.edits, edit{kind: editElement, at: at, end: at})
		}
	case immType:
		p.m.typeIndex(r)
	case immTag:
		p.m.index(r, kindTag)
	case immS64:
		r.signed(64)
	default:
		p.skip(what)
	}
	if r.err != nil {
		return r.err
	}
	switch op {
	case opElse:
		return p.otherwise()
	case opEnd:
		p.close()
	case opUnreachable, opThrow, opThrowRef:
		p.dead()
	case opReturn:
		p.branch(0, none)
		p.dead()
	case opReturnCall, opReturnCallIndirect, opReturnCallRef:
		p.leaf = false
		p.branch(0, none)
		p.dead()
	case opCall, opCallIndirect, opCallRef:
		p.leaf = false
		p.hand(editLoad, r.pos)
	case opMemoryGrow:
		p.bulk(editGrow, start, bulkPageShift)
	case opMisc:
		switch sub {
		case miscMemoryInit, miscMemoryCopy, miscMemoryFill:
			p.bulk(editBulk, start, bulkByteShift)
		case miscTableInit, miscTableCopy, miscTableGrow, miscTableFill:
			p.bulk(editBulk, start, bulkEntryShift)
		}
	}
	return nil
}

// prefixed reads the second part of an instruction's code. The runtime takes
// that of vectors and atomics for one byte, so only the encoding that means
// the same both ways is let through: else what is metered here would not be
// what runs.
func (p *planner) prefixed(op byte) (uint32, imm) {
	start := p.r.pos
	sub := p.r.u32()
	table := &miscOps
	switch op {
	case opVec:
		table = &vecOps
	case opAtomic:
		table = &atomicOps
	}
	shortest := 1
	if sub >= 0x80 {
		shortest = 2
	}
	if sub > 0xff || op != opMisc && p.r.pos-start != shortest {
		return sub, immUnknown
	}
	return sub, table[sub]
}

func (p *planner) costOf(op byte, sub uint32) int64 {
	switch {
	case op == opAtomic:
		return costCall
	case op == opMisc && sub >= miscMemoryInit:
		return costBulk
	}
	return 1
}

// skip passes over what needs no further look.
func (p *planner) skip(what imm) {
	r := &p.r
	switch what {
	case immTable:
		p.m.index(r, kindTable)
	case immTwoTables:
		p.m.index(r, kindTable)
		p.m.index(r, kindTable)
	case immElemTable:
		r.u32()
		p.m.index(r, kindTable)
	case immSegment:
		r.u32()
	case immDataMem:
		r.u32()
		p.zero()
	case immZero:
		p.zero()
	case immTwoZeros:
		p.zero()
		p.zero()
	case immMemLane:
		p.memArg()
		r.byte()
	case immLane:
		r.byte()
	case imm4:
		r.bytes(4)
	case imm8:
		r.bytes(8)
	case imm16:
		r.bytes(16)
	case immHeapType:
		r.u32()
	case immSelect:
		if r.byte() != 1 {
			r.fail(invalid("select of other than one type"))
		}
		p.m.valueType(r)
	}
}

func (p *planner) memArg() {
	if align := p.r.u32(); align >= 32 {
		p.r.fail(invalid("alignment 2^%d; more than one memory is not supported", align))
	}
	p.r.u32()
}

func (p *planner) zero() {
	if p.r.byte() != 0 {
		p.r.fail(invalid("memory other than 0; more than one memory is not supported"))
	}
}

func (p *planner) functionIndex() {
	r := &p.r
	start := r.pos
	i := r.u32()
	if r.err == nil && i >= p.m.total[kindFunc] {
		r.fail(invalid("function %d of %d", i, p.m.total[kindFunc]))
		return
	}
	if i >= p.m.imported[kindFunc] {
		i += p.shift
	}
	p.edits = append(p.edits, edit{kind: editFunction, at: uint32(start), end: uint32(r.pos), value: i})
}

// blockType reads how many values go into a block and come out of it.
func (p *planner) blockType() (params, results uint32) {
	r := &p.r
	switch t := r.signed(33); {
	case t >= 0:
		if t >= int64(len(p.m.types)) {
			r.fail(invalid("type %d of %d", t, len(p.m.types)))
			return 0, 0
		}
		f := p.m.types[t]
		return f.params, f.results
	case t == blockEmpty-0x80:
		return 0, 0
	case t == typeRef-0x80, t == typeRefNull-0x80:
		r.signed(33)
	}
	return 0, 1
}

func (p *planner) open(op byte, params, results uint32) error {
	if len(p.frames) > p.m.limits.Nesting {
		return exceeded("blocks within each other", uint64(len(p.frames)), p.m.limits.Nesting)
	}
	if op == opLoop {
		p.leaf = false
		f := p.push(op, params)
		if p.live() {
			p.loops = true
			f.arm = p.point(p.r.pos)
			h := &p.points.all[f.arm]
			h.loop, h.entry = true, p.current
			p.current = f.arm
		}
		return nil
	}
	f := p.push(op, results)
	if op == opIf && p.live() {
		f.arm = p.point(p.r.pos)
		p.current = f.arm
	}
	return nil
}

func (p *planner) tryTable() error {
	r := &p.r
	p.catches = true
	_, results := p.blockType()
	lowest := int32(len(p.frames))
	for n := r.count(2); n > 0 && r.err == nil; n-- {
		switch kind := r.byte(); kind {
		case 0, 1: // catch, catch_ref
			p.m.index(r, kindTag)
		case 2, 3: // catch_all, catch_all_ref
		default:
			return invalid("unknown catch clause %d", kind)
		}
		to := p.target(r.u32())
		p.branch(to, none)
		lowest = min(lowest, to)
	}
	if err := p.open(opTryTable, 0, results); err != nil || r.err != nil {
		return err
	}
	f := &p.frames[len(p.frames)-1]
	f.lowest = min(f.lowest, lowest)
	return nil
}

// label notes a branch that is taken always, or may be.
func (p *planner) label(op byte, start int, label uint32) {
	to := p.target(label)
	if p.r.err != nil || !p.live() {
		return
	}
	f := &p.frames[to]
	e := edit{at: uint32(start), end: uint32(p.r.pos), value: label, loop: none}
	if f.op == opLoop {
		e.loop = f.arm
	}
	switch {
	case op == opBr:
		if to == 0 {
			p.hand(editSave, start)
		}
		p.branch(to, p.current)
		if e.loop != none && p.meter {
			e.kind, e.end = editBack, e.at
			p.edits = append(p.edits, e)
		}
		p.dead()
	case op == opBrIf && p.meter && f.values == 0 && f.op == opLoop:
		// What it costs to go round is charged where it is taken.
		e.kind, e.point = editBrIf, p.points.add()
		p.branch(to, e.point)
		p.edits = append(p.edits, e)
		p.current = p.point(p.r.pos)
	case op == opBrIf && p.meter && f.values == 0 && to < p.frames[len(p.frames)-1].loop:
		// It leaves the innermost loop, once: what follows is charged before
		// it, and given back on the way out.
		p.branch(to, none)
		e.kind, e.point, e.leave = editBrIf, p.points.add(), to == 0
		p.edits = append(p.edits, e)
		in, own := p.points.sub(p.current, e.point)
		if own {
			p.edits = append(p.edits, edit{kind: editCharge, at: uint32(p.r.pos), end: uint32(p.r.pos), point: in})
		}
		p.current = in
	default:
		if to == 0 {
			p.hand(editSave, start)
		}
		p.branch(to, none)
		p.current = p.point(p.r.pos)
	}
}

// hand plans that the counter is handed on, to whoever has a say next, or is
// taken back.
func (p *planner) hand(kind editKind, at int) {
	if p.live() && p.meter {
		p.edits = append(p.edits, edit{kind: kind, at: uint32(at), end: uint32(at)})
	}
}

func (p *planner) otherwise() error {
	f := &p.frames[len(p.frames)-1]
	if f.op != opIf {
		return invalid("else without if")
	}
	f.op, f.then = opElse, p.current
	if p.current = none; f.entry != none {
		p.current = p.point(p.r.pos)
	}
	return nil
}

// close ends the innermost block and finds the point of what comes behind it.
func (p *planner) close() {
	i := int32(len(p.frames)) - 1
	f := p.frames[i]
	p.frames = p.frames[:i]
	if i == 0 {
		return
	}
	outer := &p.frames[i-1]
	outer.lowest = min(outer.lowest, f.lowest)
	if f.entry == none {
		p.dead()
		return
	}
	// The ways to the end: falling through, or an else or a missing one.
	first, second := p.current, int32(none)
	if f.op == opElse {
		second = f.then
	}
	reached := first != none || second != none || f.targeted || f.op == opIf
	switch {
	case !reached:
		p.dead()
	case f.lowest >= i:
		// Whatever goes in comes out here.
		p.current = f.entry
	case f.op == opIf && first == none && !f.targeted:
		// The if leaves: what follows runs unless it was taken.
		next, own := p.points.sub(f.entry, f.arm)
		if own && p.meter {
			at := uint32(p.r.pos)
			p.edits = append(p.edits, edit{kind: editCharge, at: at, end: at, point: next})
		}
		p.current = next
	case f.op != opIf && !f.targeted && (first == none) != (second == none):
		p.current = max(first, second)
	default:
		p.current = p.point(p.r.pos)
	}
}

// bulk charges for an operation by its topmost operand, in front of it.
func (p *planner) bulk(kind editKind, start int, shift uint32) {
	if !p.live() || !p.meter {
		return
	}
	p.leaf, p.scratch = false, true
	p.edits = append(p.edits, edit{kind: kind, at: uint32(start), end: uint32(start), value: shift})
}
