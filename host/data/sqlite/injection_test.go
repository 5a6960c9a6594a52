package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/datatest"
)

// attempts are texts that mean something to SQL, to SQLite or to a careless
// comparison of names.
var attempts = []string{
	"", " ", "T", "t ", "main.t", `"t"`, "[t]", "`t`", "'t'", "t;", "t--", "t/*", `t" --`, `t" WHERE 1 --`, `t"; DROP TABLE t; --`,
	"t; DELETE FROM t", "t UNION SELECT secret FROM t", "(SELECT secret FROM t)", `x' OR '1'='1`, `x" OR ""="`, "1 OR 1=1", "1); DELETE FROM t; --",
	"t\x00", "t\x00; DROP TABLE t", "\x00", "\xff\xfe", "t\u0301", "ｔ", "ı", "%", "_", "*", "?", "?1", ":a", "@a", "$a", "\\", "\n", "\r\n--",
	"rowid", "_rowid_", "oid", "excluded", "excluded.secret", "t.secret", "secret", "hidden", "new", "old", "NULL", "DEFAULT", "sqlite_schema", "sqlite_master",
	"sqlite_temp_schema", "sqlite_sequence", "sqlite_autoindex_t_1", "pragma_table_info('t')", "pragma_table_info", "json_each", "dbstat", "load_extension('x')",
	"writefile('x','y')", "zeroblob(1000000000)", "temp", "main", "search", "search_content", strings.Repeat("a", 70_000), strings.Repeat("(", 5000), strings.Repeat(`"`, 5001),
}

