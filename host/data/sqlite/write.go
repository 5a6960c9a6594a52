package sqlite

import (
	"context"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/sqlite/internal/lite"
)

// Write implements [data.Store].
func (s *Store) Write(ctx context.Context, ms []abi.Mutation, rows []byte, scope *data.Scope) ([]abi.WriteResult, error) {
	b, err := s.newBatch(ctx, ms, rows, scope)
	if err != nil || len(ms) == 0 {
		return nil, err
	}
	if !s.line.join(b) {
		return nil, errClosed
	}
	for {
		switch sig, err := s.await(b); {
		case err != nil:
			return nil, err
		case sig == answered:
			return b.results, b.err
		}
		s.lead(b)
	}
}

// newBatch checks all that can be checked without the database.
func (s *Store) newBatch(ctx context.Context, ms []abi.Mutation, rows []byte, scope *data.Scope) (*batch, error) {
	if len(rows) > s.cfg.MaxBatchBytes {
		return nil, abi.Errorf(abi.LimitExceeded, "write: %d bytes of rows, at most %d", len(rows), s.cfg.MaxBatchBytes)
	}
	batches, err := data.Split(ms, rows)
	if err != nil {
		return nil, err
	}
	for i := range ms {
		if err := data.CheckMutation(&ms[i]); err != nil {
			return nil, prefix(about(i, &ms[i], err), "write")
		}
	}
	if len(ms) > 0 && s.cfg.ReadOnly {
		return nil, errReadOnly
	}
	return &batch{ctx: ctx, caller: data.Caller(ctx), ms: ms, scope: scope, rows: batches, size: len(rows), wake: make(chan signal, 1)}, nil
}

// await waits until b, which is in the line, has the lead or was answered. An
// error is that of one who left.
func (s *Store) await(b *batch) (signal, error) {
	ended, closed := b.ctx.Done(), s.closed
	for {
		var err error
		select {
		case sig := <-b.wake:
			return sig, nil
		case <-closed:
			err = errClosed
		case <-ended:
			err = abi.Errorf(abi.CodeOf(b.ctx.Err()), "write: waited for other writers: %w", b.ctx.Err())
		}
		if s.line.leave(b) {
			return 0, err
		}
		ended, closed = nil, nil // whoever has it knows, too
	}
}

// openWriter returns the connection that writes. The caller leads.
func (s *Store) openWriter(ctx context.Context) (*conn, error) {
	if s.writer == nil {
		w, err := s.open(ctx, true)
		if err != nil {
			return nil, err
		}
		s.writer = w
	}
	return s.writer, nil
}

func (s *Store) setBusy(c *conn) {
	s.mu.Lock()
	s.busy = c
	s.mu.Unlock()
}

// apply does the mutations of a batch in the transaction that is open.
func (s *Store) apply(ctx context.Context, w *conn, schema *schema, b *batch) error {
	b.results = make([]abi.WriteResult, len(b.ms))
	for i := range b.ms {
		t, err := schema.see(w, b.scope, b.ms[i].Collection)
		if err == nil {
			err = s.mutate(ctx, w, schema, t, &b.ms[i], b.rows[i], &b.results[i])
		}
		if err != nil {
			return about(i, &b.ms[i], err)
		}
	}
	// Deferred foreign keys are checked by COMMIT, which is not this batch's
	// alone.
	if w.DeferredViolation() {
		return abi.Errorf(abi.Conflict, "FOREIGN KEY constraint failed at the end")
	}
	return nil
}

// mutate applies one mutation to its batch.
func (s *Store) mutate(ctx context.Context, w *conn, schema *schema, t *seen, m *abi.Mutation, rows []byte, result *abi.WriteResult) (err error) {
	defer func() { err = s.failure(ctx, t.discreet(err)) }()
	if t.reach, err = schema.reachOf(w, t.name); err != nil {
		return err
	}
	batch, err := openBatch(rows)
	if err != nil || len(rows) == 0 {
		return err
	}
	p, err := planOf(t, m, batch.Columns)
	if err != nil {
		return err
	}
	st, err := w.Cached(p.sql, t.writing())
	if isPrimary(err, sqlite3.SQLITE_ERROR) && !isInterrupt(err) {
		// The statement is ours and its names exist, so it is what the
		// mutation asks for: a key without a unique index, mostly.
		return abi.Errorf(abi.InvalidArgument, "%s with key %s: %w", m.Verb, t.names(p.shown), t.discreet(err))
	}
	if err != nil {
		return err
	}
	defer st.Clear()
	for batch.Next() {
		n, err := s.row(w, st, p, batch.Row())
		if err == nil && n > 1 && m.Verb != abi.Insert {
			err = abi.Errorf(abi.Conflict, "the key finds %d rows, not one", n)
		}
		if err != nil {
			return prefix(s.failure(ctx, t.discreet(err)), "row %d%s", batch.Index(), keyed(batchKey(t.table, p.shown, batch.Columns, batch.Row())))
		}
		result.Applied += n
		if n == 0 {
			result.Unapplied = append(result.Unapplied, batch.Index())
		}
	}
	return batch.Err()
}

// row runs the statement for one row and returns how many it changed.
func (s *Store) row(w *conn, st *lite.Stmt, p *plan, row []byte) (int64, error) {
	// A row takes fewer steps than lie between two looks at the flag.
	if w.Stopped() {
		return 0, errInterrupted
	}
	if len(row) > s.cfg.MaxRowBytes {
		return 0, abi.Errorf(abi.LimitExceeded, "%d bytes, at most %d", len(row), s.cfg.MaxRowBytes)
	}
	if err := p.binder.bind(st, row); err != nil {
		return 0, err
	}
	// All rows are changed before the first of what RETURNING has comes.
	for outside := false; ; {
		returned, err := st.Step()
		switch {
		case err != nil:
			return 0, err
		case returned:
			outside = outside || st.Column(0).Type() != lite.Integer || st.Column(0).Int() == 0
			continue
		case outside:
			return 0, abi.Errorf(abi.NotGranted, "the row would not be one of those that were granted")
		}
		n := w.Changes()
		st.Reset()
		return n, nil
	}
}

// about says which mutation an error is about.
func about(i int, m *abi.Mutation, err error) error {
	return prefix(err, "mutation %d, %s %q", i, data.Clip(string(m.Verb)), data.Clip(m.Collection))
}
