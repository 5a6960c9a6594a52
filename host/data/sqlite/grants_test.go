package sqlite

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/datatest"
)

// granting returns the scope of rights on one collection.
func granting(collection string, r data.Rights) *data.Scope {
	return data.NewScope(data.Grant{Collections: map[string]data.Rights{collection: r}}, nil)
}

// TestAuthorizer prepares statements that the first line of defence would never
// have made: SQLite itself must refuse them, also where the same text was
// prepared for somebody with more rights.
func TestAuthorizer(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, secret TEXT)`, `CREATE TABLE hidden (id INTEGER PRIMARY KEY)`,
		`INSERT INTO t VALUES (1, 'a', 's')`, `CREATE VIEW v AS SELECT t.id, secret, hidden.id AS h FROM t, hidden`)
	some := data.Rights{Read: data.SomeColumns("id"), Insert: data.SomeColumns("id", "a"), Update: data.SomeColumns("a"), Where: []abi.Condition{{Column: "a", Op: abi.NotNull}}}
	for _, test := range []struct {
		sql   string
		write bool
		fine  bool
	}{
		{`SELECT "t"."id" FROM main."t"`, false, true},
		{`SELECT "t"."id" FROM main."t" WHERE "t"."a" IS NOT NULL`, false, true}, // the grant's own condition
		{`SELECT count(*) FROM main."t"`, false, true},
		{`SELECT "t"."secret" FROM main."t"`, false, false},
		{`SELECT * FROM main."t"`, false, false},
		{`SELECT "t"."id" FROM main."t" WHERE "t"."secret" = 's'`, false, false},
		{`SELECT "t"."id" FROM main."t" ORDER BY "t"."secret"`, false, false},
		{`SELECT "t"."id" FROM main."t" UNION SELECT id FROM hidden`, false, false},
		{`SELECT (SELECT count(*) FROM hidden)`, false, false},
		{`SELECT h FROM v`, false, false},
		{`SELECT sql FROM sqlite_schema`, false, false},
		{`SELECT hex("t"."secret") FROM main."t"`, false, false},
		{`WITH w AS (SELECT secret FROM t) SELECT * FROM w`, false, false},
		{`SELECT x FROM (SELECT secret AS x FROM t)`, false, false},
		{`PRAGMA table_info(t)`, false, false},
		{`ATTACH ':memory:' AS x`, false, false},
		{`DELETE FROM t`, false, false},
		{`INSERT INTO t (id, a) VALUES (2, 'x') RETURNING (a IS NOT NULL)`, true, true},
		{`INSERT INTO t (id, a) VALUES (2, 'x') RETURNING secret`, true, false},
		{`INSERT INTO t (id, a) VALUES (2, 'x') ON CONFLICT (id) DO UPDATE SET a = excluded.a`, true, true},
		{`INSERT INTO t (id, a) VALUES (2, 'x') ON CONFLICT (id) DO UPDATE SET secret = excluded.a`, true, false},
		{`INSERT INTO t (id, a) SELECT id, 'x' FROM hidden`, true, false},
		{`INSERT INTO hidden VALUES (1)`, true, false},
		{`UPDATE t SET a = 'x' WHERE id = 1`, true, true},
		{`UPDATE t SET secret = 'x' WHERE id = 1`, true, false},
		{`UPDATE t SET a = 'x' WHERE secret = 's'`, true, false},
		{`DELETE FROM t WHERE id = 1`, true, false},
		{`DROP TABLE t`, true, false},
		{`CREATE TABLE x (y)`, true, false},
		{`CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM hidden; END`, true, false},
		{`PRAGMA writable_schema = ON`, true, false},
		{`BEGIN`, true, false},
	} {
		c, err := s.open(context.Background(), test.write)
		if err != nil {
			t.Fatal(err)
		}
		schema, err := s.schemaOf(c)
		if err != nil {
			t.Fatal(err)
		}
		seen, err := schema.see(c, granting("t", some), "t")
		if err != nil {
			t.Fatal(err)
		}
		everything, err := schema.see(c, data.Everything(), "t")
		if err != nil {
			t.Fatal(err)
		}
		rights, more := seen.reading(), everything.reading()
		if test.write {
			rights, more = seen.writing(), everything.writing()
		}
		_, _ = c.Cached(test.sql, nil)
		_, _ = c.Cached(test.sql, more)
		_, err = c.Cached(test.sql, rights)
		if test.fine && err != nil || !test.fine && !isPrimary(err, sqlite3.SQLITE_AUTH) && !isPrimary(err, sqlite3.SQLITE_ERROR) {
			t.Errorf("%s: %v", test.sql, err)
		}
		if !test.fine && isPrimary(err, sqlite3.SQLITE_ERROR) && !strings.Contains(err.Error(), "not authorized") {
			t.Errorf("%s: %v, want it refused for want of rights", test.sql, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Rows that a trigger copies into a full-text index go through statements that
// the index prepares itself, also when the connection first meets it.
func TestAuthorizerAndVirtualTables(t *testing.T) {
	t.Parallel()
	for name, scope := range map[string]*data.Scope{
		"everything": data.Everything(),
		"a grant":    granting("t", data.Rights{Read: data.SomeColumns("id"), Insert: data.SomeColumns("id", "body"), Update: data.SomeColumns("body"), Delete: true}),
	} {
		s := openStore(t, Config{}, `CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)`, `CREATE VIRTUAL TABLE search USING fts5(body)`,
			`CREATE TRIGGER t_in AFTER INSERT ON t BEGIN INSERT INTO search (rowid, body) VALUES (new.id, new.body); END`,
			`CREATE TRIGGER t_out AFTER DELETE ON t BEGIN DELETE FROM search WHERE rowid = old.id; END`,
			`CREATE TRIGGER t_up AFTER UPDATE ON t BEGIN UPDATE search SET body = new.body WHERE rowid = new.id; END`)
		for _, verb := range []abi.Verb{abi.Insert, abi.Upsert, abi.Update, abi.Delete, abi.InsertNew} {
			_, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: verb}}, datatest.Batch([]string{"id", "body"}, []any{int64(1), "some words"}), scope)
			if err != nil {
				t.Errorf("%s, %s: %v", name, verb, err)
			}
		}
		c, err := s.Select(context.Background(), `SELECT rowid AS id FROM search WHERE search MATCH :words`, map[string]any{"words": "some"}, scope)
		if err != nil {
			t.Fatal(err)
		}
		if _, rows := datatest.Decode(t, next(t, c)); !reflect.DeepEqual(rows, [][]any{{int64(1)}}) {
			t.Errorf("%s: found %v", name, rows)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func next(t *testing.T, c data.Cursor) []byte {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := c.Next(context.Background(), buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// TestErrorsOfAGrant holds what SQLite itself says against what the worker may
// know: no name of a column, table, constraint or trigger that was not granted,
// no value of a row.
func TestErrorsOfAGrant(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, `CREATE TABLE parent (id INTEGER PRIMARY KEY)`,
		`CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE, secret_u TEXT UNIQUE DEFAULT 'hidden', secret_n TEXT NOT NULL DEFAULT 'hidden', b TEXT NOT NULL DEFAULT '', n INTEGER CONSTRAINT secret_check CHECK (n > 0),
			p INTEGER REFERENCES parent, UNIQUE (a, secret_n), UNIQUE (b, n))`,
		`CREATE UNIQUE INDEX secret_index ON t (lower(a) || secret_u)`,
		`CREATE TABLE strict (id INTEGER PRIMARY KEY, secret INTEGER DEFAULT 'x') STRICT`,
		`CREATE TABLE own (id INTEGER PRIMARY KEY, a TEXT UNIQUE)`, `INSERT INTO own VALUES (1, 'a')`,
		`CREATE TABLE bare (id INTEGER PRIMARY KEY, secret TEXT NOT NULL)`,
		`CREATE TABLE guarded (id INTEGER PRIMARY KEY)`,
		`CREATE TRIGGER secret_trigger BEFORE INSERT ON guarded WHEN new.id = 1 BEGIN SELECT RAISE(ABORT, 'secret text'); END`,
		`CREATE TRIGGER secret_broken BEFORE INSERT ON guarded WHEN new.id = 2 BEGIN INSERT INTO t (id) VALUES (7); END`,
		`CREATE TABLE broken (id INTEGER PRIMARY KEY)`, `CREATE TABLE secret_gone (id)`,
		`CREATE TRIGGER secret_missing BEFORE INSERT ON broken BEGIN INSERT INTO secret_gone VALUES (1); END`,
		`PRAGMA writable_schema = ON`, `DELETE FROM sqlite_schema WHERE name = 'secret_gone'`,
		`INSERT INTO t (id, a, n, b) VALUES (7, 'a', 1, 'b')`)
	granted := data.SomeColumns("id", "a", "b", "n", "p")
	for _, test := range []struct {
		name       string
		collection string
		columns    []string
		row        []any
		code       abi.Code
		text       string // the end of the error's
	}{
		{"a key of one's own", "t", []string{"id"}, []any{int64(7)}, abi.Conflict, `row 0 (id=7): UNIQUE constraint failed: t.id (1555)`},
		{"a column of one's own", "own", []string{"a"}, []any{"a"}, abi.Conflict, `row 0: UNIQUE constraint failed: own.a (2067)`},
		{"a column of one's own and a hidden one", "t", []string{"id", "a"}, []any{int64(8), "a"}, abi.Conflict, `row 0 (id=8): a UNIQUE constraint failed (2067)`},
		{"a hidden column", "t", []string{"id"}, []any{int64(8)}, abi.Conflict, `row 0 (id=8): a UNIQUE constraint failed (2067)`},
		{"NOT NULL of one's own", "t", []string{"b"}, []any{nil}, abi.Conflict, `row 0: NOT NULL constraint failed: t.b (1299)`},
		{"NOT NULL, hidden", "bare", []string{"id"}, []any{int64(1)}, abi.Conflict, `row 0 (id=1): a NOT NULL constraint failed (1299)`},
		{"a check", "t", []string{"n"}, []any{int64(-1)}, abi.Conflict, `row 0: a CHECK constraint failed (275)`},
		{"a trigger", "guarded", []string{"id"}, []any{int64(1)}, abi.Conflict, `row 0 (id=1): a trigger refused the row (1811)`},
		{"a trigger's statement", "guarded", []string{"id"}, []any{int64(2)}, abi.Conflict, `row 0 (id=2): a UNIQUE constraint failed (1555)`},
		{"a type", "strict", []string{"id"}, []any{int64(1)}, abi.Conflict, `row 0 (id=1): a value has the wrong type (3091)`},
		{"a trigger that is broken", "broken", []string{"id"}, []any{int64(1)}, abi.InvalidArgument, `insert with key id: the statement cannot be run (1)`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := s.Write(context.Background(), []abi.Mutation{{Collection: test.collection, Verb: abi.Insert}},
				datatest.Batch(test.columns, test.row), granting(test.collection, data.Rights{Insert: granted}))
			datatest.WantError(t, err, test.code)
			if err == nil || !strings.HasSuffix(err.Error(), test.text) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "hidden") {
				t.Errorf("got %v, want it to end in %q and to tell nothing else", err, test.text)
			}
		})
	}
	_, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch([]string{"id", "secret_u", "secret_n", "p"}, []any{int64(9), "u", "n", int64(1)}), data.Everything())
	datatest.WantError(t, err, abi.Conflict, "FOREIGN KEY")
}

// TestForeignKeysOfAGrant keeps foreign keys across tables that the worker has
// no grant on, and triggers with the rights of the schema's owner.
func TestForeignKeysOfAGrant(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, `CREATE TABLE room (name TEXT PRIMARY KEY)`,
		`CREATE TABLE t (id INTEGER PRIMARY KEY, room TEXT NOT NULL REFERENCES Room ON DELETE CASCADE ON UPDATE CASCADE, at TEXT DEFAULT (datetime('now')), reply INTEGER REFERENCES t ON DELETE SET NULL)`,
		`CREATE TABLE file (id INTEGER PRIMARY KEY, t INTEGER NOT NULL REFERENCES T ON DELETE CASCADE)`,
		`CREATE TABLE part (id INTEGER PRIMARY KEY, file INTEGER NOT NULL REFERENCES file ON DELETE CASCADE)`,
		`CREATE TABLE journal (what TEXT)`,
		`CREATE TRIGGER t_gone AFTER DELETE ON t BEGIN INSERT INTO journal VALUES ('gone ' || old.id); END`,
		`INSERT INTO room VALUES ('a'), ('b')`, `INSERT INTO t (id, room, reply) VALUES (1, 'a', NULL), (2, 'a', 1)`, `INSERT INTO file VALUES (1, 1)`, `INSERT INTO part VALUES (1, 1)`)
	scope := granting("t", data.Rights{Read: data.SomeColumns("id"), Insert: data.SomeColumns("id", "room"), Update: data.SomeColumns("room"), Delete: true})
	write := func(m abi.Mutation, batch []byte) error {
		m.Collection = "t"
		_, err := s.Write(context.Background(), []abi.Mutation{m}, batch, scope)
		return err
	}
	if err := write(abi.Mutation{Verb: abi.Insert}, datatest.Batch([]string{"id", "room"}, []any{int64(3), "b"})); err != nil {
		t.Error(err)
	}
	datatest.WantError(t, write(abi.Mutation{Verb: abi.Insert}, datatest.Batch([]string{"id", "room"}, []any{int64(4), "c"})), abi.Conflict)
	if err := write(abi.Mutation{Verb: abi.Update}, datatest.Batch([]string{"id", "room"}, []any{int64(2), "b"})); err != nil {
		t.Error(err)
	}
	if err := write(abi.Mutation{Verb: abi.Delete}, datatest.Batch([]string{"id"}, []any{int64(1)})); err != nil {
		t.Error(err)
	}
	for collection, want := range map[string][][]any{"file": nil, "part": nil, "journal": {{"gone 1"}}} {
		if rows, err := readAll(s, abi.Query{Collection: collection}); err != nil || !reflect.DeepEqual(rows, want) {
			t.Errorf("%s: %v, %v, want %v", collection, rows, err, want)
		}
	}
}

// A view that was granted shows what it selects; its tables stay out of reach.
func TestViewOfAGrant(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, secret TEXT)`, `INSERT INTO t VALUES (1, 'a', 's'), (2, 'b', 's')`,
		`CREATE VIEW v AS SELECT id, upper(a) AS a, secret IS NULL AS missing FROM t WHERE secret = 's'`)
	scope := granting("v", data.Rights{Read: data.SomeColumns("id", "a"), Where: []abi.Condition{{Column: "missing", Op: abi.Equal, Value: false}, {Column: "id", Op: abi.Less, Value: 1.5}}})
	c, err := s.Open(context.Background(), &abi.Query{Collection: "v"}, scope)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	columns, rows := datatest.Decode(t, next(t, c))
	if !reflect.DeepEqual(columns, []string{"id", "a"}) || !reflect.DeepEqual(rows, [][]any{{int64(1), "A"}}) {
		t.Errorf("got %v, %v", columns, rows)
	}
	_, err = s.Open(context.Background(), &abi.Query{Collection: "t"}, scope)
	datatest.WantError(t, err, abi.UnknownCollection)
}

