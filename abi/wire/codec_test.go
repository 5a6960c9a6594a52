package wire_test

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// shape is one of the contract's shapes: how it is written and read.
type shape struct {
	write  func(w *wire.Writer, v any) error
	read   func(b []byte) (any, error)
	strict bool // an unknown field is refused: it comes from a guest
}

var shapes = map[string]shape{
	"task": {
		write: func(w *wire.Writer, v any) error { t := v.(abi.Task); w.Task(&t); return nil },
		read:  func(b []byte) (any, error) { return wire.ReadTask(b) },
	},
	"task_error": {
		write:  func(w *wire.Writer, v any) error { e := v.(abi.TaskError); w.TaskError(&e); return nil },
		read:   func(b []byte) (any, error) { return wire.ReadTaskError(b) },
		strict: true,
	},
	"query": {
		write:  func(w *wire.Writer, v any) error { q := v.(abi.Query); return w.Query(&q) },
		read:   func(b []byte) (any, error) { return wire.ReadQuery(b) },
		strict: true,
	},
	"mutations": {
		write:  func(w *wire.Writer, v any) error { w.Mutations(v.([]abi.Mutation)...); return nil },
		read:   func(b []byte) (any, error) { return wire.ReadMutations(b) },
		strict: true,
	},
	"write_results": {
		write: func(w *wire.Writer, v any) error { w.WriteResults(v.([]abi.WriteResult)); return nil },
		read:  func(b []byte) (any, error) { return wire.ReadWriteResults(b) },
	},
	"request": {
		write:  func(w *wire.Writer, v any) error { q := v.(abi.Request); w.Request(&q); return nil },
		read:   func(b []byte) (any, error) { return wire.ReadRequest(b) },
		strict: true,
	},
}

// encoded is v, of a shape, as bytes.
func encoded(t testing.TB, kind string, v any) []byte {
	t.Helper()
	var w wire.Writer
	if err := shapes[kind].write(&w, v); err != nil {
		t.Fatalf("writing %+v: %v", v, err)
	}
	return w.B
}

// message is msgpack made by the peer library of what the contract says a
// shape looks like, so that a field's name is spelt here a second time.
type message = map[string]any

