package sqlite

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/datatest"
)

func TestColumnsAddedByAnother(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"WAL", "DELETE"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, Config{}, "PRAGMA journal_mode="+mode, `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)`)
			insertID(t, s, 1)
			all := abi.Query{Collection: "t"}
			if rows, err := readAll(s, all); err != nil || !reflect.DeepEqual(rows, [][]any{{int64(1), nil}}) {
				t.Fatalf("got %v, %v", rows, err)
			}
			other := openSQL(t, s.path)
			for _, change := range []string{`ALTER TABLE t ADD COLUMN b INTEGER DEFAULT 7`, `CREATE TABLE u (id INTEGER PRIMARY KEY)`} {
				if _, err := other.Exec(change); err != nil {
					t.Fatal(err)
				}
			}
			if rows, err := readAll(s, all); err != nil || !reflect.DeepEqual(rows, [][]any{{int64(1), nil, int64(7)}}) {
				t.Errorf("after a column was added: %v, %v", rows, err)
			}
			_, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Upsert}},
				datatest.Batch([]string{"b", "id"}, []any{int64(8), int64(1)}), data.Everything())
			if err != nil {
				t.Errorf("writing the new column: %v", err)
			}
			if _, err := readAll(s, abi.Query{Collection: "u"}); err != nil {
				t.Errorf("reading the new table: %v", err)
			}
			if _, err := other.Exec(`ALTER TABLE t DROP COLUMN a`); err != nil {
				t.Fatal(err)
			}
			_, err = readAll(s, abi.Query{Collection: "t", Columns: []string{"a"}})
			datatest.WantError(t, err, abi.UnknownColumn, `"a"`)
			if rows, err := readAll(s, all); err != nil || !reflect.DeepEqual(rows, [][]any{{int64(1), int64(8)}}) {
				t.Errorf("after a column was dropped: %v, %v", rows, err)
			}
		})
	}
}

func TestCollections(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{},
		`CREATE TABLE "we""ird ; name" ("order" INTEGER PRIMARY KEY, "a b" TEXT, "x""y" TEXT)`,
		`CREATE TABLE worowid (a TEXT, b TEXT, PRIMARY KEY (b, a)) WITHOUT ROWID`,
		`CREATE TABLE Cased (ID INTEGER PRIMARY KEY)`,
		`CREATE TABLE auto (id INTEGER PRIMARY KEY AUTOINCREMENT)`,
		`CREATE TABLE gone (id INTEGER)`, `CREATE VIEW broken AS SELECT id FROM gone`, `DROP TABLE gone`,
		`CREATE VIRTUAL TABLE search USING fts5(body)`,
	)
	weird := `we"ird ; name`
	batch := datatest.Batch([]string{"order", "a b", `x"y`}, []any{int64(1), "one", "1"})
	for _, verb := range []abi.Verb{abi.Insert, abi.Upsert, abi.InsertNew, abi.Update} {
		if _, err := s.Write(context.Background(), []abi.Mutation{{Collection: weird, Verb: verb}}, batch, data.Everything()); err != nil {
			t.Errorf("%s: %v", verb, err)
		}
	}
	rows, err := readAll(s, abi.Query{Collection: weird, Where: []abi.Condition{{Column: "a b", Op: abi.Equal, Value: "one"}}, OrderBy: []abi.Order{{Column: "order"}}})
	if err != nil || len(rows) != 1 {
		t.Errorf("got %v, %v", rows, err)
	}
	if _, err := s.Write(context.Background(), []abi.Mutation{{Collection: weird, Verb: abi.Delete, Expect: []string{"a b"}}}, batch, data.Everything()); err != nil {
		t.Errorf("delete: %v", err)
	}

	pair := datatest.Batch([]string{"a", "b"}, []any{"x", "y"})
	for _, verb := range []abi.Verb{abi.Insert, abi.InsertNew, abi.Upsert, abi.Delete} {
		if _, err := s.Write(context.Background(), []abi.Mutation{{Collection: "worowid", Verb: verb}}, pair, data.Everything()); err != nil {
			t.Errorf("without rowid, %s: %v", verb, err)
		}
	}

	for _, name := range []string{"sqlite_schema", "sqlite_master", "sqlite_sequence", "search", "search_content", "cased", "main.auto", "temp"} {
		_, err := readAll(s, abi.Query{Collection: name})
		datatest.WantError(t, err, abi.UnknownCollection, fmt.Sprintf("%q", name))
	}
	_, err = readAll(s, abi.Query{Collection: "Cased", Columns: []string{"id"}})
	datatest.WantError(t, err, abi.UnknownColumn)
	_, err = readAll(s, abi.Query{Collection: "auto", Columns: []string{"rowid"}})
	datatest.WantError(t, err, abi.UnknownColumn)
	if _, err = readAll(s, abi.Query{Collection: "broken"}); err == nil {
		t.Error("a broken view was read")
	}
	if _, err = readAll(s, abi.Query{Collection: "auto"}); err != nil {
		t.Errorf("beside a broken view: %v", err)
	}
}

