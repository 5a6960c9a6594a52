package orchestrator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// A frame is what stands before the first newline, however the bytes come, or
// an error.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("abc\n"), 10)
	f.Add([]byte("abc\nd"), 10)
	f.Add([]byte("abc"), 2)
	f.Add(append(bytes.Repeat([]byte("x"), 5000), '\n'), 5000)
	f.Add(append(bytes.Repeat([]byte("x"), 5000), '\n'), 4999)
	f.Add(append(bytes.Repeat([]byte("x"), 20_000), '\n'), 100)
	f.Fuzz(func(t *testing.T, b []byte, most int) {
		if most < 0 || most > 1<<20 {
			return
		}
		want, rest, whole := bytes.Cut(b, []byte("\n"))
		one, _, err1 := readFrame(bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(b)), 16), nil, most)
		all, scratch, err2 := readFrame(bufio.NewReader(bytes.NewReader(b)), nil, most)
		if len(scratch) > most+4096 {
			t.Errorf("holds %d bytes for at most %d", len(scratch), most)
		}
		if ok := whole && len(want) <= most; ok != (err1 == nil) || ok && !bytes.Equal(one, want) {
			t.Errorf("byte by byte: got %q, %v", one, err1)
		}
		// What follows may have been seen or not.
		if ok := whole && len(want) <= most && len(rest) == 0; ok && err2 != nil || err2 == nil && !bytes.Equal(all, want) {
			t.Errorf("at once: got %q, %v", all, err2)
		}
	})
}

// What is decoded is what the standard library reads, and what it refuses is
// refused.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,-2.5e3,"ü\n\ud83d\ude00",null,true,false,{}],"":[]}`, ` [ 1 , 2 ] `, `01`, `1.`, `-`, `-0`, `[1,]`, `{"a"}`, `"\x"`, "\"\x01\"", "\"\xff\"",
		`9223372036854775808`, `1e999`, `tru`, `[[[[]]]]`, `{"a":1,"a":2}`, "1\x00", `nullnull`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decode(b, 3)
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		var want any
		if !json.Valid(b) {
			if err == nil {
				t.Errorf("%q became %v", b, got)
			}
			return
		}
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			if text := err.Error(); !strings.Contains(text, "deeper than 3") && !strings.Contains(text, "too large") {
				t.Errorf("%q: %v", b, err)
			}
			return
		}
		if !equal(got, want) {
			t.Errorf("%q became %#v, want %#v", b, got, want)
		}
	})
}

// equal compares with what the standard library made, numbers by their value.
func equal(got, want any) bool {
	switch want := want.(type) {
	case json.Number:
		if n, err := want.Int64(); err == nil {
			return got == n
		}
		f, err := want.Float64()
		return err == nil && got == f
	case []any:
		list, ok := got.([]any)
		return ok && slices.EqualFunc(list, want, equal)
	case map[string]any:
		m, ok := got.(map[string]any)
		return ok && maps.EqualFunc(m, want, equal)
	}
	return got == want
}

// No reply makes the client panic, and each is a result or an error that the
// caller can act on.
func FuzzReply(f *testing.F) {
	for _, s := range []string{
		`{"success":true,"result":{"n":1,"context":{},"a":"b"}}`, `{"success":false,"error":"Command 'x' not found"}`,
		`{"success":true,"result":{"success":false,"error":{"message":"m"}}}`, `[[[[`, `{"success":true,"result":1e400}`, `"\ud800"`, "\xff",
	} {
		f.Add([]byte(s))
	}
	c, err := New(Config{Socket: "unused"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, broken, err := c.read(b, "x", object{"a": "b"})
		switch code := abi.CodeOf(err); {
		case err == nil && (broken || !json.Valid(b)):
			t.Errorf("%q is no reply", b)
		case err != nil && code != abi.Failed && code != abi.UnknownCommand && code != abi.LimitExceeded:
			t.Errorf("%q: %v", b, err)
		}
		if err != nil {
			return
		}
		// A result can be handed to a guest.
		var w wire.Writer
		if err := w.Value(v); err != nil {
			t.Errorf("%q: %v", b, err)
		}
		r := wire.NewReader(w.B)
		if err := r.Skip(); err != nil {
			t.Errorf("%q: %v", b, err)
		}
	})
}

// A request is one line of ASCII that says what its params say.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5,"ü😀\u2028\"\\\n",null,true,{}]}`, `{"é":{"":[[]]}}`, `{"n":9223372036854775807}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := decode([]byte(text), 20)
		params, ok := v.(map[string]any)
		if err != nil || !ok {
			return
		}
		line, err := request("x", params, 1<<20)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		for i, c := range line {
			if c >= 0x80 || c == '\n' && i != len(line)-1 {
				t.Fatalf("%q: byte %d of %q", text, i, line)
			}
		}
		sent, err := decode(line, 21)
		if want := (object{"command": "x", "params": params}); err != nil || !reflect.DeepEqual(sent, want) {
			// Whole floats come back as integers: what is sent then is the same.
			again, aerr := request("x", sent.(object)["params"].(object), 1<<20)
			if err != nil || aerr != nil || !bytes.Equal(again, line) {
				t.Errorf("%q became %q: %v", text, line, err)
			}
		}
		if _, err := request("x", params, len(line)-1); abi.CodeOf(err) != abi.LimitExceeded || !strings.Contains(err.Error(), "larger") {
			t.Errorf("%d bytes within %d: %v", len(line), len(line)-1, err)
		}
	})
}
