package lite

import (
	"context"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
	_ "modernc.org/sqlite/vec" // sqlite-vec, which SQLite loads into every connection
)

// Options say how to open a connection.
type Options struct {
	ReadOnly    bool
	BusyTimeout time.Duration // how long to wait for a lock
	MaxLength   int           // bytes of the longest text, blob or row (SQLITE_LIMIT_LENGTH)
	Statements  int           // statements kept by Cached

	// Check is called when the file is open and nothing of it was read. If it
	// fails, nothing will be, so that the log beside the file is left alone.
	Check func() error
}

// Conn is one connection to one database file.
type Conn struct {
	tls    *libc.TLS
	db     uintptr
	cell   *cell
	stage  memory
	utf8   bool
	cached cache

	rights     *Rights // of the statement that is being prepared
	noted      noted   // of it, so far
	authorizer func(tls *libc.TLS, arg uintptr, action int32, name, detail, database, within uintptr) int32

	mu     sync.Mutex // between Interrupt and what it must not meet: Close and Shield
	closed bool
}

// Open opens the database file at path, which must exist; path must be
// absolute. It sets what every connection of this module has: extended result
// codes, SQLITE_DBCONFIG_DEFENSIVE, no trusted schema, foreign keys, no
// ATTACH. ctx bounds the waiting for a lock.
func Open(ctx context.Context, path string, o Options) (_ *Conn, err error) {
	c := &Conn{tls: libc.NewTLS()}
	defer func() {
		if err != nil {
			_ = c.Close() // the first error is the one that tells
		}
	}()
	if c.cell, err = newCell(c.tls, o.BusyTimeout); err != nil {
		return nil, err
	}
	flags := int32(sqlite3.SQLITE_OPEN_NOMUTEX | sqlite3.SQLITE_OPEN_EXRESCODE)
	if o.ReadOnly {
		flags |= sqlite3.SQLITE_OPEN_READONLY
	} else {
		flags |= sqlite3.SQLITE_OPEN_READWRITE
	}
	if err := c.open(path, flags); err != nil {
		return nil, err
	}
	if o.Check != nil {
		if err := o.Check(); err != nil {
			return nil, err
		}
	}
	c.cell.install(c.tls, c.db)
	if err := c.authorize(); err != nil {
		return nil, err
	}
	for op, on := range map[int32]bool{
		sqlite3.SQLITE_DBCONFIG_DEFENSIVE:      true,
		sqlite3.SQLITE_DBCONFIG_TRUSTED_SCHEMA: false,
		sqlite3.SQLITE_DBCONFIG_ENABLE_FKEY:    true,
	} {
		if err := c.config(op, on); err != nil {
			return nil, err
		}
	}
	sqlite3.Xsqlite3_limit(c.tls, c.db, sqlite3.SQLITE_LIMIT_LENGTH, int32(o.MaxLength))
	sqlite3.Xsqlite3_limit(c.tls, c.db, sqlite3.SQLITE_LIMIT_ATTACHED, 0)
	c.cached.most = o.Statements

	// The first read of the file: it is here that one which is no database
	// shows.
	defer c.Watch(ctx)()
	encoding, err := c.Prepare("PRAGMA encoding")
	if err != nil {
		return nil, err
	}
	defer encoding.Finalize()
	if _, err := encoding.Step(); err != nil {
		return nil, err
	}
	c.utf8 = string(encoding.Column(0).Bytes()) == "UTF-8"
	return c, nil
}

func (c *Conn) open(path string, flags int32) error {
	name, err := cstring(c.tls, path)
	if err != nil {
		return err
	}
	defer sqlite3.Xsqlite3_free(c.tls, name)
	// Where SQLite writes the handle has to be memory it can reach.
	handle, err := malloc(c.tls, int(unsafe.Sizeof(uintptr(0))))
	if err != nil {
		return err
	}
	defer sqlite3.Xsqlite3_free(c.tls, handle)
	*(*uintptr)(pointer(handle)) = 0
	rc := sqlite3.Xsqlite3_open_v2(c.tls, name, handle, flags, 0)
	c.db = *(*uintptr)(pointer(handle)) // also set when it failed, and then to be closed
	return c.check(rc)
}

func (c *Conn) config(op int32, on bool) error {
	const slot = 8 // of libc.VaList, on every target
	args, err := malloc(c.tls, 2*slot)
	if err != nil {
		return err
	}
	defer sqlite3.Xsqlite3_free(c.tls, args)
	var v int32
	if on {
		v = 1
	}
	return c.check(sqlite3.Xsqlite3_db_config(c.tls, c.db, op, libc.VaList(args, v, uintptr(0))))
}

// Close finalizes the statements of Cached and closes the connection; a
// transaction that is open is rolled back. Statements of Prepare must have
// been finalized.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	c.cached.drop()
	var err error
	if c.db != 0 {
		rc := sqlite3.Xsqlite3_close_v2(c.tls, c.db)
		c.db = 0 // gone, so there is no asking it why
		err = c.check(rc)
	}
	c.stage.free(c.tls)
	c.cell.free(c.tls)
	c.tls.Close()
	return err
}

// Exec runs statements that return nothing of interest.
func (c *Conn) Exec(sql ...string) error {
	for _, text := range sql {
		s, err := c.Prepare(text)
		if err != nil {
			return err
		}
		err = s.Run()
		s.Finalize()
		if err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}

// Changes returns how many rows the last INSERT, UPDATE or DELETE changed,
// those of its triggers not counted.
func (c *Conn) Changes() int64 { return sqlite3.Xsqlite3_changes64(c.tls, c.db) }

// Statements returns how many statements Cached keeps.
func (c *Conn) Statements() int { return c.cached.recent.Len() }

// DeferredViolation says whether a COMMIT would now fail for a foreign key.
func (c *Conn) DeferredViolation() bool {
	out := c.cell.address() + unsafe.Offsetof(c.cell.status)
	c.cell.status = [2]int32{}
	sqlite3.Xsqlite3_db_status(c.tls, c.db, sqlite3.SQLITE_DBSTATUS_DEFERRED_FKS, out, out+unsafe.Sizeof(c.cell.status[0]), 0)
	return c.cell.status[0] != 0
}

// InTransaction says whether BEGIN is in effect. Some errors end it.
func (c *Conn) InTransaction() bool { return sqlite3.Xsqlite3_get_autocommit(c.tls, c.db) == 0 }

// Unstage gives back the memory of [Stmt.Stage] that statements share, if there is much of it. No parameter
// may be bound to it.
func (c *Conn) Unstage() {
	if c.stage.size > stageKeep {
		c.stage.free(c.tls)
	}
}
