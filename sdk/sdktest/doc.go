// Package sdktest is a host in memory, so that a worker is tested by plain
// go test: no database, no Wasm, no queue.
//
//	h := sdktest.New(t)
//	h.Table("primary", "notes", []string{"id", "body"}, "id").
//		Insert("a", "hello").
//		Insert("b", nil)
//	res, err := h.Run(worker, sdktest.TaskOf("tidy", map[string]any{"collection": "notes"}))
//	got := h.Rows("primary", "notes")
//
// Every call goes through the bytes of the contract: requests are encoded by
// the SDK and decoded here, rows are encoded into the worker's buffer for as
// far as they fit, and an answer that does not fit or an error's text waits
// until the worker asks for it. What a real host refuses is refused here.
//
// # Tables
//
// Tables behave as SQLite's do, as far as package abi lets a worker see: values
// order NULL, numbers, text, blob; a bound is a place in the order; a batch of
// writes is done as a whole or not at all. Columns have no type and so no
// affinity: a value is stored as it is given. The only constraint is the
// primary key; another key that a mutation or a lookup names has to be unique in
// the rows that it meets. There are no grants: all tables can be read and
// written, and no limits.
//
// A query of the operator's is SQL, which there is none of here. [Host.Query]
// puts a function in its place.
//
// # Commands
//
// The built-in commands are there. [Host.Command] provides others, and
// [Host.ExpectCommand] says which calls a worker must make, with what, and what
// it gets; the test fails when it makes others or not all of them.
//
// # Faults
//
// [Host.FailNext] makes one call fail. [Host.Before] runs a function before
// calls, which may change tables as another user of the database would.
// [Host.KillAfter] ends a run after some number of calls as if the host had
// been killed: the worker's code stops where it is, what was written stays
// written, and the next Run finds it. So a test can show that a worker
// survives being cut off anywhere:
//
//	for n := 0; ; n++ {
//		h := newHost(t)
//		h.KillAfter(n)
//		_, err := h.Run(worker, task)
//		if err == nil {
//			break // it needs fewer calls than n
//		}
//		_, err = h.Run(worker, again(task))
//		…
//	}
package sdktest
