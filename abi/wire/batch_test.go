package wire_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// batchOf is the bytes of column names and of rows, which may be anything.
func batchOf(t testing.TB, columns []string, rows ...any) []byte {
	t.Helper()
	var w wire.Writer
	if err := w.Value(columns); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := w.Value(row); err != nil {
			t.Fatal(err)
		}
	}
	return w.B
}

func TestBatchGivesEachRowsBytes(t *testing.T) {
	t.Parallel()
	columns := []string{"id", "body", "n"}
	rows := []any{
		[]any{"a", "hello", int64(1)},
		[]any{"b", nil, 1.5},
		[]any{"c", []byte("raw"), int64(-70000)},
	}
	b := batchOf(t, columns, rows...)
	walk, err := wire.OpenBatch(b)
	if err != nil || !reflect.DeepEqual(walk.Columns, columns) {
		t.Fatalf("columns %q, error %v", walk.Columns, err)
	}
	at := len(batchOf(t, columns))
	for i, row := range rows {
		if !walk.Next() {
			t.Fatalf("row %d: the walk ended: %v", i, walk.Err())
		}
		want := peerEncode(t, row)
		if got := walk.Row(); !bytes.Equal(got, want) || &got[0] != &b[at] || cap(got) != len(got) {
			t.Errorf("row %d: %x with capacity %d, want %x of the batch itself", i, got, cap(got), want)
		}
		if walk.Index() != int64(i) {
			t.Errorf("row %d has the index %d", i, walk.Index())
		}
		at += len(want)
	}
	for range 2 {
		if walk.Next() || walk.Err() != nil {
			t.Errorf("behind the last row: error %v", walk.Err())
		}
	}
}

// Every form of a scalar is found, and is refused when its last byte is missing.
func TestBatchFindsValuesOfEveryForm(t *testing.T) {
	t.Parallel()
	body := func(n int) string { return strings.Repeat("x", n) }
	for _, test := range []struct {
		head string // in front of the body
		body string
		kind wire.Kind
	}{
		{"\x00", "", wire.KindInt}, {"\x7f", "", wire.KindInt}, {"\xe0", "", wire.KindInt}, {"\xff", "", wire.KindInt},
		{"\xcc", body(1), wire.KindInt}, {"\xcd", body(2), wire.KindInt}, {"\xce", body(4), wire.KindInt}, {"\xcf", body(8), wire.KindInt},
		{"\xd0", body(1), wire.KindInt}, {"\xd1", body(2), wire.KindInt}, {"\xd2", body(4), wire.KindInt}, {"\xd3", body(8), wire.KindInt},
		{"\xca", body(4), wire.KindFloat}, {"\xcb", body(8), wire.KindFloat},
		{"\xc0", "", wire.KindNil}, {"\xc2", "", wire.KindBool}, {"\xc3", "", wire.KindBool},
		{"\xa0", "", wire.KindString}, {"\xbf", body(31), wire.KindString}, {"\xd9\xff", body(255), wire.KindString},
		{"\xda\x01\x02", body(0x102), wire.KindString}, {"\xdb\x00\x01\x02\x03", body(0x10203), wire.KindString},
		{"\xc4\xff", body(255), wire.KindBytes}, {"\xc5\x01\x02", body(0x102), wire.KindBytes}, {"\xc6\x00\x01\x02\x03", body(0x10203), wire.KindBytes},
	} {
		value := test.head + test.body
		b := []byte("\x91\xa1c\x91" + value)
		walk, err := wire.OpenBatch(b)
		if err != nil || !walk.Next() {
			t.Errorf("%x…: no row: %v, %v", test.head, err, walk.Err())
			continue
		}
		want := wire.Span{Start: 1, Body: uint32(1 + len(test.head)), End: uint32(1 + len(value))}
		if got := walk.Spans()[0]; got != want || string(walk.Value(0)) != value || wire.KindOf(value[0]) != test.kind {
			t.Errorf("%x…: kind %d at %+v, want %d at %+v", test.head, wire.KindOf(value[0]), got, test.kind, want)
		}
		for cut := range min(len(value), 6) {
			walk, err := wire.OpenBatch(b[:len(b)-1-cut])
			if err != nil || walk.Next() || walk.Err() == nil {
				t.Errorf("%x…, %d bytes short: errors %v, %v", test.head, 1+cut, err, walk.Err())
			}
		}
	}
}

func TestBatchesWithoutRows(t *testing.T) {
	t.Parallel()
	for name, b := range map[string][]byte{"no bytes": nil, "no columns": {0x90}, "names only": batchOf(t, []string{"id"})} {
		walk, err := wire.OpenBatch(b)
		if err != nil || walk.Next() || walk.Err() != nil {
			t.Errorf("%s: errors %v, %v", name, err, walk.Err())
		}
	}
}

func TestBatchRefuses(t *testing.T) {
	t.Parallel()
	names := []string{"id", "n"}
	good := []any{"a", int64(1)}
	for _, test := range []struct {
		name string
		in   []byte
		rows int // that come before the error
		want string
	}{
		{"names that are no list", []byte{0xa1, 'a'}, 0, "column names"},
		{"a name that is no str", []byte{0x91, 0x01}, 0, "column names"},
		{"names cut short", []byte{0x92, 0xa1, 'a'}, 0, "column names"},
		{"too few values", batchOf(t, names, good, []any{"b"}), 1, "row 1 has 1 values for 2 columns"},
		{"too many values", batchOf(t, names, []any{"b", nil, nil}), 0, "row 0 has 3 values for 2 columns"},
		{"a row that is no list", batchOf(t, names, good, good, "row"), 2, "row 2: "},
		{"a list as value", batchOf(t, names, []any{"a", []any{}}), 0, "row 0: "},
		{"a map as value", batchOf(t, names, []any{message{}, nil}), 0, "row 0: "},
		{"an ext as value", append(batchOf(t, names, good), 0x92, 0xd4, 1, 0, 0xc0), 1, "row 1: "},
		{"a row cut short", append(batchOf(t, names, good), 0x92, 0xa5, 'a'), 1, "row 1: "},
		{"rows without columns", []byte{0x90, 0x91, 0xc0}, 0, "row 0 has 1 values for 0 columns"},
	} {
		walk, err := wire.OpenBatch(test.in)
		rows := 0
		for err == nil && walk.Next() {
			rows++
		}
		if err == nil {
			err = walk.Err()
		}
		if abi.CodeOf(err) != abi.InvalidArgument || !strings.Contains(err.Error(), test.want) || rows != test.rows {
			t.Errorf("%s: %d rows and error %v; want %d and one with %q", test.name, rows, err, test.rows, test.want)
		}
		if walk.Next() {
			t.Errorf("%s: the walk goes on behind its error", test.name)
		}
	}
}
