package data

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// TestWriteSetShowsABit of much: so many groups, rows and bytes.
func TestWriteSetShowsABit(t *testing.T) {
	t.Parallel()
	set := NewWriteSet()
	write := func(collection string, values ...any) {
		t.Helper()
		var w wire.Writer
		if err := w.Value([]string{"a"}); err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if err := w.Value([]any{v}); err != nil {
				t.Fatal(err)
			}
		}
		set.note("h", []abi.Mutation{{Collection: collection, Verb: abi.Insert}}, w.B, []abi.WriteResult{{Applied: int64(len(values))}})
	}
	write("short", strings.Repeat("é", 200), []byte{1, 2, 3}, nil, 1.5)
	for i := range shownGroups + 10 {
		write(fmt.Sprint("c", i), strings.Repeat("x", shownText), 1)
	}
	groups, more := set.Written()
	if len(groups) != shownGroups || more != 22 {
		t.Fatalf("%d groups, %d more rows", len(groups), more)
	}
	if got, want := fmt.Sprintf("%s", groups[0].First), `[{"a":"`+strings.Repeat("é", 100)+`…"} {"a":{"bytes":3}} {"a":null} {"a":1.5}]`; got != want {
		t.Errorf("got %s", got)
	}
	set.left = 50 // what is left of shownBytes
	write("c1", strings.Repeat("y", 100), 7)
	if groups, _ = set.Written(); groups[2].Collection != "c1" || groups[2].Rows != 4 || len(groups[2].First) != 2 {
		t.Errorf("%+v", groups[2])
	}
}

// TestDigestOfRows: the same for the same rows, however they came.
func TestDigestOfRows(t *testing.T) {
	t.Parallel()
	digest := func(ignore []string, unapplied []int64, batches ...[][]any) string {
		t.Helper()
		set := NewWriteSet(ignore...)
		for _, rows := range batches {
			var w wire.Writer
			if err := w.Value([]string{"a", "b"}); err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				if err := w.Value(row); err != nil {
					t.Fatal(err)
				}
			}
			set.note("h", []abi.Mutation{{Collection: "c", Verb: abi.Insert}}, w.B, []abi.WriteResult{{Applied: int64(len(rows) - len(unapplied)), Unapplied: unapplied}})
		}
		groups, _ := set.Written()
		return groups[0].Digest
	}
	x, y, z := []any{"x", 1}, []any{"y", 2}, []any{"x", 3}
	want := digest(nil, nil, [][]any{x, y})
	for name, got := range map[string]string{
		"another order":       digest(nil, nil, [][]any{y, x}),
		"other batches":       digest(nil, nil, [][]any{x}, [][]any{y}),
		"one more, unapplied": digest(nil, []int64{1}, [][]any{x, z, y}),
	} {
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for name, got := range map[string]string{
		"another value":          digest(nil, nil, [][]any{z, y}),
		"a row less":             digest(nil, nil, [][]any{x}),
		"a row twice":            digest(nil, nil, [][]any{x, x, y}),
		"a value moved":          digest(nil, nil, [][]any{{1, "x"}, y}),
		"twice, as if it were 0": digest(nil, nil, [][]any{x, y, y}),
	} {
		if got == want {
			t.Errorf("%s makes no difference", name)
		}
	}
	if digest([]string{"b"}, nil, [][]any{x}) != digest([]string{"b"}, nil, [][]any{z}) {
		t.Error("a column that is ignored makes a difference")
	}
}
