package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/cmd/wasmhost/fixture"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/worker"
)

// canary runs deploy --canary and gives the worker tasks meanwhile.
func (s *site) canary(log *output, stdin string, args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	done := make(chan struct{})
	begun := strings.Count(log.String(), "a candidate is compared")
	go func() {
		defer close(done)
		code, stdout, stderr = s.runWith(s.t.Context(), stdin, append([]string{"deploy"}, args...)...)
	}()
	ended := func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
	eventually(s.t, log, func() bool { return ended() || strings.Count(log.String(), "a candidate is compared") > begun })
	for !ended() {
		if code, _, errs := s.run("submit", "w", "--wait"); code != exitOK {
			s.t.Errorf("submit: exit %d: %s", code, errs)
		}
	}
	return code, stdout, stderr
}

// TestDeployCanary goes through what deploy --canary shows and decides, beside a
// host that runs.
func TestDeployCanary(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	version := func(file, version, is string) string {
		s.write(file+"/w.wasm", fixture.Tiny(t, abi.OK, map[string]any{"is": is}))
		s.write(file+"/w.toml", "name = 'w'\nversion = '"+version+"'\n[requests]\ncommands = ['events/emit']\nevents = ['test:*']\n")
		return s.dir + "/" + file + "/w.wasm"
	}
	one, same, other := version("one", "1", "x"), version("same", "2", "x"), version("other", "3", "y")
	if code, _, errs := s.run("deploy", one, "--canary", "1"); code != exitFailed || !strings.Contains(errs, "no host runs") {
		t.Errorf("without a host: exit %d: %s", code, errs)
	}
	log, stop := s.serve()
	for _, args := range [][]string{{one, "--yes"}, {one, "--canary", "0"}, {one, "--canary", "1001"}, {one, "--canary", "2", "--accept-differences"}} {
		if code, _, errs := s.run(append([]string{"deploy"}, args...)...); code != exitUsage {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
	s.run("deploy", one)
	s.run("allow", "w", "--yes")
	serving := func() string {
		t.Helper()
		var infos []worker.Info
		s.json(&infos, "workers")
		return infos[1].ServingVersion
	}
	eventually(t, log, func() bool { return serving() == "1" })

	for _, step := range []struct {
		name           string
		args           []string
		stdin          string
		code           int
		stdout, stderr string
		serves         string
	}{
		{name: "the same version", args: []string{one, "--canary", "1"}, code: exitFailed, stderr: "it is the version that is served", serves: "1"},
		{name: "differs, and is not wanted", args: []string{other, "--canary", "2"}, stdin: "n\n", code: exitFailed,
			stdout: "old  digest ", stderr: "Deploy it? [y/N]", serves: "1"},
		{name: "differs, in a script", args: []string{other, "--canary", "2", "--yes"}, code: exitDiffers,
			stdout: "2 of 2 tasks compared, 2 different.", stderr: "--accept-differences", serves: "1"},
		{name: "is equal, in a script", args: []string{same, "--canary", "2", "--yes"}, stdout: "The host serves w, digest ", serves: "2"},
		{name: "differs, and that is accepted", args: []string{other, "--canary", "1", "--yes", "--accept-differences"}, stdout: "different", serves: "3"},
		{name: "and back, with what differs ignored", args: []string{same, "--canary", "1", "--ignore", "is", "--yes"}, stdout: "1 of 1 tasks compared, 0 different.", serves: "2"},
		{name: "differs, and is wanted", args: []string{other, "--canary", "1"}, stdin: "y\n", stdout: `{"is":"y"}`, serves: "3"},
	} {
		code, out, errs := s.canary(log, step.stdin, step.args...)
		if code != step.code || !strings.Contains(out, step.stdout) || !strings.Contains(errs, step.stderr) {
			t.Fatalf("%s: exit %d\n%s%s", step.name, code, out, errs)
		}
		if got := serving(); got != step.serves {
			t.Errorf("%s: the version %s is served, want %s", step.name, got, step.serves)
		}
	}

	// No task comes.
	begin := time.Now()
	code, out, errs := s.run("deploy", same, "--canary", "1", "--canary-wait", "1500ms", "--yes")
	if code != exitTimedOut || !strings.Contains(errs, "0 of 1 tasks were compared") || time.Since(begin) < time.Second {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	code, out, errs = s.canary(log, "", same, "--canary", "2", "--yes", "--json")
	var c struct {
		host.Canary
		Deployed bool
	}
	if err := json.Unmarshal([]byte(out), &c); err != nil || code != exitDiffers || c.Deployed || c.Compared != 2 || c.Different != 2 || len(c.Tasks[0].Differences) != 1 {
		t.Errorf("exit %d, %v\n%s%s", code, err, out, errs)
	}

	interrupted, interrupt := context.WithCancelCause(t.Context())
	begun := strings.Count(log.String(), "a candidate is compared")
	go func() {
		for interrupted.Err() == nil {
			if strings.Count(log.String(), "a candidate is compared") > begun {
				interrupt(errSignal)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	if code, out, errs = s.runWith(interrupted, "", "deploy", same, "--canary", "1"); code != exitInterrupted || !strings.Contains(errs, "nothing was deployed") || serving() != "3" {
		t.Errorf("interrupted: exit %d\n%s%s", code, out, errs)
	}
	stop()
}