func TestShapesRoundTrip(t *testing.T) {
	t.Parallel()
	names := func(s ...string) []any {
		list := make([]any, len(s))
		for i := range s {
			list[i] = s[i]
		}
		return list
	}
	for _, test := range []struct {
		name, kind string
		value      any
		message    any
	}{
		{"task", "task",
			abi.Task{ID: "t-1", Kind: "archive", Payload: []byte{0x81, 0xa1, 'n', 1}, Attempt: 2, DeadlineMS: 1_766_000_000_000,
				Handles: map[string]string{"source": "primary", "dest": "archive"}},
			message{"id": "t-1", "kind": "archive", "payload": message{"n": int64(1)}, "attempt": int64(2),
				"deadline_ms": int64(1_766_000_000_000), "handles": message{"source": "primary", "dest": "archive"}}},
		{"task with a key", "task",
			abi.Task{ID: "t-1", Key: "k", Payload: []byte{0xc0}, Handles: map[string]string{}},
			message{"key": "k", "id": "t-1", "kind": "", "payload": nil, "attempt": int64(0), "deadline_ms": int64(0), "handles": message{}}},
		{"task with nothing", "task",
			abi.Task{Payload: []byte{0xc0}, Handles: map[string]string{}},
			message{"id": "", "kind": "", "payload": nil, "attempt": int64(0), "deadline_ms": int64(0), "handles": message{}}},
		{"task error", "task_error", abi.TaskError{Message: "row 7: no such column"}, message{"message": "row 7: no such column"}},
		{"task error, later", "task_error", abi.TaskError{Message: "busy", AfterMS: 1500}, message{"message": "busy", "after_ms": int64(1500)}},
		{"query of everything", "query", abi.Query{Handle: "primary", Collection: "t"}, message{"handle": "primary", "collection": "t"}},
		{"query page", "query",
			abi.Query{Handle: "primary", Collection: "t", Columns: []string{"id", "body"},
				Where: []abi.Condition{
					{Column: "n", Op: abi.GreaterOrEqual, Value: int64(math.MinInt64)},
					{Column: "f", Op: abi.NotEqual, Value: 0.1},
					{Column: "b", Op: abi.Equal, Value: []byte{0, 0xff}},
					{Column: "s", Op: abi.In, Value: []any{"x", "y", nil, true}},
					{Column: "d", Op: abi.IsNull},
				},
				OrderBy: []abi.Order{{Column: "n"}, {Column: "id", Descending: true}}, Limit: 1000,
				After: []any{int64(5), "k"}, Until: []any{int64(9), "z"}},
			message{"handle": "primary", "collection": "t", "columns": names("id", "body"),
				"where": []any{
					[]any{"n", ">=", int64(math.MinInt64)}, []any{"f", "!=", 0.1}, []any{"b", "=", []byte{0, 0xff}},
					[]any{"s", "in", []any{"x", "y", nil, true}}, []any{"d", "is_null", nil},
				},
				"order_by": []any{names("n", "asc"), names("id", "desc")}, "limit": int64(1000),
				"after": []any{int64(5), "k"}, "until": []any{int64(9), "z"}}},
		{"query count", "query",
			abi.Query{Handle: "primary", Collection: "t", Aggregates: []abi.Aggregate{{Func: "count"}, {Func: "max", Column: "n"}}},
			message{"handle": "primary", "collection": "t", "aggregates": []any{names("count", ""), names("max", "n")}}},
		{"query lookup", "query",
			abi.Query{Handle: "archive", Collection: "t", Lookup: []byte{0x91, 0xa2, 'i', 'd'}, Key: []string{"id"}},
			message{"handle": "archive", "collection": "t", "lookup": []byte{0x91, 0xa2, 'i', 'd'}, "key": names("id")}},
		{"query describe", "query", abi.Query{Handle: "primary", Collection: "t", Describe: true},
			message{"handle": "primary", "collection": "t", "describe": true}},
		{"query describe all", "query", abi.Query{Handle: "primary", Describe: true}, message{"handle": "primary", "describe": true}},
		{"query named", "query", abi.Query{Named: "rooms", Params: map[string]any{"room": "general", "since": nil}},
			message{"named": "rooms", "params": map[string]any{"room": "general", "since": nil}}},
		{"query named with more than there may be", "query", abi.Query{Handle: "h", Collection: "c", Named: "rooms", Params: map[string]any{}},
			message{"handle": "h", "collection": "c", "named": "rooms", "params": map[string]any{}}},
		{"query with empty lists", "query",
			abi.Query{Columns: []string{}, After: []any{}, Until: []any{}, Lookup: []byte{}, Key: []string{}},
			message{"handle": "", "collection": "", "columns": names(), "after": names(), "until": names(), "lookup": []byte{}, "key": names()}},
		{"no mutations", "mutations", []abi.Mutation(nil), []any{}},
		{"mutations", "mutations",
			[]abi.Mutation{
				{Handle: "archive", Collection: "t", Verb: abi.InsertNew},
				{Handle: "archive", Collection: "u", Verb: abi.Update, Columns: []string{"a"}, Key: []string{"id"}, Expect: []string{"v"}, Size: 70000},
				{Handle: "archive", Collection: "u", Verb: abi.Delete, Key: []string{}, Expect: []string{}},
			},
			[]any{
				message{"handle": "archive", "collection": "t", "op": "insert_new"},
				message{"handle": "archive", "collection": "u", "op": "update", "columns": names("a"), "key": names("id"), "expect": names("v"), "size": int64(70000)},
				message{"handle": "archive", "collection": "u", "op": "delete", "key": names(), "expect": names()},
			}},
		{"no write results", "write_results", []abi.WriteResult{}, []any{}},
		{"write results", "write_results",
			[]abi.WriteResult{{Applied: 1000}, {Applied: 1 << 40, Unapplied: []int64{0, 7, 1 << 33}}},
			[]any{message{"applied": int64(1000), "unapplied": names()},
				message{"applied": int64(1 << 40), "unapplied": []any{int64(0), int64(7), int64(1 << 33)}}}},
		{"request", "request",
			abi.Request{Name: "events/emit", Params: []byte{0x81, 0xa1, 'a', 0xc3}},
			message{"name": "events/emit", "params": message{"a": true}}},
		{"request without params", "request", abi.Request{Name: "ping"}, message{"name": "ping"}},
	} {
		b := encoded(t, test.kind, test.value)
		got, err := shapes[test.kind].read(b)
		if err != nil || !reflect.DeepEqual(got, test.value) {
			t.Errorf("%s:\n got %+v, error %v\nwant %+v", test.name, got, err, test.value)
		}
		peer, used, err := peerDecode(b)
		if err != nil || used != len(b) || !same(peer, test.message) {
			t.Errorf("%s: the peer reads %d of %d bytes, error %v\n got %v\nwant %v", test.name, used, len(b), err, peer, test.message)
		}
		// The peer's bytes, whose fields stand in another order, are as good.
		got, err = shapes[test.kind].read(peerEncode(t, test.message))
		if err != nil || !reflect.DeepEqual(got, test.value) {
			t.Errorf("%s, written by the peer:\n got %+v, error %v\nwant %+v", test.name, got, err, test.value)
		}
		// Cut anywhere it is refused, and as the caller's mistake.
		for cut := range b {
			if _, err := shapes[test.kind].read(b[:cut]); abi.CodeOf(err) != abi.InvalidArgument {
				t.Fatalf("%s cut at %d of %d: error %v", test.name, cut, len(b), err)
			}
		}
	}
}