// TestInjection puts each attempt into each place where a guest's text goes,
// with the exact outcome of the place, and compares the database before and
// after all of them.
func TestInjection(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, `CREATE TABLE t (id TEXT PRIMARY KEY, body TEXT, secret TEXT)`, `CREATE TABLE hidden (id TEXT PRIMARY KEY)`,
		`CREATE VIRTUAL TABLE search USING fts5(body)`, `CREATE TABLE auto (id INTEGER PRIMARY KEY AUTOINCREMENT)`,
		`INSERT INTO t VALUES ('k', 'b', 's'), ('l', 'b', 's')`, `INSERT INTO hidden VALUES ('h')`, `INSERT INTO search VALUES ('words')`, `INSERT INTO auto VALUES (1)`)
	before := dumpAll(t, s)
	h := data.NewHandles(map[string]data.Store{"primary": s, "other": s}, map[string]data.Query{
		"named": {Handle: "primary", SQL: `SELECT id FROM t WHERE id = :id`}, "ungranted": {Handle: "primary", SQL: `SELECT secret FROM t`}})
	access := h.Access(data.Grants{Queries: []string{"named"}, Handles: map[string]data.Grant{"primary": {Collections: map[string]data.Rights{
		"t": {Read: data.SomeColumns("id", "body"), Insert: data.SomeColumns("id", "body"), Update: data.SomeColumns("body"), Delete: true}}}}}, 0)

	read := func(q abi.Query) (int64, error) {
		if q.Handle == "" && q.Named == "" {
			q.Handle = "primary"
		}
		c, err := access.Open(context.Background(), &q)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		rows, err := cursorRows(c)
		return int64(len(rows)), err
	}
	write := func(m abi.Mutation, columns []string, row ...any) (int64, error) {
		if m.Handle == "" {
			m.Handle = "primary"
		}
		if m.Collection == "" {
			m.Collection = "t"
		}
		results, err := access.Write(context.Background(), []abi.Mutation{m}, datatest.Batch(columns, row))
		if err != nil {
			return 0, err
		}
		return results[0].Applied, nil
	}
	condition := func(column string, op abi.Op, v any) abi.Query {
		return abi.Query{Collection: "t", Where: []abi.Condition{{Column: column, Op: op, Value: v}}}
	}
	type outcome struct {
		code abi.Code
		n    int64 // rows read or applied
	}
	ok := func(n int64) func(string) outcome { return func(string) outcome { return outcome{abi.OK, n} } }
	fails := func(code abi.Code) func(string) outcome { return func(string) outcome { return outcome{code, 0} } }
	for _, place := range []struct {
		name string
		do   func(a string) (int64, error)
		want func(a string) outcome
	}{
		{"handle", func(a string) (int64, error) {
			if a == "" {
				a = "\t" // an empty one would be filled in by read
			}
			return read(abi.Query{Handle: a, Collection: "t"})
		}, fails(abi.UnknownHandle)},
		{"collection", func(a string) (int64, error) { return read(abi.Query{Collection: a}) }, fails(abi.UnknownCollection)},
		{"collection to describe", func(a string) (int64, error) { return read(abi.Query{Collection: a, Describe: true}) }, func(a string) outcome {
			if a == "" {
				return outcome{abi.OK, 2} // all
			}
			return outcome{abi.UnknownCollection, 0}
		}},
		{"column", func(a string) (int64, error) { return read(abi.Query{Collection: "t", Columns: []string{a}}) }, fails(abi.UnknownColumn)},
		{"column of a condition", func(a string) (int64, error) { return read(condition(a, abi.Equal, "k")) }, fails(abi.UnknownColumn)},
		{"operator", func(a string) (int64, error) { return read(condition("id", abi.Op(a), "k")) }, fails(abi.InvalidArgument)},
		{"value", func(a string) (int64, error) { return read(condition("id", abi.Equal, a)) }, ok(0)},
		{"value, as bytes", func(a string) (int64, error) { return read(condition("id", abi.Equal, []byte(a))) }, ok(0)},
		{"value of a list", func(a string) (int64, error) { return read(condition("id", abi.In, []any{a, "k", nil, []byte(a)})) }, ok(1)},
		{"value that is not equal", func(a string) (int64, error) { return read(condition("id", abi.NotEqual, a)) }, ok(2)},
		{"pattern", func(a string) (int64, error) { return read(condition("id", abi.Like, a)) }, func(a string) outcome {
			switch {
			case len(a) > data.MaxPattern:
				return outcome{abi.LimitExceeded, 0}
			case a == "%" || a == "_":
				return outcome{abi.OK, 2}
			}
			return outcome{abi.OK, 0}
		}},
		{"order", func(a string) (int64, error) {
			return read(abi.Query{Collection: "t", OrderBy: []abi.Order{{Column: a}}})
		}, fails(abi.UnknownColumn)},
		{"bounds", func(a string) (int64, error) {
			return read(abi.Query{Collection: "t", OrderBy: []abi.Order{{Column: "id", Descending: true}}, After: []any{"\U0010ffff" + a}, Until: []any{"\x00"}})
		}, ok(2)},
		{"aggregate", func(a string) (int64, error) {
			return read(abi.Query{Collection: "t", Aggregates: []abi.Aggregate{{Func: a, Column: "id"}}})
		}, fails(abi.InvalidArgument)},
		{"column of an aggregate", func(a string) (int64, error) {
			return read(abi.Query{Collection: "t", Aggregates: []abi.Aggregate{{Func: "max", Column: a}}})
		}, fails(abi.UnknownColumn)},
		{"column of count and exists, not looked at", func(a string) (int64, error) {
			return read(abi.Query{Collection: "t", Aggregates: []abi.Aggregate{{Func: "count", Column: a}, {Func: "exists", Column: a}}})
		}, ok(1)},
		{"key of a lookup", func(a string) (int64, error) {
			return read(abi.Query{Collection: "t", Key: []string{a}, Lookup: datatest.Batch([]string{a}, []any{"k"})})
		}, fails(abi.UnknownColumn)},
		{"column of a lookup's batch", func(a string) (int64, error) {
			return read(abi.Query{Collection: "t", Lookup: datatest.Batch([]string{"id", a}, []any{"k", "x"})})
		}, ok(1)},
		{"value of a lookup", func(a string) (int64, error) {
			return read(abi.Query{Collection: "t", Lookup: datatest.Batch([]string{"id"}, []any{a}, []any{[]byte(a)})})
		}, ok(0)},
		{"name of a query", func(a string) (int64, error) {
			if a == "" {
				a = "ungranted" // an empty one is no named query
			}
			return read(abi.Query{Named: a, Params: map[string]any{"id": "k"}})
		}, fails(abi.NotGranted)},
		{"name of a parameter", func(a string) (int64, error) {
			return read(abi.Query{Named: "named", Params: map[string]any{"id": "k", a: "l"}})
		}, fails(abi.InvalidArgument)},
		{"value of a parameter", func(a string) (int64, error) {
			return read(abi.Query{Named: "named", Params: map[string]any{"id": a}})
		}, ok(0)},

		{"handle to write", func(a string) (int64, error) {
			if a == "" {
				a = "\t"
			}
			return write(abi.Mutation{Handle: a, Verb: abi.Delete}, []string{"id"}, "k")
		}, fails(abi.UnknownHandle)},
		{"collection to write", func(a string) (int64, error) {
			if a == "" {
				a = "\t"
			}
			return write(abi.Mutation{Collection: a, Verb: abi.Delete}, []string{"id"}, "k")
		}, fails(abi.UnknownCollection)},
		{"verb", func(a string) (int64, error) { return write(abi.Mutation{Verb: abi.Verb(a)}, []string{"id"}, "k") }, fails(abi.InvalidArgument)},
		{"column of a batch", func(a string) (int64, error) {
			return write(abi.Mutation{Verb: abi.Insert}, []string{"id", a}, "x", "y")
		}, fails(abi.UnknownColumn)},
		{"column to insert", func(a string) (int64, error) {
			return write(abi.Mutation{Verb: abi.Insert, Columns: []string{"id", a}}, []string{"id", a}, "x", "y")
		}, fails(abi.UnknownColumn)},
		{"column to update", func(a string) (int64, error) {
			return write(abi.Mutation{Verb: abi.Update, Columns: []string{a}}, []string{"id", a}, "k", "y")
		}, fails(abi.UnknownColumn)},
		{"key of an upsert", func(a string) (int64, error) {
			return write(abi.Mutation{Verb: abi.Upsert, Key: []string{a}}, []string{"id", "body", a}, "k", "y", "z")
		}, fails(abi.UnknownColumn)},
		{"key of a delete", func(a string) (int64, error) {
			return write(abi.Mutation{Verb: abi.Delete, Key: []string{a}}, []string{"id", a}, "k", "y")
		}, fails(abi.UnknownColumn)},
		{"expectation", func(a string) (int64, error) {
			return write(abi.Mutation{Verb: abi.Delete, Expect: []string{a}}, []string{"id", a}, "k", "y")
		}, fails(abi.UnknownColumn)},
		{"value of a key", func(a string) (int64, error) { return write(abi.Mutation{Verb: abi.Delete}, []string{"id"}, a) }, ok(0)},
		{"expected value", func(a string) (int64, error) {
			return write(abi.Mutation{Verb: abi.Update, Columns: []string{"body"}, Expect: []string{"body"}}, []string{"id", "body"}, "k", a)
		}, ok(0)},
		{"column that is not used", func(a string) (int64, error) {
			return write(abi.Mutation{Verb: abi.Delete}, []string{"id", a}, "nobody", "x")
		}, ok(0)},
	} {
		t.Run(place.name, func(t *testing.T) {
			for _, a := range attempts {
				n, err := place.do(a)
				if got, want := (outcome{abi.CodeOf(err), n}), place.want(a); got != want {
					t.Errorf("%.40q: %v, %d rows, want %v, %d", a, err, n, want.code, want.n)
				}
				if err != nil && strings.Contains(strings.ReplaceAll(err.Error(), data.Clip(a), ""), "secret") {
					t.Errorf("%.40q: the error tells of a column that was not granted: %v", a, err)
				}
				if err != nil && len(err.Error()) > 400 {
					t.Errorf("%.40q: an error of %d bytes", a, len(err.Error()))
				}
			}
		})
	}
	if after := dumpAll(t, s); after != before {
		t.Errorf("the database has changed from\n%s\nto\n%s", before, after)
	}

	// Every attempt is a value like any other.
	for i, a := range attempts {
		id := fmt.Sprintf("%d %s", i, a)
		if n, err := write(abi.Mutation{Verb: abi.Upsert}, []string{"id", "body"}, id, a); err != nil || n != 1 {
			t.Errorf("%.40q: writing it: %d, %v", a, n, err)
		}
		c, err := access.Open(context.Background(), &abi.Query{Handle: "primary", Collection: "t", Where: []abi.Condition{{Column: "id", Op: abi.Equal, Value: id}}})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := cursorRows(c)
		if err != nil || !reflect.DeepEqual(rows, [][]any{{id, a}}) {
			t.Errorf("%.40q: read back as %.80v, %v", a, rows, err)
		}
		c.Close()
		if n, err := write(abi.Mutation{Verb: abi.Delete, Expect: []string{"body"}}, []string{"id", "body"}, id, a); err != nil || n != 1 {
			t.Errorf("%.40q: deleting it: %d, %v", a, n, err)
		}
	}
	if after := dumpAll(t, s); after != before {
		t.Errorf("the database has changed from\n%s\nto\n%s", before, after)
	}
}

