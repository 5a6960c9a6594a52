package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// seeds are bytes that the fuzz targets start from: values of every width, and
// what broke readers before.
func seeds(f *testing.F) {
	for _, v := range boundaries() {
		if b := peerEncode(f, v); len(b) <= 600 {
			f.Add(b)
		}
	}
	for _, s := range []string{
		"", "\xc1", "\xc7\x00\x01", "\xd6\xff\x00\x00\x00\x00", "\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
		"\xdd\xff\xff\xff\xff\xc0", "\xdf\x80\x00\x00\x00\xc0", "\xdb\xff\xff\xff\xff", "\xc6\xff\xff\xff\xff",
		"\x92\x92\x01\x01", "\x81\x01\x01", "\x81\xc0\xc0", "\x81\x80\x80", "\x82\xa0\x01\xa0\x02", "\xca\x7f\xa0\x00\x01",
		"\xde\x00\x01\xa1k\xdc\x00\x02\xc2\xc3", "\xd9\x00\xc4\x00",
	} {
		f.Add([]byte(s))
	}
	f.Add(nested(wire.MaxDepth))
	f.Add(nested(wire.MaxDepth + 1))
	f.Add(chatBatch(2))
}

// FuzzReader holds that the ways to read a value agree with each other and
// with the peer, and that what was read survives being written again.
func FuzzReader(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		skip, value := wire.NewReader(b), wire.NewReader(b)
		skipErr := skip.Skip()
		v, err := value.Value()
		switch {
		case skipErr != nil:
			if err == nil {
				t.Fatalf("Value takes what Skip refuses with %v", skipErr)
			}
			if skip.Offset() != 0 {
				t.Fatalf("a failed Skip moved to %d", skip.Offset())
			}
		case err == nil && value.Offset() != skip.Offset():
			t.Fatalf("Value ends at %d, Skip at %d", value.Offset(), skip.Offset())
		case err != nil && !errors.Is(err, wire.ErrDepth) && !errors.Is(err, wire.ErrKey) && !errors.Is(err, wire.ErrRange):
			t.Fatalf("Value refuses with %v what Skip takes", err)
		}
		if err != nil && value.Offset() != 0 {
			t.Fatalf("a failed Value moved to %d", value.Offset())
		}

		// What Skip refuses is not for the peer: it believes a header and asks
		// for 64 GiB on the word of six bytes, which ends the process.
		if err != nil {
			return
		}
		peer, used, peerErr := peerDecode(b)
		if peerErr != nil || used != value.Offset() || !same(v, peer) {
			t.Fatalf("read %v of %d bytes; the peer %v of %d, error %v", v, value.Offset(), peer, used, peerErr)
		}

		var w wire.Writer
		if err := w.Value(v); err != nil {
			t.Fatalf("%v was read and cannot be written: %v", v, err)
		}
		again := wire.NewReader(w.B)
		v2, err := again.Value()
		if err != nil || again.End() != nil || !same(v, v2) {
			t.Fatalf("%v, written and read again, is %v, error %v", v, v2, err)
		}
		var w2 wire.Writer
		if err := w2.Value(v2); err != nil || !bytes.Equal(w.B, w2.B) {
			t.Fatalf("%x written again is %x, error %v", w.B, w2.B, err)
		}
	})
}

// fuzzShape holds that a shape's reader refuses with abi.InvalidArgument or
// gives a value that, written, is read as the same value.
func fuzzShape(f *testing.F, kind string, values ...any) {
	for _, v := range values {
		f.Add(encoded(f, kind, v))
	}
	for _, s := range []string{"", "\x80", "\x90", "\x91\x80", "\x81\xa6colour\x01", "\xdf\x00\x00\x00\x01\xa0\xc0", "\xdd\x7f\xff\xff\xff\x80"} {
		f.Add([]byte(s))
	}
	shape := shapes[kind]
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := shape.read(b)
		if err != nil {
			if abi.CodeOf(err) != abi.InvalidArgument {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		// Written twice: floats of 32 bits and empty lists take another form once.
		once := encoded(t, kind, v)
		v2, err := shape.read(once)
		if err != nil {
			t.Fatalf("%+v was read, and is refused when written again: %v", v, err)
		}
		if twice := encoded(t, kind, v2); !bytes.Equal(once, twice) {
			t.Fatalf("%+v\nis written %x\nand then    %x", v, once, twice)
		}
	})
}

func FuzzReadTask(f *testing.F) {
	fuzzShape(f, "task",
		abi.Task{ID: "t-1", Kind: "archive", Payload: []byte{0x81, 0xa1, 'n', 1}, Attempt: 2, DeadlineMS: 1_766_000_000_000,
			Handles: map[string]string{"source": "primary", "dest": "archive"}},
		abi.Task{})
}

func FuzzReadTaskError(f *testing.F) {
	fuzzShape(f, "task_error", abi.TaskError{Message: "busy", AfterMS: 1500}, abi.TaskError{})
}

