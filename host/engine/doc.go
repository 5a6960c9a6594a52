// Package engine runs guests: it is the only package that knows the Wasm
// runtime.
//
// An [Engine] compiles .wasm bytes into a [Module]: it checks them against the
// contract, compiles them with a cache on disk, and makes one sandbox to see
// that they start. A Module hands out a [Sandbox] to one caller at a time
// through [Module.With], so that a sandbox cannot leak and is never used twice
// at once. [Sandbox.Run] gives it one task.
//
// What a guest can reach is the [Env] of the task it runs, the clock, and
// random bytes. It has no files, no network, no arguments and no environment
// of the host's; what it prints becomes log lines.
//
// Life of a sandbox:
//
//	made ──► idle ──► running a task ──► closed
//	           ▲            │
//	           └────────────┴── if it returned, and was reset or is kept
//
// With isolation per task a sandbox runs nothing but its own initialization
// before its task. Most modules are initialized once, when they are compiled:
// memory and globals are taken then, later sandboxes begin as copies of them,
// and one that returned without growing its memory is reset in place to them.
// On Linux memories are mapped, and a copy takes only the pages that are written
// to; elsewhere the image is copied. [Module.Snapshot] tells of modules with
// state that this does not bring back, such as tables that change: each of their
// sandboxes initializes itself and serves one task.
//
// What initialization drew or read is therefore the same in all sandboxes of a
// module: seeds, clocks. WASI's random_get is asked anew each time.
//
// A sandbox that trapped still answers calls, wrongly. So whatever ends a call
// in any way but a return (trap, panic, out of memory, deadline, cancel) closes
// it, whatever the isolation.
//
// The task's context goes into every host call. When it ends, the host call
// that is under way ends with it and the guest is stopped there. A guest that
// makes no host call is stopped as well: each module is rewritten when it is
// loaded (package rewrite), so that it counts its own work, which is called fuel,
// and calls the host each time a slice of it is used up. That tick looks at the
// context and at the limit of fuel.
package engine
