// Package worker knows the folder that compiled workers are dropped into, what
// their manifests ask for, what an operator has decided about them, and the
// versions that were served.
//
// A worker is a file NAME.wasm; the name is the worker's. [Scan] lists the folder
// and [Read] brings in one file with its digest and its manifest. [Folder] follows
// it: a file is read when it has looked the same for a while and nobody writes it.
// [Policy] holds a file against the keys that are trusted, [Ask] what it asks for
// against what was given, [Decisions] are the operator's, and [History] keeps the
// bytes of the versions, so that one can be served when its file is gone.
//
// Nothing of a module runs here, and nothing is compiled: a file may come from
// anyone, so it is bounded before it is read and its sections are walked with
// checked arithmetic. What is written is written aside, synced and renamed: a
// process that is killed leaves the old content or the new.
package worker
