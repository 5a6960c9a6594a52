package datatest

import (
	"reflect"
	"slices"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
)

const notes = `CREATE TABLE notes (id TEXT PRIMARY KEY, slug TEXT UNIQUE, body TEXT NOT NULL, version BIGINT)`

var notesColumns = strs("id", "slug", "body", "version")

func testVerbs(t *testing.T, open opener) {
	before := list(
		row{"a", "s-a", "old a", int64(1)},
		row{"b", nil, "old b", nil},
	)
	for _, test := range []struct {
		name     string
		mutation abi.Mutation
		batch    []byte
		result   abi.WriteResult
		after    []row
	}{
		{"insert", abi.Mutation{Verb: abi.Insert}, Batch(notesColumns, row{"c", "s-c", "new", int64(2)}),
			abi.WriteResult{Applied: 1}, append(list(before...), row{"c", "s-c", "new", int64(2)})},
		{"insert some columns of the batch", abi.Mutation{Verb: abi.Insert, Columns: strs("id", "body")},
			Batch(strs("body", "version", "id"), row{"new", int64(7), "c"}),
			abi.WriteResult{Applied: 1}, append(list(before...), row{"c", nil, "new", nil})},
		{"insert nothing", abi.Mutation{Verb: abi.Insert}, Batch(notesColumns), abi.WriteResult{}, before},
		{"insert without a batch", abi.Mutation{Verb: abi.Insert}, nil, abi.WriteResult{}, before},
		{"insert_new leaves what exists", abi.Mutation{Verb: abi.InsertNew},
			Batch(notesColumns, row{"a", "s-x", "new", nil}, row{"c", nil, "new", nil}, row{"b", nil, "new", nil}, row{"c", nil, "again", nil}),
			abi.WriteResult{Applied: 1, Unapplied: []int64{0, 2, 3}}, append(list(before...), row{"c", nil, "new", nil})},
		{"insert_new by another key", abi.Mutation{Verb: abi.InsertNew, Key: strs("slug")},
			Batch(notesColumns, row{"c", "s-a", "new", nil}), abi.WriteResult{Unapplied: []int64{0}}, before},
		{"upsert", abi.Mutation{Verb: abi.Upsert}, Batch(notesColumns, row{"b", "s-b", "new b", int64(2)}, row{"c", nil, "new c", nil}),
			abi.WriteResult{Applied: 2}, list(before[0], row{"b", "s-b", "new b", int64(2)}, row{"c", nil, "new c", nil})},
		{"upsert keeps other columns", abi.Mutation{Verb: abi.Upsert}, Batch(strs("id", "body"), row{"a", "new a"}),
			abi.WriteResult{Applied: 1}, list(row{"a", "s-a", "new a", int64(1)}, before[1])},
		{"update", abi.Mutation{Verb: abi.Update}, Batch(strs("version", "id"), row{int64(9), "b"}, row{int64(9), "z"}),
			abi.WriteResult{Applied: 1, Unapplied: []int64{1}}, list(before[0], row{"b", nil, "old b", int64(9)})},
		{"update some columns of the batch", abi.Mutation{Verb: abi.Update, Columns: strs("body")}, Batch(notesColumns, row{"a", "x", "new a", int64(8)}),
			abi.WriteResult{Applied: 1}, list(row{"a", "s-a", "new a", int64(1)}, before[1])},
		{"update by another key", abi.Mutation{Verb: abi.Update, Key: strs("slug")}, Batch(strs("slug", "body"), row{"s-a", "new a"}),
			abi.WriteResult{Applied: 1}, list(row{"a", "s-a", "new a", int64(1)}, before[1])},
		{"delete", abi.Mutation{Verb: abi.Delete}, Batch(strs("id"), row{"z"}, row{"a"}),
			abi.WriteResult{Applied: 1, Unapplied: []int64{0}}, before[1:]},
		{"delete twice", abi.Mutation{Verb: abi.Delete}, Batch(strs("id"), row{"a"}, row{"a"}),
			abi.WriteResult{Applied: 1, Unapplied: []int64{1}}, before[1:]},
		{"delete where NULL equals nothing", abi.Mutation{Verb: abi.Delete, Key: strs("slug")}, Batch(strs("slug"), row{nil}),
			abi.WriteResult{Unapplied: []int64{0}}, before},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, notes)
			insert(t, s, "notes", notesColumns, before...)
			test.mutation.Collection = "notes"
			if got := write(t, s, test.mutation, test.batch); !reflect.DeepEqual(got, test.result) {
				t.Errorf("result: got %+v, want %+v", got, test.result)
			}
			want(t, s, abi.Query{Collection: "notes", OrderBy: by("id")}, test.after)
		})
	}
}

