package data

import (
	"context"
	"fmt"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// Store serves the rows of one handle. It is safe for concurrent use.
//
// It does not look at the Handle of what it is given; that is [Access]'s part.
type Store interface {
	// Open starts a query. It waits for a read connection until ctx ends,
	// which is of no further concern to the cursor. It keeps nothing of q. The
	// cursor counts its rows on the budget of scope, and hands over no more
	// than it has.
	//
	// A query with Describe is answered from the schema; named queries are not
	// for Open but for Select.
	//
	// For Open and Write nothing exists but what scope has: of anything else
	// they answer as if it were not there.
	Open(ctx context.Context, q *abi.Query, scope *Scope) (Cursor, error)

	// Select starts a statement of the operator's, one SELECT with a value for
	// each of its parameters, that is not held to grants. Only the budget of
	// scope counts. Params are scalars.
	//
	// What is wrong with the statement is abi.Internal, as it is not the
	// caller's doing, and no error of another code has a name of the schema.
	Select(ctx context.Context, sql string, params map[string]any, scope *Scope) (Cursor, error)

	// Write applies mutations to the rows that belong to them (see
	// abi.Mutation) as one transaction, all or nothing, and returns one result
	// for each. They are durable when it returns. rows must not change
	// meanwhile; nothing of it is kept.
	Write(ctx context.Context, ms []abi.Mutation, rows []byte, scope *Scope) ([]abi.WriteResult, error)

	// Close ends what runs, closes the cursors that are open, and returns when
	// nothing uses the database any more. Later calls fail with
	// abi.Unavailable. A second Close does nothing.
	Close() error
}

// Transactor is a [Store] that can keep a transaction open from one call to the
// next.
type Transactor interface {
	// Begin waits, in turn with the writes of others, for the right to write
	// and starts a transaction that keeps it: nobody else writes until it is
	// over, which must be for a good reason. It ends with ctx at the latest,
	// rolled back, and so does the context of every call on it.
	Begin(ctx context.Context) (Tx, error)

	// Effect returns what a transaction was committed with, nil if there is
	// none with that key. Whoever has to know whether a Commit that was not
	// answered happened asks here.
	Effect(ctx context.Context, key string) (*Effect, error)
}

// Tx is a transaction. It is for one goroutine at a time, but for the end of its
// context and the store's Close. What it failed with when it cannot go on comes
// again from every later call; a batch that fails by itself undoes nothing but
// itself.
//
// It must be ended, by Commit or Rollback, which close its cursors.
type Tx interface {
	// Open is [Store.Open] as the transaction sees it, with what it wrote. A
	// cursor that is open while the transaction writes may or may not see that.
	Open(ctx context.Context, q *abi.Query, scope *Scope) (Cursor, error)

	// Select is [Store.Select] as the transaction sees it.
	Select(ctx context.Context, sql string, params map[string]any, scope *Scope) (Cursor, error)

	// Write is [Store.Write], durable when the transaction is.
	Write(ctx context.Context, ms []abi.Mutation, rows []byte, scope *Scope) ([]abi.WriteResult, error)

	// Commit commits what was written together with e. When it fails nothing
	// happened, as far as can be known: see [Transactor.Effect].
	Commit(ctx context.Context, e Effect) error

	// Rollback undoes everything. After Commit, and a second time, it does
	// nothing.
	Rollback()
}

// Effect says, in the database that a transaction changed, that it did.
type Effect struct {
	Key    string
	At     time.Time // kept in milliseconds
	Result []byte
	Events []byte

	// Forget is before when others must have been written that Commit may
	// delete, some at a time. It is not kept.
	Forget time.Time
}

// Cursor is an answer that is being read. It is for one goroutine at a time.
type Cursor interface {
	// Next encodes the next rows into dst as a batch (column names first, then
	// as many whole rows as fit) and returns the bytes used, 0 at the end.
	//
	// If not even one row fits, the error is a [RowTooLargeError] and nothing
	// is lost: Next with a buffer of its Size succeeds. Any other error ends
	// the cursor, and comes again from every later call.
	Next(ctx context.Context, dst []byte) (int, error)

	// Close gives back what the cursor holds. A second Close does nothing.
	Close() error
}

// RowTooLargeError says that the next row does not fit into the buffer given
// to [Cursor.Next]. It matches abi.BufferTooSmall.
type RowTooLargeError struct {
	Size int // bytes that the batch of this one row takes
}

// Error says how large the row is.
func (e *RowTooLargeError) Error() string {
	return fmt.Sprintf("the next row takes %d bytes, more than the buffer has", e.Size)
}

// Unwrap returns abi.BufferTooSmall.
func (e *RowTooLargeError) Unwrap() error { return abi.BufferTooSmall }
