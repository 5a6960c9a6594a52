package datatest

import (
	"reflect"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
)

const people = `CREATE TABLE people (id BIGINT PRIMARY KEY, name TEXT NOT NULL, age BIGINT, score DOUBLE PRECISION, raw BYTEA)`

var peopleColumns = strs("id", "name", "age", "score", "raw")

var peopleRows = []row{
	{int64(1), "ann", int64(30), 1.5, []byte{1}},
	{int64(2), "bob", nil, 2.5, nil},
	{int64(3), "Cid", int64(20), nil, []byte{}},
	{int64(4), "dan%", int64(30), -1.25, []byte{0, 255}},
	{int64(5), "", int64(40), 0.5, []byte("x")},
}

func testRead(t *testing.T, open opener) {
	s := open(t, people, `CREATE VIEW names AS SELECT id, name FROM people`)
	insert(t, s, "people", peopleColumns, peopleRows...)
	for _, test := range []struct {
		name    string
		query   abi.Query
		columns []string
		rows    []row
	}{
		{"all columns in the schema's order", abi.Query{Collection: "people", Limit: 1, OrderBy: by("id")}, peopleColumns, peopleRows[:1]},
		{"projection in the query's order", abi.Query{Collection: "people", Columns: strs("name", "id"), OrderBy: by("id"), Limit: 2},
			strs("name", "id"), list(row{"ann", int64(1)}, row{"bob", int64(2)})},
		{"a view", abi.Query{Collection: "names", Where: where("id", abi.Equal, int64(3))}, strs("id", "name"), list(row{int64(3), "Cid"})},
		{"a limit beyond the end", abi.Query{Collection: "people", OrderBy: by("id"), Limit: 100}, peopleColumns, peopleRows},
		{"no rows", abi.Query{Collection: "people", Where: where("id", abi.Equal, int64(9))}, nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			columns, rows := Read(t, s, test.query, 1<<16)
			if len(columns) != len(test.columns) {
				t.Errorf("columns: got %q, want %q", columns, test.columns)
			}
			for i := range min(len(columns), len(test.columns)) {
				if columns[i] != test.columns[i] {
					t.Errorf("column %d: got %q, want %q", i, columns[i], test.columns[i])
				}
			}
			sameRows(t, rows, test.rows)
		})
	}
}

func where(column string, op abi.Op, value any) []abi.Condition {
	return []abi.Condition{{Column: column, Op: op, Value: value}}
}

// by makes an ordering; a name with a - in front is descending.
func by(columns ...string) []abi.Order {
	var order []abi.Order
	for _, c := range columns {
		if c[0] == '-' {
			order = append(order, abi.Order{Column: c[1:], Descending: true})
		} else {
			order = append(order, abi.Order{Column: c})
		}
	}
	return order
}

func testFilters(t *testing.T, open opener) {
	s := open(t, people)
	insert(t, s, "people", peopleColumns, peopleRows...)
	for _, test := range []struct {
		name  string
		where []abi.Condition
		ids   []int64
	}{
		{"no condition", nil, []int64{1, 2, 3, 4, 5}},
		{"equal", where("age", abi.Equal, int64(30)), []int64{1, 4}},
		{"equal text", where("name", abi.Equal, "bob"), []int64{2}},
		{"equal bytes", where("raw", abi.Equal, []byte{0, 255}), []int64{4}},
		{"equal no bytes", where("raw", abi.Equal, []byte{}), []int64{3}},
		{"equal float", where("score", abi.Equal, -1.25), []int64{4}},
		{"equal nil never matches", where("age", abi.Equal, nil), nil},
		{"not equal leaves NULL out", where("age", abi.NotEqual, int64(30)), []int64{3, 5}},
		{"not equal nil never matches", where("age", abi.NotEqual, nil), nil},
		{"less", where("age", abi.Less, int64(30)), []int64{3}},
		{"less or equal", where("age", abi.LessOrEqual, int64(30)), []int64{1, 3, 4}},
		{"greater", where("score", abi.Greater, 1.0), []int64{1, 2}},
		{"greater or equal", where("age", abi.GreaterOrEqual, int64(40)), []int64{5}},
		{"in", where("id", abi.In, []any{int64(5), int64(1), int64(9)}), []int64{1, 5}},
		{"in nothing", where("id", abi.In, []any{}), nil},
		{"in with nil", where("age", abi.In, []any{nil, int64(20)}), []int64{3}},
		{"in text", where("name", abi.In, []any{"", "ann"}), []int64{1, 5}},
		{"like any", where("name", abi.Like, "%n%"), []int64{1, 4}},
		{"like one", where("name", abi.Like, "_ob"), []int64{2}},
		{"like tells case", where("name", abi.Like, "c%"), nil},
		{"like case", where("name", abi.Like, "C__"), []int64{3}},
		{"like takes * and [ as they are", where("name", abi.Like, "*"), nil},
		{"like nil never matches", where("name", abi.Like, nil), nil},
		{"is null", where("age", abi.IsNull, nil), []int64{2}},
		{"not null", where("raw", abi.NotNull, nil), []int64{1, 3, 4, 5}},
		{"terms are joined by and", append(where("age", abi.Equal, int64(30)), where("score", abi.Less, 0.0)...), []int64{4}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var rows []row
			for _, id := range test.ids {
				rows = append(rows, row{id})
			}
			want(t, s, abi.Query{Collection: "people", Columns: strs("id"), Where: test.where, OrderBy: by("id")}, rows)
		})
	}
}

