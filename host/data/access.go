package data

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// Handles are the stores of a host by handle. They are safe for concurrent
// use.
type Handles struct {
	stores  map[string]Store
	queries map[string]Query
}

// Query is a SELECT that the operator wrote, for workers to run by name.
type Query struct {
	Handle string
	SQL    string
}

// NewHandles takes over stores: [Handles.Close] closes them. Queries, by name,
// are on handles that exist.
func NewHandles(stores map[string]Store, queries map[string]Query) *Handles {
	return &Handles{stores: maps.Clone(stores), queries: maps.Clone(queries)}
}

// Close closes all stores.
func (h *Handles) Close() error {
	var all []error
	for _, name := range slices.Sorted(maps.Keys(h.stores)) {
		if err := h.stores[name].Close(); err != nil {
			all = append(all, within(name, err))
		}
	}
	return errors.Join(all...)
}

// Access returns the way to the stores for one task of a worker with these
// grants. Without any it leads nowhere. rows is how many rows the task may read
// and write in all, 0 for no limit.
func (h *Handles) Access(g Grants, rows int64) *Access {
	a := &Access{handles: h, scopes: make(map[string]*Scope, len(g.Handles)), queries: make(map[string]bool), budget: NewBudget(rows)}
	for handle, grant := range g.Handles {
		a.scopes[handle] = NewScope(grant, a.budget)
	}
	for _, name := range g.Queries {
		a.queries[name] = true
	}
	return a
}

// Access checks every call of one task against the grants of its worker and
// its budget of rows, see [Budget]. The budget is exact as long as the task
// makes one call at a time.
//
// It checks verbs; which columns and rows were granted is the store's to keep,
// as it knows them.
type Access struct {
	handles *Handles
	scopes  map[string]*Scope
	queries map[string]bool
	budget  *Budget
	tx      *transaction // nil unless Atomically was called
}

// RowsRead returns how many rows the task was handed.
func (a *Access) RowsRead() int64 { return a.budget.RowsRead() }

// What a mutation needs, by verb.
var needs = map[abi.Verb][]string{
	abi.Insert:    {"insert"},
	abi.InsertNew: {"insert"},
	abi.Upsert:    {"insert", "update"},
	abi.Update:    {"update"},
	abi.Delete:    {"delete"},
}

// Open is [Store.Open] on the handle that q names, which needs the grant "read",
// or any for Describe. A named query is [Store.Select], and must be granted by
// its name.
func (a *Access) Open(ctx context.Context, q *abi.Query) (Cursor, error) {
	if q.Named != "" {
		return a.named(ctx, q)
	}
	verb := "read"
	if q.Describe {
		verb = ""
	}
	store, scope, err := a.store(q.Handle, q.Collection, verb)
	if err != nil {
		return nil, err
	}
	about := func(err error) error { return within(q.Handle, err) }
	if err := a.budget.Spent(); err != nil {
		return nil, about(err)
	}
	open := store.Open
	if tx := a.on(q.Handle); tx != nil {
		open = tx.Open
	}
	c, err := open(ctx, q, scope)
	if err != nil {
		return nil, about(err)
	}
	return &accessCursor{Cursor: c, about: about}, nil
}

// named runs a query of the operator's. Its handle is not the worker's to know.
// A name that was not granted is refused alike whether it exists or not.
func (a *Access) named(ctx context.Context, q *abi.Query) (Cursor, error) {
	query, known := a.handles.queries[q.Named]
	if !known || !a.queries[q.Named] {
		return nil, abi.Errorf(abi.NotGranted, "query %q was not granted", Clip(q.Named))
	}
	about := func(err error) error { return about(err, "query %q", q.Named) }
	err := CheckQuery(q)
	if err == nil {
		err = a.budget.Spent()
	}
	if err != nil {
		return nil, about(err)
	}
	selects := a.handles.stores[query.Handle].Select
	if tx := a.on(query.Handle); tx != nil {
		selects = tx.Select
	}
	c, err := selects(ctx, query.SQL, q.Params, &Scope{Budget: a.budget})
	if err != nil {
		return nil, about(err)
	}
	return &accessCursor{Cursor: c, about: about}, nil
}

