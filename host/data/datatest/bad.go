package datatest

import (
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
)

func testBadQueries(t *testing.T, open opener) {
	s := open(t, people, `CREATE TABLE loose (a BIGINT)`)
	insert(t, s, "people", peopleColumns, peopleRows...)
	id := Batch(strs("id"), row{int64(1)})
	for _, test := range []struct {
		name  string
		query abi.Query
		code  abi.Code
		words []string
	}{
		{"unknown collection", abi.Query{Collection: "nobody"}, abi.UnknownCollection, strs(`"nobody"`)},
		{"a collection that is SQL", abi.Query{Collection: `people"; DROP TABLE people; --`}, abi.UnknownCollection, nil},
		{"no collection", abi.Query{}, abi.UnknownCollection, nil},
		{"unknown column", abi.Query{Columns: strs("id", "nose")}, abi.UnknownColumn, strs("people", `"nose"`)},
		{"unknown column in where", abi.Query{Where: where("nose", abi.Equal, nil)}, abi.UnknownColumn, strs(`"nose"`)},
		{"unknown column in order_by", abi.Query{OrderBy: by("nose")}, abi.UnknownColumn, strs(`"nose"`)},
		{"unknown column in an aggregate", abi.Query{Aggregates: []abi.Aggregate{{Func: "min", Column: "nose"}}}, abi.UnknownColumn, strs(`"nose"`)},
		{"unknown column in a key", abi.Query{Lookup: id, Key: strs("nose")}, abi.UnknownColumn, strs(`"nose"`)},
		{"a column that is SQL", abi.Query{Columns: strs("id FROM people; --")}, abi.UnknownColumn, nil},
		{"a column twice", abi.Query{Columns: strs("id", "id")}, abi.InvalidArgument, strs("columns", `"id"`)},
		{"an empty list of columns", abi.Query{Columns: []string{}}, abi.InvalidArgument, strs("columns")},
		{"negative limit", abi.Query{Limit: -1}, abi.InvalidArgument, strs("limit")},
		{"unknown operator", abi.Query{Where: where("id", "~", int64(1))}, abi.InvalidArgument, strs("where", `"id"`, `"~"`)},
		{"equal to a list", abi.Query{Where: where("id", abi.Equal, []any{})}, abi.InvalidArgument, strs("where", `"id"`)},
		{"in without a list", abi.Query{Where: where("id", abi.In, int64(1))}, abi.InvalidArgument, strs("where", `"id"`)},
		{"in with a list of lists", abi.Query{Where: where("id", abi.In, []any{[]any{}})}, abi.InvalidArgument, strs("where", `"id"`)},
		{"in with too long a list", abi.Query{Where: where("id", abi.In, make([]any, data.MaxValues+1))}, abi.LimitExceeded, strs("values")},
		{"like a number", abi.Query{Where: where("name", abi.Like, int64(1))}, abi.InvalidArgument, strs("where", `"name"`)},
		{"like too long a pattern", abi.Query{Where: where("name", abi.Like, strings.Repeat("%", data.MaxPattern+1))}, abi.LimitExceeded, strs("pattern")},
		{"too many conditions", abi.Query{Where: make([]abi.Condition, data.MaxConditions+1)}, abi.LimitExceeded, strs("where")},
		{"order_by with a column twice", abi.Query{OrderBy: by("id", "-id")}, abi.InvalidArgument, strs("order_by", `"id"`)},
		{"after without order_by", abi.Query{After: []any{int64(1)}}, abi.InvalidArgument, strs("after")},
		{"after with too few values", abi.Query{OrderBy: by("age", "id"), After: []any{int64(1)}}, abi.InvalidArgument, strs("after")},
		{"until with too many values", abi.Query{OrderBy: by("id"), Until: []any{int64(1), nil}}, abi.InvalidArgument, strs("until")},
		{"after a map", abi.Query{OrderBy: by("id"), After: []any{map[string]any{}}}, abi.InvalidArgument, strs("after")},
		{"unknown aggregate", abi.Query{Aggregates: []abi.Aggregate{{Func: "sum", Column: "id"}}}, abi.InvalidArgument, strs("aggregates", `"sum"`)},
		{"aggregates with columns", abi.Query{Columns: strs("id"), Aggregates: []abi.Aggregate{{Func: "count"}}}, abi.InvalidArgument, strs("aggregates")},
		{"aggregates with a limit", abi.Query{Limit: 1, Aggregates: []abi.Aggregate{{Func: "count"}}}, abi.InvalidArgument, strs("aggregates")},
		{"lookup with where", abi.Query{Lookup: id, Where: where("id", abi.Equal, int64(1))}, abi.InvalidArgument, strs("lookup")},
		{"lookup with order_by", abi.Query{Lookup: id, OrderBy: by("id")}, abi.InvalidArgument, strs("lookup")},
		{"lookup with a limit", abi.Query{Lookup: id, Limit: 1}, abi.InvalidArgument, strs("lookup")},
		{"lookup with aggregates", abi.Query{Lookup: id, Aggregates: []abi.Aggregate{{Func: "count"}}}, abi.InvalidArgument, nil},
		{"key without lookup", abi.Query{Key: strs("id")}, abi.InvalidArgument, strs("key")},
		{"lookup without the key's column", abi.Query{Lookup: Batch(strs("name"), row{"ann"})}, abi.InvalidArgument, strs("key", `"id"`)},
		{"lookup where there is no primary key", abi.Query{Collection: "loose", Lookup: Batch(strs("a"), row{int64(1)})}, abi.InvalidArgument, strs("loose", "key")},
		{"params without a name", abi.Query{Params: map[string]any{}}, abi.InvalidArgument, strs("params")},
		{"describe with columns", abi.Query{Describe: true, Columns: strs("id")}, abi.InvalidArgument, strs("describe")},
		{"describe with a limit", abi.Query{Describe: true, Limit: 1}, abi.InvalidArgument, strs("describe")},
		{"describe what is not there", abi.Query{Describe: true, Collection: "nobody"}, abi.UnknownCollection, strs(`"nobody"`)},
		{"exists of too much", abi.Query{OrderBy: by("id"), Aggregates: []abi.Aggregate{{Func: "exists"}}}, abi.InvalidArgument, strs("aggregates")},
		{"lookup that is no batch", abi.Query{Lookup: []byte{0xc1}}, abi.InvalidArgument, strs("lookup")},
		{"lookup with a row too short", abi.Query{Lookup: Batch(strs("id", "name"), row{int64(1)})}, abi.InvalidArgument, strs("row 0")},
		{"lookup with a column twice", abi.Query{Lookup: Batch(strs("id", "id"), row{int64(1), int64(2)})}, abi.InvalidArgument, strs(`"id"`)},
		{"lookup with a number too large", abi.Query{Lookup: append(Batch(strs("id")), 0x91, 0xcf, 255, 255, 255, 255, 255, 255, 255, 255)}, abi.InvalidArgument, strs("row 0")},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.query.Collection == "" && test.name != "no collection" {
				test.query.Collection = "people"
			}
			_, _, err := read(t, s, test.query, 4096)
			WantError(t, err, test.code, test.words...)
		})
	}
	// None of them did any harm.
	want(t, s, abi.Query{Collection: "people", Aggregates: []abi.Aggregate{{Func: "count"}}}, list(row{int64(len(peopleRows))}))
}

