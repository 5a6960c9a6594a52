package sqlite

import (
	"context"
	"errors"
	"slices"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/sqlite/internal/lite"
)

// Select implements [data.Store].
func (s *Store) Select(ctx context.Context, sql string, params map[string]any, scope *data.Scope) (data.Cursor, error) {
	c := newSelect(s, scope)
	if err := s.begin(ctx, "opening it", func(conn *conn) error { return c.selects(conn, sql, params) }); err != nil {
		return nil, err
	}
	return c, nil
}

func newSelect(s *Store, scope *data.Scope) *cursor {
	return &cursor{store: s, budget: scope.Budget, what: "the answer", discreet: discreet}
}

// selects makes the cursor that of a statement of the operator's, in a
// transaction on conn.
func (c *cursor) selects(conn *conn, sql string, params map[string]any) error {
	if err := c.prepare(conn, sql, operators); err != nil {
		return abi.Errorf(abi.Internal, "the operator's statement: %w", err)
	}
	values, err := arguments(c.st.Params(), params)
	if err == nil {
		c.names, err = resultColumns(c.st)
	}
	if err == nil {
		err = c.search(conn, params)
	}
	if err == nil {
		err = discreet(conn.bind(c.st, values))
	}
	if err != nil {
		c.drop()
		return err
	}
	return c.start(conn)
}

// search looks at how the statement searches, if it does.
func (c *cursor) search(conn *conn, params map[string]any) error {
	schema, err := c.store.schemaOf(conn)
	if err != nil {
		return err
	}
	s := schema.searches(c.st)
	c.discreet = func(err error) error { return discreet(s.wrong(err)) }
	return s.check(params)
}

// operators are the rights of the operator's statements: to read, and nothing
// else that SQLite has a name for. Only they call sqlite-vec.
var operators = &lite.Rights{ID: "operator", Note: true, Allow: func(u lite.Use) bool {
	return onlyReads(u) || u.Action == sqlite3.SQLITE_FUNCTION
}}

// resultColumns returns the names of what a statement of the operator's
// selects, or what is wrong with it.
func resultColumns(st *lite.Stmt) ([]string, error) {
	names := st.Columns()
	if len(names) == 0 || !st.ReadOnly() {
		return nil, abi.Errorf(abi.Internal, "the operator's statement is no SELECT")
	}
	sorted := slices.Sorted(slices.Values(names))
	if distinct := slices.Compact(slices.Clone(sorted)); len(distinct) < len(sorted) {
		return nil, abi.Errorf(abi.Internal, "the operator's statement has two columns of one name: %q", names)
	}
	return names, nil
}

// arguments puts the values of params into the order of a statement's
// parameters, of which each must be there and no other.
func arguments(names []string, params map[string]any) ([]any, error) {
	values := make([]any, len(names))
	used := make(map[string]bool, len(names))
	for i, name := range names {
		if len(name) < 2 || name[0] == '?' {
			return nil, abi.Errorf(abi.Internal, "the operator's statement has a parameter without a name; write :name")
		}
		name = name[1:]
		v, ok := params[name]
		if !ok {
			return nil, abi.Errorf(abi.InvalidArgument, "parameter %q is missing", name)
		}
		values[i], used[name] = v, true
	}
	for name := range params {
		if !used[name] {
			return nil, abi.Errorf(abi.InvalidArgument, "there is no parameter %q", data.Clip(name))
		}
	}
	return values, nil
}

// discreet is for those who run a statement without knowing it: SQLite's words
// are left out unless they are for the host's log only.
func discreet(err error) error {
	var e *lite.Error
	var known *abi.Error
	if errors.As(err, &known) || !errors.As(err, &e) || codeOf(err) == abi.Internal {
		return err
	}
	return &lite.Error{Code: e.Code, Text: "the database could not answer"}
}
