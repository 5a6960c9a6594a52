package sqlite

import (
	"errors"
	"fmt"
	"slices"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/sqlite/internal/lite"
)

// seen is a collection as one caller sees it. What was not granted is answered
// with the error of what does not exist.
type seen struct {
	*table
	rights *data.Rights
	filter string // the condition on rows as SQL; empty for none
	reach  reach  // of a write
}

// see returns a collection with what scope allows on it.
func (sc *schema) see(c *conn, scope *data.Scope, name string) (*seen, error) {
	rights := scope.Rights(name)
	if rights == nil {
		return nil, data.UnknownCollection(name)
	}
	t, err := sc.table(c, name)
	if err != nil {
		if !rights.Whole() {
			err = discreet(err)
		}
		return nil, err
	}
	s := &seen{table: t, rights: rights}
	s.filter, err = filterSQL(t, rights.Where)
	return s, err
}

// filterSQL writes the condition of a grant. Its values are the operator's and
// stand in the text: so the statements of different grants are different, and
// none has to be bound.
func filterSQL(t *table, where []abi.Condition) (string, error) {
	var w query
	for i := range where {
		column, ok := t.byName[where[i].Column]
		if !ok {
			return "", abi.Errorf(abi.Internal, "collection %q: the grant has a condition on column %q, which does not exist", t.name, where[i].Column)
		}
		if i > 0 {
			w.add(" AND ")
		}
		if err := w.compare(t.columns[column].qualified, &where[i], literal); err != nil {
			return "", err
		}
	}
	return w.sql.String(), nil
}

// column returns the index of a column that must be granted for verb.
func (s *seen) column(name string, granted data.Columns, verb string) (int, error) {
	i, ok := s.byName[name]
	switch {
	case !ok || !s.rights.Sees(name):
		return 0, data.UnknownColumn(s.name, name)
	case !granted.Has(name):
		return 0, abi.Errorf(abi.NotGranted, "collection %q: column %q: %q was not granted", s.name, data.Clip(name), verb)
	}
	return i, nil
}

// pick returns the indices of columns that must be granted for verb.
func (s *seen) pick(names []string, granted data.Columns, verb string) ([]int, error) {
	picked := make([]int, len(names))
	for i, name := range names {
		var err error
		if picked[i], err = s.column(name, granted, verb); err != nil {
			return nil, err
		}
	}
	return picked, nil
}

// readable returns the index of a column that may be read.
func (s *seen) readable(name string) (int, error) { return s.column(name, s.rights.Read, "read") }

// pickReadable returns the indices of the named columns, which must be
// readable, or of all that are for nil.
func (s *seen) pickReadable(names []string) ([]int, error) {
	if names != nil {
		return s.pick(names, s.rights.Read, "read")
	}
	var all []int
	for i, c := range s.columns {
		if s.rights.Read.Has(c.name) {
			all = append(all, i)
		}
	}
	if len(all) == 0 { // columns that were granted and are gone
		return nil, abi.Errorf(abi.UnknownColumn, "collection %q has no columns", s.name)
	}
	return all, nil
}

// keyOr returns the indices of the named columns, or of the primary key for
// nil, all of which must be granted.
func (s *seen) keyOr(names []string, granted data.Columns, verb string) ([]int, error) {
	if names != nil {
		return s.pick(names, granted, verb)
	}
	if len(s.key) == 0 || slices.ContainsFunc(s.key, func(k int) bool { return !granted.Has(s.columns[k].name) }) {
		return nil, abi.Errorf(abi.InvalidArgument, "collection %q has no primary key; name the key's columns", s.name)
	}
	return s.key, nil
}