// Columns that are computed of hidden ones, sequences and tables without a
// rowid are in the way of no grant.
func TestGrantOnOddTables(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{},
		`CREATE TABLE computed (id INTEGER PRIMARY KEY, secret TEXT DEFAULT (lower('X')), stored TEXT AS (secret || '!') STORED, virtual TEXT AS (upper(secret)) VIRTUAL, n INTEGER CHECK (length(secret) < 9))`,
		`CREATE INDEX computed_part ON computed (n) WHERE secret IS NOT NULL`, `CREATE UNIQUE INDEX computed_hash ON computed (hex(secret) || id)`,
		`CREATE TABLE auto (id INTEGER PRIMARY KEY AUTOINCREMENT, n)`,
		`CREATE TABLE pair (a TEXT, b INTEGER, n, PRIMARY KEY (b, a)) WITHOUT ROWID`)
	for collection, test := range map[string]struct {
		key, columns []string
		row          []any
		read         []string
		want         []any
	}{
		"computed": {[]string{"id"}, []string{"id", "n"}, []any{int64(1), int64(5)}, []string{"id", "stored", "virtual", "n"}, []any{int64(1), "x!", "X", int64(5)}},
		"auto":     {[]string{"id"}, []string{"id", "n"}, []any{int64(1), int64(5)}, []string{"id", "n"}, []any{int64(1), int64(5)}},
		"pair":     {[]string{"b", "a"}, []string{"a", "b", "n"}, []any{"x", int64(1), int64(5)}, []string{"a", "b", "n"}, []any{"x", int64(1), int64(5)}},
	} {
		scope := granting(collection, data.Rights{Read: data.SomeColumns(test.read...), Insert: data.SomeColumns(test.columns...), Update: data.SomeColumns("n"), Delete: true,
			Where: []abi.Condition{{Column: "n", Op: abi.In, Value: []any{int64(5), 5.5, "five"}}}})
		batch := datatest.Batch(test.columns, test.row)
		write := func(verb abi.Verb, batch []byte) error {
			_, err := s.Write(context.Background(), []abi.Mutation{{Collection: collection, Verb: verb}}, batch, scope)
			return err
		}
		for _, verb := range []abi.Verb{abi.Insert, abi.Upsert, abi.InsertNew, abi.Update} {
			if err := write(verb, batch); err != nil {
				t.Errorf("%s, %s: %v", collection, verb, err)
			}
		}
		outside := append(append([]any{}, test.row[:len(test.row)-1]...), int64(6))
		datatest.WantError(t, write(abi.Update, datatest.Batch(test.columns, outside)), abi.NotGranted, "row 0")
		c, err := s.Open(context.Background(), &abi.Query{Collection: collection, Where: []abi.Condition{{Column: "n", Op: abi.Less, Value: int64(9)}}}, scope)
		if err != nil {
			t.Errorf("%s: %v", collection, err)
			continue
		}
		if _, rows := datatest.Decode(t, next(t, c)); !reflect.DeepEqual(rows, [][]any{test.want}) {
			t.Errorf("%s: got %v, want %v", collection, rows, test.want)
		}
		c.Close()
		if err := write(abi.Delete, batch); err != nil {
			t.Errorf("%s, delete: %v", collection, err)
		}
	}
}

