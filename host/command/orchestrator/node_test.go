package orchestrator

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
)

// startNode runs testdata/orchestrator.mjs until the test ends.
func startNode(t testing.TB, socket string, args ...string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("skipped: there is no node to play the orchestrator")
	}
	cmd := exec.Command(node, append([]string{"testdata/orchestrator.mjs", "serve", "--socket", socket}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.Contains(line, "listening") {
		_ = cmd.Wait()
		t.Fatalf("node said %q, %v\n%s", line, err, &stderr)
	}
}

func TestNodeOrchestrator(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	startNode(t, socket, "--config", `{"archive.batchSize":250}`, "--sessions", `{"s1":{"name":"Änn"}}`)
	c := newClient(t, Config{Socket: socket})

	// Longer than any piece that arrives at once, of characters of two, three
	// and four bytes: if one of them was cut, it did not come back.
	text := strings.Repeat("ü€😀", 50_000)
	for _, call := range []struct {
		name   string
		params object
		want   any
		code   abi.Code
		text   string
	}{
		{name: "ping", params: object{"a": int64(1)}, want: object{"pong": true}},
		{name: "test/echo", params: object{"value": object{"n": int64(-3), "f": 0.5, "l": []any{nil, true}}},
			want: object{"echoed": object{"n": int64(-3), "f": 0.5, "l": []any{nil, true}}}},
		{name: "test/echo", params: object{"value": text[:299_997]}, want: object{"echoed": text[:299_997]}},
		{name: "data/list", params: object{"collection": "c", "limit": int64(2)}, want: object{"success": true, "count": int64(2), "items": []any{
			object{"id": "id-0", "version": int64(0), "ratio": int64(0)}, object{"id": "id-1", "version": int64(1), "ratio": 0.5}}}},
		{name: "config/get", params: object{"key": "archive.batchSize"}, want: object{"value": int64(250)}},
		{name: "config/get", params: object{"key": "none"}, want: object{}},
		{name: "session/get-user", params: object{"targetSessionId": "s1"}, want: object{"success": true, "user": object{"name": "Änn"}}},
		{name: "test/fail", code: abi.Failed, text: "it went wrong: ü"},
		{name: "test/inner", code: abi.Failed, text: "the inner one failed"},
		{name: "no/such", code: abi.UnknownCommand, text: "'no/such' not available"},
		{name: "test/raw", params: object{"text": "no JSON\n"}, code: abi.Failed, text: "broke the protocol"},
		{name: "ping", want: object{"pong": true}},
	} {
		got, err := c.Call(t.Context(), call.name, call.params)
		if abi.CodeOf(err) != call.code || err != nil && !strings.Contains(err.Error(), call.text) || !reflect.DeepEqual(got, call.want) {
			t.Errorf("%s %.100v: got %.200v, %v", call.name, call.params, got, err)
		}
	}
}

// The orchestrator answers in the order in which its commands end. Each call
// gets its own answer all the same.
func TestNodeRepliesOvertake(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	startNode(t, socket)
	c := newClient(t, Config{Socket: socket, Connections: 3})
	var calls sync.WaitGroup
	for i := range int64(30) {
		calls.Go(func() {
			ms := i * 7 % 10
			got, err := c.Call(t.Context(), "test/delay", object{"ms": ms})
			if want := (object{"waited": ms}); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
		})
	}
	calls.Wait()
	c.cfg.Timeout = 50_000_000
	_, err := c.Call(t.Context(), "test/never", nil)
	wantCode(t, err, abi.DeadlineExceeded)
	c.cfg.Timeout = 0
}

// What the program does to those who do not keep to the dialect, without which
// the tests above would show nothing.
func TestNodeIsAsBadAsItShouldBe(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	startNode(t, socket)
	raw := dial(t, socket)
	fmt.Fprint(raw, `{"command":"test/delay","params":{"ms":50}}`+"\n"+`{"command":"test/delay","params":{"ms":0}}`+"\n")
	r := bufio.NewReader(raw)
	for _, want := range []string{`"waited":0`, `"waited":50`} {
		if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, want) {
			t.Errorf("got %q, %v, want %s", line, err, want)
		}
	}
	// A character that arrives in two pieces.
	line := []byte(`{"command":"test/echo","params":{"value":"ü"}}` + "\n")
	cut := strings.Index(string(line), "ü") + 1
	_, _ = raw.Write(line[:cut])
	pause := dial(t, socket) // by the time this one is answered, the piece was read
	fmt.Fprint(pause, `{"command":"ping","params":{}}`+"\n")
	if _, err := bufio.NewReader(pause).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	_, _ = raw.Write(line[cut:])
	if got, err := r.ReadString('\n'); err != nil || !strings.Contains(got, "\ufffd") {
		t.Errorf("got %q, %v, want the character lost", got, err)
	}
}

// The clients that the program has for tests of task sockets: each looks at what
// comes back as its original does.
func TestNodeClients(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("skipped: there is no node to play the orchestrator")
	}
	run := func(socket, stdin string, args ...string) (out string, code int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), node, append([]string{"testdata/orchestrator.mjs", args[0], "--socket", socket}, args[1:]...)...)
		cmd.Stdin = strings.NewReader(stdin)
		b, err := cmd.Output()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			return string(b), exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		return string(b), 0
	}

	flat := newSocket(t)
	serve(t, flat, func(c net.Conn, line string) {
		if !strings.Contains(line, "ping") {
			fmt.Fprintf(c, `{"got":%s}`+"\n", strings.TrimSpace(line))
			return
		}
		_, _ = c.Write([]byte(`{"status":`)) // the rest would come in a second piece
	})
	want := `{"got":{"command":"archive","task_id":"t","collection":"c","source_handle":"primary","dest_handle":"archive","batch_size":7}}` + "\n"
	if out, code := run(flat, "", "archive", "--collection", "c", "--task", "t", "--batch", "7"); out != want || code != 0 {
		t.Errorf("exit %d, got %s", code, out)
	}
	if out, code := run(flat, `{"command":"ping"}`+"\n", "flat"); !strings.Contains(out, `{"error":`) || code != 1 {
		t.Errorf("half a reply: exit %d, got %s", code, out)
	}

	// Three requests at once, answered from the last to the first.
	envelope := newSocket(t)
	var ids []string
	serve(t, envelope, func(c net.Conn, line string) {
		var m struct{ ID, Type string }
		_ = json.Unmarshal([]byte(line), &m)
		if ids = append(ids, m.ID); len(ids) == 3 {
			for _, id := range slices.Backward(ids) {
				fmt.Fprintf(c, `{"requestId":%q,"success":true}`+"\n", id)
			}
		}
	})
	want = `{"requestId":"request-3","success":true}` + "\n" + `{"requestId":"request-2","success":true}` + "\n" + `{"requestId":"request-1","success":true}` + "\n"
	if out, code := run(envelope, strings.Repeat(`{"type":"ping","payload":{}}`+"\n", 3), "envelope"); out != want || code != 0 {
		t.Errorf("exit %d, got %s", code, out)
	}
	gone := newSocket(t)
	var s *server
	stopped := make(chan struct{})
	s = serve(t, gone, func(c net.Conn, _ string) {
		s.listener.Close()
		c.Close()
		close(stopped)
	})
	out, code := run(gone, `{"type":"ping"}`+"\n", "envelope")
	<-stopped
	if !strings.Contains(out, "the connection was lost") {
		t.Errorf("exit %d, got %s", code, out)
	}
}
