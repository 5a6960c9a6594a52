package socket

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The two clients of a task socket as an orchestrator in TypeScript has them.
func TestClientsInNode(t *testing.T) {
	t.Parallel()
	const program = "../orchestrator/testdata/orchestrator.mjs"
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("skipped: there is no node")
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("skipped: there is no " + program)
	}
	w := newWorker()
	path := serveTasks(t, TaskConfig{}, w)
	run := func(stdin string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), node, append([]string{program, args[0], "--socket", path}, args[1:]...)...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	contains(t, run("", "archive", "--collection", "chat_messages", "--task", "t1"), `{"status":"queued","task_id":"t1","queue_position":1,"id":"1"}`)
	contains(t, run(`{"command":"ping"}`, "flat"), `{"status":"pong","uptime_seconds":12}`)

	go w.finish(t, "2", end{result: `{"text":"ü😀"}`})
	go w.finish(t, "3", end{result: `[3]`})
	got := run(`{"type":"sum","payload":{"n":2}}
{"type":"ping","payload":{}}
{"type":"sum","payload":{"n":3}}
{"type":"shutdown","payload":{}}
`, "envelope")
	contains(t, got, `"payload":{"text":"ü😀"}`, `"payload":[3]`, `"status":"healthy"`, `"errorType":"validation"`)
	if strings.Count(got, "\n") != 4 {
		t.Errorf("got\n%s", got)
	}
}
