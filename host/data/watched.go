package data

import (
	"context"

	"github.com/wasmhost/wasmhost/abi"
)

// Watched returns the same stores, whose writes are noted in w once they are made.
// What an atomic task writes is noted whether it is committed or not. Closing them
// closes nothing.
func (h *Handles) Watched(w *WriteSet) *Handles {
	stores := make(map[string]Store, len(h.stores))
	for name, s := range h.stores {
		stores[name] = &watchedStore{Store: s, handle: name, set: w}
	}
	return NewHandles(stores, h.queries)
}

// watchedStore is a store whose writes are noted.
type watchedStore struct {
	Store
	handle string
	set    *WriteSet
}

var _ Transactor = (*watchedStore)(nil)

// Write implements [Store].
func (s *watchedStore) Write(ctx context.Context, ms []abi.Mutation, rows []byte, scope *Scope) ([]abi.WriteResult, error) {
	results, err := s.Store.Write(ctx, ms, rows, scope)
	if err == nil {
		s.set.note(s.handle, ms, rows, results)
	}
	return results, err
}

// Close implements [Store]. The store is others'.
func (s *watchedStore) Close() error { return nil }

// Begin implements [Transactor].
func (s *watchedStore) Begin(ctx context.Context) (Tx, error) {
	able, ok := s.Store.(Transactor)
	if !ok {
		return nil, abi.Errorf(abi.Internal, "its database has no transactions")
	}
	tx, err := able.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &watchedTx{Tx: tx, store: s}, nil
}

// Effect implements [Transactor].
func (s *watchedStore) Effect(ctx context.Context, key string) (*Effect, error) {
	able, ok := s.Store.(Transactor)
	if !ok {
		return nil, nil
	}
	return able.Effect(ctx, key)
}

// watchedTx is a transaction whose writes are noted.
type watchedTx struct {
	Tx
	store *watchedStore
}

// Write implements [Tx].
func (t *watchedTx) Write(ctx context.Context, ms []abi.Mutation, rows []byte, scope *Scope) ([]abi.WriteResult, error) {
	results, err := t.Tx.Write(ctx, ms, rows, scope)
	if err == nil {
		t.store.set.note(t.store.handle, ms, rows, results)
	}
	return results, err
}
