package main

import (
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// tinyGuest makes a module of a few hundred bytes, which compiles at once,
// under the race detector too. On any task it reports the progress 3 of 4,
// emits the events test:begin and test:end, and ends with the code and this
// result, or with this error's text.
func tinyGuest(t *testing.T, code abi.Code, result any) string {
	t.Helper()
	const i32, i64 = 0x7f, 0x7e
	uleb := func(n int) (b []byte) {
		for ; n >= 0x80; n >>= 7 {
			b = append(b, byte(n)|0x80)
		}
		return append(b, byte(n))
	}
	vec := func(b []byte) []byte { return append(uleb(len(b)), b...) }
	section := func(id byte, entries ...[]byte) []byte {
		body := uleb(len(entries))
		for _, e := range entries {
			body = append(body, e...)
		}
		return append([]byte{id}, vec(body)...)
	}
	join := func(parts ...[]byte) (b []byte) {
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	funcType := func(params, results []byte) []byte { return join([]byte{0x60}, vec(params), vec(results)) }
	imported := func(name string, typ byte) []byte {
		return join(vec([]byte(abi.Module)), vec([]byte(name)), []byte{0, typ})
	}
	number := func(n int) []byte { // i32.const, as a signed LEB128
		b := []byte{0x41}
		for ; n >= 0x40; n >>= 7 {
			b = append(b, byte(n)|0x80)
		}
		return append(b, byte(n))
	}
	call := func(f byte) []byte { return []byte{0x10, f, 0x1a} } // and drop what it returns

	var params, request, out wire.Writer
	events := []any{map[string]any{"event": "test:begin"}, map[string]any{"event": "test:end", "data": map[string]any{"n": int64(1)}}}
	if err := params.Value(map[string]any{"events": events}); err != nil {
		t.Fatal(err)
	}
	request.Request(&abi.Request{Name: abi.CommandEmitEvent, Params: params.B})
	if code == abi.OK {
		if err := out.Value(result); err != nil {
			t.Fatal(err)
		}
	} else {
		out.TaskError(&abi.TaskError{Message: result.(string)})
	}
	const requestAt, outAt, bufferAt, inputAt = 1024, 4096, 8192, 16384

	module := join([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, funcType([]byte{i64, i64}, []byte{i64}), funcType([]byte{i32, i32, i32, i32}, []byte{i64}),
			funcType([]byte{i32, i32}, []byte{i64}), funcType([]byte{i32}, []byte{i32})),
		section(2, imported(abi.ImportProgress, 0), imported(abi.ImportCommand, 1), imported(abi.ImportTaskReturn, 2)),
		section(3, []byte{3}, []byte{3}),
		section(5, []byte{0, 1}), // one page of memory
		section(7, join(vec([]byte(abi.ExportMemory)), []byte{2, 0}), join(vec([]byte(abi.ExportInput)), []byte{0, 3}), join(vec([]byte(abi.ExportWork)), []byte{0, 4})),
		section(10,
			vec(join([]byte{0}, number(inputAt), []byte{0x0b})),
			vec(join([]byte{0, 0x42, 3, 0x42, 4}, call(0),
				number(requestAt), number(len(request.B)), number(bufferAt), number(4096), call(1),
				number(outAt), number(len(out.B)), call(2),
				number(int(code)), []byte{0x0b})),
		),
		section(11, join([]byte{0}, number(requestAt), []byte{0x0b}, vec(request.B)), join([]byte{0}, number(outAt), []byte{0x0b}, vec(out.B))),
	)
	return string(module)
}
