package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/sqlite/internal/lite"
)

// cursor answers one query. Its states are: open, with a connection; ended,
// without one, because it was read to the end, failed, or was closed. In the
// state open there may be a row pending that was stepped to but did not fit.
type cursor struct {
	store  *Store
	budget *data.Budget
	what   string // for error messages
	table  *seen  // nil for a statement of the operator's
	names  []string
	header []byte
	lookup *lookup // nil for a query

	discreet func(error) error // what of an error the caller may know

	running *lite.Conn // conn's, for abandon to interrupt
	tx      *tx        // that the cursor is in, and whose connection it uses; nil for none

	mu      sync.Mutex // against Store.Close
	conn    *conn      // nil when ended
	st      *lite.Stmt
	rows    rowEncoder
	pending bool
	n       int64 // rows stepped to
	late    error // for the next call, as this one had rows to return
	err     error // what ended it, nil at the end of the rows
}

var errCursorClosed = abi.Errorf(abi.InvalidArgument, "the cursor was closed")

// Open implements [data.Store].
func (s *Store) Open(ctx context.Context, q *abi.Query, scope *data.Scope) (data.Cursor, error) {
	if err := s.checkQuery(q); err != nil {
		return nil, err
	}
	if q.Describe {
		return s.describe(ctx, q.Collection, scope)
	}
	c := newCursor(s, q, scope)
	if err := s.begin(ctx, "opening "+c.what, func(conn *conn) error { return c.query(conn, q, scope) }); err != nil {
		return nil, err
	}
	return c, nil
}

func (s *Store) checkQuery(q *abi.Query) error {
	if err := data.CheckQuery(q); err != nil {
		return err
	}
	switch {
	case q.Named != "":
		return abi.Errorf(abi.Internal, "query: a named query is not for a store")
	case len(q.Lookup) > s.cfg.MaxBatchBytes:
		return abi.Errorf(abi.LimitExceeded, "query: lookup: %d bytes, at most %d", len(q.Lookup), s.cfg.MaxBatchBytes)
	}
	return nil
}

func newCursor(s *Store, q *abi.Query, scope *data.Scope) *cursor {
	return &cursor{store: s, budget: scope.Budget, what: fmt.Sprintf("%q", data.Clip(q.Collection))}
}

// query makes the cursor that of a query, in a transaction on conn.
func (c *cursor) query(conn *conn, q *abi.Query, scope *data.Scope) error {
	schema, err := c.store.schemaOf(conn)
	if err != nil {
		return err
	}
	if c.table, err = schema.see(conn, scope, q.Collection); err != nil {
		return err
	}
	c.discreet = c.table.discreet
	if q.Lookup != nil {
		err = c.startLookup(conn, q)
	} else {
		err = c.startSelect(conn, q)
	}
	if err != nil {
		return c.discreet(err)
	}
	return c.start(conn)
}

// prepare sets c.st. In a transaction several cursors may have the same text, so
// each has a statement of its own.
func (c *cursor) prepare(conn *conn, sql string, rights *lite.Rights) (err error) {
	if c.tx != nil {
		c.st, err = conn.PrepareOwn(sql, rights)
	} else {
		c.st, err = conn.Cached(sql, rights)
	}
	return err
}

// drop gives up c.st.
func (c *cursor) drop() {
	if c.tx != nil {
		c.st.Finalize()
	} else {
		c.st.Clear()
	}
	c.st = nil
}

// begin runs f in a read transaction on a connection, which f has taken over if
// it succeeds. what is in front of the error.
func (s *Store) begin(ctx context.Context, what string, f func(*conn) error) error {
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	if err := s.within(ctx, conn, f); err != nil {
		s.release(conn)
		return prefix(s.failure(ctx, err), "%s", what)
	}
	return nil
}

func (s *Store) within(ctx context.Context, conn *conn, f func(*conn) error) error {
	release := conn.Watch(ctx)
	defer release()
	if s.isClosed() { // after Watch: an Interrupt from here on is seen
		return errClosed
	}
	if err := conn.begin.Run(); err != nil {
		return err
	}
	return f(conn)
}

