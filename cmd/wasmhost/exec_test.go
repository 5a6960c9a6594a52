package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/cmd/wasmhost/fixture"
)

// TestExec calls commands of a host that runs, and of none.
func TestExec(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if code, _, errs := s.run("exec", "ping"); code != exitUsage || !strings.Contains(errs, `set command.socket, for example to "wasmhost.sock"`) {
		t.Errorf("no socket is configured: exit %d, %q", code, errs)
	}
	path := filepath.Join(s.dir, "wasmhost.sock")
	s.write("wasmhost.toml", "[command]\nsocket = \"wasmhost.sock\"\n[workers.good]\ngrants = { commands = [\"events/emit\"], events = [\"test:*\"] }\n")
	s.write("workers/good.wasm", fixture.Tiny(t, abi.OK, nil))
	s.write("params.json", `{"worker": "good", "payload": {"n": 9007199254740993}}`)
	if code, _, errs := s.run("exec", "ping"); code != exitFailed || !strings.Contains(errs, "no host serves the socket "+path) || !strings.Contains(errs, "wasmhost run") {
		t.Errorf("no host runs: exit %d, %q", code, errs)
	}
	if code, out, _ := s.run("__complete", "exec", ""); code != exitOK || out != ":4\n" {
		t.Errorf("completion without a host: exit %d, %q", code, out)
	}

	serving, stop := context.WithCancelCause(t.Context())
	var log output
	done := make(chan int)
	go func() {
		done <- Main(serving, []string{"wasmhost", "--config", s.file, "run"}, strings.NewReader(""), &log, &log, nil)
	}()
	eventually(t, &log, func() bool { _, err := os.Lstat(path); return err == nil })

	object := `{"event":"a:b","data":{"n":9007199254740993,"s":"ü"},"key":"k"}`
	for _, tt := range []struct {
		name   string
		args   []string
		stdin  string
		code   int
		stdout string
		stderr string
	}{
		{name: "ping", args: []string{"ping"}, stdout: `"pong": true`},
		{name: "as JSON", args: []string{"ping", "--json"}, stdout: `"pong": true`},
		{name: "what there is", args: []string{"commands/list"}, stdout: "\"commands/list\",\n    \"config/get\",\n    \"events/emit\""},
		{name: "params", args: []string{"events/emit", object}, stdout: `"id": 3`},
		{name: "params on standard input", args: []string{"events/emit", "-"}, stdin: object, stdout: `"id": 3`},
		{name: "params in a file", args: []string{"tasks/submit", "@" + filepath.Join(s.dir, "params.json")}, stdout: `"taskId": "1"`},
		{name: "unknown", args: []string{"pin"}, code: exitNotFound, stderr: "nobody provides the command \"pin\"\nSee what there is with: wasmhost exec commands/list\n"},
		{name: "unknown worker", args: []string{"tasks/submit", `{"worker":"none"}`}, code: exitNotFound, stderr: "there are archive, good"},
		{name: "wrong params", args: []string{"ping", `{"x":1}`}, code: exitUsage, stderr: "command ping: x: is not a known field"},
		{name: "params that are none", args: []string{"ping", "[1]"}, code: exitUsage, stderr: "not a JSON object"},
		{name: "a number that is too large", args: []string{"ping", `{"x":9223372036854775808}`}, code: exitUsage, stderr: "not one of 64 bits"},
		{name: "no name", code: exitUsage, stderr: "accepts between 1 and 2 arg"},
		{name: "no time", args: []string{"ping", "--timeout", "0s"}, code: exitUsage, stderr: "--timeout 0s: a duration above 0"},
		{name: "too little time", args: []string{"ping", "--timeout", "1ns"}, code: exitTimedOut, stderr: "no reply after 1ns: the command may have been carried out"},
		{name: "an error as JSON", args: []string{"pin", "--json"}, code: exitNotFound, stderr: `{"error":{"code":"unknown_command","exit":4,`},
	} {
		code, out, errs := s.runWith(t.Context(), tt.stdin, append([]string{"exec"}, tt.args...)...)
		if code != tt.code || !strings.Contains(out, tt.stdout) || !strings.Contains(errs, tt.stderr) {
			t.Errorf("%s: exit %d\n%s%s", tt.name, code, out, errs)
		}
	}
	if _, out, _ := s.run("events", "--pattern", "a:b"); strings.Count(out, "\n") != 1 || !strings.Contains(out, `a:b  {"n":9007199254740993,"s":"ü"}`) {
		t.Errorf("the event is %q", out)
	}
	if code, out, _ := s.run("__complete", "exec", ""); code != exitOK || !strings.Contains(out, "commands/list\nconfig/get\n") {
		t.Errorf("completion: exit %d\n%s", code, out)
	}

	stop(errSignal)
	if code := <-done; code != exitOK {
		t.Errorf("run: exit %d\n%s", code, log.String())
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is left behind")
	}
}
