package sqlite

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/datatest"
)

func selectAll(s *Store, sql string, params map[string]any, scope *data.Scope) (rows [][]any, err error) {
	c, err := s.Select(context.Background(), sql, params, scope)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return cursorRows(c)
}

func TestSelect(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, `CREATE TABLE t (id INTEGER PRIMARY KEY, room TEXT, body)`, `CREATE TABLE secret (x)`, `INSERT INTO secret VALUES ('s')`,
		`INSERT INTO t VALUES (1, 'a', 'one'), (2, 'b', 2.5), (3, 'a', NULL), (4, NULL, x'00')`)
	for _, test := range []struct {
		name, sql string
		params    map[string]any
		rows      [][]any
	}{
		{"parameters", `SELECT id, body FROM t WHERE room = :room AND id <= @most ORDER BY id`, map[string]any{"room": "a", "most": int64(3)}, [][]any{{int64(1), "one"}, {int64(3), nil}}},
		{"a parameter twice", `SELECT id FROM t WHERE room = $x OR body = :x`, map[string]any{"x": "one"}, [][]any{{int64(1)}}},
		{"values keep their types", `SELECT :i AS i, :f AS f, :s AS s, :b AS b, :n AS n, :t AS t`,
			map[string]any{"i": int64(-1), "f": 0.5, "s": "x' OR 1 --", "b": []byte{0, 255}, "n": nil, "t": true}, [][]any{{int64(-1), 0.5, "x' OR 1 --", []byte{0, 255}, nil, int64(1)}}},
		{"no parameters, whatever the grants", `SELECT x FROM secret;`, nil, [][]any{{"s"}}},
		{"no rows", `SELECT id FROM t WHERE 0`, map[string]any{}, nil},
		{"what a SELECT can", `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT group_concat(i) AS l, row_number() OVER () AS r FROM n -- so much`, nil, [][]any{{"1,2,3", int64(1)}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for range 2 { // prepared, and then from the cache
				rows, err := selectAll(s, test.sql, test.params, &data.Scope{})
				if err != nil || !reflect.DeepEqual(rows, test.rows) {
					t.Errorf("got %v, %v, want %v", rows, err, test.rows)
				}
			}
		})
	}
	for _, test := range []struct {
		name, sql string
		params    map[string]any
		code      abi.Code
		word      string
	}{
		{"a parameter too few", `SELECT :a AS a`, nil, abi.InvalidArgument, `parameter "a" is missing`},
		{"a parameter too many", `SELECT :a AS a`, map[string]any{"a": nil, "b": nil}, abi.InvalidArgument, `no parameter "b"`},
		{"a parameter with its sign", `SELECT :a AS a`, map[string]any{":a": nil}, abi.InvalidArgument, `parameter "a" is missing`},
		{"a parameter that changes the statement", `SELECT id FROM t WHERE room = :a`, map[string]any{"a; DROP TABLE t": nil, "a": nil}, abi.InvalidArgument, "no parameter"},
		{"a parameter without a name", `SELECT ? AS a`, map[string]any{"": nil}, abi.Internal, "without a name"},
		{"a numbered parameter", `SELECT ?1 AS a`, map[string]any{"1": nil}, abi.Internal, "without a name"},
		{"a name twice", `SELECT id, id FROM t`, nil, abi.Internal, "two columns of one name"},
		{"no statement", ` -- nothing`, nil, abi.Internal, "no statement"},
		{"two statements", `SELECT 1; SELECT 2`, nil, abi.Internal, "behind the statement"},
		{"an unknown table", `SELECT * FROM nought`, nil, abi.Internal, "nought"},
		{"insert", `INSERT INTO t (id) VALUES (9)`, nil, abi.Internal, "not authorized"},
		{"insert that returns", `INSERT INTO t (id) VALUES (9) RETURNING id`, nil, abi.Internal, "not authorized"},
		{"delete", `DELETE FROM t`, nil, abi.Internal, "not authorized"},
		{"a pragma that reads", `PRAGMA user_version`, nil, abi.Internal, "not authorized"},
		{"a pragma that sets", `PRAGMA query_only = OFF`, nil, abi.Internal, "not authorized"},
		{"attach", `ATTACH 'x.db' AS x`, nil, abi.Internal, "not authorized"},
		{"the end of the transaction", `COMMIT`, nil, abi.Internal, "not authorized"},
		{"create", `CREATE TEMP TABLE x AS SELECT * FROM t`, nil, abi.Internal, "not authorized"},
		{"vacuum into a file", `VACUUM INTO 'x.db'`, nil, abi.Internal, ""},
		{"an overflow", `SELECT abs(:a) AS x`, map[string]any{"a": int64(-1 << 63)}, abi.Internal, "overflow"},
		{"too long an answer", `SELECT zeroblob(:a) AS x`, map[string]any{"a": int64(1 << 30)}, abi.LimitExceeded, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := selectAll(s, test.sql, test.params, &data.Scope{})
			datatest.WantError(t, err, test.code, test.word)
		})
	}
	if rows, err := readAll(s, abi.Query{Collection: "t", Columns: []string{"id"}}); err != nil || len(rows) != 4 {
		t.Errorf("afterwards: %v, %v", rows, err)
	}

	t.Run("budget", func(t *testing.T) {
		budget := data.NewBudget(2)
		rows, err := selectAll(s, `SELECT id FROM t ORDER BY id`, nil, &data.Scope{Budget: budget})
		datatest.WantError(t, err, abi.LimitExceeded, "(limit: rows)")
		if len(rows) != 2 || budget.RowsRead() != 2 {
			t.Errorf("got %v, counted %d", rows, budget.RowsRead())
		}
	})
	t.Run("deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		c, err := s.Select(ctx, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS m FROM n`, nil, &data.Scope{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.Next(ctx, make([]byte, 100))
		datatest.WantError(t, err, abi.DeadlineExceeded)
	})
}