func testOrder(t *testing.T, open opener) {
	s := open(t, people)
	insert(t, s, "people", peopleColumns, peopleRows...)
	for _, test := range []struct {
		name  string
		order []abi.Order
		ids   []int64
	}{
		{"ascending, NULL first", by("age", "id"), []int64{2, 3, 1, 4, 5}},
		{"descending, NULL last", by("-age", "-id"), []int64{5, 4, 1, 3, 2}},
		{"mixed", by("-age", "id"), []int64{5, 1, 4, 3, 2}},
		{"text by bytes", by("name"), []int64{5, 3, 1, 2, 4}},
		{"floats", by("score"), []int64{3, 4, 5, 1, 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var rows []row
			for _, id := range test.ids {
				rows = append(rows, row{id})
			}
			want(t, s, abi.Query{Collection: "people", Columns: strs("id"), OrderBy: test.order}, rows)
		})
	}
}

func testAggregates(t *testing.T, open opener) {
	s := open(t, people, `CREATE TABLE empty (id BIGINT PRIMARY KEY)`)
	insert(t, s, "people", peopleColumns, peopleRows...)
	columns, rows := Read(t, s, abi.Query{Collection: "people", Aggregates: []abi.Aggregate{
		{Func: "count"}, {Func: "min", Column: "age"}, {Func: "max", Column: "name"}, {Func: "max", Column: "score"},
	}}, 4096)
	if len(columns) != 4 || columns[0] != "count" || columns[1] != "min(age)" || columns[2] != "max(name)" {
		t.Errorf("columns: got %q", columns)
	}
	sameRows(t, rows, list(row{int64(5), int64(20), "dan%", 2.5}))

	want(t, s, abi.Query{Collection: "people", Aggregates: []abi.Aggregate{{Func: "count"}}, Where: where("age", abi.Equal, int64(30))},
		list(row{int64(2)}))
	exists := []abi.Aggregate{{Func: "exists"}}
	for age, there := range map[int64]int64{30: 1, 31: 0} {
		columns, rows := Read(t, s, abi.Query{Collection: "people", Aggregates: exists, Where: where("age", abi.Equal, age)}, 4096)
		if !reflect.DeepEqual(columns, strs("exists")) {
			t.Errorf("columns: got %q", columns)
		}
		sameRows(t, rows, list(row{there}))
		want(t, s, abi.Query{Collection: "people", Aggregates: append([]abi.Aggregate{{Func: "count"}}, exists...), Where: where("age", abi.Equal, age)},
			list(row{there * 2, there}))
	}
	want(t, s, abi.Query{Collection: "empty", Aggregates: exists}, list(row{int64(0)}))
	want(t, s, abi.Query{Collection: "empty", Aggregates: []abi.Aggregate{{Func: "count"}, {Func: "min", Column: "id"}}},
		list(row{int64(0), nil}))
}

