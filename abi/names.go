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

// MaxName is the most bytes that the name of a worker, a handle or a role may have.
const MaxName = 64

// ValidName says whether a worker, a handle or a role may have this name:
// lower-case letters and digits, in parts joined by one '-' or '_'.
func ValidName(name string) bool {
	if len(name) > MaxName {
		return false
	}
	joined := true // whether a letter or digit must come next
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			joined = false
		case (c == '-' || c == '_') && !joined:
			joined = true
		default:
			return false
		}
	}
	return !joined
}
