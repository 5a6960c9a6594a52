// Package data is the fast path: how workers reach rows.
//
// A [Store] serves the rows of one handle, such as "primary"; package sqlite
// is one. [Handles] are all stores of a host by name, and [Access] is what one
// worker may do with them: every call goes through its check, and there is no
// other way to a store.
//
// # Grants
//
// [Grants] are an operator's, by worker. Access knows them by handle and holds
// each call to its verbs; a [Scope] carries the rest to the store: which
// columns there are for each verb, which rows, and the [Budget] of the task.
// What was not granted is answered as what is not there. A [Query] is SQL of the
// operator's, which a worker that was granted it runs by name.
//
// # Reading
//
// [Store.Open] answers a query with a [Cursor]. Each [Cursor.Next] steps the
// database while it encodes rows straight into the caller's buffer, usually
// the guest's own memory, so a query of any size needs no memory but that
// buffer. A cursor sees the database as it was at one moment and holds one of
// the store's few read connections until it is closed or read to its end.
//
// # Writing
//
// [Store.Write] takes the rows as they came from a cursor. The mutations of
// one call are one transaction: when it returns nil they are on disk, when it
// returns an error none of them happened. Rows that were not as the mutation
// wants them (insert_new of one that exists, update or delete of one that is
// gone or differs from Expect) are no error but listed in the result.
//
// # Failure
//
// Errors are abi.Errors. They name the handle, the collection, the column and
// the row, never a path. A call ends within 100 ms of its context's end, with
// DeadlineExceeded or Cancelled, and a write is then rolled back. Unavailable
// means that the same call may succeed later.
package data
