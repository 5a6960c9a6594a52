package data

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
)

// Grants say what a worker may do.
type Grants struct {
	Handles map[string]Grant
	Queries []string // names of the operator's queries
}

// Grant is what a worker may do on one handle: either verbs on all of its
// collections, or rights by collection. A collection that is not named does
// not exist for the worker.
type Grant struct {
	Verbs       []string // read, insert, update, delete
	Collections map[string]Rights
}

// Rights are what a worker may do on one collection. A column that none of
// them has does not exist for the worker.
type Rights struct {
	Read   Columns // also what may be filtered, ordered and compared by
	Insert Columns
	Update Columns
	Delete bool

	// Where says which rows there are for the worker: no statement reaches
	// others, and none is written that would be outside. Its columns need not
	// be granted.
	Where []abi.Condition

	whole bool // by verbs: the schema is no secret, and any column can be a key
	id    string
}

// Columns is a set of columns. The zero value is empty.
type Columns struct {
	all   bool
	names map[string]bool
}

// AllColumns is the set of all columns that a collection has or comes to have.
func AllColumns() Columns { return Columns{all: true} }

// SomeColumns is a set of named columns.
func SomeColumns(names ...string) Columns {
	c := Columns{names: make(map[string]bool, len(names))}
	for _, name := range names {
		c.names[name] = true
	}
	return c
}

// Has says whether a column is in the set.
func (c Columns) Has(name string) bool { return c.all || c.names[name] }

// Empty says whether there is no column in the set.
func (c Columns) Empty() bool { return !c.all && len(c.names) == 0 }

// Key is the set of columns that may say which rows to update or delete.
func (r *Rights) Key() Columns {
	if r.whole {
		return AllColumns()
	}
	return r.Read
}

// Whole says whether the worker may know all names of the schema.
func (r *Rights) Whole() bool { return r.whole }

// Sees says whether a column exists for the worker.
func (r *Rights) Sees(name string) bool {
	return r.whole || r.Read.Has(name) || r.Insert.Has(name) || r.Update.Has(name)
}

// ID is equal for equal rights.
func (r *Rights) ID() string { return r.id }

func (r *Rights) identify() {
	var b strings.Builder
	for _, c := range []Columns{r.Read, r.Insert, r.Update} {
		fmt.Fprintf(&b, "%t %q ", c.all, slices.Sorted(maps.Keys(c.names)))
	}
	fmt.Fprintf(&b, "%t %t ", r.Delete, r.whole)
	for _, c := range r.Where {
		fmt.Fprintf(&b, "%q %q %T %#v ", c.Column, c.Op, c.Value, c.Value)
	}
	r.id = b.String()
}

func (r *Rights) writes() bool { return !r.Insert.Empty() || !r.Update.Empty() || r.Delete }

func (r *Rights) allow(verb string) bool {
	switch verb {
	case "read":
		return !r.Read.Empty()
	case "insert":
		return !r.Insert.Empty()
	case "update":
		return !r.Update.Empty()
	case "delete":
		return r.Delete
	}
	return false
}

// Scope is on whose behalf a store is called: what exists for the caller, what
// may be done with it, and how many rows are left for that.
type Scope struct {
	Budget *Budget // of the task; nil for none

	whole       *Rights // of every collection; nil when they go by name
	collections map[string]*Rights
}

// Everything returns the scope of a caller that may do all that the store can.
func Everything() *Scope {
	return NewScope(Grant{Verbs: []string{"read", "insert", "update", "delete"}}, nil)
}

// NewScope returns the scope of a grant. It keeps nothing of g but the values
// of conditions.
func NewScope(g Grant, b *Budget) *Scope {
	s := &Scope{Budget: b, collections: make(map[string]*Rights, len(g.Collections))}
	for name, r := range g.Collections {
		r.Where = slices.Clone(r.Where)
		r.whole = false
		r.identify()
		s.collections[name] = &r
	}
	if len(g.Verbs) > 0 {
		s.whole = &Rights{whole: true}
	}
	for _, verb := range g.Verbs {
		switch verb {
		case "read":
			s.whole.Read = AllColumns()
		case "insert":
			s.whole.Insert = AllColumns()
		case "update":
			s.whole.Update = AllColumns()
		case "delete":
			s.whole.Delete = true
		}
	}
	if s.whole != nil {
		s.whole.identify()
	}
	return s
}

// Rights returns the rights on a collection, nil if it does not exist for the
// caller. The same is returned for the same collection.
func (s *Scope) Rights(collection string) *Rights {
	if s.whole != nil {
		return s.whole
	}
	return s.collections[collection]
}

// empty says whether nothing was granted.
func (s *Scope) empty() bool { return s.whole == nil && len(s.collections) == 0 }

// writes says whether anything may be written.
func (s *Scope) writes() bool {
	if s.whole != nil && s.whole.writes() {
		return true
	}
	for _, r := range s.collections {
		if r.writes() {
			return true
		}
	}
	return false
}

// allow returns an error if a verb was not granted on a collection. Of a
// collection without any grant it says what a store says of one that it does
// not have.
func (s *Scope) allow(collection, verb string) error {
	r := s.Rights(collection)
	if verb == "" {
		switch {
		case s.empty():
			return abi.Errorf(abi.NotGranted, "nothing was granted")
		case collection != "" && r == nil:
			return UnknownCollection(collection)
		}
		return nil
	}
	switch {
	case s.empty(), s.whole != nil && !r.allow(verb):
		return abi.Errorf(abi.NotGranted, "%q was not granted", verb)
	case r == nil:
		return UnknownCollection(collection)
	case !r.allow(verb):
		return abi.Errorf(abi.NotGranted, "collection %q: %q was not granted", Clip(collection), verb)
	}
	return nil
}

// UnknownCollection is the error of a collection that does not exist, or not
// for the caller.
func UnknownCollection(name string) error {
	return abi.Errorf(abi.UnknownCollection, "no collection %q", Clip(name))
}

// UnknownColumn is the error of a column that does not exist, or not for the
// caller.
func UnknownColumn(collection, name string) error {
	return abi.Errorf(abi.UnknownColumn, "collection %q has no column %q", Clip(collection), Clip(name))
}
