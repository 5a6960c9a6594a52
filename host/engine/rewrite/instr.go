package rewrite

// Value types and heap types, as they are encoded.
const (
	typeI32       = 0x7f
	typeI64       = 0x7e
	typeF32       = 0x7d
	typeF64       = 0x7c
	typeV128      = 0x7b
	typeFuncref   = 0x70
	typeExternref = 0x6f
	typeExnref    = 0x69
	typeRefNull   = 0x63 // a heap type follows
	typeRef       = 0x64 // a heap type follows
)

// maxPages is how many pages a memory of 32 bits can have.
const maxPages = 65536

// The instructions that a rewriting does something about.
const (
	opUnreachable        = 0x00
	opBlock              = 0x02
	opLoop               = 0x03
	opIf                 = 0x04
	opElse               = 0x05
	opThrow              = 0x08
	opThrowRef           = 0x0a
	opEnd                = 0x0b
	opBr                 = 0x0c
	opBrIf               = 0x0d
	opBrTable            = 0x0e
	opReturn             = 0x0f
	opCall               = 0x10
	opCallIndirect       = 0x11
	opReturnCall         = 0x12
	opReturnCallIndirect = 0x13
	opCallRef            = 0x14
	opReturnCallRef      = 0x15
	opTryTable           = 0x1f
	opLocalGet           = 0x20
	opLocalSet           = 0x21
	opLocalTee           = 0x22
	opGlobalGet          = 0x23
	opGlobalSet          = 0x24
	opTableGet           = 0x25
	opTableSet           = 0x26
	opMemoryGrow         = 0x40
	opI32Const           = 0x41
	opI64Const           = 0x42
	opF32Const           = 0x43
	opF64Const           = 0x44
	opI32GeS             = 0x4e
	opI32Sub             = 0x6b
	opI32Add             = 0x6a
	opI32And             = 0x71
	opI32Shl             = 0x74
	opI32ShrU            = 0x76
	opI32GtU             = 0x4b
	opSelect             = 0x1b
	opRefNull            = 0xd0
	opRefFunc            = 0xd2
	opBrOnNull           = 0xd5
	opBrOnNonNull        = 0xd6
	opMisc               = 0xfc
	opVec                = 0xfd
	opAtomic             = 0xfe

	blockEmpty = 0x40 // the block type without parameters and results
)

// The instructions behind opMisc. The work of all but the drops depends on an
// operand, which is the topmost one.
const (
	miscMemoryInit = 0x08
	miscDataDrop   = 0x09
	miscMemoryCopy = 0x0a
	miscMemoryFill = 0x0b
	miscTableInit  = 0x0c
	miscElemDrop   = 0x0d
	miscTableCopy  = 0x0e
	miscTableGrow  = 0x0f
	miscTableFill  = 0x11
)

const vecConst = 0x0c

// imm says what follows an instruction's code.
type imm uint8

const (
	immUnknown imm = iota // there is no such instruction
	immNone
	immBlock        // block type
	immTryTable     // block type, catch clauses
	immLabel        // label
	immBrTable      // labels
	immFunc         // function
	immCallIndirect // type, table
	immType
	immTag
	immLocal
	immGlobal
	immTable
	immTwoTables
	immElemTable // element segment, table
	immSegment   // element or data segment
	immDataMem   // data segment, zero
	immZero      // a zero, in place of a memory
	immTwoZeros
	immMem      // alignment, offset
	immMemLane  // alignment, offset, lane
	immLane     // lane
	immS32      // i32
	immS64      // i64
	imm4        // 4 bytes
	imm8        // 8 bytes
	imm16       // 16 bytes
	immSelect   // types
	immHeapType // heap type
	immPrefix   // an instruction of a further table
)