func FuzzReadQuery(f *testing.F) {
	fuzzShape(f, "query",
		abi.Query{Handle: "primary", Collection: "t", Columns: []string{"id", "body"},
			Where:   []abi.Condition{{Column: "n", Op: abi.In, Value: []any{int64(1), 1.5, "x", []byte("y"), nil, true}}},
			OrderBy: []abi.Order{{Column: "n", Descending: true}, {Column: "id"}}, Limit: 1000,
			After: []any{int64(5), "k"}, Until: []any{int64(9), "z"}},
		abi.Query{Aggregates: []abi.Aggregate{{Func: "count"}, {Func: "max", Column: "n"}}},
		abi.Query{Lookup: chatBatch(1), Key: []string{"id"}},
		abi.Query{Handle: "primary", Describe: true}, abi.Query{Handle: "primary", Collection: "t", Describe: true},
		abi.Query{Named: "rooms", Params: map[string]any{"a": int64(1), "": nil, "b": []byte{0}}})
}

func FuzzReadMutations(f *testing.F) {
	fuzzShape(f, "mutations", []abi.Mutation{
		{Handle: "archive", Collection: "t", Verb: abi.InsertNew},
		{Handle: "archive", Collection: "u", Verb: abi.Update, Columns: []string{"a"}, Key: []string{"id"}, Expect: []string{"v"}, Size: 70000},
	})
}

func FuzzReadWriteResults(f *testing.F) {
	fuzzShape(f, "write_results", []abi.WriteResult{{Applied: 1000}, {Applied: 3, Unapplied: []int64{0, 7, 1 << 33}}})
}

func FuzzReadRequest(f *testing.F) {
	fuzzShape(f, "request", abi.Request{Name: "events/emit", Params: []byte{0x81, 0xa1, 'a', 0xc3}}, abi.Request{Name: "ping"})
}

// scalars says whether n scalars come next.
func scalars(r *wire.Reader, n int) bool {
	for range n {
		if k := r.Kind(); k == wire.KindArray || k == wire.KindMap || r.Skip() != nil {
			return false
		}
	}
	return true
}

// FuzzBatch holds that a walk to the end without an error has given all bytes
// behind the names, once each and in order, that it finds the values where a
// Reader does, and that it refuses what a Reader refuses.
func FuzzBatch(f *testing.F) {
	seeds(f)
	f.Add(batchOf(f, []string{"id", "n"}, []any{"a", nil}, []any{"b", 1.5}))
	f.Add(batchOf(f, []string{"id"}, []any{"a"}, []any{[]any{}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		walk, err := wire.OpenBatch(b)
		if err != nil {
			if abi.CodeOf(err) != abi.InvalidArgument {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		names := wire.NewReader(b)
		if len(b) > 0 {
			if err := names.Skip(); err != nil {
				t.Fatal(err)
			}
		}
		var rows []byte
		for walk.Next() {
			row := wire.NewReader(walk.Row())
			n, err := row.Array()
			if err != nil || n != len(walk.Columns) {
				t.Fatalf("row %d: %d values for %d columns, error %v", walk.Index(), n, len(walk.Columns), err)
			}
			for i := range n {
				kind := row.Kind()
				if kind == wire.KindArray || kind == wire.KindMap {
					t.Fatalf("row %d holds a list or a map", walk.Index())
				}
				start := row.Offset()
				raw, err := row.Raw()
				if err != nil {
					t.Fatal(err)
				}
				at := walk.Spans()[i]
				if int(at.Start) != start || int(at.End) != row.Offset() || !bytes.Equal(walk.Value(i), raw) || wire.KindOf(raw[0]) != kind {
					t.Fatalf("row %d, value %d: %x at %+v, want %x", walk.Index(), i, walk.Value(i), at, raw)
				}
				body, value := walk.Row()[at.Body:at.End], wire.NewReader(raw)
				switch kind {
				case wire.KindString:
					raw, err = value.String()
				case wire.KindBytes:
					raw, err = value.Bytes()
				default:
					body = raw
				}
				if err != nil || !bytes.Equal(body, raw) {
					t.Fatalf("row %d, value %d: %x inside, want %x, error %v", walk.Index(), i, body, raw, err)
				}
			}
			if err := row.End(); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, walk.Row()...)
		}
		if err := walk.Err(); err != nil {
			next := wire.NewReader(b[names.Offset()+len(rows):])
			if n, err := next.Array(); err == nil && n == len(walk.Columns) && scalars(&next, n) {
				t.Fatalf("row %d is refused with %v and is one", walk.Index()+1, walk.Err())
			}
			if abi.CodeOf(err) != abi.InvalidArgument {
				t.Fatalf("ended with %v", err)
			}
			if !bytes.HasPrefix(names.Rest(), rows) {
				t.Fatal("the rows before the error are not the bytes behind the names")
			}
			return
		}
		if !bytes.Equal(rows, names.Rest()) {
			t.Fatalf("the rows have %d bytes, the batch has %d behind its names", len(rows), names.Len())
		}
	})
}