func testLookup(t *testing.T, open opener) {
	s := open(t, people, `CREATE TABLE pairs (a TEXT, b BIGINT, c TEXT, PRIMARY KEY (b, a))`)
	insert(t, s, "people", peopleColumns, peopleRows...)
	insert(t, s, "pairs", strs("a", "b", "c"), row{"x", int64(1), "x1"}, row{"y", int64(1), "y1"}, row{"x", int64(2), "x2"})
	for _, test := range []struct {
		name  string
		query abi.Query
		rows  []row
	}{
		{"the batch's order, missing rows left out",
			abi.Query{Collection: "people", Columns: strs("name"), Lookup: Batch(strs("id"), row{int64(4)}, row{int64(9)}, row{int64(1)}, row{int64(4)})},
			list(row{"dan%"}, row{"ann"}, row{"dan%"})},
		{"other columns of the batch do not matter",
			abi.Query{Collection: "people", Columns: strs("id"), Lookup: Batch(strs("name", "id"), row{"nobody", int64(2)})}, list(row{int64(2)})},
		{"a key of one's own",
			abi.Query{Collection: "people", Columns: strs("id"), Key: strs("name"), Lookup: Batch(strs("name"), row{"bob"}, row{"BOB"})}, list(row{int64(2)})},
		{"a key of two columns",
			abi.Query{Collection: "pairs", Columns: strs("c"), Lookup: Batch(strs("a", "b"), row{"x", int64(2)}, row{"y", int64(2)}, row{"y", int64(1)})},
			list(row{"x2"}, row{"y1"})},
		{"NULL equals nothing",
			abi.Query{Collection: "people", Columns: strs("id"), Key: strs("age"), Lookup: Batch(strs("age"), row{nil}, row{int64(20)})}, list(row{int64(3)})},
		{"an empty batch", abi.Query{Collection: "people", Lookup: Batch(strs("id"))}, nil},
		{"no bytes", abi.Query{Collection: "people", Lookup: []byte{}}, nil},
	} {
		t.Run(test.name, func(t *testing.T) { want(t, s, test.query, test.rows) })
	}

	_, _, err := read(t, s, abi.Query{Collection: "people", Key: strs("age"), Lookup: Batch(strs("age"), row{int64(30)})}, 4096)
	WantError(t, err, abi.Conflict, "age=30")

	t.Run("the batch may change after Open", func(t *testing.T) {
		lookup := Batch(strs("id"), row{int64(1)}, row{int64(2)})
		c, err := s.Open(testContext(t), &abi.Query{Collection: "people", Columns: strs("id"), Lookup: lookup}, data.Everything())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clear(lookup)
		buf := make([]byte, 64)
		n, err := c.Next(testContext(t), buf)
		if err != nil {
			t.Fatal(err)
		}
		_, rows := Decode(t, buf[:n])
		sameRows(t, rows, list(row{int64(1)}, row{int64(2)}))
	})
}

func testDescribe(t *testing.T, open opener) {
	s := open(t, `CREATE TABLE pairs (a TEXT NOT NULL, b BIGINT NOT NULL, c TEXT, n DOUBLE PRECISION NOT NULL, PRIMARY KEY (b, a))`,
		`CREATE TABLE other (id BIGINT PRIMARY KEY)`, `CREATE VIEW some AS SELECT a, b FROM pairs`)
	yes, no := int64(1), int64(0)
	// What a store calls a type is its own.
	described := func(t *testing.T, collection string, scope *data.Scope) (rows []row) {
		t.Helper()
		columns, got, err := readAs(t, s, abi.Query{Collection: collection, Describe: true}, 4096, scope)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > 0 && !reflect.DeepEqual(columns, abi.DescribeColumns) {
			t.Errorf("columns: got %q", columns)
		}
		for _, r := range got {
			rows = append(rows, append(append(row{}, r[:3]...), r[5:]...))
		}
		return rows
	}
	pairs := list(
		row{"pairs", no, "a", no, no, int64(2), yes, yes, yes, yes},
		row{"pairs", no, "b", no, no, int64(1), yes, yes, yes, yes},
		row{"pairs", no, "c", yes, no, no, yes, yes, yes, yes},
		row{"pairs", no, "n", no, no, no, yes, yes, yes, yes},
	)
	sameRows(t, described(t, "pairs", data.Everything()), pairs)
	if all := described(t, "", data.Everything()); len(all) != 7 || all[0][0] != "other" || all[5][0] != "some" || all[5][1] != yes {
		t.Errorf("all collections: %v", all)
	}
	scope := data.NewScope(data.Grant{Collections: map[string]data.Rights{
		"pairs": {Read: data.SomeColumns("c", "b"), Update: data.SomeColumns("c", "gone"), Delete: true},
		"some":  {Read: data.AllColumns()},
		"gone":  {Read: data.AllColumns()},
	}}, nil)
	granted := list(
		row{"pairs", no, "b", no, no, int64(1), yes, no, no, yes},
		row{"pairs", no, "c", yes, no, no, yes, no, yes, yes},
	)
	sameRows(t, described(t, "pairs", scope), granted)
	sameRows(t, described(t, "", scope)[:2], granted)
	if all := described(t, "", scope); len(all) != 4 || all[2][0] != "some" || all[3][9] != no {
		t.Errorf("all collections of a grant: %v", all)
	}
	for _, name := range strs("other", "gone", "nought") {
		_, _, err := readAs(t, s, abi.Query{Collection: name, Describe: true}, 4096, scope)
		WantError(t, err, abi.UnknownCollection)
	}

	// A row at a time, and within a budget.
	_, rows := Read(t, s, abi.Query{Collection: "pairs", Describe: true}, 160)
	if len(rows) != 4 {
		t.Errorf("through a small buffer: %v", rows)
	}
	for most, code := range map[int64]abi.Code{3: abi.LimitExceeded, 4: abi.OK} {
		n, err := rowsOf(t, s, abi.Query{Collection: "pairs", Describe: true}, 10, data.NewBudget(most))
		if n != most || abi.CodeOf(err) != code {
			t.Errorf("budget %d: %d rows, %v", most, n, err)
		}
	}
}
