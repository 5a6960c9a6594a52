package sdk_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

// notes has n rows, every third of which is large.
func notes(t *testing.T, n int) *sdktest.Host {
	t.Helper()
	h := sdktest.New(t)
	table := h.Table("primary", "notes", []string{"id", "body", "stars", "score", "media"}, "id")
	for i := range n {
		body := any(fmt.Sprintf("note %d", i))
		if i%3 == 1 {
			body = strings.Repeat("x", 300)
		}
		if i%3 == 2 {
			body = nil
		}
		table.Insert(i, body, i*10, float64(i)/4, []byte{byte(i)})
	}
	return h
}

var inOrder = abi.Query{Handle: "primary", Collection: "notes", OrderBy: []abi.Order{{Column: "id"}}}

func TestRows(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, 1, 64, 350, 1000} {
		t.Run(fmt.Sprintf("buffer %d", limit), func(t *testing.T) {
			t.Parallel()
			h := notes(t, 30)
			h.BufferLimit(limit)
			res, err := withTask(t, h, sdktest.TaskOf("", nil), func(task *sdk.Task) error {
				rows, err := task.Data.Rows(inOrder)
				if err != nil {
					return err
				}
				n := int64(0)
				for ; rows.Next(); n++ {
					row := rows.Row()
					// From right to left and back, so that no order of reading matters.
					media, err1 := row.Bytes("media")
					score, err2 := row.Float("score")
					id, err3 := row.Int("id")
					stars, err4 := row.Int("stars")
					if err := errors.Join(err1, err2, err3, err4); err != nil {
						return err
					}
					if id != n || stars != 10*n || score != float64(n)/4 || len(media) != 1 || media[0] != byte(n) {
						t.Errorf("row %d: got %d, %d, %v, %v", n, id, stars, score, media)
					}
					if got, want := row.IsNull("body"), n%3 == 2; got != want {
						t.Errorf("row %d: body is NULL: got %v, want %v", n, got, want)
					}
					if text, err := row.Text("body"); n%3 == 0 && (err != nil || text != fmt.Sprintf("note %d", n)) {
						t.Errorf("row %d: got %q, %v", n, text, err)
					}
				}
				if n != 30 {
					t.Errorf("got %d rows, want 30", n)
				}
				if rows.Next() {
					t.Error("there is a row behind the end")
				}
				return errors.Join(rows.Err(), rows.Close())
			})
			if err != nil {
				t.Fatal(err)
			}
			if res.OpenCursors != 0 {
				t.Errorf("%d queries were left open", res.OpenCursors)
			}
		})
	}
}

