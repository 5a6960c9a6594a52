package sqlite

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
)

// describe answers a query with Describe.
func (s *Store) describe(ctx context.Context, collection string, scope *data.Scope) (data.Cursor, error) {
	var rows [][]any
	var used *conn
	err := s.begin(ctx, describing(collection), func(conn *conn) (err error) {
		used = conn
		rows, err = s.describeRows(conn, collection, scope)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.release(used)
	return data.List(abi.DescribeColumns, rows, scope)
}

// describing is in front of errors.
func describing(collection string) string {
	if collection == "" {
		return "describing"
	}
	return "describing \"" + data.Clip(collection) + "\""
}

// describeRows returns the rows of the answer, as conn's transaction sees the
// schema. A view that is broken is left out unless it was asked for.
func (s *Store) describeRows(conn *conn, collection string, scope *data.Scope) (rows [][]any, err error) {
	schema, err := s.schemaOf(conn)
	if err != nil {
		return nil, err
	}
	names := []string{collection}
	if collection == "" {
		names = slices.Sorted(maps.Keys(schema.names))
	}
	for _, name := range names {
		t, err := schema.see(conn, scope, name)
		switch {
		case err == nil:
			rows = append(rows, t.describe()...)
		case collection != "":
			return nil, err
		case conn.Stopped():
			return nil, errInterrupted
		}
	}
	return rows, nil
}

// describe returns the rows of abi.DescribeColumns.
func (s *seen) describe() (rows [][]any) {
	for i, c := range s.columns {
		if !s.rights.Sees(c.name) {
			continue
		}
		key := 0
		if slices.Index(s.key, i) >= 0 {
			key = slices.Index(s.key, i) + 1
		}
		written := !s.view && !c.generated
		rows = append(rows, []any{
			s.name, boolInt(s.view), c.name, c.declared, affinity(c.declared),
			boolInt(c.nullable), boolInt(c.generated), int64(key),
			boolInt(s.rights.Read.Has(c.name)), boolInt(written && s.rights.Insert.Has(c.name)),
			boolInt(written && s.rights.Update.Has(c.name)), boolInt(!s.view && s.rights.Delete),
		})
	}
	return rows
}

// affinity is what a column with a declared type makes of values, by the rules
// of https://www.sqlite.org/datatype3.html#determination_of_column_affinity.
func affinity(declared string) string {
	declared = strings.ToUpper(declared)
	for _, rule := range []struct {
		affinity string
		words    []string
	}{
		{"integer", []string{"INT"}},
		{"text", []string{"CHAR", "CLOB", "TEXT"}},
		{"blob", []string{"BLOB"}},
		{"real", []string{"REAL", "FLOA", "DOUB"}},
	} {
		for _, word := range rule.words {
			if strings.Contains(declared, word) {
				return rule.affinity
			}
		}
	}
	if declared == "" {
		return "blob"
	}
	return "numeric"
}
