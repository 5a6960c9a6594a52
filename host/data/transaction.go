package data

import (
	"context"
	"maps"
	"slices"

	"github.com/wasmhost/wasmhost/abi"
)

// transaction is what a task wrote so far, all of it on one handle.
type transaction struct {
	handle string
	tx     Tx // nil until the first write
}

// Atomically makes all writes of the task one transaction, which begins with the
// first and must be on one handle. From then on, what the task reads of that
// handle has what it wrote. It is to be called before the first write, and Commit
// or Rollback in the end.
func (a *Access) Atomically() { a.tx = new(transaction) }

// begin returns the transaction on a handle.
func (a *Access) begin(ctx context.Context, handle string, store Store) (Tx, error) {
	t := a.tx
	if t.tx != nil {
		if handle != t.handle {
			return nil, abi.Errorf(abi.InvalidArgument, "handle %q: this worker is atomic, and its task writes to the handle %q: all that it writes must be on one handle",
				handle, t.handle)
		}
		return t.tx, nil
	}
	able, ok := store.(Transactor)
	if !ok {
		return nil, abi.Errorf(abi.Internal, "handle %q: its database has no transactions for an atomic worker", handle)
	}
	tx, err := able.Begin(ctx)
	if err != nil {
		return nil, within(handle, err)
	}
	t.handle, t.tx = handle, tx
	return tx, nil
}

// on returns the transaction if there is one on a handle.
func (a *Access) on(handle string) Tx {
	if a.tx == nil || a.tx.handle != handle {
		return nil
	}
	return a.tx.tx
}

// Commit commits what the task wrote, with e. Of a task that wrote nothing
// nothing remains, nor of e.
func (a *Access) Commit(ctx context.Context, e Effect) error {
	if a.tx == nil || a.tx.tx == nil {
		return nil
	}
	return within(a.tx.handle, a.tx.tx.Commit(ctx, e))
}

// Rollback undoes what the task wrote, unless it was committed.
func (a *Access) Rollback() {
	if a.tx != nil && a.tx.tx != nil {
		a.tx.tx.Rollback()
	}
}

// Effect looks on all handles that the worker may write to for what a task was
// committed with, nil if it was not.
func (a *Access) Effect(ctx context.Context, key string) (*Effect, error) {
	for _, handle := range slices.Sorted(maps.Keys(a.scopes)) {
		able, ok := a.handles.stores[handle].(Transactor)
		if !ok || !a.scopes[handle].writes() {
			continue
		}
		if e, err := able.Effect(ctx, key); e != nil || err != nil {
			return e, within(handle, err)
		}
	}
	return nil, nil
}