// The condition of a grant has its values in the text: they must come out of
// it as they went in.
func TestConditionsOfAGrant(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, `CREATE TABLE t (id INTEGER PRIMARY KEY, x)`)
	values := []any{"", "it's", `"quoted"`, "'; DROP TABLE t; --", "naïve ☃", "\\", "\n", "%", "1", int64(0), int64(-1), int64(1<<63 - 1), int64(-1 << 63), 0.5, 0.1, -1e300, 5e-324, 1.7976931348623157e308, 3.0000000000000004}
	var rows [][]any
	for i, v := range values {
		rows = append(rows, []any{int64(i), v})
	}
	if _, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch([]string{"id", "x"}, rows...), data.Everything()); err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		for _, where := range [][]abi.Condition{
			{{Column: "x", Op: abi.Equal, Value: v}}, {{Column: "x", Op: abi.In, Value: []any{v}}},
			{{Column: "x", Op: abi.LessOrEqual, Value: v}, {Column: "x", Op: abi.GreaterOrEqual, Value: v}},
		} {
			c, err := s.Open(context.Background(), &abi.Query{Collection: "t", Columns: []string{"id"}}, granting("t", data.Rights{Read: data.SomeColumns("id"), Where: where}))
			if err != nil {
				t.Fatalf("%#v: %v", v, err)
			}
			got, err := cursorRows(c)
			if err != nil || !reflect.DeepEqual(got, [][]any{{int64(i)}}) {
				t.Errorf("%+v: got %v, %v, want row %d", where, got, err, i)
			}
			c.Close()
		}
	}
	for op, n := range map[abi.Op]int{abi.IsNull: 0, abi.NotNull: len(values)} {
		c, err := s.Open(context.Background(), &abi.Query{Collection: "t"}, granting("t", data.Rights{Read: data.SomeColumns("id"), Where: []abi.Condition{{Column: "x", Op: op}}}))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := cursorRows(c); err != nil || len(got) != n {
			t.Errorf("%s: %v, %v", op, got, err)
		}
		c.Close()
	}
}

