package abi

// Module is the name of the Wasm module that guests import the host's
// functions from.
const Module = "wasmhost_v1"

// Version is the contract's version, the number in [Module].
const Version = 1

// Names of the functions that the host offers in [Module].
const (
	ImportRowsOpen   = "rows_open"
	ImportRowsNext   = "rows_next"
	ImportRowsClose  = "rows_close"
	ImportRowsWrite  = "rows_write"
	ImportCommand    = "command"
	ImportProgress   = "progress"
	ImportLog        = "log"
	ImportPending    = "pending"
	ImportTaskReturn = "task_return"
)

// Names of what a guest exports.
const (
	// ExportMemory is the guest's linear memory.
	ExportMemory = "memory"
	// ExportInitialize runs once, before anything else. Optional.
	ExportInitialize = "_initialize"
	// ExportInput has the type (len i32) -> i32: room for len bytes of input.
	ExportInput = "wasmhost_input"
	// ExportWork has the type (len i32) -> i32: works on the input, returns a [Code].
	ExportWork = "wasmhost_work"
)

// ManifestSection is the name of the custom section that carries a module's
// [Manifest], so that it can be read without running anything.
const ManifestSection = "wasmhost.manifest"