func testExpect(t *testing.T, open opener) {
	s := open(t, `CREATE TABLE e (id BIGINT PRIMARY KEY, i BIGINT, f DOUBLE PRECISION, s TEXT, b BYTEA)`)
	columns := strs("id", "i", "f", "s", "b")
	stored := row{int64(1), int64(5), 2.5, "text", []byte{1, 0}}
	empty := row{int64(2), nil, nil, nil, nil}
	for _, test := range []struct {
		name   string
		expect []string
		given  row
		met    bool
	}{
		{"all as stored", columns, stored, true},
		{"NULL equals NULL", columns, empty, true},
		{"only what is named counts", strs("i"), row{int64(1), int64(5), 9.5, "other", nil}, true},
		{"another integer", strs("i"), row{int64(1), int64(6), nil, nil, nil}, false},
		{"another float", strs("f"), row{int64(1), nil, 2.75, nil, nil}, false},
		{"upper case", strs("s"), row{int64(1), nil, nil, "Text", nil}, false},
		{"more bytes", strs("b"), row{int64(1), nil, nil, nil, []byte{1, 0, 0}}, false},
		{"NULL for a value", strs("s"), row{int64(1), nil, nil, nil, nil}, false},
		{"a value for NULL", strs("i"), row{int64(2), int64(0), nil, nil, nil}, false},
		{"no bytes for NULL", strs("b"), row{int64(2), nil, nil, nil, []byte{}}, false},
		{"the row is gone", strs("i"), row{int64(3), nil, nil, nil, nil}, false},
	} {
		for _, verb := range []abi.Verb{abi.Update, abi.Delete} {
			t.Run(test.name+", "+string(verb), func(t *testing.T) {
				write(t, s, abi.Mutation{Collection: "e", Verb: abi.Upsert}, Batch(columns, stored, empty))
				got := write(t, s, abi.Mutation{Collection: "e", Verb: verb, Expect: test.expect}, Batch(columns, test.given))
				met := abi.WriteResult{Applied: 1}
				if !test.met {
					met = abi.WriteResult{Unapplied: []int64{0}}
				}
				if !reflect.DeepEqual(got, met) {
					t.Errorf("got %+v, want %+v", got, met)
				}
				// Changed rows must not reach the next case.
				write(t, s, abi.Mutation{Collection: "e", Verb: abi.Upsert}, Batch(columns, stored, empty))
			})
		}
	}
}

func testAtomic(t *testing.T, open opener) {
	s := open(t, notes)
	insert(t, s, "notes", notesColumns, row{"a", "s-a", "a", nil})
	first := Batch(notesColumns, row{"b", nil, "b", nil}, row{"c", "s-c", "c", nil})
	second := Batch(strs("id"), row{"a"})

	t.Run("mutations share one batch", func(t *testing.T) {
		results, err := s.Write(testContext(t), []abi.Mutation{
			{Collection: "notes", Verb: abi.Insert, Size: int64(len(first))},
			{Collection: "notes", Verb: abi.Delete},
		}, append(append([]byte{}, first...), second...), data.Everything())
		if err != nil {
			t.Fatal(err)
		}
		if wanted := []abi.WriteResult{{Applied: 2}, {Applied: 1}}; !reflect.DeepEqual(results, wanted) {
			t.Errorf("results: got %+v, want %+v", results, wanted)
		}
		want(t, s, abi.Query{Collection: "notes", Columns: strs("id"), OrderBy: by("id")}, list(row{"b"}, row{"c"}))
	})

	t.Run("mutations of several collections are one", func(t *testing.T) {
		s := open(t, notes, `CREATE TABLE tags (note TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (note, tag))`)
		note := Batch(notesColumns, row{"a", nil, "a", nil})
		tags := Batch(strs("note", "tag"), row{"a", "x"}, row{"a", "y"})
		twice := Batch(strs("note", "tag"), row{"a", "z"}, row{"a", "y"})
		insert := func(collection string, batch []byte) abi.Mutation {
			return abi.Mutation{Collection: collection, Verb: abi.Insert, Size: int64(len(batch))}
		}
		update := abi.Mutation{Collection: "notes", Verb: abi.Update}
		results, err := s.Write(testContext(t), []abi.Mutation{insert("notes", note), insert("tags", tags), update},
			slices.Concat(note, tags, Batch(strs("id", "version"), row{"a", int64(1)}, row{"b", int64(1)})), data.Everything())
		if wanted := []abi.WriteResult{{Applied: 1}, {Applied: 2}, {Applied: 1, Unapplied: []int64{1}}}; err != nil || !reflect.DeepEqual(results, wanted) {
			t.Fatalf("got %+v, %v", results, err)
		}
		_, err = s.Write(testContext(t), []abi.Mutation{{Collection: "notes", Verb: abi.Delete, Size: int64(len(note))}, insert("tags", twice)},
			slices.Concat(note, twice), data.Everything())
		WantError(t, err, abi.Conflict, "mutation 1", `"tags"`)
		want(t, s, abi.Query{Collection: "notes"}, list(row{"a", nil, "a", int64(1)}))
		want(t, s, abi.Query{Collection: "tags", OrderBy: by("note", "tag")}, list(row{"a", "x"}, row{"a", "y"}))
	})

	t.Run("no mutations", func(t *testing.T) {
		if results, err := s.Write(testContext(t), nil, nil, data.Everything()); err != nil || len(results) != 0 {
			t.Errorf("got %v, %v", results, err)
		}
	})

	for _, test := range []struct {
		name  string
		ms    []abi.Mutation
		batch []byte
		code  abi.Code
		words []string
	}{
		{"a key that exists", []abi.Mutation{{Verb: abi.Insert}}, Batch(notesColumns, row{"x", nil, "x", nil}, row{"b", nil, "b", nil}),
			abi.Conflict, strs("notes", "row 1", `"b"`, "id")},
		{"another unique column", []abi.Mutation{{Verb: abi.InsertNew}}, Batch(notesColumns, row{"x", nil, "x", nil}, row{"y", "s-c", "y", nil}),
			abi.Conflict, strs("slug", "row 1", `"y"`)},
		{"NULL where it must not be", []abi.Mutation{{Verb: abi.Upsert}}, Batch(notesColumns, row{"x", nil, "x", nil}, row{"y", nil, nil, nil}),
			abi.Conflict, strs("body", "row 1", `"y"`)},
		{"a later mutation", []abi.Mutation{{Verb: abi.Insert, Size: int64(len(Batch(notesColumns, row{"x", nil, "x", nil})))}, {Verb: abi.Update}},
			append(Batch(notesColumns, row{"x", nil, "x", nil}), Batch(strs("id", "slug"), row{"b", "s-c"})...),
			abi.Conflict, strs("mutation 1", "slug")},
		{"a key that is not one row's", []abi.Mutation{{Verb: abi.Delete, Key: strs("version")}}, Batch(strs("version"), row{int64(4)}),
			abi.Conflict, strs("row 0", "version=4")},
	} {
		t.Run(test.name, func(t *testing.T) {
			write(t, s, abi.Mutation{Collection: "notes", Verb: abi.Update}, Batch(strs("id", "version"), row{"b", int64(4)}, row{"c", int64(4)}))
			for i := range test.ms {
				test.ms[i].Collection = "notes"
			}
			results, err := s.Write(testContext(t), test.ms, test.batch, data.Everything())
			WantError(t, err, test.code, test.words...)
			if results != nil {
				t.Errorf("results of a write that failed: %v", results)
			}
			want(t, s, abi.Query{Collection: "notes", Columns: strs("id"), OrderBy: by("id")}, list(row{"b"}, row{"c"}))
		})
	}
}

