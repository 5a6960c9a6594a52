package sqlite

import (
	"context"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/datatest"
)

// TestAnyValueInAnyColumn forwards every storage class through columns of
// every affinity, as bytes.
func TestAnyValueInAnyColumn(t *testing.T) {
	t.Parallel()
	const columns = `(id INTEGER PRIMARY KEY, i INTEGER, r REAL, s TEXT, n NUMERIC, b BLOB, x)`
	s := openStore(t, Config{}, `CREATE TABLE t `+columns, `CREATE TABLE u `+columns)
	names := []string{"id", "i", "r", "s", "n", "b", "x"}
	values := []any{
		nil, int64(0), int64(-1), int64(math.MaxInt64), int64(math.MinInt64), 0.5, 1.0, math.Copysign(0, -1), math.Inf(-1), 1e300, 9.2e18,
		"", "text", "5", "5.0", "1e3", " 7 ", "a\x00b", "\x00", "\xff\xfe invalid", "é", strings.Repeat("long ", 1000),
		[]byte{}, []byte{0}, []byte("5"), []byte("\xff\x00"),
	}
	var rows [][]any
	for i, v := range values {
		rows = append(rows, []any{int64(i), v, v, v, v, v, v})
	}
	write := func(collection string, verb abi.Verb, expect []string, batch []byte) {
		t.Helper()
		results, err := s.Write(context.Background(), []abi.Mutation{{Collection: collection, Verb: verb, Expect: expect}}, batch, data.Everything())
		if err != nil || results[0].Applied != int64(len(values)) {
			t.Fatalf("%s: %+v, %v", verb, results, err)
		}
	}
	write("t", abi.Insert, nil, datatest.Batch(names, rows...))
	stored := pageOf(t, s, abi.Query{Collection: "t", OrderBy: []abi.Order{{Column: "id"}}})
	_, got := datatest.Decode(t, stored)
	for i, v := range values {
		if w := got[i][6]; !same(w, v) { // the column without affinity
			t.Errorf("value %d: got %#v, want %#v", i, w, v)
		}
		if b, ok := v.([]byte); ok {
			for j := 1; j < 7; j++ {
				if !same(got[i][j], b) {
					t.Errorf("value %d in column %s: got %#v, want %#v", i, names[j], got[i][j], v)
				}
			}
		}
	}
	write("u", abi.InsertNew, nil, stored)
	if copied := pageOf(t, s, abi.Query{Collection: "u", OrderBy: []abi.Order{{Column: "id"}}}); string(copied) != string(stored) {
		t.Error("the copy has other bytes")
	}
	if found := pageOf(t, s, abi.Query{Collection: "u", Lookup: stored}); string(found) != string(stored) {
		t.Error("a lookup has other bytes")
	}
	write("u", abi.Update, names, stored)
	write("u", abi.Delete, names, stored)
}

func same(a, b any) bool {
	f, ok := a.(float64)
	g, too := b.(float64)
	if ok && too {
		return math.Float64bits(f) == math.Float64bits(g)
	}
	return reflect.DeepEqual(a, b)
}

// pageOf returns the answer to a query as one batch.
func pageOf(t *testing.T, s *Store, q abi.Query) []byte {
	t.Helper()
	c, err := s.Open(context.Background(), &q, data.Everything())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 1<<24)
	n, err := c.Next(context.Background(), buf)
	if err != nil {
		t.Fatal(err)
	}
	if more, err := c.Next(context.Background(), make([]byte, 1<<10)); more != 0 || err != nil {
		t.Fatalf("the answer does not fit into %d bytes: %d, %v", len(buf), more, err)
	}
	return buf[:n]
}

func TestNotANumber(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, `CREATE TABLE t (id INTEGER PRIMARY KEY, r REAL)`)
	if _, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch([]string{"id", "r"}, []any{int64(1), math.NaN()}), data.Everything()); err != nil {
		t.Fatal(err)
	}
	for _, q := range []abi.Query{
		{Collection: "t"},
		{Collection: "t", OrderBy: []abi.Order{{Column: "r", Descending: true}, {Column: "id"}}, After: []any{math.NaN(), int64(0)}},
	} {
		rows, err := readAll(s, q)
		if want := [][]any{{int64(1), nil}}; err != nil || !reflect.DeepEqual(rows, want) {
			t.Errorf("got %v, %v, want %v", rows, err, want)
		}
	}
}