func TestGeneratedColumns(t *testing.T) {
	t.Parallel()
	const columns = `(id INTEGER PRIMARY KEY, a INTEGER, twice INTEGER AS (a*2) STORED, thrice INTEGER AS (a*3) VIRTUAL)`
	s := openStore(t, Config{}, `CREATE TABLE t `+columns, `CREATE TABLE u `+columns, `INSERT INTO t (id, a) VALUES (1, 5)`)
	c, err := s.Open(context.Background(), &abi.Query{Collection: "t"}, data.Everything())
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1024)
	n, err := c.Next(context.Background(), buf)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, verb := range []abi.Verb{abi.Insert, abi.Upsert, abi.Update} {
		if _, err := s.Write(context.Background(), []abi.Mutation{{Collection: "u", Verb: verb}}, buf[:n], data.Everything()); err != nil {
			t.Errorf("%s of a row as it was read: %v", verb, err)
		}
	}
	rows, err := readAll(s, abi.Query{Collection: "u"})
	if want := [][]any{{int64(1), int64(5), int64(10), int64(15)}}; err != nil || !reflect.DeepEqual(rows, want) {
		t.Errorf("got %v, %v, want %v", rows, err, want)
	}
	_, err = s.Write(context.Background(), []abi.Mutation{{Collection: "u", Verb: abi.Update, Columns: []string{"twice"}}}, buf[:n], data.Everything())
	datatest.WantError(t, err, abi.InvalidArgument, `"twice"`, "generated")
}

func TestPlansUseTheIndex(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, `CREATE TABLE t (id TEXT PRIMARY KEY, at TEXT NOT NULL, maybe INTEGER, body TEXT)`,
		`CREATE INDEX t_at ON t (at, id)`, `CREATE INDEX t_maybe ON t (maybe, id)`)
	order := func(columns ...string) []abi.Order {
		var o []abi.Order
		for _, c := range columns {
			o = append(o, abi.Order{Column: strings.TrimPrefix(c, "-"), Descending: strings.HasPrefix(c, "-")})
		}
		return o
	}
	for _, test := range []struct {
		name  string
		query abi.Query
		want  string // of SQLite's plan
		sorts bool
	}{
		{"after", abi.Query{OrderBy: order("at", "id"), After: []any{"x", "y"}}, "SEARCH main.t USING INDEX t_at ((at,id)>(?,?))", false},
		{"after, descending", abi.Query{OrderBy: order("-at", "-id"), After: []any{"x", "y"}}, "SEARCH main.t USING INDEX t_at (at<?)", false},
		{"after and until", abi.Query{OrderBy: order("at", "id"), After: []any{"x", "y"}, Until: []any{"z", "z"}}, "SEARCH main.t USING INDEX t_at (", false},
		{"until", abi.Query{OrderBy: order("at", "id"), Until: []any{"z", "z"}}, "SEARCH main.t USING INDEX t_at (at<?)", false},
		{"mixed directions", abi.Query{OrderBy: order("at", "-id"), After: []any{"x", "y"}}, "SEARCH main.t USING INDEX t_at (at>?)", true},
		{"a column that can be NULL", abi.Query{OrderBy: order("maybe", "id"), After: []any{int64(1), "y"}}, "SEARCH main.t USING INDEX t_maybe ((maybe,id)>(?,?))", false},
		{"both bounds on a column that can be NULL", abi.Query{OrderBy: order("maybe", "id"), After: []any{int64(1), "y"}, Until: []any{int64(2), "y"}},
			"SEARCH main.t USING INDEX t_maybe ((maybe,id)>(?,?) AND maybe<?)", false},
		{"like with a prefix", abi.Query{Where: []abi.Condition{{Column: "at", Op: abi.Like, Value: "2025-%"}}}, "SEARCH main.t USING INDEX t_at (at>? AND at<?)", false},
		{"equal", abi.Query{Where: []abi.Condition{{Column: "id", Op: abi.Equal, Value: "x"}}}, "SEARCH main.t USING INDEX sqlite_autoindex_t_1 (id=?)", false},
		{"in", abi.Query{Where: []abi.Condition{{Column: "id", Op: abi.In, Value: []any{"x", "y"}}}}, "SEARCH main.t USING INDEX sqlite_autoindex_t_1 (id=?)", false},
		{"count", abi.Query{Aggregates: []abi.Aggregate{{Func: "count"}}}, "USING COVERING INDEX", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.query.Collection = "t"
			plan := planOfQuery(t, s, &test.query)
			if !strings.Contains(plan, test.want) {
				t.Errorf("plan: got %q, want %q in it", plan, test.want)
			}
			if got := strings.Contains(plan, "TEMP B-TREE"); got != test.sorts {
				t.Errorf("plan %q: sorts is %v, want %v", plan, got, test.sorts)
			}
		})
	}
}

// planOfQuery returns what EXPLAIN QUERY PLAN says.
func planOfQuery(t *testing.T, s *Store, q *abi.Query) string {
	t.Helper()
	c, err := s.acquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.release(c)
	schema, err := s.schemaOf(c)
	if err != nil {
		t.Fatal(err)
	}
	table, err := schema.see(c, data.Everything(), q.Collection)
	if err != nil {
		t.Fatal(err)
	}
	sql, params, _, err := selectSQL(table, q)
	if err != nil {
		t.Fatal(err)
	}
	st, err := c.Prepare("EXPLAIN QUERY PLAN " + sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer st.Finalize()
	if err := c.bind(st, params); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for {
		more, err := st.Step()
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return strings.Join(lines, "; ")
		}
		lines = append(lines, string(st.Column(3).Bytes()))
	}
}
