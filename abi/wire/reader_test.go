package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/wasmhost/wasmhost/abi/wire"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// methods reads one value by every method that a Reader has.
var methods = map[string]func(*wire.Reader) error{
	"Bool":   func(r *wire.Reader) error { _, err := r.Bool(); return err },
	"Int":    func(r *wire.Reader) error { _, err := r.Int(); return err },
	"Float":  func(r *wire.Reader) error { _, err := r.Float(); return err },
	"String": func(r *wire.Reader) error { _, err := r.String(); return err },
	"Bytes":  func(r *wire.Reader) error { _, err := r.Bytes(); return err },
	"Array":  func(r *wire.Reader) error { _, err := r.Array(); return err },
	"Map":    func(r *wire.Reader) error { _, err := r.Map(); return err },
	"Skip":   func(r *wire.Reader) error { return r.Skip() },
	"Raw":    func(r *wire.Reader) error { _, err := r.Raw(); return err },
	"Value":  func(r *wire.Reader) error { _, err := r.Value(); return err },
}

// method is the one that reads values of a kind.
var method = map[wire.Kind]string{
	wire.KindBool: "Bool", wire.KindInt: "Int", wire.KindFloat: "Float", wire.KindString: "String",
	wire.KindBytes: "Bytes", wire.KindArray: "Array", wire.KindMap: "Map",
}

func TestReaderReadsWhatThePeerWrites(t *testing.T) {
	t.Parallel()
	values := boundaries()
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		values = append(values, random(rng, 4))
	}
	var all []byte
	for _, v := range values {
		all = append(all, peerEncode(t, v)...)
	}
	r, skip := wire.NewReader(all), wire.NewReader(all)
	for i, v := range values {
		start := r.Offset()
		got, err := r.Value()
		if err != nil || !same(got, v) {
			t.Fatalf("value %d: %.60v, want %.60v, error %v", i, got, v, err)
		}
		raw, err := skip.Raw()
		if err != nil || !bytes.Equal(raw, all[start:r.Offset()]) || skip.Offset() != r.Offset() || skip.Len() != len(all)-r.Offset() {
			t.Fatalf("value %d: Raw gave %.20x, error %v", i, raw, err)
		}
	}
	if r.End() != nil || skip.End() != nil || len(r.Rest()) != 0 {
		t.Error("there is something left")
	}
}

// Every width of an integer and both of floats are read, the shortest or not:
// other languages' libraries do not all write the shortest.
func TestReaderTakesLongerForms(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]any{
		"cc05": int64(5), "cd0005": int64(5), "ce00000005": int64(5), "cf0000000000000005": int64(5),
		"d005": int64(5), "d10005": int64(5), "d200000005": int64(5), "d30000000000000005": int64(5),
		"d0ff": int64(-1), "d1ffff": int64(-1), "d2ffffffff": int64(-1), "d3ffffffffffffffff": int64(-1),
		"ca3fc00000": 1.5, "ca7f800000": math.Inf(1),
		"d90161": "a", "da000161": "a", "db0000000161": "a",
		"c50001aa": []byte{0xaa}, "c600000001aa": []byte{0xaa},
		"dc000101": []any{int64(1)}, "dd0000000101": []any{int64(1)},
		"de0001a16101": map[string]any{"a": int64(1)}, "df00000001a16101": map[string]any{"a": int64(1)},
		"82a16101a16102": map[string]any{"a": int64(2)}, // the last of equal keys counts
	} {
		r := wire.NewReader(unhex(t, in))
		got, err := r.Value()
		if err != nil || r.End() != nil || !same(got, want) {
			t.Errorf("%s: %v (%T), error %v; want %v", in, got, got, err, want)
		}
		r = wire.NewReader(unhex(t, in))
		if err := r.Skip(); err != nil || r.End() != nil {
			t.Errorf("%s: Skip stopped at %d: %v", in, r.Offset(), err)
		}
	}
}

