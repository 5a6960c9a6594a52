package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

func TestWriterWritesWhatThePeerWrites(t *testing.T) {
	t.Parallel()
	values := boundaries()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		values = append(values, random(rng, 4))
	}
	for i, v := range values {
		var w wire.Writer
		if err := w.Value(v); err != nil {
			t.Fatalf("value %d, %.60v: %v", i, v, err)
		}
		if want := peerEncode(t, v); !bytes.Equal(w.B, want) {
			t.Fatalf("value %d, %.60v:\n got %.40x\nwant %.40x", i, v, w.B, want)
		}
		r := wire.NewReader(w.B)
		got, err := r.Value()
		if err != nil || r.End() != nil || !same(got, v) {
			t.Fatalf("value %d, %.60v: read back as %.60v, error %v", i, v, got, err)
		}
	}
}

// The typed methods, which the row path uses, agree with Value.
func TestTypedMethodsAgreeWithValue(t *testing.T) {
	t.Parallel()
	for _, v := range boundaries() {
		var typed, value wire.Writer
		switch v := v.(type) {
		case nil:
			typed.Nil()
		case bool:
			typed.Bool(v)
		case int64:
			typed.Int(v)
		case float64:
			typed.Float(v)
		case string:
			typed.String(v)
			var b wire.Writer
			b.StringBytes([]byte(v))
			if !bytes.Equal(b.B, typed.B) {
				t.Errorf("StringBytes of %d bytes differs from String", len(v))
			}
		case []byte:
			typed.Bytes(v)
		default:
			continue
		}
		if err := value.Value(v); err != nil || !bytes.Equal(typed.B, value.B) {
			t.Errorf("%.40v: typed %.20x, Value %.20x, %v", v, typed.B, value.B, err)
		}
	}
}

func TestWriterTakesEveryGoInteger(t *testing.T) {
	t.Parallel()
	for _, v := range []any{
		int(-7), int8(-7), int16(-7), int32(-7), int64(-7),
	} {
		checkEncoding(t, v, "f9")
	}
	for _, v := range []any{uint(200), uint8(200), uint16(200), uint32(200), uint64(200), int(200)} {
		checkEncoding(t, v, "ccc8")
	}
	checkEncoding(t, uint64(math.MaxInt64), "cf7fffffffffffffff")
	checkEncoding(t, float32(1.5), "cb3ff8000000000000")
	checkEncoding(t, []string{"a", ""}, "92a161a0")
}

func checkEncoding(t *testing.T, v any, want string) {
	t.Helper()
	var w wire.Writer
	if err := w.Value(v); err != nil || hex.EncodeToString(w.B) != want {
		t.Errorf("%T(%v) is written as %x, error %v; want %s", v, v, w.B, err, want)
	}
}

func TestWriterRefusesWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	deep := any(int64(1))
	for range wire.MaxDepth {
		deep = []any{deep}
	}
	deepMap := any(map[string]any{})
	for range wire.MaxDepth {
		deepMap = map[string]any{"k": deepMap}
	}
	for name, test := range map[string]struct {
		value any
		want  error // nil for any
	}{
		"a channel":              {make(chan int), nil},
		"a struct":               {struct{ A int }{1}, nil},
		"a pointer":              {new(int64), nil},
		"deep inside":            {map[string]any{"a": []any{int64(1), complex(1, 2)}}, nil},
		"64 unsigned bits":       {uint64(math.MaxInt64) + 1, wire.ErrRange},
		"64 unsigned bits, uint": {uint(math.MaxUint64), wire.ErrRange},
		"one array too deep":     {[]any{deep}, wire.ErrDepth},
		"one []string too deep":  {insideArrays([]string{}, wire.MaxDepth), wire.ErrDepth},
		"one map too deep":       {deepMap, wire.ErrDepth},
	} {
		w := wire.Writer{B: []byte("before")}
		err := w.Value(test.value)
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", name, err, test.want)
		}
		if string(w.B) != "before" {
			t.Errorf("%s: a failed Value left %q", name, w.B)
		}
	}
	var w wire.Writer
	if err := w.Value(deep); err != nil {
		t.Errorf("%d arrays in each other: %v", wire.MaxDepth, err)
	}

	w = wire.Writer{B: []byte("before")}
	q := abi.Query{Handle: "primary", Where: []abi.Condition{{Column: "a", Op: abi.Equal, Value: make(chan int)}}}
	if err := w.Query(&q); err == nil || string(w.B) != "before" {
		t.Errorf("a failed Query: error %v, left %q", err, w.B)
	}
	for _, q := range []abi.Query{{After: []any{struct{}{}}}, {Until: []any{struct{}{}}}} {
		if err := w.Query(&q); err == nil || string(w.B) != "before" {
			t.Errorf("a failed Query: error %v, left %q", err, w.B)
		}
	}
}

func insideArrays(v any, n int) any {
	for range n {
		v = []any{v}
	}
	return v
}

func TestEqualMapsAreEqualBytes(t *testing.T) {
	t.Parallel()
	m := map[string]any{}
	handles := map[string]string{}
	for _, k := range []string{"source", "dest", "a", "b", "c", "d", "e", "f", "g", "h"} {
		m[k] = k
		handles[k] = k
	}
	var first, firstTask wire.Writer
	if err := first.Value(m); err != nil {
		t.Fatal(err)
	}
	firstTask.Task(&abi.Task{Handles: handles})
	for range 20 {
		var w wire.Writer
		if err := w.Value(m); err != nil || !bytes.Equal(w.B, first.B) {
			t.Fatalf("%x\n%x\n%v", w.B, first.B, err)
		}
		w.B = nil
		w.Task(&abi.Task{Handles: handles})
		if !bytes.Equal(w.B, firstTask.B) {
			t.Fatalf("%x\n%x", w.B, firstTask.B)
		}
	}
}

// Not parallel: AllocsPerRun counts the allocations of the whole process.
func TestWriterDoesNotAllocateWithinItsCapacity(t *testing.T) {
	row := chatRow()
	w := wire.Writer{B: make([]byte, 0, 4096)}
	allocs := testing.AllocsPerRun(100, func() {
		w.B = w.B[:0]
		w.Array(20)
		w.Map(20)
		w.Nil()
		w.Bool(true)
		w.Raw(row)
		for _, v := range []int64{0, 200, 70000, 1 << 40, -1, -200, -70000, -1 << 40} {
			w.Int(v)
		}
		writeChatRow(&w)
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
	query := abi.Query{Handle: "primary", Collection: "chat_messages", Columns: []string{"id"}, Limit: 1000,
		OrderBy: []abi.Order{{Column: "id"}}, Aggregates: []abi.Aggregate{{Func: "count"}}, Key: []string{"id"}}
	mutation := abi.Mutation{Handle: "archive", Collection: "chat_messages", Verb: abi.InsertNew, Key: []string{"id"}}
	for name, write := range map[string]func(){
		"Query": func() {
			if err := w.Query(&query); err != nil {
				t.Error(err)
			}
		},
		"Mutations": func() { w.Mutations(mutation) },
		"Request":   func() { w.Request(&abi.Request{Name: "ping"}) },
	} {
		if allocs := testing.AllocsPerRun(100, func() { w.B = w.B[:0]; write() }); allocs != 0 {
			t.Errorf("%s: %v allocations, want 0", name, allocs)
		}
	}
}