func testBadWrites(t *testing.T, open opener) {
	s := open(t, notes, `CREATE VIEW titles AS SELECT id, body FROM notes`, `CREATE TABLE loose (a BIGINT)`)
	insert(t, s, "notes", notesColumns, row{"a", nil, "a", nil})
	good := Batch(notesColumns, row{"b", nil, "b", nil})
	for _, test := range []struct {
		name     string
		mutation abi.Mutation
		batch    []byte
		code     abi.Code
		words    []string
	}{
		{"unknown collection", abi.Mutation{Collection: "nobody", Verb: abi.Insert}, good, abi.UnknownCollection, strs(`"nobody"`)},
		{"unknown collection without rows", abi.Mutation{Collection: "nobody", Verb: abi.Insert}, nil, abi.UnknownCollection, strs(`"nobody"`)},
		{"a view", abi.Mutation{Collection: "titles", Verb: abi.Insert}, Batch(strs("id"), row{"b"}), abi.ReadOnly, strs("titles")},
		{"unknown verb", abi.Mutation{Verb: "replace"}, good, abi.InvalidArgument, strs(`"replace"`)},
		{"unknown column in the batch", abi.Mutation{Verb: abi.Insert}, Batch(strs("id", "nose"), row{"b", nil}), abi.UnknownColumn, strs("notes", `"nose"`)},
		{"unknown column named", abi.Mutation{Verb: abi.Insert, Columns: strs("nose")}, good, abi.UnknownColumn, strs(`"nose"`)},
		{"column that is not in the batch", abi.Mutation{Verb: abi.Insert, Columns: strs("id", "version")}, Batch(strs("id"), row{"b"}), abi.InvalidArgument, strs(`"version"`)},
		{"column twice", abi.Mutation{Verb: abi.Insert, Columns: strs("id", "id")}, good, abi.InvalidArgument, strs(`"id"`)},
		{"column twice in the batch", abi.Mutation{Verb: abi.Insert}, Batch(strs("id", "id"), row{"b", "c"}), abi.InvalidArgument, strs(`"id"`)},
		{"key that is not in the batch", abi.Mutation{Verb: abi.Delete}, Batch(strs("body"), row{"b"}), abi.InvalidArgument, strs(`"id"`)},
		{"unknown key", abi.Mutation{Verb: abi.Delete, Key: strs("nose")}, good, abi.UnknownColumn, strs(`"nose"`)},
		{"key where there is none", abi.Mutation{Collection: "loose", Verb: abi.Delete}, Batch(strs("a"), row{int64(1)}), abi.InvalidArgument, strs("loose", "key")},
		{"key that is not unique", abi.Mutation{Verb: abi.InsertNew, Key: strs("body")}, good, abi.InvalidArgument, strs("body")},
		{"key that is not written", abi.Mutation{Verb: abi.Upsert, Columns: strs("body")}, good, abi.InvalidArgument, strs("key", `"id"`)},
		{"nothing to update", abi.Mutation{Verb: abi.Update}, Batch(strs("id"), row{"a"}), abi.InvalidArgument, strs("columns")},
		{"expect with insert", abi.Mutation{Verb: abi.Insert, Expect: strs("body")}, good, abi.InvalidArgument, strs("expect")},
		{"expect of an unknown column", abi.Mutation{Verb: abi.Delete, Expect: strs("nose")}, good, abi.UnknownColumn, strs(`"nose"`)},
		{"expect of a column not in the batch", abi.Mutation{Verb: abi.Delete, Expect: strs("body")}, Batch(strs("id"), row{"a"}), abi.InvalidArgument, strs(`"body"`)},
		{"an empty key", abi.Mutation{Verb: abi.Delete, Key: []string{}}, good, abi.InvalidArgument, strs("key")},
		{"garbage", abi.Mutation{Verb: abi.Insert}, []byte{0xc1, 0xff}, abi.InvalidArgument, nil},
		{"a row too long", abi.Mutation{Verb: abi.Insert}, Batch(strs("id", "body"), row{"b", "b"}, row{"c", "c", "c"}), abi.InvalidArgument, strs("row 1")},
		{"a row that is cut off", abi.Mutation{Verb: abi.Insert}, good[:len(good)-3], abi.InvalidArgument, strs("row 0")},
		{"a value that is a list", abi.Mutation{Verb: abi.Insert}, Batch(strs("id", "body"), row{"b", []any{}}), abi.InvalidArgument, strs("row 0")},
		{"an integer too large", abi.Mutation{Verb: abi.Insert}, append(Batch(strs("version")), 0x91, 0xcf, 255, 255, 255, 255, 255, 255, 255, 255), abi.InvalidArgument, strs("row 0")},
		{"a size beyond the rows", abi.Mutation{Verb: abi.Insert, Size: int64(len(good)) + 1}, good, abi.InvalidArgument, strs("size")},
		{"a negative size", abi.Mutation{Verb: abi.Insert, Size: -1}, good, abi.InvalidArgument, strs("size")},
		{"bytes behind the rows", abi.Mutation{Verb: abi.Insert, Size: int64(len(good))}, append(good[:len(good):len(good)], 0xc0), abi.InvalidArgument, strs("behind")},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.mutation.Collection == "" {
				test.mutation.Collection = "notes"
			}
			_, err := s.Write(testContext(t), []abi.Mutation{test.mutation}, test.batch, data.Everything())
			WantError(t, err, test.code, test.words...)
		})
	}
	_, err := s.Write(testContext(t), make([]abi.Mutation, data.MaxMutations+1), nil, data.Everything())
	WantError(t, err, abi.LimitExceeded, "mutations")
	want(t, s, abi.Query{Collection: "notes", Columns: strs("id")}, list(row{"a"}))
}