func TestKindNamesTheMethod(t *testing.T) {
	t.Parallel()
	for first := range 256 {
		b := append([]byte{byte(first)}, make([]byte, 512)...)
		r := wire.NewReader(b)
		kind := r.Kind()
		if r.Offset() != 0 {
			t.Fatalf("%#x: Kind moved the reader", first)
		}
		if isNil := r.Nil(); isNil != (kind == wire.KindNil) {
			t.Errorf("%#x: kind %d, Nil() = %v", first, kind, isNil)
		}
		for name, read := range methods {
			r := wire.NewReader(b)
			err := read(&r)
			fits := name == method[kind] || (name == "Skip" || name == "Raw" || name == "Value") && kind != wire.KindInvalid
			// Zero bytes behind a header of a map are its keys, which only Value looks at.
			if name == "Value" && kind == wire.KindMap && errors.Is(err, wire.ErrKey) {
				continue
			}
			if fits != (err == nil) {
				t.Errorf("%#x: kind %d, %s: error %v", first, kind, name, err)
			}
		}
	}
	var empty wire.Reader
	if empty.Kind() != wire.KindInvalid || empty.Nil() {
		t.Error("no bytes must have no kind")
	}
}

func TestReaderRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, in, method string
		want             error
	}{
		{"no bytes", "", "Value", wire.ErrTruncated},
		{"reserved byte", "c1", "Value", wire.ErrReserved},
		{"reserved byte skipped", "c1", "Skip", wire.ErrReserved},
		{"reserved byte inside", "9201c1", "Raw", wire.ErrReserved},
		{"ext 8", "c70105aa", "Value", wire.ErrExtension},
		{"ext 16", "c8000105aa", "Skip", wire.ErrExtension},
		{"ext 32", "c90000000105aa", "Raw", wire.ErrExtension},
		{"fixext 1", "d405aa", "Value", wire.ErrExtension},
		{"fixext 2", "d505aaaa", "Skip", wire.ErrExtension},
		{"timestamp", "d6ff00000000", "Value", wire.ErrExtension},
		{"fixext 8", "d7ff0000000000000000", "Int", wire.ErrExtension},
		{"fixext 16", "d80500000000000000000000000000000000", "String", wire.ErrExtension},
		{"2^63", "cf8000000000000000", "Int", wire.ErrRange},
		{"2^64-1", "cfffffffffffffffff", "Value", wire.ErrRange},
		{"2^64-1 inside", "81a161cfffffffffffffffff", "Value", wire.ErrRange},
		{"int key", "8101c0", "Value", wire.ErrKey},
		{"nil key", "81c0c0", "Value", wire.ErrKey},
		{"bin key", "81c40161c0", "Value", wire.ErrKey},
		{"array key", "8190c0", "Value", wire.ErrKey},
		{"str for bin", "a161", "Bytes", wire.ErrType},
		{"bin for str", "c40161", "String", wire.ErrType},
		{"float for int", "cb3ff0000000000000", "Int", wire.ErrType},
		{"int for float", "01", "Float", wire.ErrType},
		{"int for bool", "01", "Bool", wire.ErrType},
		{"map for array", "80", "Array", wire.ErrType},
		{"array for map", "90", "Map", wire.ErrType},
		{"nil for str", "c0", "String", wire.ErrType},
		{"fixarray of more than there is", "92c0", "Array", wire.ErrTruncated},
		{"array16 of more than there is", "dcffffc0", "Array", wire.ErrTruncated},
		{"array32 of more than there is", "ddffffffffc0", "Array", wire.ErrTruncated},
		{"array32 of more, skipped", "ddffffffffc0", "Skip", wire.ErrTruncated},
		{"map of more than half of what there is", "82a0a0a0", "Map", wire.ErrTruncated},
		{"map32 of more than there is", "df80000000c0c0", "Map", wire.ErrTruncated},
		{"map32 of more, skipped", "dfffffffffc0c0", "Skip", wire.ErrTruncated},
		{"str32 of more than there is", "dbffffffff61", "String", wire.ErrTruncated},
		{"bin32 of more than there is", "c6ffffffff61", "Bytes", wire.ErrTruncated},
		{"elements taken twice", "92920101", "Skip", wire.ErrTruncated},
		{"too deep", hex.EncodeToString(nested(wire.MaxDepth + 1)), "Value", wire.ErrDepth},
		{"far too deep", hex.EncodeToString(nested(100_000)), "Value", wire.ErrDepth},
	} {
		r := wire.NewReader(unhex(t, test.in))
		if err := methods[test.method](&r); !errors.Is(err, test.want) {
			t.Errorf("%s: %s: error %v, want %v", test.name, test.method, err, test.want)
		}
		if r.Offset() != 0 {
			t.Errorf("%s: %s left the reader at %d", test.name, test.method, r.Offset())
		}
	}
	r := wire.NewReader([]byte{0xc0, 0xc0})
	if err := r.Skip(); err != nil || !errors.Is(r.End(), wire.ErrTrailing) {
		t.Errorf("a byte behind the value: %v, %v", err, r.End())
	}
	r = wire.NewReader(nested(wire.MaxDepth))
	if _, err := r.Value(); err != nil {
		t.Errorf("%d arrays in each other: %v", wire.MaxDepth, err)
	}
	// Skip does not recurse: nesting costs it nothing.
	r = wire.NewReader(nested(1_000_000))
	if err := r.Skip(); err != nil || r.End() != nil {
		t.Errorf("skipping a million arrays in each other: %v", err)
	}
}