// A schema that was broken meanwhile is not told of either.
func TestBrokenSchemaOfAGrant(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change []string
		code   abi.Code
	}{
		"a view whose table is gone": {[]string{`DROP TABLE secret`}, abi.Internal}, // for the log
		"a table that is no SQL": {[]string{`PRAGMA writable_schema = ON`, `UPDATE sqlite_schema SET sql = 'CREATE TABLE secret (' WHERE name = 'secret'`,
			`PRAGMA writable_schema = RESET`}, abi.Corrupt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, Config{}, `CREATE TABLE secret (id INTEGER PRIMARY KEY)`, `CREATE VIEW v AS SELECT id FROM secret`, `CREATE TABLE t (id INTEGER PRIMARY KEY)`)
			other := openSQL(t, s.path)
			for _, change := range test.change {
				_, _ = other.Exec(change) // RESET says that the schema is broken
			}
			// The one thing that can still be set has every connection look again.
			_, _ = openSQL(t, s.path).Exec(`PRAGMA schema_version = 99`)
			_, err := s.Open(context.Background(), &abi.Query{Collection: "v"}, granting("v", data.Rights{Read: data.AllColumns()}))
			datatest.WantError(t, err, test.code)
			if test.code != abi.Internal && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error names what was not granted: %v", err)
			}
			_, err = s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch([]string{"id"}, []any{int64(1)}), granting("t", data.Rights{Insert: data.AllColumns()}))
			if test.code == abi.Corrupt {
				datatest.WantError(t, err, abi.Corrupt)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error names what was not granted: %v", err)
			}
		})
	}
}

