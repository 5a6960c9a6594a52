package lite

import (
	"slices"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Rights say what a statement may do. SQLite asks while it prepares the
// statement. It is not asked about what is prepared while a statement runs: the
// statements of virtual tables, and the same text once more after a change of
// the schema. A nil *Rights may do everything.
//
// See https://www.sqlite.org/c3ref/set_authorizer.html.
type Rights struct {
	ID    string // equal for equal rights: Cached keeps statements apart by it
	Allow func(Use) bool
	Note  bool // its statements tell what they use, see [Stmt.Reads] and [Stmt.Calls]
}

// Use is one thing that a statement would do.
type Use struct {
	Action int32  // SQLITE_READ and so on
	Name   string // mostly a table
	Detail string // mostly a column
	Within string // the innermost view or trigger that wants it; empty for the statement itself
}

// authorize makes SQLite ask c.rights.
func (c *Conn) authorize() error {
	// What SQLite keeps is the address of a function value of Go's heap. Go
	// does not move it, and c keeps it alive.
	c.authorizer = func(_ *libc.TLS, _ uintptr, action int32, name, detail, _, within uintptr) int32 {
		if c.rights == nil {
			return sqlite3.SQLITE_OK
		}
		use := Use{Action: action, Name: goString(name), Detail: goString(detail), Within: goString(within)}
		if !c.rights.Allow(use) {
			return sqlite3.SQLITE_DENY
		}
		if c.rights.Note {
			c.noted.add(use)
		}
		return sqlite3.SQLITE_OK
	}
	return c.check(sqlite3.Xsqlite3_set_authorizer(c.tls, c.db, *(*uintptr)(unsafe.Pointer(&c.authorizer)), 0))
}

// noted is what a statement uses, each once.
type noted struct{ reads, calls []string }

func (n *noted) add(u Use) {
	switch {
	case u.Action == sqlite3.SQLITE_READ && !slices.Contains(n.reads, u.Name):
		n.reads = append(n.reads, u.Name)
	case u.Action == sqlite3.SQLITE_FUNCTION && !slices.Contains(n.calls, u.Detail):
		n.calls = append(n.calls, u.Detail)
	}
}

// Reads returns the tables that the statement reads, those behind its views
// among them, if it was prepared with rights that [Rights.Note] it.
func (s *Stmt) Reads() []string { return s.noted.reads }

// Calls returns the functions that the statement calls, likewise.
func (s *Stmt) Calls() []string { return s.noted.calls }