func TestExpectComparesStorageClasses(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, `CREATE TABLE t (id INTEGER PRIMARY KEY, x, i INTEGER, s TEXT COLLATE NOCASE)`)
	values := []any{nil, int64(1), 1.0, "1", []byte("1"), "", []byte{}, "a", "A", int64(0), 0.0}
	for i, stored := range values {
		for j, given := range values {
			id := int64(i*len(values) + j)
			set := datatest.Batch([]string{"id", "x"}, []any{id, stored})
			if _, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, set, data.Everything()); err != nil {
				t.Fatal(err)
			}
			got, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Delete, Expect: []string{"x"}}},
				datatest.Batch([]string{"id", "x"}, []any{id, given}), data.Everything())
			if err != nil {
				t.Fatal(err)
			}
			if (got[0].Applied == 1) != (i == j) {
				t.Errorf("%#v was stored, %#v expected: %+v", stored, given, got[0])
			}
		}
	}
	// Affinity and collation must not make things equal either.
	for _, test := range []struct {
		column        string
		stored, given any
	}{
		{"i", int64(1), "1"}, {"i", int64(1), 1.0}, {"s", "A", "a"}, {"s", "5", int64(5)},
	} {
		if _, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Upsert}}, datatest.Batch([]string{"id", test.column}, []any{int64(-1), test.stored}), data.Everything()); err != nil {
			t.Fatal(err)
		}
		got, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Delete, Expect: []string{test.column}}}, datatest.Batch([]string{"id", test.column}, []any{int64(-1), test.given}), data.Everything())
		if err != nil || got[0].Applied != 0 {
			t.Errorf("column %s, %#v stored, %#v expected: %+v, %v", test.column, test.stored, test.given, got, err)
		}
	}
}

func TestRowLimit(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{MaxRowBytes: 1000}, `CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)`,
		`INSERT INTO t VALUES (7, hex(zeroblob(480))), (8, hex(zeroblob(600)))`, `CREATE TABLE huge (id INTEGER PRIMARY KEY, body BLOB)`,
		`INSERT INTO huge VALUES (1, zeroblob(1000000))`)
	c, err := s.Open(context.Background(), &abi.Query{Collection: "t"}, data.Everything())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 980)
	if n, err := c.Next(context.Background(), buf); n == 0 || err != nil {
		t.Fatalf("the row within the limit: %d, %v", n, err)
	}
	_, err = c.Next(context.Background(), buf)
	datatest.WantError(t, err, abi.LimitExceeded, `"t"`, "id=8", "1000")
	_, err = readAll(s, abi.Query{Collection: "huge"}) // beyond what SQLite may load
	datatest.WantError(t, err, abi.LimitExceeded, `"huge"`)

	_, err = s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}},
		datatest.Batch([]string{"id", "body"}, []any{int64(1), "x"}, []any{int64(2), strings.Repeat("x", 1000)}), data.Everything())
	datatest.WantError(t, err, abi.LimitExceeded, `"t"`, "row 1", "id=2", "1000")

	small := serve(t, Config{Path: s.path, ReadOnly: true, MaxBatchBytes: 10})
	_, err = small.Open(context.Background(), &abi.Query{Collection: "t", Lookup: make([]byte, 11)}, data.Everything())
	datatest.WantError(t, err, abi.LimitExceeded, "lookup", "10")
	_, err = small.Write(context.Background(), nil, make([]byte, 11), data.Everything())
	datatest.WantError(t, err, abi.LimitExceeded, "10")
}

