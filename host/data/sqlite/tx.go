package sqlite

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
)

// tx is a transaction that stays open from one call to the next. Its states
// are: open, with the lead in the line and the connection that writes; over,
// without either. What ends it, besides Commit and Rollback, is the end of its
// context, the store's Close, and whatever makes SQLite roll back.
type tx struct {
	s   *Store
	g   *group // without members
	ctx context.Context

	watched func() bool   // stops the watching of ctx
	noticed chan struct{} // closed when the end of ctx was acted upon
	left    sync.Once

	mu      sync.Mutex
	over    error // nil while it is open; for those who go on
	cursors map[*cursor]struct{}
}

var errOver = abi.Errorf(abi.InvalidArgument, "the transaction is over")

// Begin implements [data.Transactor].
func (s *Store) Begin(ctx context.Context) (data.Tx, error) {
	b, err := s.newBatch(ctx, nil, nil, nil)
	if err == nil && s.cfg.ReadOnly {
		err = errReadOnly
	}
	if err != nil {
		return nil, err
	}
	b.alone = true
	if !s.line.join(b) {
		return nil, errClosed
	}
	switch sig, err := s.await(b); {
	case err != nil:
		return nil, err
	case sig == answered: // locked for those who had the lead before, and so for this one
		return nil, b.err
	}
	g := s.begun(b)
	if g == nil {
		<-b.wake
		return nil, b.err
	}
	g.members = nil
	t := &tx{s: s, g: g, ctx: ctx, noticed: make(chan struct{}), cursors: map[*cursor]struct{}{}}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watched = context.AfterFunc(ctx, func() {
		defer close(t.noticed)
		t.abandon(t.ended())
	})
	s.mu.Lock()
	closed := s.isClosed() // Close may have looked for it already
	if !closed {
		s.tx = t
	}
	s.mu.Unlock()
	if closed {
		t.watched()
		t.end(errClosed)
		return nil, errClosed
	}
	return t, nil
}

// Open implements [data.Tx].
func (t *tx) Open(ctx context.Context, q *abi.Query, scope *data.Scope) (data.Cursor, error) {
	if err := t.s.checkQuery(q); err != nil {
		return nil, err
	}
	if q.Describe {
		var rows [][]any
		err := t.do(ctx, describing(q.Collection), func(w *conn) (err error) {
			rows, err = t.s.describeRows(w, q.Collection, scope)
			return err
		})
		if err != nil {
			return nil, err
		}
		return data.List(abi.DescribeColumns, rows, scope)
	}
	c := newCursor(t.s, q, scope)
	return t.open(ctx, c, "opening "+c.what, func(w *conn) error { return c.query(w, q, scope) })
}

// Select implements [data.Tx].
func (t *tx) Select(ctx context.Context, sql string, params map[string]any, scope *data.Scope) (data.Cursor, error) {
	c := newSelect(t.s, scope)
	return t.open(ctx, c, "opening it", func(w *conn) error { return c.selects(w, sql, params) })
}

func (t *tx) open(ctx context.Context, c *cursor, what string, f func(*conn) error) (data.Cursor, error) {
	c.tx = t
	if err := t.do(ctx, what, f); err != nil {
		return nil, err
	}
	return &txCursor{c}, nil
}

