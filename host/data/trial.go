package data

import (
	"context"
	"sync"

	"github.com/wasmhost/wasmhost/abi"
)

// Trial has what a task writes undone when it ends. Each handle that is written
// to has one transaction, which begins with the first write and is never
// committed; from then on reads of the handle are made in it, so that the task
// sees what it wrote. Others cannot write to that database until End.
//
// Two trials that write to two databases in different orders would wait for each
// other: whoever runs trials runs one at a time.
type Trial struct {
	ctx context.Context // of the transactions
	own *Handles

	set *WriteSet

	mu  sync.Mutex
	txs map[string]Tx
}

// Trial begins a trial on the same stores, and notes in w what is written. ctx is
// the task's: its end undoes what was written. End must be called.
func (h *Handles) Trial(ctx context.Context, w *WriteSet) *Trial {
	t := &Trial{ctx: ctx, set: w, txs: map[string]Tx{}}
	stores := make(map[string]Store, len(h.stores))
	for name, s := range h.stores {
		stores[name] = &trialStore{trial: t, handle: name, real: s}
	}
	t.own = NewHandles(stores, h.queries)
	return t
}

// Handles are what the task is to use. Closing them closes nothing.
func (t *Trial) Handles() *Handles { return t.own }

// End undoes everything.
func (t *Trial) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tx := range t.txs {
		tx.Rollback()
	}
}

func (t *Trial) tx(handle string) Tx {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.txs[handle]
}

// begin returns the transaction of a handle.
func (t *Trial) begin(handle string, real Store) (Tx, error) {
	if tx := t.tx(handle); tx != nil {
		return tx, nil
	}
	able, ok := real.(Transactor)
	if !ok {
		return nil, abi.Errorf(abi.Internal, "its database has no transactions for a dry run")
	}
	tx, err := able.Begin(t.ctx) // which may wait long: without the lock
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.txs[handle] = tx
	return tx, nil
}

// trialStore is a store in a trial.
type trialStore struct {
	trial  *Trial
	handle string
	real   Store
}

var (
	_ Store      = (*trialStore)(nil)
	_ Transactor = (*trialStore)(nil)
)

// Open implements [Store].
func (s *trialStore) Open(ctx context.Context, q *abi.Query, scope *Scope) (Cursor, error) {
	if tx := s.trial.tx(s.handle); tx != nil {
		return tx.Open(ctx, q, scope)
	}
	return s.real.Open(ctx, q, scope)
}

// Select implements [Store].
func (s *trialStore) Select(ctx context.Context, sql string, params map[string]any, scope *Scope) (Cursor, error) {
	if tx := s.trial.tx(s.handle); tx != nil {
		return tx.Select(ctx, sql, params, scope)
	}
	return s.real.Select(ctx, sql, params, scope)
}

// Write implements [Store], but nothing is durable.
func (s *trialStore) Write(ctx context.Context, ms []abi.Mutation, rows []byte, scope *Scope) ([]abi.WriteResult, error) {
	tx, err := s.trial.begin(s.handle, s.real)
	if err != nil {
		return nil, err
	}
	results, err := tx.Write(ctx, ms, rows, scope)
	if err == nil {
		s.trial.set.note(s.handle, ms, rows, results)
	}
	return results, err
}

// Close implements [Store]. The store is not the trial's.
func (s *trialStore) Close() error { return nil }

// Begin implements [Transactor]: the transaction of an atomic worker is the
// trial's own.
func (s *trialStore) Begin(context.Context) (Tx, error) { return trialTx{s}, nil }

// Effect implements [Transactor]. A trial leaves none, and is never done.
func (s *trialStore) Effect(context.Context, string) (*Effect, error) { return nil, nil }

// trialTx is a transaction that ends with its trial.
type trialTx struct{ *trialStore }

// Commit implements [Tx], and commits nothing.
func (trialTx) Commit(context.Context, Effect) error { return nil }

// Rollback implements [Tx]. The trial's end does it.
func (trialTx) Rollback() {}
