package main

import (
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/cmd/wasmhost/fixture"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/queue"
)

func TestDryRun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("wasmhost.toml", `
[workers.good]
grants = { commands = ["events/emit"], events = ["test:*"] }
[[workers.good.schedule]]
cron = "0 3 * * *"
time_zone = "Europe/Berlin"
`)
	s.write("workers/good.wasm", fixture.Tiny(t, abi.OK, map[string]any{"sum": int64(42)}))
	s.write("workers/bad.wasm", fixture.Tiny(t, abi.Permanent, "no such thing as 7"))
	_, stop := s.serve()

	code, out, errs := s.run("submit", "good", "{}", "--dry-run")
	for _, want := range []string{"dry run of good, task 1: nothing was written and nothing sent", "would write\n  nothing\n", "events/emit: 1 call\n", `"event":"test:end"`, `"sum": 42`} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("exit %d, %q lacks %q: %s", code, out, want, errs)
		}
	}
	var d host.DryRun
	s.json(&d, "submit", "good", "--dry-run")
	if len(d.Commands) != 1 || d.Sent["events/emit"] != 1 || d.Writes == nil {
		t.Errorf("%+v", d)
	}
	// The worker that fails was not granted the command that it tries.
	if code, _, errs = s.run("submit", "bad", "--dry-run"); code != exitTaskFailed || !strings.Contains(errs, "the dry run failed: ") {
		t.Errorf("exit %d, %q", code, errs)
	}
	if code, out, _ = s.run("tasks", "show", "1"); code != exitOK || !strings.Contains(out, "nothing that it did has happened") {
		t.Errorf("exit %d, %q", code, out)
	}
	for _, pattern := range []string{"test:*", "task:*"} {
		if code, out, _ = s.run("events", "--pattern", pattern); code != exitOK || out != "" {
			t.Errorf("events: exit %d, %q", code, out)
		}
	}
	var schedules []host.ScheduleInfo
	s.json(&schedules, "schedules")
	if len(schedules) != 1 || schedules[0].Next.Hour() != 3 || schedules[0].Next.Location() == nil {
		t.Errorf("%+v", schedules)
	}
	var tasks []queue.Record
	s.json(&tasks, "tasks")
	if len(tasks) != 3 || !tasks[0].DryRun {
		t.Errorf("%+v", tasks)
	}
	stop()
}
