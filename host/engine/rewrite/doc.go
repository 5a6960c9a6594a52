// Package rewrite changes Wasm modules before the runtime compiles them.
//
// [Instrument] adds metering. A metered module counts down the fuel that it
// uses, in a counter that the host can read and fill, and calls the host's tick
// whenever the counter is below zero. So no guest runs for long without the
// host having a say, and what it ran is counted, the same on every machine.
//
// # What is added
//
//   - an import: a function without parameters and results, the tick. It comes
//     behind the other imports, so all functions that are not imported move up
//     by one index.
//   - an exported global: the counter, a mutable i32 that begins at zero. So
//     the first thing that a guest does is to call the tick.
//   - charges: the counter goes down by what the code ahead costs.
//   - checks: if the counter is below zero, the tick is called.
//   - in a function with a loop and without handlers of exceptions, a local that
//     has the counter, and what moves it there and back: at calls, ticks, and
//     where the function ends. To and from memory it would be what the loop waits
//     for.
//
// With snapshots a large table of functions is also filled in another way, which
// adds functions, a global and a start function; see table.go.
//
// The host fills the counter by adding a slice to it, in the tick or between
// calls; or it ends the guest, by a panic in the tick. It must leave a counter
// that is not negative, or end the guest. The fuel used up so far is the sum of
// all that was added less what is left. A call that trapped or was ended, or
// that an exception left, was charged for the code that it was about to run: at
// most for the rest of the functions it was in. Where it trapped in a function
// with a loop, what that function ran since its last call or tick is not counted:
// less than what the host filled in there.
//
// # What fuel counts
//
// A unit for each instruction that is executed, but for these:
//
//	nop, block, loop, else, end, try_table         0
//	call, return_call, an atomic access            4
//	a call through a table or a reference          8
//	throw, memory.grow                            64
//	memory.fill, .copy, .init                      8, and 1 for each 64 bytes
//	table.fill, .copy, .init, .grow                8, and 1 for each 8 elements
//	memory.grow, on top                            1024 for each page asked for
//	data.drop, elem.drop, table.size               8
//	entering a function                            1, and 1 for each 16 locals and parameters
//
// Host functions cost what the host makes them cost. The counts belong to the
// contract as little as time does: they may change with a version of the host.
//
// # Where charges and checks are
//
// Code that is always run together is charged together, where the first of it
// begins; see point.go. Checks are at the entry of functions, and at the
// branches that lead back to the header of a loop, or at the header where these
// are many. A function without loops and calls that costs no more than 100
// units goes without a check: what it used shows at its caller's next one. An
// operation that works on as many bytes or elements as an operand says is
// charged and checked right in front.
//
// # The counter cannot wrap
//
// Between two checks one activation of a function runs, with the small
// functions that it calls. A function of 8 MiB, the most that Limits allow, can
// charge no more than a thousand million units that way, and an operand no more
// than half of that: the counter, which a check found at zero or more, stays
// above -2³¹.
//
// # What is refused
//
// The decoder knows all of the runtime's instructions: version 2 of the core
// specification, and extended constants, tail calls, exceptions, atomics and
// typed function references. Whether one is allowed remains the runtime's
// decision. Refused by name are shared memory, where a guest could wait with no
// tick to wake it, memories of 64 bits and more than one memory, garbage
// collected types, relaxed SIMD, and exceptions in their old form. So is an
// instruction that is encoded in a way that the runtime reads differently from
// the specification.
//
// Functions are not validated in full: the runtime does that with the result.
// What is checked is what makes that safe. No count exceeds the bytes that
// follow it, since the runtime allocates by counts. No index exceeds those of
// the original, since what is added must be out of a guest's reach. So a module
// that is not valid does not become valid by being rewritten.
//
// # Other sections
//
// Sections that hold nothing of this are copied. The name section gets the new
// indices; one that cannot be read is dropped. Dropped as well are custom
// sections that would be wrong afterwards and that nothing here reads: DWARF,
// branch hints, relocations, source maps. [Report] says which.
package rewrite
