package socket

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

var nan = math.NaN()

func TestCommands(t *testing.T) {
	t.Parallel()
	path, _ := serveCommands(t, Config{})
	c := dial(t, path)
	for _, tt := range []struct{ name, line, want string }{
		{"params", `{"command":"echo","params":{"n":1,"s":"x"}}`, `{"success":true,"result":{"n":1,"s":"x"}}`},
		{"no params", `{"command":"echo"}`, `{"success":true,"result":{}}`},
		{"params are null", `{"command":"echo","params":null}`, `{"success":true,"result":{}}`},
		{"64 bits", `{"command":"echo","params":{"a":9223372036854775807,"b":-9223372036854775808,"c":9007199254740993}}`,
			`{"success":true,"result":{"a":9223372036854775807,"b":-9223372036854775808,"c":9007199254740993}}`},
		{"floats", `{"command":"echo","params":{"a":0.1,"b":1e3,"c":-2.5e-300}}`, `{"success":true,"result":{"a":0.1,"b":1000,"c":-2.5e-300}}`},
		{"more than ASCII", `{"command":"echo","params":{"ä":"€😀\u0000\ud83d\ude00<&>"}}`,
			`{"success":true,"result":{"\u00e4":"\u20ac\ud83d\ude00\u0000\ud83d\ude00<&>"}}`},
		{"an id", `{"command":"echo","id":"a-1"}`, `{"id":"a-1","success":true,"result":{}}`},
		{"a number for an id", `{"command":"echo","id":12345678901234567890}`, `{"id":12345678901234567890,"success":true,"result":{}}`},
		{"white space", " \t{ \"command\" : \"echo\" }\r", `{"success":true,"result":{}}`},
		{"empty lines before", "\n\r\n  \n" + `{"command":"echo"}`, `{"success":true,"result":{}}`},
		{"nothing", `{"command":"odd"}`, `{"success":true,"result":null}`},
		{"bytes", `{"command":"odd","params":{"what":"bytes"}}`, `{"success":true,"result":"AAEC"}`},
		{"a result that JSON has no number for", `{"command":"odd","params":{"what":"nan"}}`,
			`{"success":false,"error":"internal: the result cannot be told in JSON: it has the number NaN","code":"internal"}`},
		{"a result that is no text", `{"command":"odd","params":{"what":"text"}}`,
			`{"success":false,"error":"internal: the result cannot be told in JSON: it has text that is not UTF-8","code":"internal"}`},
		{"an error", `{"command":"fail","id":7}`, `{"id":7,"success":false,"error":"not_found: command fail: no such thing: \u00fc","code":"not_found"}`},
		{"unknown", `{"command":"no/such"}`, `{"success":false,"error":"unknown_command: nobody provides the command \"no/such\"","code":"unknown_command"}`},
		{"too large for 64 bits", `{"command":"echo","params":{"n":9223372036854775808}}`,
			`{"success":false,"error":"invalid_argument: params: the whole number 9223372036854775808 is not one of 64 bits","code":"invalid_argument"}`},
		{"too large for a float", `{"command":"echo","params":{"n":[1e999]}}`,
			`{"success":false,"error":"invalid_argument: params: the number 1e999 is too large","code":"invalid_argument"}`},
	} {
		if got := c.ask(tt.line); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// Lines that are complete and wrong, of any kind: a typed error, and the
// connection serves the next.
func TestWrongLines(t *testing.T) {
	t.Parallel()
	path, _ := serveCommands(t, Config{})
	c := dial(t, path)
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, tt := range []struct{ name, line, code, says string }{
		{"garbage", "GET / HTTP/1.1", "invalid_argument", "not a JSON object"},
		{"binary", "\x16\x03\x01\x02\x00\x01\xfc\x03", "invalid_argument", "not UTF-8"},
		{"NULs", "\x00\x00\x00", "invalid_argument", "not a JSON object"},
		{"a NUL in a string", "{\"command\":\"ec\x00ho\"}", "invalid_argument", "not a JSON object"},
		{"UTF-8 cut off", "{\"command\":\"\xe2\x82\"}", "invalid_argument", "not UTF-8"},
		{"half of a pair", `{"command":"echo","params":{"s":"\ud83d"}}`, "invalid_argument", "surrogate"},
		{"the other half", `{"command":"echo","params":{"s":"\ude00x"}}`, "invalid_argument", "surrogate"},
		{"two first halves", `{"command":"echo","params":{"s":"\ud83d\ud83d\ude00"}}`, "invalid_argument", "surrogate"},
		{"null", "null", "invalid_argument", "not a JSON object"},
		{"a list", "[]", "invalid_argument", "not a JSON object"},
		{"two values", `{"command":"echo"}{}`, "invalid_argument", "not a JSON object"},
		{"not closed", `{"command":"echo"`, "invalid_argument", "not a JSON object"},
		{"as deep as it may be", `{"command":"echo","params":{"a":` + deep(31) + `}}`, "", ""},
		{"too deep", `{"command":"echo","params":{"a":` + deep(32) + `}}`, "limit_exceeded", "deeper than 33"},
		{"far too deep", `{"command":"echo","params":{"a":` + deep(400_000) + `}}`, "limit_exceeded", "deeper"},
		{"deep in a string", `{"command":"echo","params":{"a":"` + deep(50) + `"}}`, "", ""},
		{"too many values", `{"command":"echo","params":{"a":[0` + strings.Repeat(",0", 100_000) + `]}}`, "limit_exceeded", "the line has more than 100000 values"},
		{"no command", `{}`, "invalid_argument", "command: is required"},
		{"a command of another kind", `{"command":1}`, "invalid_argument", "command: a string"},
		{"a long command", `{"command":"` + strings.Repeat("a", 129) + `"}`, "invalid_argument", "command: 129 bytes"},
		{"a NUL in the command", `{"command":"a\u0000"}`, "invalid_argument", "control character"},
		{"a list for params", `{"command":"echo","params":[]}`, "invalid_argument", "params: an object"},
		{"another field", `{"command":"echo","parms":{}}`, "invalid_argument", "parms: is not a known field"},
		{"an object for an id", `{"command":"echo","id":{}}`, "invalid_argument", "id: a number or a text"},
		{"a long id", `{"command":"echo","id":"` + strings.Repeat("a", 129) + `"}`, "invalid_argument", "id: a number or a text"},
		{"not for long", `{"command":"echo","id":1` + strings.Repeat("0", 128) + `}`, "invalid_argument", "id: a number or a text"},
	} {
		got := c.ask(tt.line)
		var o outcome
		if err := json.Unmarshal([]byte(got), &o); err != nil {
			t.Fatalf("%s: %v in %s", tt.name, err, got)
		}
		if o.Success != (tt.code == "") || o.Code != tt.code || !strings.Contains(o.Error, tt.says) {
			t.Errorf("%s: got %.300s", tt.name, got)
		}
	}
}

// Without ids the replies come in the order of the lines, with ids as they are
// ready.
func TestOrder(t *testing.T) {
	t.Parallel()
	path, release := serveCommands(t, Config{InFlight: 3})
	c := dial(t, path)
	c.send(`{"command":"wait"}` + "\n" + `{"command":"echo"}` + "\n")
	release <- struct{}{}
	if got := c.receive() + c.receive(); got != `{"success":true,"result":"waited"}{"success":true,"result":{}}` {
		t.Errorf("in order: got %s", got)
	}

	c.send(`{"command":"wait","id":1}` + "\n" + `{"command":"wait","id":2}` + "\n" + `{"command":"echo","id":3}` + "\n")
	if got := c.receive(); got != `{"id":3,"success":true,"result":{}}` {
		t.Errorf("what is ready first: got %s", got)
	}
	// With three in flight the next line is not read until one is answered.
	c.send(`{"command":"wait","id":4}` + "\n" + `{"command":"echo","id":5}` + "\n")
	release <- struct{}{}
	seen := map[string]bool{}
	for range 2 {
		seen[c.receive()] = true
	}
	if !seen[`{"id":5,"success":true,"result":{}}`] {
		t.Errorf("the fifth was not answered when there was room: %v", seen)
	}
	release <- struct{}{}
	release <- struct{}{}
	c.receive()
	c.receive()
}

// Two commands that wait at the same time, one by one on two connections.
func TestConnectionsAreIndependent(t *testing.T) {
	t.Parallel()
	path, release := serveCommands(t, Config{})
	a, b := dial(t, path), dial(t, path)
	a.send(`{"command":"wait"}` + "\n")
	if got := b.ask(`{"command":"echo"}`); got != `{"success":true,"result":{}}` {
		t.Errorf("got %s", got)
	}
	release <- struct{}{}
	contains(t, a.receive(), "waited")
}

func TestCaller(t *testing.T) {
	t.Parallel()
	r, _ := newRouter(t)
	s, err := ServeCommands(t.Context(), Config{File: File{Path: newPath(t)}}, r,
		command.Caller{Worker: "w", Grants: command.Grants{Commands: []string{"echo"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, s)
	c := dial(t, s.cfg.File.Path)
	contains(t, c.ask(`{"command":"echo"}`), `"success":true`)
	contains(t, c.ask(`{"command":"fail"}`), `"not_granted"`)
}

func TestCall(t *testing.T) {
	t.Parallel()
	path, _ := serveCommands(t, Config{})
	got, err := Call(t.Context(), path, "echo", json.RawMessage(`{"n":9007199254740993,"s":"ü"}`))
	if err != nil || string(got) != `{"n":9007199254740993,"s":"\u00fc"}` {
		t.Errorf("got %s, %v", got, err)
	}
	_, err = Call(t.Context(), path, "fail", nil)
	if !errors.Is(err, abi.NotFound) || abi.MessageOf(err) != "command fail: no such thing: ü" {
		t.Errorf("an error of the command: %v", err)
	}
	if _, err = Call(t.Context(), path, "echo", json.RawMessage(`{"s":"`+strings.Repeat("x", MaxLine)+`"}`)); !errors.Is(err, abi.LimitExceeded) {
		t.Errorf("a call that is too long: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	odd := errors.New("odd")
	cancel(odd)
	if _, err = Call(ctx, path, "wait", nil); !errors.Is(err, odd) {
		t.Errorf("a call that was ended: %v", err)
	}
	full, _ := serveCommands(t, Config{Connections: 1})
	only := dial(t, full)
	contains(t, only.ask(`{"command":"echo"}`), "true")
	if _, err = Call(t.Context(), full, "echo", nil); !errors.Is(err, abi.Unavailable) || !strings.Contains(err.Error(), "1 clients are connected") {
		t.Errorf("no room: %v", err)
	}

	for name, path := range map[string]string{"none": filepath.Join(t.TempDir(), "none"), "abandoned": abandon(t)} {
		if _, err := Call(t.Context(), path, "echo", nil); !errors.Is(err, abi.Unavailable) || !strings.Contains(err.Error(), "no host serves the socket "+path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// abandon returns the path of a socket that a killed process left behind.
func abandon(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func FuzzCall(f *testing.F) {
	for _, s := range []string{`{"command":"echo","params":{"a":[1,2.5,"x",null,true,{"b":9223372036854775807}]},"id":"1"}`,
		`{"command":"echo","id":1e5,"params":null}`, `{"command":"\ud83d\ude00"}`, `{"a":"\u12`, "\xff", `{"command":"a","command":"b"}`} {
		f.Add([]byte(s))
	}
	r, _ := newRouter(f)
	d := &commands{router: r, caller: command.Operator()}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseCall(text)
		if err != nil {
			if code := abi.CodeOf(err); code != abi.InvalidArgument && code != abi.LimitExceeded {
				t.Errorf("%q: %v", text, err)
			}
		} else if c.name == "" || len(c.id) > maxID || len(c.params) > 0 && c.params[0]&0xf0 != 0x80 && c.params[0] < 0xde {
			t.Errorf("%q: got %+v", text, c)
		}
		if c.name == "wait" {
			return
		}
		do, _ := d.request(text)
		b, err := line(do(context.Background()))
		if err != nil || !json.Valid(b) {
			t.Errorf("%q is answered by %q, %v", text, b, err)
		}
	})
}