// plainOps are the instructions of one byte.
var plainOps = func() (t [256]imm) {
	fill(&t, immNone, 0x00, 0x01)
	fill(&t, immBlock, 0x02, 0x04)
	fill(&t, immNone, 0x05, 0x05)
	t[opThrow] = immTag
	fill(&t, immNone, 0x0a, 0x0b)
	fill(&t, immLabel, 0x0c, 0x0d)
	t[opBrTable] = immBrTable
	t[opReturn] = immNone
	t[opCall], t[opReturnCall] = immFunc, immFunc
	t[opCallIndirect], t[opReturnCallIndirect] = immCallIndirect, immCallIndirect
	t[opCallRef], t[opReturnCallRef] = immType, immType
	fill(&t, immNone, 0x1a, 0x1b)
	t[0x1c] = immSelect
	t[opTryTable] = immTryTable
	fill(&t, immLocal, 0x20, 0x22)
	fill(&t, immGlobal, 0x23, 0x24)
	fill(&t, immTable, 0x25, 0x26)
	fill(&t, immMem, 0x28, 0x3e)
	fill(&t, immZero, 0x3f, 0x40)
	t[opI32Const], t[opI64Const], t[opF32Const], t[opF64Const] = immS32, immS64, imm4, imm8
	fill(&t, immNone, 0x45, 0xc4)
	t[opRefNull] = immHeapType
	t[0xd1] = immNone
	t[opRefFunc] = immFunc
	t[0xd4] = immNone
	fill(&t, immLabel, 0xd5, 0xd6)
	fill(&t, immPrefix, 0xfc, 0xfe)
	return t
}()

// miscOps are those behind opMisc: saturating conversions, then the bulk
// operations on memories and tables.
var miscOps = func() (t [256]imm) {
	fill(&t, immNone, 0x00, 0x07)
	t[miscMemoryInit] = immDataMem
	t[miscDataDrop] = immSegment
	t[miscMemoryCopy] = immTwoZeros
	t[miscMemoryFill] = immZero
	t[miscTableInit] = immElemTable
	t[miscElemDrop] = immSegment
	t[miscTableCopy] = immTwoTables
	fill(&t, immTable, 0x0f, 0x11)
	return t
}()

// vecOps are those behind opVec, without the relaxed ones.
var vecOps = func() (t [256]imm) {
	fill(&t, immMem, 0x00, 0x0b)
	fill(&t, imm16, 0x0c, 0x0d)
	fill(&t, immNone, 0x0e, 0x14)
	fill(&t, immLane, 0x15, 0x22)
	fill(&t, immNone, 0x23, 0x53)
	fill(&t, immMemLane, 0x54, 0x5b)
	fill(&t, immMem, 0x5c, 0x5d)
	fill(&t, immNone, 0x5e, 0xff)
	for _, op := range []byte{0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb, 0xc2, 0xc5, 0xc6, 0xcf,
		0xd0, 0xd2, 0xd3, 0xd4, 0xe2, 0xee} {
		t[op] = immUnknown
	}
	return t
}()

// atomicOps are those behind opAtomic.
var atomicOps = func() (t [256]imm) {
	fill(&t, immMem, 0x00, 0x02)
	t[0x03] = immZero
	fill(&t, immMem, 0x10, 0x4e)
	return t
}()

func fill(t *[256]imm, what imm, from, to int) {
	for i := from; i <= to; i++ {
		t[i] = what
	}
}

// unknown names the instructions that other engines have and this one refuses.
func unknown(op byte, sub uint32) error {
	switch {
	case op == 0x06, op == 0x07, op == 0x09, op == 0x18, op == 0x19:
		return invalid("instruction %#x: exceptions in their old form are not supported; compile with try_table", op)
	case op == 0xfb:
		return invalid("instruction %#x: garbage-collected types are not supported", op)
	case op == opVec && sub >= 0x100:
		return invalid("instruction %#x %#x: relaxed SIMD is not supported", op, sub)
	case op >= opMisc:
		return invalid("unknown instruction %#x %#x", op, sub)
	}
	return invalid("unknown instruction %#x", op)
}

// costs of the instructions of one byte; see "What fuel counts" in doc.go.
var costs = func() (t [256]int64) {
	for i := range t {
		t[i] = 1
	}
	for _, op := range []byte{0x01, opBlock, opLoop, opElse, opEnd, opTryTable} {
		t[op] = 0 // they are places, not work
	}
	for _, op := range []byte{opCall, opReturnCall} {
		t[op] = costCall
	}
	for _, op := range []byte{opCallIndirect, opReturnCallIndirect, opCallRef, opReturnCallRef} {
		t[op] = costCallIndirect
	}
	for _, op := range []byte{opThrow, opThrowRef, opMemoryGrow} {
		t[op] = costRuntime
	}
	return t
}()

const (
	costCall         = 4
	costCallIndirect = 8
	costRuntime      = 64 // what leaves compiled code for the runtime

	// A bulk operation costs a unit for 64 bytes, where an element of a table
	// has 8, on top of its own.
	costBulk       = 8
	bulkByteShift  = 6
	bulkEntryShift = 3
	bulkPageShift  = 10
)