// A field with its zero value is left out, and a reader takes its absence.
func TestAbsentFieldsAreZero(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]any{
		"task": abi.Task{}, "task_error": abi.TaskError{}, "query": abi.Query{}, "request": abi.Request{},
	} {
		if got, err := shapes[kind].read([]byte{0x80}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s of no fields: %+v, error %v", kind, got, err)
		}
	}
}

// What a guest sends is taken at its word or not at all: a field the host does
// not know would be a wish silently not fulfilled. What a host sends may grow.
func TestUnknownFields(t *testing.T) {
	t.Parallel()
	for kind, shape := range shapes {
		with := func(key string) []byte {
			m := any(message{key: []any{int64(1), message{"x": nil}}})
			if kind == "mutations" || kind == "write_results" {
				m = []any{m}
			}
			return peerEncode(t, m)
		}
		_, err := shape.read(with("colour"))
		if !shape.strict {
			if err != nil {
				t.Errorf("%s: an unknown field must be passed over: %v", kind, err)
			}
			continue
		}
		if abi.CodeOf(err) != abi.InvalidArgument || !strings.Contains(err.Error(), `unknown field "colour"`) {
			t.Errorf("%s: error %v, which must name the unknown field", kind, err)
		}
		// A guest's text does not flood the log.
		if _, err := shape.read(with(strings.Repeat("long", 1000))); err == nil || len(err.Error()) > 200 {
			t.Errorf("%s: error %v", kind, err)
		}
	}
}

func TestErrorsNameTheField(t *testing.T) {
	t.Parallel()
	w := func(v any) []byte { return peerEncode(t, v) }
	for _, test := range []struct {
		name, kind string
		in         []byte
		want       string
	}{
		{"no map", "query", w("text"), "query: "},
		{"bytes behind", "query", append(w(message{}), 0xc0), "bytes behind the value"},
		{"bytes behind", "request", append(w(message{}), 0x80), "bytes behind the value"},
		{"bytes behind", "task_error", append(w(message{}), 0x80), "bytes behind the value"},
		{"bytes behind", "mutations", append(w([]any{}), 0x80), "bytes behind the value"},
		{"key is no str", "query", []byte{0x81, 1, 1}, "a map key that is no str"},
		{"handle is no str", "query", w(message{"handle": int64(1)}), `query: field "handle"`},
		{"columns is no list", "query", w(message{"columns": "id"}), `field "columns"`},
		{"a column is no str", "query", w(message{"columns": []any{nil}}), `field "columns"`},
		{"a condition of two", "query", w(message{"where": []any{[]any{"a", "="}}}), `field "where"`},
		{"a condition of four", "query", w(message{"where": []any{[]any{"a", "=", nil, nil}}}), `field "where"`},
		{"a value with an ext", "query", []byte("\x81\xa5where\x91\x93\xa1a\xa1=\xd4\x01\x00"), `field "where"`},
		{"a direction", "query", w(message{"order_by": []any{[]any{"a", "up"}}}), "neither asc nor desc"},
		{"a limit of text", "query", w(message{"limit": "10"}), `field "limit"`},
		{"a limit over 63 bits", "query", w(message{"limit": uint64(math.MaxUint64)}), `field "limit"`},
		{"after is no list", "query", w(message{"after": int64(1)}), `field "after"`},
		{"until is no list", "query", w(message{"until": message{}}), `field "until"`},
		{"after too deep", "query", append([]byte("\x81\xa5after"), nested(wire.MaxDepth+1)...), `field "after"`},
		{"an aggregate of one", "query", w(message{"aggregates": []any{[]any{"count"}}}), `field "aggregates"`},
		{"lookup is no bin", "query", w(message{"lookup": "rows"}), `field "lookup"`},
		{"key is no list", "query", w(message{"key": nil}), `field "key"`},
		{"a field twice", "query", []byte("\x82\xa5limit\x01\xa5limit\x02"), `field "limit" comes twice`},
		{"a filter twice", "query", []byte("\x82\xa5where\x90\xa5where\x90"), `field "where" comes twice`},
		{"mutations are no list", "mutations", w(message{}), "mutation: "},
		{"a mutation is no map", "mutations", w([]any{"delete"}), "mutation: "},
		{"size of text", "mutations", w([]any{message{"size": "all"}}), `mutation: field "size"`},
		{"expect is no list", "mutations", w([]any{message{"expect": "v"}}), `field "expect"`},
		{"op is no str", "mutations", w([]any{message{"op": int64(1)}}), `field "op"`},
		{"a field twice", "mutations", []byte("\x91\x82\xa4size\x01\xa4size\x02"), `field "size" comes twice`},
		{"params are no map", "request", w(message{"params": []any{}}), `command: field "params"`},
		{"params are nil", "request", w(message{"params": nil}), `command: field "params"`},
		{"name is no str", "request", w(message{"name": nil}), `field "name"`},
		{"after_ms of a float", "task_error", w(message{"after_ms": 1.5}), `task error: field "after_ms"`},
		{"task is no map", "task", w([]any{}), "task: "},
		{"a role is no str", "task", []byte("\x81\xa7handles\x81\x01\xa1x"), "task: "},
		{"applied of text", "write_results", w([]any{message{"applied": "1"}}), "write result: "},
	} {
		_, err := shapes[test.kind].read(test.in)
		if abi.CodeOf(err) != abi.InvalidArgument || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s, %s: error %v, want one with %q", test.kind, test.name, err, test.want)
		}
	}
}