func TestRowConversions(t *testing.T) {
	t.Parallel()
	bad := func(column, reason string) string {
		return fmt.Sprintf("invalid_argument: column %q %s", column, reason)
	}
	tests := []struct {
		name string
		get  func(r *sdk.Row) (any, error)
		want any // a string with a colon is an error's text
	}{
		{"int", func(r *sdk.Row) (any, error) { return r.Int("int") }, int64(7)},
		{"whole float as int", func(r *sdk.Row) (any, error) { return r.Int("whole") }, int64(7)},
		{"fraction as int", func(r *sdk.Row) (any, error) { return r.Int("half") }, bad("half", "is no whole number of 64 bits")},
		{"text as int", func(r *sdk.Row) (any, error) { return r.Int("text") }, bad("text", "is no whole number of 64 bits")},
		{"NULL as int", func(r *sdk.Row) (any, error) { return r.Int("null") }, bad("null", "is NULL")},
		{"float", func(r *sdk.Row) (any, error) { return r.Float("half") }, 0.5},
		{"int as float", func(r *sdk.Row) (any, error) { return r.Float("int") }, 7.0},
		{"blob as float", func(r *sdk.Row) (any, error) { return r.Float("blob") }, bad("blob", "is no number")},
		{"text", func(r *sdk.Row) (any, error) { return r.Text("text") }, "seven"},
		{"blob as text", func(r *sdk.Row) (any, error) { return r.Text("blob") }, bad("blob", "is no text")},
		{"NULL as text", func(r *sdk.Row) (any, error) { return r.Text("null") }, bad("null", "is NULL")},
		{"blob", func(r *sdk.Row) (any, error) { return r.Bytes("blob") }, []byte("se\x00ven")},
		{"text as bytes", func(r *sdk.Row) (any, error) { return r.Bytes("text") }, []byte("seven")},
		{"int as bytes", func(r *sdk.Row) (any, error) { return r.Bytes("int") }, bad("int", "is neither a blob nor text")},
		{"value of NULL", func(r *sdk.Row) (any, error) { return r.Value("null") }, nil},
		{"value of a float", func(r *sdk.Row) (any, error) { return r.Value("whole") }, 7.0},
		{"NULL", func(r *sdk.Row) (any, error) { return r.IsNull("null") && !r.IsNull("int") && !r.IsNull("other"), nil }, true},
		{"a column that is not there", func(r *sdk.Row) (any, error) { return r.Value("other") }, `unknown_column: the rows have no column "other"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := sdktest.New(t)
			h.Table("primary", "v", []string{"id", "int", "whole", "half", "text", "blob", "null"}).
				Insert(1, 7, 7.0, 0.5, "seven", []byte("se\x00ven"), nil)
			must(t, h, func(task *sdk.Task) error {
				list, err := task.Data.ListRows(abi.Query{Handle: "primary", Collection: "v"})
				if err != nil {
					return err
				}
				got, err := test.get(&list[0])
				if err != nil {
					got = err.Error()
				}
				if !reflect.DeepEqual(got, test.want) {
					t.Errorf("got %#v, want %#v", got, test.want)
				}
				return nil
			})
		})
	}
}

func TestFields(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	h.Table("primary", "v", []string{"id", "half", "text", "blob", "null"}).
		Insert(1, 0.5, "seven", []byte("se\x00ven"), nil)
	must(t, h, func(task *sdk.Task) error {
		rows, err := task.Data.Rows(abi.Query{Handle: "primary", Collection: "v"})
		if err != nil || !rows.Next() {
			return errors.Join(err, errors.New("there is no row"))
		}
		row := rows.Row()
		for i, want := range []struct {
			kind  wire.Kind
			value any
		}{
			{wire.KindInt, int64(1)}, {wire.KindFloat, 0.5}, {wire.KindString, "seven"}, {wire.KindBytes, []byte("se\x00ven")}, {wire.KindNil, nil},
		} {
			f := row.Field(i)
			v, err := f.Value()
			if f.Kind() != want.kind || f.IsNull() != (want.value == nil) || err != nil || !reflect.DeepEqual(v, want.value) {
				t.Errorf("field %d: kind %d, got %#v, %v", i, f.Kind(), v, err)
			}
		}
		if b, err := row.Field(2).Bytes(); string(b) != "seven" || cap(b) != len(b) || err != nil {
			t.Errorf("got %q with capacity %d, %v", b, cap(b), err)
		}
		for _, i := range []int{-1, 5, math.MaxInt} {
			f := row.Field(i)
			if _, err := f.Bytes(); f.Kind() != wire.KindInvalid || f.IsNull() || err == nil || err.Error() != "is not there" {
				t.Errorf("field %d: kind %d, error %v", i, f.Kind(), err)
			}
			if v, err := f.Value(); err == nil || err.Error() != "is not there" {
				t.Errorf("field %d has the value %v, error %v", i, v, err)
			}
		}
		return rows.Close()
	})
}

// Columns may be asked for in any order and as often as one likes, and each row
// in another way.
func TestColumnsInAnyOrder(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	h.Table("primary", "v", []string{"id", "a", "b", "c"}).Insert(0, 1, 2, 3).Insert(4, 5, 6, 7)
	must(t, h, func(task *sdk.Task) error {
		rows, err := task.Data.Rows(abi.Query{Handle: "primary", Collection: "v", OrderBy: []abi.Order{{Column: "id"}}})
		if err != nil {
			return err
		}
		names := []string{"id", "a", "b", "c"}
		for base := int64(0); rows.Next(); base += 4 {
			for _, i := range slices.Repeat([]int{3, 0, 0, 1, 3, 2, 2, 1, 0, 2}, int(10-base)) {
				if _, err := rows.Row().Int("other"); err == nil {
					t.Error("there is a column that is not there")
				}
				if v, err := rows.Row().Int(names[i]); v != base+int64(i) || err != nil {
					t.Errorf("column %q: got %d, %v, want %d", names[i], v, err, base+int64(i))
				}
			}
		}
		return rows.Err()
	})
}

func TestExistsDescribeAndNamedQueries(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	h.Table("primary", "notes", []string{"room", "id", "body"}, "id", "room").Insert("a", 1, "x")
	h.Table("primary", "empty", []string{"id"})
	var given map[string]any
	h.Query("recent", func(params map[string]any) ([]string, [][]any, error) {
		given = params
		return []string{"id", "n"}, [][]any{{"a", 1}, {"b", nil}}, nil
	})
	must(t, h, func(task *sdk.Task) error {
		for collection, want := range map[string]bool{"notes": true, "empty": false} {
			if got, err := task.Data.Exists(abi.Query{Handle: "primary", Collection: collection}); err != nil || got != want {
				t.Errorf("Exists in %s: %t, %v", collection, got, err)
			}
		}
		column := func(collection, name string, key int) sdk.Column {
			return sdk.Column{Collection: collection, Name: name, Affinity: "blob", Nullable: true, Key: key, Read: true, Insert: true, Update: true, Delete: true}
		}
		notes := []sdk.Column{column("notes", "room", 2), column("notes", "id", 1), column("notes", "body", 0)}
		if got, err := task.Data.Describe("primary", "notes"); err != nil || !reflect.DeepEqual(got, notes) {
			t.Errorf("Describe: %+v, %v", got, err)
		}
		if got, err := task.Data.Describe("primary", ""); err != nil || !reflect.DeepEqual(got, append([]sdk.Column{column("empty", "id", 1)}, notes...)) {
			t.Errorf("Describe all: %+v, %v", got, err)
		}
		_, err := task.Data.Describe("primary", "nought")
		if !errors.Is(err, abi.UnknownCollection) {
			t.Errorf("Describe of what is not there: %v", err)
		}

		params := map[string]any{"room": "a", "most": int64(5), "since": nil}
		rows, err := task.Data.Query("recent", params)
		if err != nil {
			return err
		}
		n := 0
		for ; rows.Next(); n++ {
		}
		if rows.Err() != nil || n != 2 || !reflect.DeepEqual(given, params) {
			t.Errorf("%d rows, %v, for %v", n, rows.Err(), given)
		}
		for name, q := range map[string]abi.Query{
			"a list":        {Named: "recent", Params: map[string]any{"room": []any{}}},
			"with a limit":  {Named: "recent", Limit: 1},
			"params alone":  {Handle: "primary", Collection: "notes", Params: map[string]any{"a": nil}},
			"describe some": {Handle: "primary", Collection: "notes", Describe: true, Columns: []string{"id"}},
		} {
			if _, err := task.Data.Rows(q); !errors.Is(err, abi.InvalidArgument) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := task.Data.Query("other", nil); !errors.Is(err, abi.NotGranted) {
			t.Errorf("a query that is not there: %v", err)
		}
		return nil
	})
}

func TestListRowsStayValid(t *testing.T) {
	t.Parallel()
	h := notes(t, 40)
	h.BufferLimit(400)
	must(t, h, func(task *sdk.Task) error {
		list, err := task.Data.ListRows(inOrder)
		if err != nil {
			return err
		}
		if len(list) != 40 {
			t.Errorf("got %d rows, want 40", len(list))
		}
		for i := range list {
			if id, err := list[i].Int("id"); err != nil || id != int64(i) {
				t.Errorf("row %d: got %d, %v", i, id, err)
			}
		}
		return nil
	})
}

func TestClosedEarly(t *testing.T) {
	t.Parallel()
	h := notes(t, 10)
	res, err := withTask(t, h, sdktest.TaskOf("", nil), func(task *sdk.Task) error {
		rows, err := task.Data.Rows(inOrder)
		if err != nil {
			return err
		}
		if !rows.Next() {
			t.Error("there is no row")
		}
		if err := errors.Join(rows.Close(), rows.Close()); err != nil {
			return err
		}
		if rows.Next() {
			t.Error("there is a row after Close")
		}
		return rows.Err()
	})
	if err != nil || res.OpenCursors != 0 {
		t.Errorf("got %v and %d open queries", err, res.OpenCursors)
	}
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	h := notes(t, 10)
	h.BufferLimit(200)
	gone := abi.Errorf(abi.Corrupt, "primary: page 7 is damaged")
	res, err := withTask(t, h, sdktest.TaskOf("", nil), func(task *sdk.Task) error {
		if _, err := task.Data.Rows(abi.Query{Handle: "nowhere", Collection: "notes"}); !errors.Is(err, abi.UnknownHandle) || !strings.Contains(err.Error(), `"nowhere"`) {
			t.Errorf("open: got %v", err)
		}
		unsendable := inOrder
		unsendable.Where = []abi.Condition{{Column: "id", Op: abi.Equal, Value: struct{}{}}}
		if _, err := task.Data.Rows(unsendable); !errors.Is(err, abi.InvalidArgument) {
			t.Errorf("a value that cannot be sent: got %v", err)
		}
		rows, err := task.Data.Rows(inOrder)
		if err != nil {
			return err
		}
		n := 0
		for rows.Next() {
			if n++; n == 1 {
				h.FailNext(abi.ImportRowsNext, gone)
			}
		}
		if n != 1 || rows.Err() == nil || rows.Err().Error() != gone.Error() {
			t.Errorf("next: got %d rows and %v, want 1 and %v", n, rows.Err(), gone)
		}
		h.FailNext(abi.ImportRowsNext, gone)
		if _, err := task.Data.CountRows(abi.Query{Handle: "primary", Collection: "notes"}); !errors.Is(err, abi.Corrupt) {
			t.Errorf("count: got %v, want corrupt", err)
		}
		h.FailNext(abi.ImportRowsNext, gone)
		if _, err := task.Data.ListRows(inOrder); !errors.Is(err, abi.Corrupt) {
			t.Errorf("list: got %v, want corrupt", err)
		}
		return nil
	})
	if err != nil || res.OpenCursors != 0 {
		t.Errorf("got %v and %d open queries", err, res.OpenCursors)
	}
}

func TestAggregates(t *testing.T) {
	t.Parallel()
	h := notes(t, 12)
	res, err := withTask(t, h, sdktest.TaskOf("", nil), func(task *sdk.Task) error {
		q := abi.Query{Handle: "primary", Collection: "notes", Where: []abi.Condition{{Column: "id", Op: abi.GreaterOrEqual, Value: 4}}}
		n, err1 := task.Data.CountRows(q)
		lowest, err2 := task.Data.Min(q, "score")
		highest, err3 := task.Data.Max(q, "body")
		q.Where = []abi.Condition{{Column: "body", Op: abi.IsNull}}
		none, err4 := task.Data.Max(q, "body")
		if n != 8 || lowest != 1.0 || highest != strings.Repeat("x", 300) || none != nil {
			t.Errorf("got %v, %v, %v, %v", n, lowest, highest, none)
		}
		return errors.Join(err1, err2, err3, err4)
	})
	if err != nil || res.OpenCursors != 0 {
		t.Errorf("got %v and %d open queries", err, res.OpenCursors)
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	must(t, notes(t, 9), func(task *sdk.Task) error {
		keys := sdk.NewBatch("stars")
		for _, v := range []int64{80, 5, 0, 30} {
			keys.Row().Int(v)
		}
		b, err := keys.Bytes()
		if err != nil {
			return err
		}
		rows, err := task.Data.Lookup("primary", "notes", b, "stars")
		if err != nil {
			return err
		}
		var got []int64
		for rows.Next() {
			id, err := rows.Row().Int("id")
			if err != nil {
				return err
			}
			got = append(got, id)
		}
		if want := []int64{8, 0, 3}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		return rows.Err()
	})
}

// What is read as raw batches and written back is the same to the byte.
func TestForwardBatches(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, 200} {
		h := notes(t, 50)
		h.BufferLimit(limit)
		h.Table("archive", "notes", []string{"media", "id", "body", "stars", "score"}, "id")
		must(t, h, func(task *sdk.Task) error {
			batches, err := task.Data.Batches(inOrder, make([]byte, 0, 512))
			if err != nil {
				return err
			}
			for n := 0; ; n++ {
				b, err := batches.NextBatch()
				if err != nil {
					return err
				}
				if b == nil {
					if n < 5 {
						t.Errorf("got %d batches, want several", n)
					}
					break
				}
				if _, err := task.Data.Write(abi.Mutation{Handle: "archive", Collection: "notes", Verb: abi.Insert}, b); err != nil {
					return err
				}
			}
			same := abi.Query{Handle: "archive", Collection: "notes", OrderBy: inOrder.OrderBy, Columns: []string{"id", "body", "stars", "score", "media"}}
			if a, b := all(t, task, inOrder), all(t, task, same); a != b {
				t.Errorf("got %q\nwant %q", b, a)
			}
			return nil
		})
	}
}

// all returns the bytes of all rows of a query, without the names.
func all(t *testing.T, task *sdk.Task, q abi.Query) string {
	t.Helper()
	batches, err := task.Data.Batches(q, nil)
	if err != nil {
		t.Fatal(err)
	}
	var rows []byte
	for {
		b, err := batches.NextBatch()
		if err != nil {
			t.Fatal(err)
		}
		if b == nil {
			return string(rows)
		}
		batch, err := wire.OpenBatch(b)
		for err == nil && batch.Next() {
			rows = append(rows, batch.Row()...)
		}
		if err := errors.Join(err, batch.Err()); err != nil {
			t.Fatal(err)
		}
	}
}
