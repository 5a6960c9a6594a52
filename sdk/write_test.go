package sdk_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

func TestWrites(t *testing.T) {
	t.Parallel()
	pairs := func(list ...any) *sdk.Batch {
		b := sdk.NewBatch("id", "body")
		for i := 0; i < len(list); i += 2 {
			b.Row().Text(list[i].(string))
			if list[i+1] == nil {
				b.Null()
			} else {
				b.Text(list[i+1].(string))
			}
		}
		return b
	}
	tests := []struct {
		name  string
		write func(d *sdk.Data) (abi.WriteResult, error)
		want  abi.WriteResult
		code  abi.Code
		rows  [][]any
	}{
		{
			name:  "insert",
			write: func(d *sdk.Data) (abi.WriteResult, error) { return d.InsertRows("primary", "n", pairs("c", nil)) },
			want:  abi.WriteResult{Applied: 1},
			rows:  [][]any{{"a", "1"}, {"b", "2"}, {"c", nil}},
		},
		{
			name: "insert of one that exists",
			write: func(d *sdk.Data) (abi.WriteResult, error) {
				return d.InsertRows("primary", "n", pairs("c", "3", "a", "4"))
			},
			code: abi.Conflict,
			rows: [][]any{{"a", "1"}, {"b", "2"}},
		},
		{
			name: "insert what is new",
			write: func(d *sdk.Data) (abi.WriteResult, error) {
				return d.InsertNewRows("primary", "n", pairs("a", "4", "c", "3", "b", "5"))
			},
			want: abi.WriteResult{Applied: 1, Unapplied: []int64{0, 2}},
			rows: [][]any{{"a", "1"}, {"b", "2"}, {"c", "3"}},
		},
		{
			name: "upsert",
			write: func(d *sdk.Data) (abi.WriteResult, error) {
				return d.UpsertRows("primary", "n", pairs("a", "4", "c", "3"))
			},
			want: abi.WriteResult{Applied: 2},
			rows: [][]any{{"a", "4"}, {"b", "2"}, {"c", "3"}},
		},
		{
			name: "update by another key",
			write: func(d *sdk.Data) (abi.WriteResult, error) {
				return d.UpdateRows("primary", "n", pairs("z", "2", "y", "9"), "body")
			},
			want: abi.WriteResult{Applied: 1, Unapplied: []int64{1}},
			rows: [][]any{{"a", "1"}, {"z", "2"}},
		},
		{
			name: "delete",
			write: func(d *sdk.Data) (abi.WriteResult, error) {
				return d.DeleteRows("primary", "n", pairs("x", nil, "b", nil))
			},
			want: abi.WriteResult{Applied: 1, Unapplied: []int64{0}},
			rows: [][]any{{"a", "1"}},
		},
		{
			name: "a row with a value too few",
			write: func(d *sdk.Data) (abi.WriteResult, error) {
				b := sdk.NewBatch("id", "body")
				b.Row().Text("c")
				return d.InsertRows("primary", "n", b)
			},
			code: abi.InvalidArgument,
			rows: [][]any{{"a", "1"}, {"b", "2"}},
		},
		{
			name:  "a collection that is not there",
			write: func(d *sdk.Data) (abi.WriteResult, error) { return d.InsertRows("primary", "m", pairs("c", "3")) },
			code:  abi.UnknownCollection,
			rows:  [][]any{{"a", "1"}, {"b", "2"}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := sdktest.New(t)
			h.Table("primary", "n", []string{"id", "body"}).Insert("a", "1").Insert("b", "2")
			h.BufferLimit(4) // so that the answer does not fit
			must(t, h, func(task *sdk.Task) error {
				got, err := test.write(task.Data)
				if abi.CodeOf(err) != test.code || !reflect.DeepEqual(got, test.want) {
					t.Errorf("got %+v, %v, want %+v, %s", got, err, test.want, test.code)
				}
				return nil
			})
			if got := h.Rows("primary", "n"); !reflect.DeepEqual(got, test.rows) {
				t.Errorf("got %v, want %v", got, test.rows)
			}
		})
	}
}