// Cut anywhere, a value is truncated: never another error, never half a value,
// never a reader that moved.
func TestReaderRefusesEveryTruncation(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	values := []any{int64(1) << 40, 1.5, "text", []byte("bytes"), string(make([]byte, 300)), make([]byte, 300)}
	for range 100 {
		values = append(values, random(rng, 3))
	}
	for _, v := range values {
		whole := peerEncode(t, v)
		if len(whole) > 2000 {
			continue
		}
		for cut := range whole {
			for name, read := range methods {
				start := wire.NewReader(whole)
				if name != "Skip" && name != "Raw" && name != "Value" && name != method[start.Kind()] {
					continue
				}
				if (name == "Array" || name == "Map") && cut > 5 {
					continue // a header may be whole where its elements are not
				}
				r := wire.NewReader(whole[:cut:cut])
				err := read(&r)
				if err == nil && (name == "Array" || name == "Map") {
					continue
				}
				if !errors.Is(err, wire.ErrTruncated) || r.Offset() != 0 {
					t.Fatalf("%.60v cut at %d of %d: %s: error %v, reader at %d", v, cut, len(whole), name, err, r.Offset())
				}
			}
		}
	}
}

// What is returned is part of the input, and an append to it cannot run over
// what follows.
func TestReaderDoesNotCopy(t *testing.T) {
	t.Parallel()
	var w wire.Writer
	w.String("text")
	w.Bytes([]byte("bytes"))
	w.Array(2)
	w.Int(1)
	w.String("x")
	w.Nil()
	r := wire.NewReader(w.B)
	text, err1 := r.String()
	bin, err2 := r.Bytes()
	raw, err3 := r.Raw()
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if &text[0] != &w.B[1] || &bin[0] != &w.B[7] || &raw[0] != &w.B[12] {
		t.Error("a result is a copy")
	}
	before := bytes.Clone(w.B)
	for _, part := range [][]byte{text, bin, raw} {
		if cap(part) != len(part) {
			t.Errorf("%q: capacity %d over length %d", part, cap(part), len(part))
		}
		_ = append(part, 0xc1)
	}
	if !bytes.Equal(w.B, before) {
		t.Error("an append to a result changed the input")
	}
	r = wire.NewReader(w.B)
	for range 2 {
		if _, err := r.Value(); err != nil {
			t.Fatal(err)
		}
	}
	r = wire.NewReader(before)
	if _, err := r.Value(); err != nil {
		t.Fatal(err)
	}
	v, err := r.Value()
	if err != nil {
		t.Fatal(err)
	}
	v.([]byte)[0] = 'X'
	if !bytes.Equal(w.B, before) {
		t.Error("Value returned a part of the input, not a copy")
	}
}

