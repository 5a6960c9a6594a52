package wire_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// golden is a vector before it is bytes: both takes the Go value, read and
// refuse the bytes, since Go writes no such thing.
type golden struct {
	name, kind string
	value      any    // for both and read
	hex        string // for read and refuse
	why        error  // for refuse
}

func goldens() []golden {
	both := func(name string, v any) golden { return golden{name: name, kind: "value", value: v} }
	list := func(n int) []any {
		l := make([]any, n)
		for i := range l {
			l[i] = int64(i)
		}
		return l
	}
	table := func(n int) map[string]any {
		m := map[string]any{}
		for i := range n {
			m[fmt.Sprintf("k%02d", i)] = i%2 == 0
		}
		return m
	}
	gs := []golden{
		both("nil", nil), both("false", false), both("true", true),
		both("float/0", 0.0), both("float/-0", math.Copysign(0, -1)), both("float/1", 1.0), both("float/0.1", 0.1),
		both("float/max", math.MaxFloat64), both("float/smallest", math.SmallestNonzeroFloat64),
		both("float/inf", math.Inf(1)), both("float/-inf", math.Inf(-1)), both("float/nan", math.Float64frombits(0x7ff8000000000001)),
		both("str/empty", ""), both("str/ascii", "hello"), both("str/utf8", "é\x00😀"), both("str/not utf8", "\xff\xfea"),
		both("bin/empty", []byte{}), both("bin/3", []byte{0, 0xc1, 0xff}),
		both("array/nested", []any{[]any{}, []any{nil, []any{int64(-1)}}, map[string]any{}}),
		both("map/nested", map[string]any{"a": map[string]any{"b": []any{1.5, "x"}}, "": nil}),
	}
	for _, n := range []int64{0, 1, 127, 128, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, 1<<53 + 1, math.MaxInt64,
		-1, -32, -33, -128, -129, -32768, -32769, math.MinInt32, math.MinInt32 - 1, math.MinInt64} {
		gs = append(gs, both(fmt.Sprintf("int/%d", n), n))
	}
	for _, n := range []int{31, 32, 255, 256, 65535, 65536} {
		gs = append(gs, both(fmt.Sprintf("str/%d", n), strings.Repeat("x", n)), both(fmt.Sprintf("bin/%d", n), bytes.Repeat([]byte{0xab}, n)))
	}
	for _, n := range []int{0, 15, 16} {
		gs = append(gs, both(fmt.Sprintf("array/%d", n), list(n)), both(fmt.Sprintf("map/%d", n), table(n)))
	}
	for _, g := range []golden{
		{name: "int/5 as uint8", hex: "cc05", value: int64(5)}, {name: "int/5 as uint64", hex: "cf0000000000000005", value: int64(5)},
		{name: "int/5 as int64", hex: "d30000000000000005", value: int64(5)}, {name: "int/-1 as int32", hex: "d2ffffffff", value: int64(-1)},
		{name: "float/1.5 of 32 bits", hex: "ca3fc00000", value: 1.5},
		{name: "str/1 as str8", hex: "d90161", value: "a"}, {name: "str/1 as str32", hex: "db0000000161", value: "a"},
		{name: "bin/1 as bin16", hex: "c50001aa", value: []byte{0xaa}}, {name: "array/1 as array32", hex: "dd0000000101", value: list(2)[1:]},
		{name: "map/1 as map16", hex: "de0001a16bc3", value: map[string]any{"k": true}},
		{name: "refuse/nothing", why: wire.ErrTruncated},
		{name: "refuse/reserved byte", hex: "c1", why: wire.ErrReserved}, {name: "refuse/ext", hex: "d40500", why: wire.ErrExtension},
		{name: "refuse/timestamp", hex: "d6ff00000000", why: wire.ErrExtension},
		{name: "refuse/2^63", hex: "cf8000000000000000", why: wire.ErrRange},
		{name: "refuse/int key", hex: "8101c0", why: wire.ErrKey}, {name: "refuse/bin key", hex: "81c40161c0", why: wire.ErrKey},
		{name: "refuse/array of more than there is", hex: "ddffffffffc0", why: wire.ErrTruncated},
		{name: "refuse/map of more than there is", hex: "82a161c0a162", why: wire.ErrTruncated},
		{name: "refuse/str of more than there is", hex: "dbffffffff61", why: wire.ErrTruncated},
		{name: "refuse/cut integer", hex: "ce000000", why: wire.ErrTruncated},
		{name: "refuse/33 arrays in each other", hex: hex.EncodeToString(nested(wire.MaxDepth + 1)), why: wire.ErrDepth},
		{name: "read/32 arrays in each other", hex: hex.EncodeToString(nested(wire.MaxDepth)), value: insideArrays([]any{}, wire.MaxDepth-1)},
	} {
		g.kind = "value"
		gs = append(gs, g)
	}

	row1 := []any{"a", "hello", int64(1)}
	row2 := []any{"b", nil, 1.5}
	mustBatch := func(columns []string, rows ...[]any) []byte { return encodeBatch(goldenBatch{columns, rows}) }
	return append(gs, []golden{
		{name: "batch/two rows", kind: "batch", value: goldenBatch{[]string{"id", "body", "n"}, [][]any{row1, row2}}},
		{name: "batch/no rows", kind: "batch", value: goldenBatch{[]string{"id"}, nil}},
		{name: "batch/every type", kind: "batch", value: goldenBatch{[]string{"i", "f", "s", "b", "z"},
			[][]any{{int64(math.MinInt64), 0.1, "é", []byte{0, 1}, nil}, {int64(math.MaxInt64), math.Inf(-1), "", []byte{}, nil}}}},
		{name: "batch/refuse/too few values", kind: "batch", hex: "92a26964a16e91a161", why: abi.InvalidArgument},
		{name: "batch/refuse/a list as value", kind: "batch", hex: "91a269649190", why: abi.InvalidArgument},

		{name: "task/archive", kind: "task", value: abi.Task{ID: "42", Kind: "archive", Payload: []byte("\x81\xaacollection\xadchat_messages"),
			Attempt: 1, DeadlineMS: 1_766_000_000_000, Handles: map[string]string{"source": "primary", "dest": "archive"}}},
		{name: "task/no payload, no deadline, no handles", kind: "task", value: abi.Task{ID: "1", Kind: "ping", Payload: []byte{0xc0}, Attempt: 3, Handles: map[string]string{}}},
		{name: "task/a field of a newer host", kind: "task", hex: "82a26964a131a6636f6c6f757293010203", value: abi.Task{ID: "1"}},
		{name: "task_error/message", kind: "task_error", value: abi.TaskError{Message: "row 7: digest differs"}},
		{name: "task_error/later", kind: "task_error", value: abi.TaskError{Message: "model is loading", AfterMS: 1500}},

		{name: "query/all", kind: "query", value: abi.Query{Handle: "primary", Collection: "chat_messages"}},
		{name: "query/page", kind: "query", value: abi.Query{Handle: "primary", Collection: "t", Columns: []string{"id", "body"},
			OrderBy: []abi.Order{{Column: "n"}, {Column: "id", Descending: true}}, Limit: 1000,
			After: []any{int64(5), "k"}, Until: []any{int64(9), "z"}}},
		{name: "query/every operator", kind: "query", value: abi.Query{Handle: "primary", Collection: "t", Where: []abi.Condition{
			{Column: "a", Op: abi.Equal, Value: int64(1)}, {Column: "b", Op: abi.NotEqual, Value: "x"}, {Column: "c", Op: abi.Less, Value: 1.5},
			{Column: "d", Op: abi.LessOrEqual, Value: []byte{0xff}}, {Column: "e", Op: abi.Greater, Value: int64(-1)},
			{Column: "f", Op: abi.GreaterOrEqual, Value: true}, {Column: "g", Op: abi.In, Value: []any{int64(1), "x"}},
			{Column: "h", Op: abi.Like, Value: "a%"}, {Column: "i", Op: abi.IsNull}, {Column: "j", Op: abi.NotNull}}}},
		{name: "query/aggregates", kind: "query", value: abi.Query{Handle: "primary", Collection: "t",
			Aggregates: []abi.Aggregate{{Func: "count"}, {Func: "min", Column: "n"}, {Func: "max", Column: "n"}}}},
		{name: "query/lookup", kind: "query", value: abi.Query{Handle: "archive", Collection: "t", Columns: []string{"id", "body"},
			Lookup: mustBatch([]string{"id", "body", "n"}, row1, row2), Key: []string{"id"}}},
		{name: "query/exists", kind: "query", value: abi.Query{Handle: "primary", Collection: "t",
			Where: []abi.Condition{{Column: "id", Op: abi.Equal, Value: "k"}}, Aggregates: []abi.Aggregate{{Func: "exists"}}}},
		{name: "query/describe", kind: "query", value: abi.Query{Handle: "primary", Collection: "t", Describe: true}},
		{name: "query/describe all", kind: "query", value: abi.Query{Handle: "primary", Describe: true}},
		{name: "query/named", kind: "query", value: abi.Query{Named: "messages_of_room", Params: map[string]any{"room": "general", "most": int64(100)}}},
		{name: "query/named without parameters", kind: "query", value: abi.Query{Named: "rooms"}},
		{name: "query/refuse/parameter twice", kind: "query", hex: "81a6706172616d7382a16101a16102", why: abi.InvalidArgument},
		{name: "query/refuse/params that are no map", kind: "query", hex: "81a6706172616d7390", why: abi.InvalidArgument},
		{name: "query/refuse/describe that is a number", kind: "query", hex: "81a8646573637269626501", why: abi.InvalidArgument},
		{name: "query/refuse/unknown field", kind: "query", hex: "81a66f666673657405", why: abi.InvalidArgument},
		{name: "query/refuse/field twice", kind: "query", hex: "82a56c696d697401a56c696d697402", why: abi.InvalidArgument},
		{name: "query/refuse/bytes behind", kind: "query", hex: "80c0", why: abi.InvalidArgument},

		{name: "mutations/insert_new", kind: "mutations", value: []abi.Mutation{{Handle: "archive", Collection: "t", Verb: abi.InsertNew}}},
		{name: "mutations/delete what has not changed", kind: "mutations", value: []abi.Mutation{
			{Handle: "primary", Collection: "t", Verb: abi.Delete, Key: []string{"id"}, Expect: []string{"body", "n"}}}},
		{name: "mutations/every verb", kind: "mutations", value: []abi.Mutation{
			{Handle: "archive", Collection: "t", Verb: abi.Insert, Columns: []string{"id", "body"}, Size: 200},
			{Handle: "archive", Collection: "t", Verb: abi.Upsert, Key: []string{"id"}, Size: 70000},
			{Handle: "archive", Collection: "u", Verb: abi.InsertNew, Size: 20},
			{Handle: "archive", Collection: "u", Verb: abi.Update, Columns: []string{"n"}, Key: []string{"id"}, Expect: []string{"v"}, Size: 20},
			{Handle: "archive", Collection: "u", Verb: abi.Delete}}},
		{name: "mutations/refuse/unknown field", kind: "mutations", hex: "9181a476657262a6696e73657274", why: abi.InvalidArgument},

		{name: "write_results/all applied", kind: "write_results", value: []abi.WriteResult{{Applied: 1000}}},
		{name: "write_results/two mutations", kind: "write_results", value: []abi.WriteResult{{Applied: 2, Unapplied: []int64{0, 300}}, {Applied: 0}}},

		{name: "request/ping", kind: "request", value: abi.Request{Name: "ping"}},
		{name: "request/events", kind: "request", value: abi.Request{Name: "events/emit",
			Params: []byte("\x82\xa4data\x81\xa8archived\xcd\x03\xe8\xa5event\xb0archive:progress")}},
		{name: "request/refuse/params that are no map", kind: "request", hex: "82a46e616d65a470696e67a6706172616d7390", why: abi.InvalidArgument},

		{name: "result/ok 0", kind: "result", value: abi.Pack(abi.OK, 0)},
		{name: "result/ok 65536", kind: "result", value: abi.Pack(abi.OK, 65536)},
		{name: "result/ok 2^32-1", kind: "result", value: abi.Pack(abi.OK, math.MaxUint32)},
		{name: "result/buffer_too_small 70000", kind: "result", value: abi.Pack(abi.BufferTooSmall, 70000)},
		{name: "result/unknown_column 41", kind: "result", value: abi.Pack(abi.UnknownColumn, 41)},
		{name: "result/internal 2^31", kind: "result", value: abi.Pack(abi.Internal, 1<<31)},
	}...)
}

// goldenBatch is a batch as a test writes it.
type goldenBatch struct {
	Columns []string
	Rows    [][]any
}

func encodeBatch(b goldenBatch) []byte {
	var w wire.Writer
	// These values are listed in this file, and writing them cannot fail.
	_ = w.Value(b.Columns)
	for _, row := range b.Rows {
		_ = w.Value(row)
	}
	return w.B
}

func readBatch(b []byte) (goldenBatch, error) {
	walk, err := wire.OpenBatch(b)
	if err != nil {
		return goldenBatch{}, err
	}
	batch := goldenBatch{Columns: walk.Columns}
	for walk.Next() {
		r := wire.NewReader(walk.Row())
		row, err := r.Value()
		if err != nil {
			return batch, err
		}
		batch.Rows = append(batch.Rows, row.([]any))
	}
	return batch, walk.Err()
}