func TestConstraints(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, `CREATE TABLE parent (id INTEGER PRIMARY KEY)`, `INSERT INTO parent VALUES (1)`,
		`CREATE TABLE t (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parent, n INTEGER CHECK (n > 0))`,
		`CREATE TABLE late (id TEXT PRIMARY KEY, p INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)`,
		`CREATE TABLE strict (id INTEGER PRIMARY KEY, n INTEGER) STRICT`,
		`CREATE TABLE quiet (id INTEGER PRIMARY KEY)`,
		`CREATE TRIGGER ignore BEFORE INSERT ON quiet WHEN new.id < 0 BEGIN SELECT RAISE(IGNORE); END`,
		`CREATE TRIGGER refuse BEFORE INSERT ON quiet WHEN new.id = 0 BEGIN SELECT RAISE(ABORT, 'zero is taken'); END`)
	insert := func(collection string, columns []string, row ...any) ([]abi.WriteResult, error) {
		return s.Write(context.Background(), []abi.Mutation{{Collection: collection, Verb: abi.Insert}}, datatest.Batch(columns, row), data.Everything())
	}
	for _, test := range []struct {
		name       string
		collection string
		columns    []string
		row        []any
		words      []string
	}{
		{"foreign key", "t", []string{"id", "p"}, []any{int64(5), int64(9)}, []string{`"t"`, "row 0", "id=5", "FOREIGN KEY"}},
		{"deferred foreign key", "late", []string{"id", "p"}, []any{"x", int64(9)}, []string{"FOREIGN KEY"}},
		{"check", "t", []string{"id", "n"}, []any{int64(5), int64(0)}, []string{"CHECK", "id=5"}},
		{"strict", "strict", []string{"id", "n"}, []any{int64(5), "five"}, []string{"strict.n"}},
		{"text as an integer key", "t", []string{"id"}, []any{"five"}, []string{`"t"`, `id="five"`}},
		{"trigger", "quiet", []string{"id"}, []any{int64(0)}, []string{"zero is taken"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := insert(test.collection, test.columns, test.row...)
			datatest.WantError(t, err, abi.Conflict, test.words...)
		})
	}
	got, err := insert("quiet", []string{"id"}, int64(-1))
	if want := []abi.WriteResult{{Unapplied: []int64{0}}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("a row that a trigger ignored: %+v, %v", got, err)
	}
}

func TestUTF16(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, `PRAGMA encoding = 'UTF-16le'`, `CREATE TABLE t (id INTEGER PRIMARY KEY, body)`)
	var encoding string
	if err := openSQL(t, s.path).QueryRow(`PRAGMA encoding`).Scan(&encoding); err != nil || encoding != "UTF-16le" {
		t.Fatalf("the test's database has the encoding %s, %v", encoding, err)
	}
	values := []any{"naïve ☃ 🚀", "", []byte("ab"), []byte{}}
	var rows [][]any
	for i, v := range values {
		rows = append(rows, []any{int64(i), v})
	}
	if _, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch([]string{"id", "body"}, rows...), data.Everything()); err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(s, abi.Query{Collection: "t"}); err != nil || !reflect.DeepEqual(got, rows) {
		t.Errorf("got %v, %v, want %v", got, err, rows)
	}
}

// FuzzWrite gives Write bytes that no batch need be: it must answer with an
// error or leave rows that can be read.
func FuzzWrite(f *testing.F) {
	s := openStore(f, Config{MaxRowBytes: 4096}, `CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT, raw BLOB)`)
	f.Add(datatest.Batch([]string{"id", "body"}, []any{int64(1), "x"}), 0)
	f.Add(datatest.Batch([]string{"raw", "body", "id"}, []any{[]byte{1}, nil, 1.5}), 2)
	f.Add([]byte{0x91, 0xa2, 'i', 'd', 0x91, 0xc7}, 1)
	verbs := []abi.Verb{abi.Insert, abi.InsertNew, abi.Upsert, abi.Update, abi.Delete}
	f.Fuzz(func(t *testing.T, batch []byte, verb int) {
		m := abi.Mutation{Collection: "t", Verb: verbs[uint(verb)%uint(len(verbs))]}
		_, err := s.Write(context.Background(), []abi.Mutation{m}, batch, data.Everything())
		switch abi.CodeOf(err) {
		case abi.OK, abi.InvalidArgument, abi.UnknownColumn, abi.Conflict, abi.LimitExceeded:
		default:
			t.Errorf("%s: %v", m.Verb, err)
		}
		_, lookupErr := readAll(s, abi.Query{Collection: "t", Lookup: batch})
		switch abi.CodeOf(lookupErr) {
		case abi.OK, abi.InvalidArgument, abi.UnknownColumn, abi.LimitExceeded:
		default:
			t.Errorf("lookup: %v", lookupErr)
		}
		if err == nil && m.Verb != abi.Delete && lookupErr != nil {
			if b, openErr := wire.OpenBatch(batch); openErr == nil && len(b.Columns) > 0 && abi.CodeOf(lookupErr) != abi.InvalidArgument {
				t.Errorf("written, and yet: %v", lookupErr)
			}
		}
	})
}