// What a view or a trigger is made of is its owner's: no form of it may be in
// the way of the authorizer, of a grant by collection or of one by verbs.
func TestAnyViewAndTrigger(t *testing.T) {
	t.Parallel()
	views := []string{
		`SELECT id FROM x`, `SELECT n FROM x`, `SELECT count(*) AS n FROM x`, `SELECT 1 AS one FROM x`, `SELECT x.id, y.n AS yn FROM x JOIN y ON y.x = x.id`,
		`SELECT x.id FROM x LEFT JOIN y ON y.x = x.id WHERE y.id IS NULL`, `SELECT id FROM x UNION ALL SELECT id FROM y`, `SELECT id FROM x EXCEPT SELECT id FROM y`,
		`WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 3) SELECT i, (SELECT count(*) FROM x) AS n FROM c`,
		`WITH c AS MATERIALIZED (SELECT id, n FROM x) SELECT a.id, b.n AS bn FROM c a, c b`, `SELECT DISTINCT n FROM x ORDER BY n LIMIT 1`,
		`SELECT id, sum(n) OVER (ORDER BY id) AS s FROM x`, `SELECT n, group_concat(id, '-') AS ids FROM x GROUP BY n HAVING count(*) > 0`,
		`SELECT id, EXISTS (SELECT 1 FROM y WHERE y.x = x.id) AS has, id IN (SELECT x FROM y) AS also FROM x`, `SELECT id FROM inner_view WHERE n > 0`,
		`SELECT j.value AS v FROM x, json_each('[1,2]') j`, `SELECT id FROM (SELECT id FROM (SELECT id, n FROM x))`, `VALUES (1, 2)`,
	}
	schema := []string{`CREATE TABLE x (id INTEGER PRIMARY KEY, n INTEGER)`, `CREATE TABLE y (id INTEGER PRIMARY KEY, x INTEGER, n INTEGER)`,
		`INSERT INTO x VALUES (1, 5), (2, 5)`, `INSERT INTO y VALUES (1, 1, 7)`, `CREATE VIEW inner_view AS SELECT * FROM x WHERE id > 0`,
		`CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)`, `CREATE TABLE log (what)`}
	for i, v := range views {
		schema = append(schema, fmt.Sprintf(`CREATE VIEW v%d AS %s`, i, v),
			fmt.Sprintf(`CREATE TRIGGER t%d AFTER INSERT ON t BEGIN INSERT INTO log SELECT count(*) FROM (%s); UPDATE y SET n = (SELECT count(*) FROM v%d); DELETE FROM log WHERE what > (SELECT count(*) FROM x); END`, i, v, i))
	}
	s := openStore(t, Config{}, schema...)
	for name, scope := range map[string]func(collection string) *data.Scope{
		"by verbs": func(string) *data.Scope { return data.Everything() },
		"by collection": func(collection string) *data.Scope {
			return granting(collection, data.Rights{Read: data.AllColumns(), Insert: data.SomeColumns("id", "n")})
		},
	} {
		for i, v := range views {
			collection := fmt.Sprintf("v%d", i)
			for _, q := range []abi.Query{{}, {Aggregates: []abi.Aggregate{{Func: "exists"}}}, {Aggregates: []abi.Aggregate{{Func: "count"}}}} {
				q.Collection = collection
				c, err := s.Open(context.Background(), &q, scope(collection))
				if err != nil {
					t.Errorf("%s: %s: %v", name, v, err)
					continue
				}
				if rows, err := cursorRows(c); err != nil || len(rows) == 0 {
					t.Errorf("%s: %s: %v, %v", name, v, rows, err)
				}
				c.Close()
			}
		}
		if _, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch([]string{"n"}, []any{int64(1)}), scope("t")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