// start makes the cursor ready for Next, when c.st is.
func (c *cursor) start(conn *conn) error {
	s := c.store
	if conn.Stopped() {
		c.drop()
		return errInterrupted
	}
	c.conn, c.running = conn, conn.Conn
	c.header = header(c.names)
	c.rows = rowEncoder{st: c.st, columns: len(c.names), most: s.cfg.MaxRowBytes}
	if c.tx != nil {
		c.tx.cursors[c] = struct{}{}
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed() { // Close may have gone through the cursors already
		c.drop()
		return errClosed
	}
	s.cursors[c] = struct{}{}
	return nil
}

func (c *cursor) startSelect(conn *conn, q *abi.Query) error {
	sql, params, names, err := selectSQL(c.table, q)
	if err != nil {
		return err
	}
	c.names = names
	if err = c.prepare(conn, sql, c.table.reading()); err != nil {
		return err
	}
	if err := conn.bind(c.st, params); err != nil {
		c.drop()
		return err
	}
	return nil
}

// Next implements [data.Cursor].
func (c *cursor) Next(ctx context.Context, dst []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return 0, c.err
	}
	release := c.conn.Watch(ctx)
	var used int
	var end bool
	var err error
	switch { // after Watch: an Interrupt from here on is seen
	case c.store.isClosed():
		err = errClosed
	case c.conn.Stopped():
		err = errInterrupted
	default:
		used, end, err = c.fill(dst[:0:len(dst)])
	}
	release()
	var tooLarge *data.RowTooLargeError
	switch {
	case err != nil && !errors.As(err, &tooLarge):
		return 0, c.fail(ctx, err)
	case end:
		c.finish()
	case c.conn.Stopped(): // an interrupt that hit no step would hit the next call's
		return 0, c.fail(ctx, errInterrupted)
	}
	return used, err
}

// fill encodes rows into dst, up to its capacity, and returns the bytes used,
// and whether there are no more rows.
func (c *cursor) fill(dst []byte) (used int, end bool, err error) {
	if c.late != nil {
		return 0, false, c.late
	}
	// A buffer too small for the names is too small for any row behind them.
	dst = append(dst, c.header[:min(len(c.header), cap(dst))]...)
	names := len(dst)
	rows, most := int64(0), c.budget.Left()
	for ; rows < most || rows == 0; rows++ {
		if !c.pending {
			more, err := c.step()
			if err == nil && !more {
				end = true
				break
			}
			if err == nil {
				err = c.budget.Spent() // the end may still be seen
			}
			var fits bool
			if err == nil {
				dst, fits, err = c.rows.encode(dst)
			}
			if err != nil && len(dst) > names {
				c.late = err
				break
			}
			if err != nil {
				return 0, false, err
			}
			if fits {
				continue
			}
			c.pending = true
		}
		if err := c.budget.Spent(); err != nil {
			return 0, false, err
		}
		if len(c.rows.spill) > cap(dst)-len(dst) {
			break
		}
		dst = append(dst, c.rows.spill...)
		c.pending = false
	}
	c.budget.Read(rows)
	switch {
	case len(dst) > names:
		return len(dst), end, nil
	case c.pending:
		return 0, false, &data.RowTooLargeError{Size: len(c.header) + len(c.rows.spill)}
	}
	return 0, end, nil
}

// step moves to the next row and says whether there is one.
func (c *cursor) step() (bool, error) {
	var more bool
	var err error
	if c.lookup != nil {
		more, err = c.lookup.step(c)
	} else {
		more, err = c.st.Step()
	}
	if more {
		c.n++
	}
	return more, err
}

// fail ends the cursor with an error.
func (c *cursor) fail(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errRowSize):
		err = c.store.tooLong(c.what, c.n-1, rowKey(c.table, c.names, c.st))
	case isPrimary(err, sqlite3.SQLITE_TOOBIG):
		err = c.store.tooLong(c.what, c.n, "")
	default:
		err = prefix(c.store.failure(ctx, c.discreet(err)), "reading %s", c.what)
	}
	c.err = err
	if isBroken(err) {
		c.conn.broken = true
	}
	c.finish()
	return c.err
}

// isBroken says whether a connection is better opened anew after err.
func isBroken(err error) bool {
	code := abi.CodeOf(err)
	return code == abi.Corrupt || code == abi.Internal
}

// finish gives back what the cursor holds.
func (c *cursor) finish() {
	if c.conn == nil {
		return
	}
	c.drop()
	conn := c.conn
	c.conn, c.lookup, c.rows = nil, nil, rowEncoder{}
	if c.tx != nil {
		delete(c.tx.cursors, c)
		return
	}
	c.store.mu.Lock()
	delete(c.store.cursors, c)
	c.store.mu.Unlock()
	c.store.release(conn)
}

// Close implements [data.Cursor].
func (c *cursor) Close() error {
	c.end(errCursorClosed)
	return nil
}

// abandon ends the cursor because its store is being closed.
func (c *cursor) abandon() {
	c.running.Interrupt()
	c.end(errClosed)
}

// end ends the cursor unless it has ended. err is for those who go on.
func (c *cursor) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		c.err = err
		c.finish()
	}
}