// TestValuesInEveryKindOfCollection reads, looks up, expects and compares the
// same values in tables with and without rowids, under keys of several columns,
// and through a view.
func TestValuesInEveryKindOfCollection(t *testing.T) {
	t.Parallel()
	values := []any{
		int64(math.MinInt64), int64(math.MaxInt64), int64(1<<53 + 1), math.Inf(1), math.Inf(-1), 0.1, math.MaxFloat64, math.SmallestNonzeroFloat64,
		"", "\x00", "a\x00b", "\xff\xfe", "\xed\xa0\x80", "é", "e\u0301", "2024-05-01", "10:00:00.123456789Z", "Infinity", "NaN",
		[]byte{}, []byte{0}, []byte("\xff\xfe"), strings.Repeat("long ", 1<<15), []byte(strings.Repeat("\x00\xff", 1<<17)),
	}
	for name, schema := range map[string]string{
		"rowid":         `CREATE TABLE t (a, b, n, PRIMARY KEY (b, a))`,
		"without rowid": `CREATE TABLE t (a, b, n, PRIMARY KEY (b, a)) WITHOUT ROWID`,
		"strict":        `CREATE TABLE t (a ANY, b ANY, n ANY, PRIMARY KEY (b, a)) STRICT`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, Config{}, schema, `CREATE VIEW v AS SELECT n, a, b FROM t`)
			columns := []string{"a", "b", "n"}
			var rows [][]any
			for i, v := range values {
				rows = append(rows, []any{v, values[len(values)-1-i], v})
			}
			batch := datatest.Batch(columns, rows...)
			write := func(verb abi.Verb, expect ...string) {
				t.Helper()
				results, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: verb, Expect: expect}}, batch, data.Everything())
				if err != nil || results[0].Applied != int64(len(values)) {
					t.Fatalf("%s: %+v, %v", verb, results, err)
				}
			}
			write(abi.Insert)
			write(abi.Upsert)
			write(abi.Update, "n")
			for _, collection := range []string{"t", "v"} {
				q := abi.Query{Collection: collection, Columns: columns, Key: []string{"a", "b"}, Lookup: batch}
				if found := pageOf(t, s, q); string(found) != string(batch) {
					t.Errorf("a lookup in %s has other bytes", collection)
				}
				for _, r := range rows {
					got, err := readAll(s, abi.Query{Collection: collection, Columns: columns, Where: []abi.Condition{
						{Column: "a", Op: abi.Equal, Value: r[0]}, {Column: "b", Op: abi.In, Value: []any{r[1], nil}}}})
					if err != nil || len(got) != 1 || !same(got[0][2], r[2]) {
						t.Errorf("%s: %.60v: got %.80v, %v", collection, r[0], got, err)
					}
				}
				order := []abi.Order{{Column: "a"}, {Column: "b"}}
				all, err := readAll(s, abi.Query{Collection: collection, Columns: columns, OrderBy: order})
				if err != nil || len(all) != len(rows) {
					t.Fatalf("%s: %d rows, %v", collection, len(all), err)
				}
				for i, r := range all {
					rest, err := readAll(s, abi.Query{Collection: collection, Columns: columns, OrderBy: order, After: r[:2], Limit: 1})
					if wanted := all[i+1 : min(i+2, len(all))]; err != nil || len(rest) != len(wanted) || len(rest) > 0 && !reflect.DeepEqual(rest, wanted) {
						t.Errorf("%s: behind %.40v comes %.80v, %v", collection, r[0], rest, err)
					}
				}
			}
			write(abi.Delete, columns...)
		})
	}
}

// TestDates leaves dates in all their forms as they are: SQLite has no type
// for them, and what a column of such a name does to numbers is SQLite's own.
func TestDates(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, `CREATE TABLE t (id INTEGER PRIMARY KEY, d DATE, dt DATETIME, ts TIMESTAMP, s TEXT)`)
	values := []any{"2024-05-01", "2024-05-01 10:00:00", "2024-05-01T10:00:00.000Z", "2024-05-01T10:00:00+02:00", int64(1714557600000), 2460432.5, "", "0000-00-00", "+010000-01-01", nil}
	var rows [][]any
	for i, v := range values {
		rows = append(rows, []any{int64(i), v, v, v, v})
	}
	if _, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch([]string{"id", "d", "dt", "ts", "s"}, rows...), data.Everything()); err != nil {
		t.Fatal(err)
	}
	rows[4][4], rows[5][4] = "1714557600000", "2460432.5" // numbers in a TEXT column
	if got, err := readAll(s, abi.Query{Collection: "t", OrderBy: []abi.Order{{Column: "id"}}}); err != nil || !reflect.DeepEqual(got, rows) {
		t.Errorf("got %v, %v, want %v", got, err, rows)
	}
}