// testRoundTrip forwards rows as bytes from one table to another and checks
// that nothing about them changed.
func testRoundTrip(t *testing.T, open opener) {
	table := func(name string) string {
		return `CREATE TABLE ` + name + ` (id BIGINT PRIMARY KEY, i BIGINT, f DOUBLE PRECISION, s TEXT, b BYTEA)`
	}
	s := open(t, table("here"), table("there"))
	columns := strs("id", "i", "f", "s", "b")
	var rows []row
	add := func(i, f, s, b any) { rows = append(rows, row{int64(len(rows)), i, f, s, b}) }
	add(nil, nil, nil, nil)
	for _, i := range integers {
		add(i, nil, nil, nil)
	}
	for _, f := range floats {
		add(nil, f, nil, nil)
	}
	for _, text := range texts {
		add(nil, nil, text, []byte(text))
	}
	add(nil, nil, nil, []byte{0xff, 0, 0xfe})
	insert(t, s, "here", columns, rows...)

	c, err := s.Open(testContext(t), &abi.Query{Collection: "here", OrderBy: by("id")}, data.Everything())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 1<<20)
	n, err := c.Next(testContext(t), buf)
	if err != nil {
		t.Fatal(err)
	}
	_, got := Decode(t, buf[:n])
	sameBits(t, got, rows)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, s, abi.Mutation{Collection: "there", Verb: abi.InsertNew}, buf[:n])

	for _, collection := range strs("here", "there") {
		for name, q := range map[string]abi.Query{
			"query":  {Collection: collection, OrderBy: by("id")},
			"lookup": {Collection: collection, Lookup: buf[:n]},
		} {
			again := make([]byte, 1<<20)
			c, err := s.Open(testContext(t), &q, data.Everything())
			if err != nil {
				t.Fatal(err)
			}
			m, err := c.Next(testContext(t), again)
			if err != nil {
				t.Fatal(err)
			}
			if string(again[:m]) != string(buf[:n]) {
				t.Errorf("%s of %s: other bytes than were written", name, collection)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	got2 := write(t, s, abi.Mutation{Collection: "there", Verb: abi.Delete, Expect: columns}, buf[:n])
	if got2.Applied != int64(len(rows)) {
		t.Errorf("deleting what is as expected: %+v of %d rows", got2, len(rows))
	}
}