// Write implements [data.Tx].
func (t *tx) Write(ctx context.Context, ms []abi.Mutation, rows []byte, scope *data.Scope) ([]abi.WriteResult, error) {
	b, err := t.s.newBatch(ctx, ms, rows, scope)
	if err != nil || len(ms) == 0 {
		return nil, err
	}
	err = t.do(ctx, "write", func(w *conn) error {
		schema, err := t.s.schemaOf(w)
		if err == nil {
			err = w.savepoint.Run()
		}
		if err != nil {
			return err
		}
		err = t.s.failure(ctx, t.s.apply(ctx, w, schema, b))
		if err != nil && isBroken(err) {
			w.broken = true
		}
		if err != nil && w.InTransaction() && w.undo.Run() != nil {
			w.broken = true // the batch is still in it, in part
		}
		if w.InTransaction() && w.release.Run() != nil {
			w.broken = true
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return b.results, nil
}

// do runs f in the transaction, which ends with it when it cannot go on. what is
// in front of the error.
func (t *tx) do(ctx context.Context, what string, f func(*conn) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over != nil {
		return t.over
	}
	w := t.g.w
	release := w.Watch(ctx)
	err := t.usable() // after Watch: an Interrupt from here on is seen
	unusable := err != nil
	if !unusable {
		err = f(w)
	}
	release()
	if unusable {
		t.end(err)
		return err
	}
	if err == nil && w.Stopped() {
		err = errInterrupted
	}
	err = t.s.failure(ctx, err)
	t.check(err)
	if err != nil {
		return prefix(err, "%s", what)
	}
	return nil
}

func (t *tx) usable() error {
	switch {
	case t.s.isClosed():
		return errClosed
	case t.ctx.Err() != nil: // who watches it may come later
		return t.ended()
	}
	return t.s.checkMoved()
}

func (t *tx) ended() error {
	return abi.Errorf(abi.CodeOf(t.ctx.Err()), "the transaction was rolled back: %w", t.ctx.Err())
}

// check ends the transaction if there is no way on after err. SQLite rolls back
// by itself when it interrupts a statement that writes, when the disk is full,
// and when a trigger says so.
func (t *tx) check(err error) {
	if w := t.g.w; err != nil && (w.Stopped() || w.broken || !w.InTransaction()) {
		t.end(abi.Errorf(abi.CodeOf(err), "the transaction was rolled back: %s", abi.MessageOf(err)))
	}
}

// Commit implements [data.Tx].
func (t *tx) Commit(ctx context.Context, e data.Effect) error {
	defer t.leave()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over != nil {
		return t.over
	}
	t.drop(errOver)
	w := t.g.w
	release := w.Watch(ctx)
	err := t.usable()
	if err == nil {
		err = t.s.mark(w, &e)
	}
	if err == nil && w.Stopped() {
		err = errInterrupted
	}
	if err == nil {
		// Only waiting for readers to let go can be ended from here on.
		begun := time.Now()
		if err = w.Shield(w.commit.Run); err == nil {
			t.s.counts.committed(1, time.Since(begun))
			err = t.s.checkMoved() // it may be the old file that has the rows
		}
	}
	release()
	if err = t.s.failure(ctx, err); err != nil {
		err = prefix(err, "commit")
		w.broken = w.broken || isBroken(err)
	}
	t.end(errOver)
	return err
}

// Rollback implements [data.Tx].
func (t *tx) Rollback() {
	defer t.leave()
	t.abandon(errOver)
}

// abandon ends the transaction for the reason of err, unless it is over.
func (t *tx) abandon(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over == nil {
		if t.s.moved.Load() {
			err = errMoved
		}
		t.end(err)
	}
}

// end rolls back what is not committed and passes the lead on. err is for those
// who go on.
func (t *tx) end(err error) {
	t.over = err
	t.drop(err)
	t.s.mu.Lock()
	t.s.tx = nil
	t.s.mu.Unlock()
	t.g.close()
	t.s.line.pass()
}

// drop ends the cursors.
func (t *tx) drop(err error) {
	for _, c := range slices.Collect(maps.Keys(t.cursors)) {
		c.end(err)
	}
}

// leave waits for who watches the context.
func (t *tx) leave() {
	t.left.Do(func() {
		if !t.watched() {
			<-t.noticed
		}
	})
}

// txCursor is a cursor in a transaction, whose connection it shares.
type txCursor struct{ c *cursor }

// Next implements [data.Cursor].
func (c *txCursor) Next(ctx context.Context, dst []byte) (int, error) {
	t := c.c.tx
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := c.c.Next(ctx, dst)
	if t.over == nil {
		t.check(err)
	}
	return n, err
}

// Close implements [data.Cursor].
func (c *txCursor) Close() error {
	t := c.c.tx
	t.mu.Lock()
	defer t.mu.Unlock()
	return c.c.Close()
}