// constraints are what refused a row, for those who may not know the name.
var constraints = map[int32]string{
	sqlite3.SQLITE_CONSTRAINT_UNIQUE:     "a UNIQUE constraint failed",
	sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: "a UNIQUE constraint failed",
	sqlite3.SQLITE_CONSTRAINT_ROWID:      "a UNIQUE constraint failed",
	sqlite3.SQLITE_CONSTRAINT_NOTNULL:    "a NOT NULL constraint failed",
	sqlite3.SQLITE_CONSTRAINT_CHECK:      "a CHECK constraint failed",
	sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: "a FOREIGN KEY constraint failed",
	sqlite3.SQLITE_CONSTRAINT_TRIGGER:    "a trigger refused the row",
	sqlite3.SQLITE_CONSTRAINT_DATATYPE:   "a value has the wrong type",
	sqlite3.SQLITE_MISMATCH:              "a value has the wrong type",
	sqlite3.SQLITE_ERROR:                 "the statement cannot be run",
}

// discreet takes SQLite's own words out of an error, which name tables and
// columns, and a trigger's, which can say anything, unless the caller may know
// all of them.
func (s *seen) discreet(err error) error {
	var e *lite.Error
	var known *abi.Error
	if s.rights.Whole() || errors.As(err, &known) || !errors.As(err, &e) {
		return err
	}
	for _, kind := range []string{"NOT NULL", "UNIQUE"} {
		for _, c := range s.columns {
			if s.rights.Sees(c.name) && e.Text == kind+" constraint failed: "+s.name+"."+c.name {
				return err
			}
		}
	}
	text := constraints[e.Code]
	if text == "" {
		text = fmt.Sprintf("the database answered %d", e.Code)
	}
	return &lite.Error{Code: e.Code, Text: text}
}

// reading are the rights of a statement that reads the collection. What a view
// reads is its owner's choice, and it can be made of anything: SQLite does not
// tell reliably that it is the view which wants it.
func (s *seen) reading() *lite.Rights {
	return &lite.Rights{ID: "read " + s.rights.ID(), Allow: func(u lite.Use) bool {
		switch {
		case u.Action == sqlite3.SQLITE_READ && u.Name == s.name:
			return s.reads(u.Detail)
		case s.view:
			return onlyReads(u)
		}
		return harmless(u)
	}}
}

// writing are the rights of a statement that changes the collection. Triggers
// have those of the schema's owner. SQLite says which trigger changes
// something, but not reliably which one reads: so with triggers around, what
// is read is not asked for.
func (s *seen) writing() *lite.Rights {
	return &lite.Rights{ID: "write " + s.rights.ID(), Allow: func(u lite.Use) bool {
		trigger := u.Within != "" && u.Within != "sqlite_returning" // SQLite makes RETURNING a trigger too
		switch {
		case u.Action == sqlite3.SQLITE_FUNCTION:
			return harmless(u)
		case harmless(u), trigger, s.reach.triggers && onlyReads(u), s.reach.does(u):
			return true
		case u.Name != s.name:
			return false
		}
		switch u.Action {
		case sqlite3.SQLITE_INSERT:
			return !s.rights.Insert.Empty()
		case sqlite3.SQLITE_UPDATE:
			return s.rights.Update.Has(u.Detail)
		case sqlite3.SQLITE_DELETE:
			return s.rights.Delete
		case sqlite3.SQLITE_READ:
			return s.reads(u.Detail) || s.rights.Sees(u.Detail)
		}
		return false
	}}
}

// harmless is what reaches no table by itself. Defaults and generated columns
// call functions; those of sqlite-vec are for the operator's statements only.
func harmless(u lite.Use) bool {
	return u.Action == sqlite3.SQLITE_SELECT || u.Action == sqlite3.SQLITE_FUNCTION && !isVector(u.Detail)
}

// onlyReads is all that a SELECT can be made of.
func onlyReads(u lite.Use) bool {
	return harmless(u) || u.Action == sqlite3.SQLITE_READ || u.Action == sqlite3.SQLITE_RECURSIVE
}

// reads says whether a statement may look at a column; the empty name is that
// of none in particular.
func (s *seen) reads(column string) bool {
	return column == "" || s.rights.Read.Has(column) ||
		slices.ContainsFunc(s.rights.Where, func(c abi.Condition) bool { return c.Column == column })
}