// Not parallel: it counts the allocations of the whole process.
func TestReaderDoesNotAllocateOnTheRowPath(t *testing.T) {
	row := chatRow()
	allocs := testing.AllocsPerRun(100, func() {
		r := wire.NewReader(row)
		n, err := r.Array()
		for range n {
			if err == nil && r.Kind() == wire.KindString {
				_, err = r.String()
			} else if err == nil {
				_, err = r.Raw()
			}
		}
		if err != nil {
			t.Error(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
	batch := chatBatch(1000)
	allocs = testing.AllocsPerRun(100, func() {
		walk, err := wire.OpenBatch(batch)
		for walk.Next() {
		}
		if err != nil || walk.Err() != nil {
			t.Error(err, walk.Err())
		}
	})
	if allocs > chatColumns+2 { // the names, their slice, the spans: nothing per row
		t.Errorf("walking 1000 rows: %v allocations, want %d", allocs, chatColumns+2)
	}
}

// A header is not believed: what a megabyte of lies makes the reader allocate
// stays far below a megabyte.
//
// Not parallel: it counts the allocations of the whole process.
func TestHostileHeadersDoNotAllocate(t *testing.T) {
	const size = 1 << 20
	// claims returns prefix and a header that claims all that is left, n times
	// in each other, and then bytes that are no value.
	claims := func(prefix string, code byte, n int, between string) []byte {
		b := append(make([]byte, 0, size), prefix...)
		for range n {
			left := size - len(b) - 5
			if code >= 0xde {
				left /= 2
			}
			b = binary.BigEndian.AppendUint32(append(b, code), uint32(left))
			b = append(b, between...)
		}
		return append(b, bytes.Repeat([]byte{0xc1}, size-len(b))...)
	}
	value := func(b []byte) error { r := wire.NewReader(b); _, err := r.Value(); return err }
	skip := func(b []byte) error { r := wire.NewReader(b); return r.Skip() }
	query := func(b []byte) error { _, err := wire.ReadQuery(b); return err }
	mutations := func(b []byte) error { _, err := wire.ReadMutations(b); return err }
	results := func(b []byte) error { _, err := wire.ReadWriteResults(b); return err }
	task := func(b []byte) error { _, err := wire.ReadTask(b); return err }
	batch := func(b []byte) error { _, err := wire.OpenBatch(b); return err }
	for _, test := range []struct {
		name string
		read func([]byte) error
		in   []byte
	}{
		{"arrays in arrays", value, claims("", 0xdd, wire.MaxDepth, "")},
		{"maps in maps", value, claims("", 0xdf, wire.MaxDepth, "\xa1k")},
		{"arrays in arrays, skipped", skip, claims("", 0xdd, 10_000, "")},
		{"maps in maps, skipped", skip, claims("", 0xdf, 10_000, "\xa1k")},
		{"str", value, claims("", 0xdb, 1, "")[:size-1]},
		{"bin", value, claims("", 0xc6, 1, "")[:size-1]},
		{"names of a batch", batch, claims("", 0xdd, 1, "")},
		{"fields of a query", query, claims("", 0xdf, 1, "")},
		{"columns of a query", query, claims("\x81\xa7columns", 0xdd, 1, "")},
		{"conditions of a query", query, claims("\x81\xa5where", 0xdd, 1, "")},
		{"list of a query", query, claims("\x81\xa5where\x91\x93\xa1a\xa2in", 0xdd, 20, "")},
		{"after of a query", query, claims("\x81\xa5after", 0xdd, 1, "")},
		{"mutations", mutations, claims("", 0xdd, 1, "")},
		{"key of a mutation", mutations, claims("\x91\x81\xa3key", 0xdd, 1, "")},
		{"write results", results, claims("", 0xdd, 1, "")},
		{"indices of a write result", results, claims("\x91\x81\xa9unapplied", 0xdd, 1, "")},
		{"fields of a task", task, claims("", 0xdf, 1, "")},
		{"handles of a task", task, claims("\x81\xa7handles", 0xdf, 1, "")},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := test.read(test.in)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: accepted", test.name)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > size/4 {
			t.Errorf("%s: %d bytes were allocated for %d bytes that hold nothing", test.name, got, size)
		}
	}
}
