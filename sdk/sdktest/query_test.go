package sdktest_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

// run runs f as a worker that must succeed.
func run(t *testing.T, h *sdktest.Host, f func(t *sdk.Task) error) {
	t.Helper()
	if _, err := h.Run(sdk.WorkerFunc(f), sdktest.TaskOf("", nil)); err != nil {
		t.Fatal(err)
	}
}

// mixed is a table with a value of every class, named by its id in the order
// in which they sort.
func mixed(t *testing.T) *sdktest.Host {
	t.Helper()
	h := sdktest.New(t)
	table := h.Table("primary", "v", []string{"id", "v"})
	values := []any{
		nil, math.Inf(-1), int64(math.MinInt64), -0.5, 0, 0.5, 1, // a–g
		int64(1 << 53), int64(1<<53 + 1), math.Inf(1), // h–j
		"", "10", "A", "a", "ab", "ü", []byte{}, []byte{0}, []byte("a"), // k–s
	}
	for i := len(values) - 1; i >= 0; i-- {
		table.Insert(string(rune('a'+i)), values[i])
	}
	return h
}

func TestQuery(t *testing.T) {
	t.Parallel()
	asc := []abi.Order{{Column: "v"}}
	desc := []abi.Order{{Column: "v", Descending: true}}
	where := func(op abi.Op, v any) []abi.Condition { return []abi.Condition{{Column: "v", Op: op, Value: v}} }
	tests := []struct {
		name string
		q    abi.Query
		want string // the ids
		code abi.Code
		text string
	}{
		{name: "ascending", q: abi.Query{OrderBy: asc}, want: "abcdefghijklmnopqrs"},
		{name: "descending", q: abi.Query{OrderBy: desc}, want: "srqponmlkjihgfedcba"},
		{name: "limit", q: abi.Query{OrderBy: asc, Limit: 3}, want: "abc"},
		{name: "after", q: abi.Query{OrderBy: asc, After: []any{"a"}}, want: "opqrs"},
		{name: "after NULL", q: abi.Query{OrderBy: asc, After: []any{nil}, Limit: 2}, want: "bc"},
		{name: "after an int, as a float", q: abi.Query{OrderBy: asc, After: []any{float64(1 << 53)}, Limit: 1}, want: "i"},
		{name: "until", q: abi.Query{OrderBy: asc, Until: []any{0.25}}, want: "abcde"},
		{name: "until NULL", q: abi.Query{OrderBy: asc, Until: []any{nil}}, want: "a"},
		{name: "between", q: abi.Query{OrderBy: asc, After: []any{0}, Until: []any{""}}, want: "fghijk"},
		{name: "after, descending", q: abi.Query{OrderBy: desc, After: []any{-0.5}}, want: "cba"},
		{name: "until, descending", q: abi.Query{OrderBy: desc, Until: []any{[]byte{0}}}, want: "sr"},
		{name: "after two columns", q: abi.Query{OrderBy: []abi.Order{{Column: "v"}, {Column: "id"}}, After: []any{0, "d"}, Limit: 1}, want: "e"},

		{name: "equal", q: abi.Query{Where: where(abi.Equal, 1.0)}, want: "g"},
		{name: "equal to a bool", q: abi.Query{Where: where(abi.Equal, true)}, want: "g"},
		{name: "equal to a float that is near", q: abi.Query{OrderBy: asc, Where: where(abi.Equal, float64(1<<53))}, want: "h"},
		{name: "text is not a blob", q: abi.Query{Where: where(abi.Equal, []byte("a"))}, want: "s"},
		{name: "text is not a number", q: abi.Query{Where: where(abi.Equal, 10)}, want: ""},
		{name: "equal to NULL", q: abi.Query{Where: where(abi.Equal, nil)}, want: ""},
		{name: "not equal to NULL", q: abi.Query{Where: where(abi.NotEqual, nil)}, want: ""},
		{name: "not equal", q: abi.Query{OrderBy: asc, Where: where(abi.NotEqual, "a")}, want: "bcdefghijklmopqrs"},
		{name: "less", q: abi.Query{OrderBy: asc, Where: where(abi.Less, 0)}, want: "bcd"},
		{name: "less or equal", q: abi.Query{OrderBy: asc, Where: where(abi.LessOrEqual, 0)}, want: "bcde"},
		{name: "greater", q: abi.Query{OrderBy: asc, Where: where(abi.Greater, "ab")}, want: "pqrs"},
		{name: "greater or equal", q: abi.Query{OrderBy: asc, Where: where(abi.GreaterOrEqual, "ab")}, want: "opqrs"},
		{name: "in", q: abi.Query{OrderBy: asc, Where: where(abi.In, []any{"a", 0.0, nil, []byte{0}})}, want: "enr"},
		{name: "in nothing", q: abi.Query{Where: where(abi.In, []any{})}, want: ""},
		{name: "like", q: abi.Query{OrderBy: asc, Where: where(abi.Like, "a%")}, want: "nos"},
		{name: "like one character", q: abi.Query{OrderBy: asc, Where: where(abi.Like, "_")}, want: "egmnprs"},
		{name: "like a number's text", q: abi.Query{OrderBy: asc, Where: where(abi.Like, "0._")}, want: "f"},
		{name: "is NULL", q: abi.Query{Where: where(abi.IsNull, nil)}, want: "a"},
		{name: "is not NULL, and more", q: abi.Query{OrderBy: asc, Where: []abi.Condition{{Column: "v", Op: abi.NotNull}, {Column: "v", Op: abi.Less, Value: 0}}}, want: "bcd"},

		{name: "unknown handle", q: abi.Query{Handle: "p"}, code: abi.UnknownHandle, text: `"p"`},
		{name: "unknown collection", q: abi.Query{Collection: "w"}, code: abi.UnknownCollection, text: `primary has no table "w"`},
		{name: "unknown column", q: abi.Query{Columns: []string{"id", "w"}}, code: abi.UnknownColumn, text: `primary.v has no column "w"`},
		{name: "unknown column in the filter", q: abi.Query{Where: []abi.Condition{{Column: "w", Op: abi.IsNull}}}, code: abi.UnknownColumn, text: `"w"`},
		{name: "unknown column in the order", q: abi.Query{OrderBy: []abi.Order{{Column: "w"}}}, code: abi.UnknownColumn, text: `"w"`},
		{name: "unknown operator", q: abi.Query{Where: where("~", 1)}, code: abi.InvalidArgument, text: `"~"`},
		{name: "in what is no list", q: abi.Query{Where: where(abi.In, 1)}, code: abi.InvalidArgument, text: "takes a list"},
		{name: "compared with a list", q: abi.Query{Where: where(abi.Equal, []any{1})}, code: abi.InvalidArgument, text: `"v" is compared with`},
		{name: "a negative limit", q: abi.Query{Limit: -1}, code: abi.InvalidArgument, text: "limit: it is negative"},
		{name: "after without an order", q: abi.Query{After: []any{1}}, code: abi.InvalidArgument, text: "after has 1 values for an order of 0"},
		{name: "until with too few values", q: abi.Query{OrderBy: []abi.Order{{Column: "v"}, {Column: "id"}}, Until: []any{1}}, code: abi.InvalidArgument, text: "until has 1 values for an order of 2"},
		{name: "until a list", q: abi.Query{OrderBy: asc, Until: []any{[]any{}}}, code: abi.InvalidArgument, text: `"v"`},
		{name: "a key without lookup", q: abi.Query{Key: []string{"id"}}, code: abi.InvalidArgument, text: "key"},
		{name: "lookup with a limit", q: abi.Query{Lookup: []byte{0x91, 0xa2, 'i', 'd'}, Limit: 1}, code: abi.InvalidArgument, text: "lookup"},
		{name: "lookup of a batch without the key", q: abi.Query{Lookup: []byte{0x91, 0xa1, 'v'}}, code: abi.InvalidArgument, text: `the batch has no column "id"`},
		{name: "lookup of garbage", q: abi.Query{Lookup: []byte{0xc1}}, code: abi.InvalidArgument, text: "batch"},
		{name: "aggregates with an order", q: abi.Query{OrderBy: asc, Aggregates: []abi.Aggregate{{Func: "count"}}}, code: abi.InvalidArgument, text: "aggregates: go with where only"},
		{name: "no columns", q: abi.Query{Columns: []string{}}, code: abi.InvalidArgument, text: "columns: an empty list"},
		{name: "unknown aggregate", q: abi.Query{Aggregates: []abi.Aggregate{{Func: "sum", Column: "v"}}}, code: abi.InvalidArgument, text: `"sum"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			q := test.q
			if q.Handle == "" {
				q.Handle = "primary"
			}
			if q.Collection == "" {
				q.Collection = "v"
			}
			run(t, mixed(t), func(task *sdk.Task) error {
				got, err := ids(task, q)
				if abi.CodeOf(err) != test.code || got != test.want || err != nil && !strings.Contains(err.Error(), test.text) {
					t.Errorf("got %q, %v, want %q, %s with %q", got, err, test.want, test.code, test.text)
				}
				return nil
			})
		})
	}
}

func ids(task *sdk.Task, q abi.Query) (string, error) {
	rows, err := task.Data.ListRows(q)
	var all []string
	for i := range rows {
		id, err := rows[i].Text("id")
		if err != nil {
			return "", err
		}
		all = append(all, id)
	}
	return strings.Join(all, ""), err
}

func TestAggregatesOfMixedValues(t *testing.T) {
	t.Parallel()
	run(t, mixed(t), func(task *sdk.Task) error {
		q := abi.Query{Handle: "primary", Collection: "v"}
		n, err1 := task.Data.CountRows(q)
		low, err2 := task.Data.Min(q, "v")
		high, err3 := task.Data.Max(q, "v")
		if n != 19 || low != math.Inf(-1) || string(high.([]byte)) != "a" {
			t.Errorf("got %d, %v, %v", n, low, high)
		}
		return errors.Join(err1, err2, err3)
	})
}

func TestLookupByKeyAsSQLComparesIt(t *testing.T) {
	t.Parallel()
	run(t, mixed(t), func(task *sdk.Task) error {
		b := sdk.NewBatch("v")
		b.Row().Float(1).Row().Null().Row().Text("a").Row().Int(0).Row().Int(99)
		raw, err := b.Bytes()
		if err != nil {
			return err
		}
		got, err := ids(task, abi.Query{Handle: "primary", Collection: "v", Columns: []string{"id"}, Lookup: raw, Key: []string{"v"}})
		if got != "gne" {
			t.Errorf("got %q, want gne", got)
		}
		return err
	})
}

// A key that is not unique is noticed when it matters.
func TestAmbiguousKey(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	h.Table("primary", "v", []string{"id", "v"}).Insert("a", 1).Insert("b", 1.0).Insert("c", 2)
	run(t, h, func(task *sdk.Task) error {
		for _, v := range []int64{1, 2} {
			want := abi.OK
			if v == 1 {
				want = abi.Conflict
			}
			b := sdk.NewBatch("v")
			b.Row().Int(v)
			raw, err := b.Bytes()
			if err != nil {
				return err
			}
			if _, err := ids(task, abi.Query{Handle: "primary", Collection: "v", Lookup: raw, Key: []string{"v"}}); abi.CodeOf(err) != want {
				t.Errorf("lookup of %d: got %v, want %s", v, err, want)
			}
			if _, err := task.Data.DeleteRows("primary", "v", b, "v"); abi.CodeOf(err) != want {
				t.Errorf("delete of %d: got %v, want %s", v, err, want)
			}
		}
		return nil
	})
}

// However small the buffer, a batch has whole rows only, and a row that does
// not fit is waiting in full.
func TestBatchesFitTheBuffer(t *testing.T) {
	t.Parallel()
	for limit := 1; limit < 60; limit++ {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			h := mixed(t)
			h.BufferLimit(limit)
			run(t, h, func(task *sdk.Task) error {
				q := abi.Query{Handle: "primary", Collection: "v", OrderBy: []abi.Order{{Column: "v"}}}
				batches, err := task.Data.Batches(q, make([]byte, 64))
				if err != nil {
					return err
				}
				var sizes []int
				for {
					b, err := batches.NextBatch()
					if err != nil {
						return err
					}
					if b == nil {
						break
					}
					sizes = append(sizes, len(b))
				}
				if slices.Max(sizes) > max(limit, 20) {
					t.Errorf("got batches of %v bytes with a buffer of %d", sizes, limit)
				}
				got, err := ids(task, q)
				if got != "abcdefghijklmnopqrs" {
					t.Errorf("got %q", got)
				}
				return err
			})
		})
	}
}
