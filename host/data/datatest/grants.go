package datatest

import (
	"reflect"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
)

const chat = `CREATE TABLE chat (id BIGINT PRIMARY KEY, room TEXT NOT NULL, body TEXT, status TEXT, secret TEXT UNIQUE)`

var chatColumns = strs("id", "room", "body", "status", "secret")

func chatRows() []row {
	return list(
		row{int64(1), "general", "one", "new", "s1"},
		row{int64(2), "private", "two", "new", "s2"},
		row{int64(3), "general", "three", "old", "s3"},
		row{int64(4), "private", "four", "old", "s4"},
	)
}

// chatScope is a grant on some columns of the rows of one room.
func chatScope() *data.Scope {
	return data.NewScope(data.Grant{Collections: map[string]data.Rights{"chat": {
		Read:   data.SomeColumns("id", "body", "status"),
		Insert: data.SomeColumns("id", "room", "body"),
		Update: data.SomeColumns("body", "status"),
		Delete: true,
		Where:  where("room", abi.Equal, "general"),
	}}}, nil)
}

// testGrants reads and writes within a grant on columns and rows.
func testGrants(t *testing.T, open opener) {
	start := func(t *testing.T) data.Store {
		s := open(t, chat, `CREATE TABLE hidden (id BIGINT PRIMARY KEY)`)
		insert(t, s, "chat", chatColumns, chatRows()...)
		return s
	}
	all := abi.Query{Collection: "chat", OrderBy: by("id")}

	t.Run("reading", func(t *testing.T) {
		s := start(t)
		count := []abi.Aggregate{{Func: "count"}, {Func: "max", Column: "body"}}
		for _, test := range []struct {
			name  string
			query abi.Query
			rows  []row
		}{
			{"all columns are those that are granted", abi.Query{OrderBy: by("id")}, list(row{int64(1), "one", "new"}, row{int64(3), "three", "old"})},
			{"rows of others are not found", abi.Query{Where: where("id", abi.Equal, int64(2))}, nil},
			{"by any condition", abi.Query{Columns: strs("id"), Where: where("body", abi.Like, "%o%")}, list(row{int64(1)})},
			{"behind a place", abi.Query{Columns: strs("id"), OrderBy: by("id"), After: []any{int64(1)}}, list(row{int64(3)})},
			{"counted", abi.Query{Aggregates: count}, list(row{int64(2), "three"})},
			{"looked up", abi.Query{Columns: strs("body"), Lookup: Batch(strs("id"), row{int64(4)}, row{int64(3)})}, list(row{"three"})},
		} {
			t.Run(test.name, func(t *testing.T) {
				test.query.Collection = "chat"
				_, got, err := readAs(t, s, test.query, 4096, chatScope())
				if err != nil {
					t.Fatal(err)
				}
				sameRows(t, got, test.rows)
			})
		}
	})

	// What was not granted must be answered as what is not there, word for word.
	t.Run("what was not granted does not exist", func(t *testing.T) {
		s := start(t)
		for name, query := range map[string]func(column string) abi.Query{
			"columns":   func(c string) abi.Query { return abi.Query{Columns: strs("id", c)} },
			"where":     func(c string) abi.Query { return abi.Query{Where: where(c, abi.Equal, "s1")} },
			"order_by":  func(c string) abi.Query { return abi.Query{OrderBy: by(c)} },
			"aggregate": func(c string) abi.Query { return abi.Query{Aggregates: []abi.Aggregate{{Func: "max", Column: c}}} },
			"key": func(c string) abi.Query {
				return abi.Query{Key: strs(c), Lookup: Batch(strs(c), row{"s1"})}
			},
		} {
			var texts []string
			for _, column := range strs("secret", "nought") {
				q := query(column)
				q.Collection = "chat"
				_, _, err := readAs(t, s, q, 4096, chatScope())
				WantError(t, err, abi.UnknownColumn)
				texts = append(texts, strings.ReplaceAll(err.Error(), column, "x"))
			}
			if texts[0] != texts[1] {
				t.Errorf("%s: got %q, and %q for a column that is not there", name, texts[0], texts[1])
			}
		}
		for name, m := range map[string]func(column string) abi.Mutation{
			"insert":     func(c string) abi.Mutation { return abi.Mutation{Verb: abi.Insert} },
			"insert_new": func(c string) abi.Mutation { return abi.Mutation{Verb: abi.InsertNew, Key: strs(c)} },
			"upsert":     func(c string) abi.Mutation { return abi.Mutation{Verb: abi.Upsert, Columns: strs("id", c)} },
			"update":     func(c string) abi.Mutation { return abi.Mutation{Verb: abi.Update} },
			"update where": func(c string) abi.Mutation {
				return abi.Mutation{Verb: abi.Update, Columns: strs("body"), Key: strs(c)}
			},
			"update, expected": func(c string) abi.Mutation {
				return abi.Mutation{Verb: abi.Update, Columns: strs("body"), Expect: strs(c)}
			},
			"delete":           func(c string) abi.Mutation { return abi.Mutation{Verb: abi.Delete, Key: strs(c)} },
			"delete, expected": func(c string) abi.Mutation { return abi.Mutation{Verb: abi.Delete, Expect: strs(c)} },
		} {
			var texts []string
			for _, column := range strs("secret", "nought") {
				mutation := m(column)
				mutation.Collection = "chat"
				_, err := s.Write(testContext(t), []abi.Mutation{mutation}, Batch(strs("id", "body", column), row{int64(1), "x", "s1"}), chatScope())
				WantError(t, err, abi.UnknownColumn)
				texts = append(texts, strings.ReplaceAll(err.Error(), column, "x"))
			}
			if texts[0] != texts[1] {
				t.Errorf("%s: got %q, and %q for a column that is not there", name, texts[0], texts[1])
			}
		}
		var texts []string
		for _, collection := range strs("hidden", "nought") {
			_, _, err := readAs(t, s, abi.Query{Collection: collection}, 4096, chatScope())
			WantError(t, err, abi.UnknownCollection)
			_, wErr := s.Write(testContext(t), []abi.Mutation{{Collection: collection, Verb: abi.Delete}}, Batch(strs("id"), row{int64(1)}), chatScope())
			WantError(t, wErr, abi.UnknownCollection)
			texts = append(texts, strings.ReplaceAll(err.Error()+wErr.Error(), collection, "x"))
		}
		if texts[0] != texts[1] {
			t.Errorf("got %q, and %q for a collection that is not there", texts[0], texts[1])
		}
		want(t, s, all, chatRows())
	})

	t.Run("verbs of columns that can be seen", func(t *testing.T) {
		s := start(t)
		for name, test := range map[string]struct {
			m     abi.Mutation
			batch []byte
			words []string
		}{
			"update":     {abi.Mutation{Verb: abi.Update, Key: strs("body"), Columns: strs("id")}, Batch(strs("id", "body"), row{int64(9), "one"}), strs(`"id"`, `"update"`)},
			"insert":     {abi.Mutation{Verb: abi.Insert}, Batch(strs("id", "room", "status"), row{int64(9), "general", "new"}), strs(`"status"`, `"insert"`)},
			"upsert":     {abi.Mutation{Verb: abi.Upsert}, Batch(strs("id", "room", "body"), row{int64(9), "general", "x"}), strs(`"room"`, `"update"`)},
			"key":        {abi.Mutation{Verb: abi.Delete, Key: strs("room")}, Batch(strs("room"), row{"private"}), strs(`"room"`, `"read"`)},
			"expect":     {abi.Mutation{Verb: abi.Delete, Expect: strs("room")}, Batch(strs("id", "room"), row{int64(1), "general"}), strs(`"room"`, `"read"`)},
			"insert_new": {abi.Mutation{Verb: abi.InsertNew, Key: strs("status")}, Batch(strs("id", "status"), row{int64(1), "new"}), strs(`"status"`, `"insert"`)},
		} {
			test.m.Collection = "chat"
			_, err := s.Write(testContext(t), []abi.Mutation{test.m}, test.batch, chatScope())
			WantError(t, err, abi.NotGranted, test.words...)
			if t.Failed() {
				t.Fatal(name)
			}
		}
		_, _, err := readAs(t, s, abi.Query{Collection: "chat", Columns: strs("room")}, 4096, chatScope())
		WantError(t, err, abi.NotGranted, `"room"`, `"read"`)
		want(t, s, all, chatRows())
	})

	t.Run("writing", func(t *testing.T) {
		for _, test := range []struct {
			name   string
			m      abi.Mutation
			batch  []byte
			result abi.WriteResult
			change func([]row) []row
		}{
			{"insert within", abi.Mutation{Verb: abi.Insert}, Batch(strs("id", "room"), row{int64(5), "general"}), abi.WriteResult{Applied: 1},
				func(r []row) []row { return append(r, row{int64(5), "general", nil, nil, nil}) }},
			{"insert_new leaves rows of others", abi.Mutation{Verb: abi.InsertNew}, Batch(strs("id", "room"), row{int64(2), "general"}),
				abi.WriteResult{Unapplied: []int64{0}}, nil},
			{"update within", abi.Mutation{Verb: abi.Update}, Batch(strs("id", "status"), row{int64(2), "x"}, row{int64(3), "x"}),
				abi.WriteResult{Applied: 1, Unapplied: []int64{0}}, func(r []row) []row { r[2][3] = "x"; return r }},
			{"update by another key", abi.Mutation{Verb: abi.Update, Key: strs("status")}, Batch(strs("status", "body"), row{"new", "x"}),
				abi.WriteResult{Applied: 1}, func(r []row) []row { r[0][2] = "x"; return r }},
			{"update with a precondition", abi.Mutation{Verb: abi.Update, Columns: strs("body"), Expect: strs("status")},
				Batch(strs("id", "body", "status"), row{int64(1), "x", "old"}, row{int64(3), "x", "old"}, row{int64(4), "x", "old"}),
				abi.WriteResult{Applied: 1, Unapplied: []int64{0, 2}}, func(r []row) []row { r[2][2] = "x"; return r }},
			{"delete within", abi.Mutation{Verb: abi.Delete}, Batch(strs("id"), row{int64(1)}, row{int64(2)}),
				abi.WriteResult{Applied: 1, Unapplied: []int64{1}}, func(r []row) []row { return r[1:] }},
			{"delete with a precondition", abi.Mutation{Verb: abi.Delete, Expect: strs("body")}, Batch(strs("id", "body"), row{int64(1), "one"}, row{int64(2), "two"}, row{int64(3), "x"}),
				abi.WriteResult{Applied: 1, Unapplied: []int64{1, 2}}, func(r []row) []row { return r[1:] }},
		} {
			t.Run(test.name, func(t *testing.T) {
				s := start(t)
				test.m.Collection = "chat"
				results, err := s.Write(testContext(t), []abi.Mutation{test.m}, test.batch, chatScope())
				after := chatRows()
				switch {
				case err != nil:
					t.Fatal(err)
				case !reflect.DeepEqual(results[0], test.result):
					t.Errorf("result: got %+v, want %+v", results[0], test.result)
				}
				if test.change != nil {
					after = test.change(after)
				}
				want(t, s, all, after)
			})
		}
	})

	// With the room among the columns, rows could be written that are outside.
	t.Run("no row is written outside", func(t *testing.T) {
		scope := data.NewScope(data.Grant{Collections: map[string]data.Rights{"chat": {
			Read: data.AllColumns(), Insert: data.AllColumns(), Update: data.AllColumns(),
			Where: append(where("room", abi.In, []any{"general", "o'clock"}), where("status", abi.NotEqual, "old")...),
		}}}, nil)
		for _, test := range []struct {
			name   string
			verb   abi.Verb
			row    row
			result abi.WriteResult
			fails  bool
		}{
			{"insert inside", abi.Insert, row{int64(5), "o'clock", nil, "new", nil}, abi.WriteResult{Applied: 1}, false},
			{"insert outside", abi.Insert, row{int64(5), "private", nil, "new", nil}, abi.WriteResult{}, true},
			{"insert of a row that cannot be told", abi.Insert, row{int64(5), "general", nil, nil, nil}, abi.WriteResult{}, true},
			{"insert_new outside", abi.InsertNew, row{int64(5), "private", nil, "new", nil}, abi.WriteResult{}, true},
			{"upsert of a new row outside", abi.Upsert, row{int64(5), "private", nil, "new", nil}, abi.WriteResult{}, true},
			{"upsert of a row inside", abi.Upsert, row{int64(1), "general", "x", "new", nil}, abi.WriteResult{Applied: 1}, false},
			{"upsert that would move a row out", abi.Upsert, row{int64(1), "private", "x", "new", nil}, abi.WriteResult{}, true},
			{"upsert of a row outside", abi.Upsert, row{int64(2), "general", "x", "new", nil}, abi.WriteResult{Unapplied: []int64{0}}, false},
			{"update that would move a row out", abi.Update, row{int64(1), "general", "x", "old", nil}, abi.WriteResult{}, true},
			{"update of a row outside", abi.Update, row{int64(2), "general", "x", "new", nil}, abi.WriteResult{Unapplied: []int64{0}}, false},
			{"update that would move a row in", abi.Update, row{int64(3), "general", "x", "new", nil}, abi.WriteResult{Unapplied: []int64{0}}, false},
		} {
			t.Run(test.name, func(t *testing.T) {
				s := start(t)
				// A row in front shows that all of the batch is undone.
				results, err := s.Write(testContext(t), []abi.Mutation{{Collection: "chat", Verb: abi.Update, Columns: strs("body"), Size: int64(len(Batch(strs("id", "body"), row{int64(1), "y"})))}, {Collection: "chat", Verb: test.verb}},
					append(Batch(strs("id", "body"), row{int64(1), "y"}), Batch(chatColumns, test.row)...), scope)
				after := chatRows()
				if test.fails {
					WantError(t, err, abi.NotGranted, "row 0", "granted")
				} else {
					if err != nil || !reflect.DeepEqual(results[1], test.result) {
						t.Fatalf("got %+v, %v, want %+v", results, err, test.result)
					}
					after[0][2] = "y"
					if test.result.Applied > 0 && test.row[0] == int64(1) {
						after[0] = test.row
					} else if test.result.Applied > 0 {
						after = append(after, test.row)
					}
				}
				want(t, s, all, after)
			})
		}
	})

	t.Run("a condition on a column that is gone", func(t *testing.T) {
		s := start(t)
		scope := data.NewScope(data.Grant{Collections: map[string]data.Rights{"chat": {
			Read: data.AllColumns(), Delete: true, Where: where("room_id", abi.Equal, "general"),
		}}}, nil)
		_, _, err := readAs(t, s, all, 4096, scope)
		WantError(t, err, abi.Internal) // for the log; a guest is not told
		_, err = s.Write(testContext(t), []abi.Mutation{{Collection: "chat", Verb: abi.Delete}}, Batch(strs("id"), row{int64(1)}), scope)
		WantError(t, err, abi.Internal)
		want(t, s, all, chatRows())
	})
}