// dumpAll returns the schema and all rows, read as another program would.
func dumpAll(t *testing.T, s *Store) string {
	t.Helper()
	db := openSQL(t, s.path)
	var b strings.Builder
	for _, q := range []string{`SELECT type, name, sql FROM sqlite_schema ORDER BY name`, `SELECT id, body, secret FROM t ORDER BY id`,
		`SELECT id, '', '' FROM hidden`, `SELECT rowid, body, '' FROM search`, `SELECT name, seq, '' FROM sqlite_sequence`,
		`SELECT name, '', '' FROM temp.sqlite_schema`, `SELECT file <> '', name, '' FROM pragma_database_list`} {
		rows, err := db.Query(q)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var x, y, z any
			if err := rows.Scan(&x, &y, &z); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%v|%v|%v\n", x, y, z)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		rows.Close()
	}
	return b.String()
}

// FuzzNames serves a table whose names are the input's, and asks it for names
// that are the input's too: what is there is found under its exact name and
// nothing else is, and the table beside it stays as it was.
func FuzzNames(f *testing.F) {
	for i := 0; i < len(attempts); i += 9 {
		if a := attempts[i]; len(a) < 200 {
			f.Add(a, "c", a)
			f.Add("t", a, "c")
		}
	}
	f.Add(`a"b`, `c"d`, `c`)
	f.Add("Tab", "Col", "col")
	f.Fuzz(func(t *testing.T, collection, column, other string) {
		if strings.EqualFold(column, "k") || strings.EqualFold(collection, "beside") || len(collection)+len(column) > 1000 {
			t.Skip()
		}
		path := makeDatabase(t, `CREATE TABLE beside (id INTEGER PRIMARY KEY)`, `INSERT INTO beside VALUES (1)`)
		if _, err := openSQL(t, path).Exec(`CREATE TABLE ` + quote(collection) + ` (k INTEGER PRIMARY KEY, ` + quote(column) + `)`); err != nil || collection == "" || strings.ContainsRune(collection+column, 0) {
			t.Skip() // SQLite does not take the name
		}
		s := serve(t, Config{Path: path})
		batch := datatest.Batch([]string{"k", column}, []any{int64(1), other})
		for _, scope := range []*data.Scope{data.Everything(), granting(collection, data.Rights{
			Read: data.SomeColumns("k", column), Insert: data.SomeColumns("k", column), Update: data.SomeColumns(column), Delete: true,
			Where: []abi.Condition{{Column: column, Op: abi.GreaterOrEqual, Value: ""}},
		})} {
			var ms []abi.Mutation
			for _, verb := range []abi.Verb{abi.Insert, abi.Upsert, abi.InsertNew, abi.Update} {
				ms = append(ms, abi.Mutation{Collection: collection, Verb: verb, Size: int64(len(batch))})
			}
			if _, err := s.Write(context.Background(), ms, bytes.Repeat(batch, len(ms)), scope); err != nil {
				t.Fatal(err)
			}
			for _, q := range []abi.Query{
				{Columns: []string{column}}, {Columns: []string{column}, OrderBy: []abi.Order{{Column: column}, {Column: "k"}}, After: []any{"", int64(0)}},
				{Columns: []string{column}, Where: []abi.Condition{{Column: column, Op: abi.Equal, Value: other}}},
				{Columns: []string{column}, Lookup: batch, Key: []string{column}}, {Aggregates: []abi.Aggregate{{Func: "max", Column: column}}},
			} {
				q.Collection = collection
				c, err := s.Open(context.Background(), &q, scope)
				if err != nil {
					t.Fatal(err)
				}
				rows, err := cursorRows(c)
				if err != nil || !reflect.DeepEqual(rows, [][]any{{other}}) {
					t.Errorf("%+v: %q, %v", q, rows, err)
				}
				c.Close()
			}
			if other != column && other != "k" {
				_, err := s.Open(context.Background(), &abi.Query{Collection: collection, Columns: []string{other}}, scope)
				datatest.WantError(t, err, abi.UnknownColumn)
			}
			if other != collection && other != "beside" {
				_, err := s.Open(context.Background(), &abi.Query{Collection: other}, scope)
				datatest.WantError(t, err, abi.UnknownCollection)
			}
			if _, err := s.Write(context.Background(), []abi.Mutation{{Collection: collection, Verb: abi.Delete, Expect: []string{column}}}, batch, scope); err != nil {
				t.Fatal(err)
			}
		}
		for name, n := range map[string]int{"beside": 1, collection: 0} {
			if rows, err := readAll(s, abi.Query{Collection: name}); err != nil || len(rows) != n {
				t.Errorf("%q holds %v, %v", name, rows, err)
			}
		}
	})
}
