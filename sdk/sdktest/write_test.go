package sdktest_test

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

func TestMutations(t *testing.T) {
	t.Parallel()
	one := func() *sdk.Batch { return sdk.NewBatch("id", "v", "w") }
	tests := []struct {
		name string
		m    abi.Mutation
		rows *sdk.Batch
		want abi.WriteResult
		code abi.Code
		text string
		left [][]any
	}{
		{
			name: "delete what is as expected",
			m:    abi.Mutation{Verb: abi.Delete, Expect: []string{"v", "w"}},
			rows: one().Row().Int(1).Text("x").Null().Row().Int(2).Float(0).Int(5),
			want: abi.WriteResult{Applied: 2},
			left: [][]any{},
		},
		{
			name: "NULL is not expected to be a value",
			m:    abi.Mutation{Verb: abi.Delete, Expect: []string{"v", "w"}},
			rows: one().Row().Int(1).Text("x").Int(0),
			want: abi.WriteResult{Unapplied: []int64{0}},
		},
		{
			name: "text is not expected to be a blob",
			m:    abi.Mutation{Verb: abi.Delete, Expect: []string{"v"}},
			rows: one().Row().Int(1).Blob([]byte("x")).Null(),
			want: abi.WriteResult{Unapplied: []int64{0}},
		},
		{
			name: "a float is not expected to be an integer",
			m:    abi.Mutation{Verb: abi.Update, Expect: []string{"w"}, Columns: []string{"v"}},
			rows: one().Row().Int(2).Text("new").Float(5),
			want: abi.WriteResult{Unapplied: []int64{0}},
		},
		{
			name: "zero is not expected to be minus zero",
			m:    abi.Mutation{Verb: abi.Delete, Expect: []string{"v"}},
			rows: one().Row().Int(2).Float(math.Copysign(0, -1)).Null(),
			want: abi.WriteResult{Unapplied: []int64{0}},
		},
		{
			name: "update some columns",
			m:    abi.Mutation{Verb: abi.Update, Columns: []string{"w"}},
			rows: one().Row().Int(1).Text("new").Text("new").Row().Int(9).Null().Null(),
			want: abi.WriteResult{Applied: 1, Unapplied: []int64{1}},
			left: [][]any{{int64(1), "x", "new"}, {int64(2), 0.0, int64(5)}},
		},
		{
			name: "insert some columns",
			m:    abi.Mutation{Verb: abi.Insert, Columns: []string{"id", "w"}},
			rows: one().Row().Int(3).Text("not this").Text("this"),
			want: abi.WriteResult{Applied: 1},
			left: [][]any{{int64(1), "x", nil}, {int64(2), 0.0, int64(5)}, {int64(3), nil, "this"}},
		},
		{
			name: "upsert one row twice",
			m:    abi.Mutation{Verb: abi.Upsert},
			rows: one().Row().Int(3).Int(1).Null().Row().Int(3).Int(2).Null(),
			want: abi.WriteResult{Applied: 2},
			left: [][]any{{int64(1), "x", nil}, {int64(2), 0.0, int64(5)}, {int64(3), int64(2), nil}},
		},
		{
			name: "insert_new by another key",
			m:    abi.Mutation{Verb: abi.InsertNew, Key: []string{"v"}},
			rows: one().Row().Int(3).Text("x").Null().Row().Int(4).Text("y").Null(),
			want: abi.WriteResult{Applied: 1, Unapplied: []int64{0}},
			left: [][]any{{int64(1), "x", nil}, {int64(2), 0.0, int64(5)}, {int64(4), "y", nil}},
		},
		{
			name: "delete one row twice",
			m:    abi.Mutation{Verb: abi.Delete},
			rows: one().Row().Int(1).Null().Null().Row().Float(1).Null().Null(),
			want: abi.WriteResult{Applied: 1, Unapplied: []int64{1}},
			left: [][]any{{int64(2), 0.0, int64(5)}},
		},
		{name: "insert one row twice", m: abi.Mutation{Verb: abi.Insert}, rows: one().Row().Int(3).Null().Null().Row().Int(3).Null().Null(), code: abi.Conflict, text: "primary.t: row 1 exists already: 3"},
		{name: "insert NULL as the key", m: abi.Mutation{Verb: abi.Insert}, rows: one().Row().Null().Null().Null(), code: abi.Conflict, text: "row 0 has NULL in its primary key"},
		{name: "insert_new that takes the primary key of another", m: abi.Mutation{Verb: abi.InsertNew, Key: []string{"v"}}, rows: one().Row().Int(1).Text("y").Null(), code: abi.Conflict, text: "row 0 exists already"},
		{name: "unknown op", m: abi.Mutation{Verb: "replace"}, rows: one().Row().Int(1).Null().Null(), code: abi.InvalidArgument, text: `"replace"`},
		{name: "expect of an insert", m: abi.Mutation{Verb: abi.Insert, Expect: []string{"v"}}, rows: one(), code: abi.InvalidArgument, text: "insert takes no expect"},
		{name: "a key that the batch does not have", m: abi.Mutation{Verb: abi.Delete}, rows: sdk.NewBatch("v"), code: abi.InvalidArgument, text: `no column "id"`},
		{name: "a column that the table does not have", m: abi.Mutation{Verb: abi.Insert}, rows: sdk.NewBatch("id", "z"), code: abi.UnknownColumn, text: `primary.t has no column "z"`},
		{name: "columns that the batch does not have", m: abi.Mutation{Verb: abi.Insert, Columns: []string{"id", "w"}}, rows: sdk.NewBatch("id"), code: abi.InvalidArgument, text: `the batch has no column "w"`},
		{name: "unknown handle", m: abi.Mutation{Handle: "p", Verb: abi.Insert}, rows: one(), code: abi.UnknownHandle, text: `"p"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := sdktest.New(t)
			h.Table("primary", "t", []string{"id", "v", "w"}).Insert(1, "x", nil).Insert(2, 0.0, 5)
			m := test.m
			m.Collection = "t"
			if m.Handle == "" {
				m.Handle = "primary"
			}
			raw, err := test.rows.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			run(t, h, func(task *sdk.Task) error {
				got, err := task.Data.Write(m, raw)
				if abi.CodeOf(err) != test.code || !reflect.DeepEqual(got, test.want) || err != nil && !strings.Contains(err.Error(), test.text) {
					t.Errorf("got %+v, %v, want %+v, %s with %q", got, err, test.want, test.code, test.text)
				}
				return nil
			})
			left := test.left
			if left == nil {
				left = [][]any{{int64(1), "x", nil}, {int64(2), 0.0, int64(5)}}
			}
			if got := h.Rows("primary", "t"); !reflect.DeepEqual(got, left) {
				t.Errorf("got %v, want %v", got, left)
			}
		})
	}
}

func TestMutationsOnTwoHandles(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	h.Table("primary", "t", []string{"id"})
	h.Table("archive", "t", []string{"id"})
	raw, err := sdk.NewBatch("id").Row().Int(1).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	run(t, h, func(task *sdk.Task) error {
		_, err := task.Data.WriteAll(
			sdk.Change{Mutation: abi.Mutation{Handle: "primary", Collection: "t", Verb: abi.Insert}, Batch: raw},
			sdk.Change{Mutation: abi.Mutation{Handle: "archive", Collection: "t", Verb: abi.Insert}, Batch: raw},
		)
		if abi.CodeOf(err) != abi.InvalidArgument {
			t.Errorf("got %v, want invalid_argument: no transaction spans two databases", err)
		}
		return nil
	})
	if got := len(h.Rows("primary", "t")); got != 0 {
		t.Errorf("got %d rows, want none", got)
	}
}
