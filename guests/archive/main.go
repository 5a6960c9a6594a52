// Archive is the worker that moves rows of one collection from one database to
// another without ever having a row in neither.
//
// A task names the collection and what to move: all but the newest rows
// ("keep"), at most some number of the oldest ("limit"), or both. Its first
// attempt decides which rows these are, as a place in the order, and stores
// that; every later attempt moves what is left of the same rows.
//
// Rows are moved in pages. For each page the worker
//
//  1. reads the rows from the source, as a batch of bytes that it never decodes,
//  2. inserts those that the destination does not have yet, durably,
//  3. reads them back by their keys and compares the bytes,
//  4. deletes from the source those that compared equal, on the condition that
//     they are still what was read.
//
// So it can be cut off between any two steps: a row that is in both databases
// is found equal by the next attempt and deleted from the source then. One
// transaction over both files would not give that, since SQLite's WAL is
// atomic for each file only.
//
// A row that changed between reading and deleting is taken once more with its
// new values. A row whose key stands in the destination with other values is
// left where it is: which of the two is right is not for a worker to decide.
// When all other rows are moved, the task fails for good and names those rows.
//
// # Payload
//
//	collection     required
//	keep           the newest rows that stay; 0 moves all
//	limit          rows that are moved at most; one of keep and limit is required
//	source_handle  default: the task's handle for the role source, or primary
//	dest_handle    default: the task's handle for the role dest, or archive
//	order_by       default: config archive.orderBy, or timestamp
//	key            default: id; a column that is unique in both databases
//	batch_size     rows of a page; default: config archive.batchSize, or 1000
//
// # Events
//
// archive:progress for every 100 rows moved, archive:complete at the end, and
// archive:failed when rows had to be left. They are recorded once, however
// often the task is run.
package main

import "github.com/wasmhost/wasmhost/sdk"

func init() { sdk.Register(sdk.WorkerFunc(Archive)) }

func main() {} // does not run in a guest
