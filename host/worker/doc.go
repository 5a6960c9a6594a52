// Package worker knows the folder that compiled workers are dropped into.
//
// A worker is a file NAME.wasm there; the name is the worker's. [Scan] lists
// the folder, [Read] brings in one file with its digest and the manifest it
// carries. Nothing of a module runs here, and nothing is compiled: a file may
// come from anyone, so it is bounded before it is read and its sections are
// walked with checked arithmetic.
package worker