// The worker knows the name of a query, and nothing else of it.
func TestNamedQueries(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, `CREATE TABLE t (id INTEGER PRIMARY KEY, room TEXT)`, `INSERT INTO t VALUES (1, 'a'), (2, 'b')`)
	h := data.NewHandles(map[string]data.Store{"hidden": s}, map[string]data.Query{
		"of_room": {Handle: "hidden", SQL: `SELECT id FROM t WHERE room = :room`},
		"other":   {Handle: "hidden", SQL: `SELECT id FROM t`},
		"broken":  {Handle: "hidden", SQL: `SELECT secret FROM t`},
		"long":    {Handle: "hidden", SQL: `SELECT zeroblob(1073741824) AS secret FROM t`},
	})
	a := h.Access(data.Grants{Queries: []string{"of_room", "broken", "long", "nought"}}, 3)
	open := func(q abi.Query) ([][]any, error) {
		c, err := a.Open(context.Background(), &q)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		return cursorRows(c)
	}
	rows, err := open(abi.Query{Named: "of_room", Params: map[string]any{"room": "b"}})
	if err != nil || !reflect.DeepEqual(rows, [][]any{{int64(2)}}) || a.RowsRead() != 1 {
		t.Errorf("got %v, %v", rows, err)
	}
	texts := map[string]string{}
	for _, name := range []string{"other", "nought", "none"} {
		_, err := open(abi.Query{Named: name})
		datatest.WantError(t, err, abi.NotGranted)
		texts[strings.ReplaceAll(err.Error(), name, "x")] = name
	}
	if len(texts) != 1 {
		t.Errorf("what is there and what is not: %v", texts)
	}
	for name, test := range map[string]struct {
		q    abi.Query
		code abi.Code
	}{
		"parameter":  {abi.Query{Named: "of_room"}, abi.InvalidArgument},
		"a list":     {abi.Query{Named: "of_room", Params: map[string]any{"room": []any{}}}, abi.InvalidArgument},
		"handle":     {abi.Query{Named: "of_room", Handle: "hidden", Params: map[string]any{"room": ""}}, abi.InvalidArgument},
		"limit":      {abi.Query{Named: "of_room", Limit: 1, Params: map[string]any{"room": ""}}, abi.InvalidArgument},
		"describe":   {abi.Query{Named: "of_room", Describe: true, Params: map[string]any{"room": ""}}, abi.InvalidArgument},
		"too many":   {abi.Query{Named: "of_room", Params: manyParams()}, abi.LimitExceeded},
		"broken":     {abi.Query{Named: "broken"}, abi.Internal}, // for the log
		"a long row": {abi.Query{Named: "long"}, abi.LimitExceeded},
	} {
		_, err := open(test.q)
		datatest.WantError(t, err, test.code, `query "`)
		if err != nil && test.code != abi.Internal && (strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: the error tells too much: %v", name, err)
		}
	}
	for range 2 {
		if _, err := open(abi.Query{Named: "of_room", Params: map[string]any{"room": "a"}}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = open(abi.Query{Named: "of_room", Params: map[string]any{"room": "a"}})
	datatest.WantError(t, err, abi.LimitExceeded, "(limit: rows)", `query "of_room"`)
	_, err = a.Open(context.Background(), &abi.Query{Handle: "hidden", Collection: "t"})
	if !errors.Is(err, abi.NotGranted) {
		t.Errorf("the query's table by itself: %v", err)
	}
}

func manyParams() map[string]any {
	params := map[string]any{"room": "a"}
	for len(params) <= data.MaxParams {
		params[strings.Repeat("p", len(params))] = nil
	}
	return params
}

func TestDescribeOfSQLite(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, `CREATE TABLE t (id INTEGER PRIMARY KEY, a VARCHAR(10), b, c DECIMAL(5,2) NOT NULL, d FLOAT, e CLOB, f "POINT", g AS (a || 'x') STORED, h INTEGER AS (id + 1), i BLOB)`,
		`CREATE TABLE w (k TEXT, j TEXT, PRIMARY KEY (j, k)) WITHOUT ROWID`,
		`CREATE TABLE gone (id)`, `CREATE VIEW broken AS SELECT id FROM gone`, `DROP TABLE gone`, `CREATE VIEW v AS SELECT a, id + 1 AS n FROM t`,
		`CREATE VIRTUAL TABLE search USING fts5(body)`)
	rows, err := readAll(s, abi.Query{Describe: true})
	if err != nil {
		t.Fatal(err)
	}
	yes, no := int64(1), int64(0)
	column := func(collection, name, declared, affinity string, nullable, generated, key, write int64) []any {
		return []any{collection, no, name, declared, affinity, nullable, generated, key, yes, write, write, yes}
	}
	want := [][]any{
		column("t", "id", "INTEGER", "integer", no, no, 1, yes),
		column("t", "a", "VARCHAR(10)", "text", yes, no, 0, yes),
		column("t", "b", "", "blob", yes, no, 0, yes),
		column("t", "c", "DECIMAL(5,2)", "numeric", no, no, 0, yes),
		column("t", "d", "FLOAT", "real", yes, no, 0, yes),
		column("t", "e", "CLOB", "text", yes, no, 0, yes),
		column("t", "f", "POINT", "integer", yes, no, 0, yes), // INT is in it
		column("t", "g", "", "blob", yes, yes, 0, no),
		column("t", "h", "INTEGER", "integer", yes, yes, 0, no),
		column("t", "i", "BLOB", "blob", yes, no, 0, yes),
		{"v", yes, "a", "VARCHAR(10)", "text", yes, no, no, yes, no, no, no},
		{"v", yes, "n", "", "blob", yes, no, no, yes, no, no, no},
		column("w", "k", "TEXT", "text", no, no, 2, yes),
		column("w", "j", "TEXT", "text", no, no, 1, yes),
	}
	for i := range max(len(rows), len(want)) {
		if i >= len(rows) || i >= len(want) || !reflect.DeepEqual(rows[i], want[i]) {
			t.Errorf("row %d:\n got %v\nwant %v", i, rows[min(i, len(rows)-1)], want[min(i, len(want)-1)])
		}
	}
}