// A byte on the wire can be a hundred in memory: the number of values is bounded
// before any of them is decoded.
func TestRequestsOfTooManyValues(t *testing.T) {
	t.Parallel()
	list := func(n int, value string) string {
		return string([]byte{0xdd, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + strings.Repeat(value, n)
	}
	for _, test := range []struct {
		name, kind string
		values     int // besides those of the list
		in         func(n int) string
	}{
		{"columns", "query", 3, func(n int) string { return "\x81\xa7columns" + list(n, "\xa0") }},
		{"after", "query", 3, func(n int) string { return "\x81\xa5after" + list(n, "\xc0") }},
		{"mutations", "mutations", 1, func(n int) string { return list(n, "\x80") }},
	} {
		most := wire.MaxValues - test.values
		if _, err := shapes[test.kind].read([]byte(test.in(most))); err != nil {
			t.Errorf("%s, as many as may be: %v", test.name, err)
		}
		if _, err := shapes[test.kind].read([]byte(test.in(most + 1))); abi.CodeOf(err) != abi.LimitExceeded {
			t.Errorf("%s, one more: %v", test.name, err)
		}
	}
	// What travels as bytes or is not looked into does not count.
	q := encoded(t, "query", abi.Query{Lookup: bytes.Repeat([]byte{0xc0}, wire.MaxValues+1)})
	if _, err := shapes["query"].read(q); err != nil {
		t.Error("lookup:", err)
	}
	params := "\x82\xa4name\xa1x\xa6params\x81\xa1a" + list(wire.MaxValues+1, "\xc0")
	if _, err := shapes["request"].read([]byte(params)); err != nil {
		t.Error("params:", err)
	}
}

// A payload and params are not looked into and not copied.
func TestOpaquePartsAreNotCopied(t *testing.T) {
	t.Parallel()
	inside := func(part, whole []byte) bool {
		i := bytes.Index(whole, part)
		return i >= 0 && &whole[i] == &part[0] && cap(part) == len(part)
	}
	b := encoded(t, "task", abi.Task{Payload: []byte{0x92, 0xcc, 0xaa, 0xcc, 0xbb}})
	if task, err := wire.ReadTask(b); err != nil || !inside(task.Payload, b) {
		t.Errorf("payload: %x, error %v", task.Payload, err)
	}
	b = encoded(t, "request", abi.Request{Params: []byte{0x81, 0xa3, 'k', 'e', 'y', 0xcc, 0xaa}})
	if request, err := wire.ReadRequest(b); err != nil || !inside(request.Params, b) {
		t.Errorf("params: %x, error %v", request.Params, err)
	}
	b = encoded(t, "query", abi.Query{Lookup: chatBatch(1)})
	if query, err := wire.ReadQuery(b); err != nil || !inside(query.Lookup, b) {
		t.Errorf("lookup: %d bytes, error %v", len(query.Lookup), err)
	}
}
