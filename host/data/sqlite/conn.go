package sqlite

import (
	"context"
	"fmt"

	"github.com/wasmhost/wasmhost/host/data/sqlite/internal/lite"
)

// conn is a connection with the statements that every use needs.
type conn struct {
	*lite.Conn
	begin    *lite.Stmt
	commit   *lite.Stmt
	rollback *lite.Stmt
	version  *lite.Stmt

	// Of the writer: around each batch but a transaction's first.
	savepoint, undo, release *lite.Stmt

	statements int64 // as counted last

	scratch []byte // for bind
	broken  bool   // not to be used again
}

const cachedStatements = 64

// open opens a connection. ctx bounds the waiting for locks.
func (s *Store) open(ctx context.Context, writes bool) (_ *conn, err error) {
	lc, err := lite.Open(ctx, s.path, lite.Options{
		ReadOnly:    s.cfg.ReadOnly,
		BusyTimeout: s.cfg.BusyTimeout,
		// What is above MaxRowBytes is refused with the row's key; this keeps
		// SQLite from loading what is far above.
		MaxLength:  2*s.cfg.MaxRowBytes + 1<<16,
		Statements: cachedStatements,
		Check:      s.checkMoved,
	})
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: lc}
	defer func() {
		if err != nil {
			_ = c.Close() // the first error is the one that tells
		}
	}()
	defer lc.Watch(ctx)()
	setup := []string{"PRAGMA cell_size_check = ON"}
	begin := "BEGIN"
	if writes {
		begin = "BEGIN IMMEDIATE"
		setup = append(setup,
			fmt.Sprintf("PRAGMA cache_size = -%d", s.cfg.CacheKiB),
			"PRAGMA synchronous = FULL",
			"PRAGMA wal_autocheckpoint = 10000")
	} else {
		setup = append(setup,
			fmt.Sprintf("PRAGMA cache_size = -%d", max(s.cfg.CacheKiB/8, 1)),
			"PRAGMA query_only = ON")
	}
	if err := lc.Exec(setup...); err != nil {
		return nil, err
	}
	for _, p := range []struct {
		stmt **lite.Stmt
		sql  string
	}{
		{&c.begin, begin},
		{&c.commit, "COMMIT"},
		{&c.rollback, "ROLLBACK"},
		{&c.version, "PRAGMA schema_version"},
		{&c.savepoint, "SAVEPOINT batch"},
		{&c.undo, "ROLLBACK TO batch"},
		{&c.release, "RELEASE batch"},
	} {
		if *p.stmt, err = lc.Prepare(p.sql); err != nil {
			return nil, err
		}
	}
	s.counts.opened(c)
	s.noteLog()
	return c, nil
}

// Close closes the connection.
func (c *conn) Close() error {
	for _, s := range []*lite.Stmt{c.begin, c.commit, c.rollback, c.version, c.savepoint, c.undo, c.release} {
		if s != nil {
			s.Finalize()
		}
	}
	return c.Conn.Close()
}

// schemaVersion reads the number that changes with every change of the schema.
func (c *conn) schemaVersion() (int64, error) {
	defer c.version.Reset()
	if _, err := c.version.Step(); err != nil {
		return 0, err
	}
	return c.version.Column(0).Int(), nil
}

// each runs a query with one text parameter, or none if it is empty.
func (c *conn) each(sql, param string, row func(*lite.Stmt)) error {
	st, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	defer st.Finalize()
	if param != "" {
		if err := c.bind(st, []any{param}); err != nil {
			return err
		}
	}
	for {
		more, err := st.Step()
		if err != nil && c.Stopped() {
			err = errInterrupted // a pragma in FROM says it with another code
		}
		if err != nil || !more {
			return err
		}
		row(st)
	}
}

// run runs a statement once.
func (c *conn) run(sql string, params ...any) error {
	st, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	defer st.Finalize()
	if err := c.bind(st, params); err != nil {
		return err
	}
	return st.Run()
}

// bind sets the parameters of st, in order.
func (c *conn) bind(st *lite.Stmt, params []any) error {
	c.scratch = c.scratch[:0]
	for _, p := range params {
		switch p := p.(type) {
		case string:
			c.scratch = append(c.scratch, p...)
		case []byte:
			c.scratch = append(c.scratch, p...)
		}
	}
	if err := st.Stage(c.scratch); err != nil {
		return err
	}
	off := 0
	for i, p := range params {
		var err error
		switch p := p.(type) {
		case nil:
			err = st.BindNull(i + 1)
		case bool:
			err = st.BindInt(i+1, boolInt(p))
		case int64:
			err = st.BindInt(i+1, p)
		case float64:
			err = st.BindFloat(i+1, p)
		case string:
			err = st.BindText(i+1, off, len(p))
			off += len(p)
		case []byte:
			err = st.BindBlob(i+1, off, len(p))
			off += len(p)
		default:
			err = fmt.Errorf("sqlite: a parameter of type %T", p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func boolInt(v bool) int64 {
	if v {
		return 1
	}
	return 0
}

// end leaves a read transaction, or throws a write away.
func (c *conn) end() {
	if c.InTransaction() && c.rollback.Run() != nil {
		c.broken = true
	}
}
