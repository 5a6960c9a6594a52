package lite

import (
	"strings"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Stmt is a prepared statement. It stays ready for another run after Reset.
type Stmt struct {
	c     *Conn
	p     uintptr
	stage *memory // the connection's, or its own
	noted noted
}

// Prepare compiles one statement, which the caller finalizes. It may do
// everything.
func (c *Conn) Prepare(sql string) (*Stmt, error) { return c.prepare(sql, nil) }

// PrepareOwn compiles one statement with the given rights, which the caller
// finalizes. It has staging memory of its own: it may be in use while other
// statements of the connection are bound and run.
func (c *Conn) PrepareOwn(sql string, r *Rights) (*Stmt, error) {
	s, err := c.prepare(sql, r)
	if err == nil {
		s.stage = new(memory)
	}
	return s, err
}

func (c *Conn) prepare(sql string, r *Rights) (*Stmt, error) {
	s, err := c.compile(sql, r)
	if err == nil || r == nil {
		return s, err
	}
	// A virtual table prepares statements of its own when a connection meets it
	// for the first time, as the one behind a trigger may be. So once more
	// when they have met.
	free, freeErr := c.compile(sql, nil)
	if freeErr != nil {
		return nil, err
	}
	free.Finalize()
	return c.compile(sql, r)
}

func (c *Conn) compile(sql string, r *Rights) (*Stmt, error) {
	if strings.IndexByte(sql, 0) >= 0 {
		return nil, &Error{Code: sqlite3.SQLITE_ERROR, Text: "a NUL in a statement"}
	}
	text, err := cstring(c.tls, sql)
	if err != nil {
		return nil, err
	}
	defer sqlite3.Xsqlite3_free(c.tls, text)
	const slot = unsafe.Sizeof(uintptr(0))
	out, err := malloc(c.tls, 2*int(slot)) // for the statement, and what is behind its text
	if err != nil {
		return nil, err
	}
	defer sqlite3.Xsqlite3_free(c.tls, out)
	c.rights = r
	defer func() { c.rights, c.noted = nil, noted{} }()
	rc := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, text, int32(len(sql)+1), sqlite3.SQLITE_PREPARE_PERSISTENT, out, out+slot)
	if err := c.check(rc); err != nil {
		return nil, err
	}
	s := &Stmt{c: c, p: *(*uintptr)(pointer(out)), stage: &c.stage, noted: c.noted}
	switch tail := sql[*(*uintptr)(pointer(out + slot))-text:]; {
	case s.p == 0:
		return nil, &Error{Code: sqlite3.SQLITE_ERROR, Text: "there is no statement"}
	case strings.TrimSpace(tail) != "":
		s.Finalize()
		return nil, &Error{Code: sqlite3.SQLITE_ERROR, Text: "there is text behind the statement"}
	}
	return s, nil
}

// Finalize frees the statement.
func (s *Stmt) Finalize() {
	// What it returns is the last step's error once more.
	sqlite3.Xsqlite3_finalize(s.c.tls, s.p)
	s.p = 0
	if s.stage != &s.c.stage {
		s.stage.free(s.c.tls)
	}
}

// ReadOnly says whether the statement changes nothing in the database file.
func (s *Stmt) ReadOnly() bool { return sqlite3.Xsqlite3_stmt_readonly(s.c.tls, s.p) != 0 }

// Columns returns the names of the columns, none if it is not for rows.
func (s *Stmt) Columns() []string {
	names := make([]string, sqlite3.Xsqlite3_column_count(s.c.tls, s.p))
	for i := range names {
		names[i] = goString(sqlite3.Xsqlite3_column_name(s.c.tls, s.p, int32(i)))
	}
	return names
}

// Params returns the names of the parameters with their signs; one without a
// name is empty.
func (s *Stmt) Params() []string {
	names := make([]string, sqlite3.Xsqlite3_bind_parameter_count(s.c.tls, s.p))
	for i := range names {
		names[i] = goString(sqlite3.Xsqlite3_bind_parameter_name(s.c.tls, s.p, int32(i+1)))
	}
	return names
}

// Step runs the statement up to its next row and says whether there is one.
func (s *Stmt) Step() (row bool, err error) {
	switch rc := sqlite3.Xsqlite3_step(s.c.tls, s.p); rc {
	case sqlite3.SQLITE_ROW:
		return true, nil
	case sqlite3.SQLITE_DONE:
		return false, nil
	default:
		return false, s.c.check(rc)
	}
}