func TestWriteAll(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	h.Table("primary", "n", []string{"id"}).Insert("a")
	h.Table("primary", "m", []string{"id"})
	change := func(collection string, verb abi.Verb, id string) sdk.Change {
		b, err := sdk.NewBatch("id").Row().Text(id).Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return sdk.Change{Mutation: abi.Mutation{Handle: "primary", Collection: collection, Verb: verb}, Batch: b}
	}
	must(t, h, func(task *sdk.Task) error {
		if _, err := task.Data.WriteAll(change("m", abi.Insert, "b"), change("n", abi.Insert, "a")); !errors.Is(err, abi.Conflict) {
			t.Errorf("got %v, want conflict", err)
		}
		if got := len(h.Rows("primary", "m")); got != 0 {
			t.Errorf("the first change was done although the second failed")
		}
		empty := change("n", abi.Insert, "z")
		empty.Batch = nil
		if _, err := task.Data.WriteAll(empty, change("m", abi.Insert, "b")); !errors.Is(err, abi.InvalidArgument) {
			t.Errorf("got %v for a change without a batch, want invalid_argument", err)
		}
		if got, err := task.Data.WriteAll(); got != nil || err != nil {
			t.Errorf("got %v, %v for no changes", got, err)
		}
		got, err := task.Data.WriteAll(change("m", abi.Insert, "b"), change("n", abi.Delete, "x"), change("n", abi.Delete, "a"))
		want := []abi.WriteResult{{Applied: 1}, {Unapplied: []int64{0}}, {Applied: 1}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		return err
	})
	if n, m := h.Rows("primary", "n"), h.Rows("primary", "m"); len(n) != 0 || !reflect.DeepEqual(m, [][]any{{"b"}}) {
		t.Errorf("got %v and %v", n, m)
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	h.Table("primary", "v", []string{"id", "b", "c", "d", "e", "f"})
	must(t, h, func(task *sdk.Task) error {
		b := sdk.NewBatch("id", "b", "c", "d", "e", "f")
		b.Row().Int(-1).Float(0.5).Text("ü").Blob(nil).Null().Bool(true)
		if b.Len() != 1 || b.Err() != nil {
			t.Errorf("got %d rows, %v", b.Len(), b.Err())
		}
		if _, err := task.Data.InsertRows("primary", "v", b); err != nil {
			return err
		}
		b.Reset()
		b.Row().Int(2).Null().Null().Null().Null().Bool(false)
		_, err := task.Data.InsertRows("primary", "v", b)
		return err
	})
	want := [][]any{{int64(-1), 0.5, "ü", []byte{}, nil, int64(1)}, {int64(2), nil, nil, nil, nil, int64(0)}}
	if got := h.Rows("primary", "v"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
}

func TestBatchOfWrongRows(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		fill func(b *sdk.Batch)
		want string
	}{
		{"too few at the end", func(b *sdk.Batch) { b.Row().Int(1).Int(2).Row().Int(3) }, "row 1 has fewer values than the 2 columns"},
		{"too few before another", func(b *sdk.Batch) { b.Row().Int(1).Row().Int(2).Int(3) }, "row 0 has fewer values than the 2 columns"},
		{"too many", func(b *sdk.Batch) { b.Row().Int(1).Int(2).Int(3) }, "row 0 has more values than the 2 columns"},
		{"a value before the first row", func(b *sdk.Batch) { b.Int(1) }, "has more values"},
		{"too few before a raw row", func(b *sdk.Batch) { b.Row().Int(1).Raw([]byte{0x92, 1, 2}) }, "row 0 has fewer values"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := sdk.NewBatch("a", "b")
			test.fill(b)
			_, err := b.Bytes()
			if !errors.Is(err, abi.InvalidArgument) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			b.Reset()
			if b.Row().Int(1).Int(2); b.Err() != nil {
				t.Errorf("after Reset: got %v", b.Err())
			}
		})
	}
}