// Write is [Store.Write] on the handle that all of ms must name. It needs the
// grants of all their verbs, and "read" for Expect, which tells whether a row
// has a value.
func (a *Access) Write(ctx context.Context, ms []abi.Mutation, rows []byte) ([]abi.WriteResult, error) {
	if len(ms) == 0 {
		if len(rows) > 0 {
			return nil, abi.Errorf(abi.InvalidArgument, "write: %d bytes of rows without a mutation", len(rows))
		}
		return nil, nil
	}
	var store Store
	var scope *Scope
	for i := range ms {
		m := &ms[i]
		verbs, ok := needs[m.Verb]
		if !ok {
			return nil, abi.Errorf(abi.InvalidArgument, "write: mutation %d: unknown op %q", i, Clip(string(m.Verb)))
		}
		for _, verb := range verbs {
			var err error
			if store, scope, err = a.store(m.Handle, m.Collection, verb); err != nil {
				return nil, err
			}
		}
		if len(m.Expect) > 0 {
			if _, _, err := a.store(m.Handle, m.Collection, "read"); err != nil {
				return nil, err
			}
		}
		if m.Handle != ms[0].Handle {
			return nil, abi.Errorf(abi.InvalidArgument, "write: mutation %d is on handle %q, mutation 0 on %q: one batch is one handle",
				i, Clip(m.Handle), Clip(ms[0].Handle))
		}
	}
	write := store.Write
	if a.tx != nil {
		tx, err := a.begin(ctx, ms[0].Handle, store)
		if err != nil {
			return nil, err
		}
		write = tx.Write
	}
	if err := a.charge(ms, rows); err != nil {
		return nil, within(ms[0].Handle, err)
	}
	results, err := write(ctx, ms, rows, scope)
	return results, within(ms[0].Handle, err)
}

// charge counts the rows of a write. Of a batch that is not well-formed, which
// the store refuses, it counts those up to there.
func (a *Access) charge(ms []abi.Mutation, rows []byte) error {
	if err := a.budget.Spent(); err != nil {
		return err
	}
	batches, err := Split(ms, rows)
	if err != nil {
		return err
	}
	n := int64(0)
	for _, b := range batches {
		batch, _ := wire.OpenBatch(b)
		for batch.Next() {
			n++
		}
	}
	return a.budget.Write(n)
}

// store returns the store behind a handle, and what may be done with it, if the
// worker was granted verb on the collection; "" is for any verb, and the
// collection may then be empty.
func (a *Access) store(handle, collection, verb string) (Store, *Scope, error) {
	store, known := a.handles.stores[handle]
	if !known {
		return nil, nil, abi.Errorf(abi.UnknownHandle, "unknown handle %q; %s", Clip(handle), a.offer())
	}
	scope := a.scopes[handle]
	if scope == nil {
		scope = &Scope{}
	}
	if err := scope.allow(collection, verb); err != nil {
		return nil, nil, within(handle, err)
	}
	return store, scope, nil
}

// offer lists the handles of the host that the worker was granted anything
// on, and no others.
func (a *Access) offer() string {
	var names []string
	for name, scope := range a.scopes {
		if _, known := a.handles.stores[name]; known && !scope.empty() {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "no handle was granted"
	}
	slices.Sort(names)
	return "granted: " + strings.Join(names, ", ")
}

// accessCursor says in front of errors what they are about.
type accessCursor struct {
	Cursor
	about func(error) error
}

func (c *accessCursor) Next(ctx context.Context, dst []byte) (int, error) {
	n, err := c.Cursor.Next(ctx, dst)
	return n, c.about(err)
}

func (c *accessCursor) Close() error { return c.about(c.Cursor.Close()) }

// within puts the handle's name in front of an error.
func within(handle string, err error) error { return about(err, "handle %q", handle) }

// about puts something in front of an error.
func about(err error, format string, args ...any) error {
	var tooLarge *RowTooLargeError
	if err == nil || errors.As(err, &tooLarge) {
		return err
	}
	return abi.Errorf(abi.CodeOf(err), "%s: %s", fmt.Sprintf(format, args...), abi.MessageOf(err))
}

// Clip shortens a guest's text for an error message.
func Clip(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