// Reset ends a run. The bindings stay.
func (s *Stmt) Reset() {
	// What it returns is the last step's error once more.
	sqlite3.Xsqlite3_reset(s.c.tls, s.p)
}

// Clear ends a run and sets all parameters to NULL.
func (s *Stmt) Clear() {
	s.Reset()
	sqlite3.Xsqlite3_clear_bindings(s.c.tls, s.p)
}

// Run runs the statement to its end, passing over its rows, and resets it.
func (s *Stmt) Run() error {
	defer s.Reset()
	for {
		row, err := s.Step()
		if err != nil || !row {
			return err
		}
	}
}

// Stage copies b to where BindText and BindBlob find it. What was staged
// before is gone, for all statements that share the memory: parameters that used
// it must be bound anew or cleared.
func (s *Stmt) Stage(b []byte) error { return s.stage.load(s.c.tls, b) }

// BindNull sets parameter i, counted from 1, to NULL.
func (s *Stmt) BindNull(i int) error {
	return s.c.check(sqlite3.Xsqlite3_bind_null(s.c.tls, s.p, int32(i)))
}

// BindInt sets parameter i to an INTEGER.
func (s *Stmt) BindInt(i int, v int64) error {
	return s.c.check(sqlite3.Xsqlite3_bind_int64(s.c.tls, s.p, int32(i), v))
}

// BindFloat sets parameter i to a REAL; not-a-number becomes NULL.
func (s *Stmt) BindFloat(i int, v float64) error {
	return s.c.check(sqlite3.Xsqlite3_bind_double(s.c.tls, s.p, int32(i), v))
}

// BindText sets parameter i to a TEXT: the n bytes at off of what was staged.
func (s *Stmt) BindText(i, off, n int) error {
	p := s.stage.p + uintptr(off)
	return s.c.check(sqlite3.Xsqlite3_bind_text64(s.c.tls, s.p, int32(i), p, uint64(n), 0, sqlite3.SQLITE_UTF8))
}

// BindBlob sets parameter i to a BLOB: the n bytes at off of what was staged.
func (s *Stmt) BindBlob(i, off, n int) error {
	p := s.stage.p + uintptr(off) // not 0, so an empty BLOB does not become NULL
	return s.c.check(sqlite3.Xsqlite3_bind_blob64(s.c.tls, s.p, int32(i), p, uint64(n), 0))
}

// Type is the storage class of a value.
type Type int32

// The storage classes.
const (
	Integer Type = sqlite3.SQLITE_INTEGER
	Float   Type = sqlite3.SQLITE_FLOAT
	Text    Type = sqlite3.SQLITE_TEXT
	Blob    Type = sqlite3.SQLITE_BLOB
	Null    Type = sqlite3.SQLITE_NULL
)

// Value is a column of the current row, valid until the statement moves.
type Value struct {
	c *Conn
	p uintptr
}

// Column returns column i, counted from 0, of the current row.
func (s *Stmt) Column(i int) Value {
	return Value{c: s.c, p: sqlite3.Xsqlite3_column_value(s.c.tls, s.p, int32(i))}
}

// Type returns the value's storage class. Ask it before the value.
func (v Value) Type() Type { return Type(sqlite3.Xsqlite3_value_type(v.c.tls, v.p)) }

// Int returns an INTEGER.
func (v Value) Int() int64 { return sqlite3.Xsqlite3_value_int64(v.c.tls, v.p) }

// Float returns a REAL.
func (v Value) Float() float64 { return sqlite3.Xsqlite3_value_double(v.c.tls, v.p) }

// Bytes returns a TEXT or a BLOB. It is SQLite's memory.
func (v Value) Bytes() []byte {
	var p uintptr
	if v.c.utf8 {
		// As a blob: asked for as text, SQLite would copy it to put a NUL
		// behind.
		p = sqlite3.Xsqlite3_value_blob(v.c.tls, v.p)
	} else if v.Type() == Text {
		p = sqlite3.Xsqlite3_value_text(v.c.tls, v.p) // from UTF-16
	} else {
		p = sqlite3.Xsqlite3_value_blob(v.c.tls, v.p)
	}
	return view(p, int(sqlite3.Xsqlite3_value_bytes(v.c.tls, v.p)))
}

// goString copies a C string.
func goString(p uintptr) string { return libc.GoString(p) }
