package main

import (
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/cmd/wasmhost/fixture"
	"github.com/wasmhost/wasmhost/host/worker"
)

// tinyVersion is tinyGuest with a manifest beside it.
func (s *site) tinyVersion(file, version, commands string) {
	s.t.Helper()
	s.write(file+".wasm", fixture.Tiny(s.t, abi.OK, map[string]any{"is": version}))
	s.write(file+".toml", "name = 'w'\nversion = '"+version+"'\n[requests]\ncommands = ["+commands+"]\n")
}

// TestLifeOfAWorker drops in, allows, swaps, rolls back and pins, from the command
// line of a host that runs.
func TestLifeOfAWorker(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	log, stop := s.serve()
	s.tinyVersion("one/w", "1", "'events/emit'")
	s.tinyVersion("two/w", "2", "'events/emit', 'ping'")
	one, two := s.dir+"/one/w.wasm", s.dir+"/two/w.wasm"
	for _, step := range []struct {
		args           []string
		stdin          string
		code           int
		stdout, stderr string
	}{
		{args: []string{"deploy", s.file}, code: exitUsage, stderr: "ends in .wasm"},
		{args: []string{"deploy", one, "--name", "W"}, code: exitFailed, stderr: "a worker's file is named"},
		{args: []string{"deploy", one}, code: exitFailed, stderr: "it is pending: it asks to call the command events/emit"},
		{args: []string{"allow", "w"}, stdin: "n\n", code: exitFailed, stdout: "new  call the command events/emit", stderr: "nothing was allowed"},
		{args: []string{"allow", "w"}, stdin: "yes\n", stdout: "Allowed."},
		{args: []string{"deploy", one}, stdout: "The host serves w, digest "},
		{args: []string{"submit", "w", "--wait"}, stdout: `"is": "1"`},
		{args: []string{"deploy", two}, code: exitFailed, stderr: "it is held: it asks for more than was granted"},
		{args: []string{"workers"}, stdout: "held"},
		{args: []string{"submit", "w", "--wait"}, stdout: `"is": "1"`},
		{args: []string{"allow", "w", "--yes", "--json"}, stdout: "\"new\": [\n    \"call the command ping\"\n  ]"},
		{args: []string{"deploy", two}, stdout: "The host serves w, digest "},
		{args: []string{"submit", "w", "--wait"}, stdout: `"is": "2"`},
		{args: []string{"rollback", "w"}, stdout: "The host serves w, digest "},
		{args: []string{"submit", "w", "--wait"}, stdout: `"is": "1"`},
		{args: []string{"rollback", "w", "3"}, code: exitNotFound, stderr: `no version "3" of w is kept: there are `},
		{args: []string{"pin", "w", "1"}, stdout: "Pinned w to the version "},
		{args: []string{"rollback", "w", "2"}, code: exitFailed, stderr: "unpin it first"},
		{args: []string{"unpin", "w"}, stdout: "Unpinned w."},
		{args: []string{"unpin", "w"}, code: exitNotFound},
		{args: []string{"revoke", "w"}, stdout: "Revoked what w was allowed."},
		{args: []string{"revoke", "w"}, code: exitNotFound},
		{args: []string{"allow", "none", "--yes"}, code: exitNotFound, stderr: "no worker is named"},
	} {
		code, out, errs := s.runWith(t.Context(), step.stdin, step.args...)
		if code != step.code || !strings.Contains(out, step.stdout) || !strings.Contains(errs, step.stderr) {
			t.Fatalf("%v: exit %d\n%s%s", step.args, code, out, errs)
		}
	}
	eventually(t, log, func() bool {
		var infos []worker.Info
		s.json(&infos, "workers")
		return infos[1].State == worker.Pending && infos[1].Serving == ""
	})
	stop()
}
