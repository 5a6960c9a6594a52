package socket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/host/command"
)

const echo = `{"command":"echo"}`

// A line that comes byte by byte is a line, and one that comes with the next.
func TestPartialLines(t *testing.T) {
	t.Parallel()
	path, _ := serveCommands(t, Config{})
	c := dial(t, path)
	for _, b := range []byte(`{"command":"echo","params":{"s":"ü"}}` + "\n") {
		c.send(string([]byte{b}))
	}
	contains(t, c.receive(), `\u00fc`)
	c.send(echo + "\n" + echo)
	contains(t, c.receive(), "true")
	c.send("\n")
	contains(t, c.receive(), "true")
}

func TestLongLines(t *testing.T) {
	t.Parallel()
	path, _ := serveCommands(t, Config{})
	pad := func(n int) string { // a call of n bytes
		const head, tail = `{"command":"odd","params":{"s":"`, `"}}`
		return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
	}
	c := dial(t, path)
	if got := c.ask(pad(MaxLine)); got != `{"success":true,"result":null}` {
		t.Errorf("the longest: got %.100s", got)
	}
	// One byte more, and a client that never ends its line: the error comes
	// before the end, and then the connection's.
	for name, text := range map[string]string{"a byte more": pad(MaxLine+1) + "\n", "without end": strings.Repeat("x", MaxLine+4096)} {
		c := dial(t, path)
		go func() { _, _ = io.WriteString(c.UnixConn, text) }()
		if got := c.receive(); got != `{"success":false,"error":"limit_exceeded: a line of more than 1048576 bytes","code":"limit_exceeded"}` {
			t.Errorf("%s: got %s", name, got)
		}
		c.ended()
	}
}

func TestLineThatIsCutOff(t *testing.T) {
	t.Parallel()
	path, _ := serveCommands(t, Config{})
	c := dial(t, path)
	c.send(echo)
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	contains(t, c.receive(), "invalid_argument", "must end with a newline")
	c.ended()
}

// A client that half-closes gets the replies to what it asked, then the end.
func TestHalfClosed(t *testing.T) {
	t.Parallel()
	path, release := serveCommands(t, Config{})
	c := dial(t, path)
	c.send(`{"command":"wait","id":1}` + "\n" + `{"command":"wait"}` + "\n")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	release <- struct{}{}
	release <- struct{}{}
	contains(t, c.receive()+c.receive(), `{"id":1,"success":true,"result":"waited"}`, `{"success":true,"result":"waited"}`)
	c.ended()
}

// A line that was begun must end in time; a client without one may wait.
func TestSlowWriter(t *testing.T) {
	t.Parallel()
	path, _ := serveCommands(t, Config{LineTime: 20 * time.Millisecond})
	idle, slow := dial(t, path), dial(t, path)
	contains(t, idle.ask(echo), "true")
	slow.send(`{"comm`)
	contains(t, slow.receive(), "deadline_exceeded", "not complete 20ms after it began")
	slow.ended()
	contains(t, idle.ask(echo), "true")
}

// A client that does not read its replies loses the connection, not the host's
// memory or a goroutine.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	path, _ := serveCommands(t, Config{WriteTime: 20 * time.Millisecond, InFlight: 2})
	c := dial(t, path)
	big := `{"command":"echo","id":1,"params":{"s":"` + strings.Repeat("x", 100_000) + `"}}` + "\n"
	for range 1000 {
		_, err := io.WriteString(c.UnixConn, big)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the connection is neither read nor closed")
		}
		if err != nil {
			return
		}
	}
	t.Error("100 MB were taken from a client that reads nothing")
}

// What clients make the host hold is bounded for all together, and does not
// keep a client with a usual request from being served.
func TestHeldBytes(t *testing.T) {
	t.Parallel()
	r, release := newRouter(t)
	s, err := ServeCommands(t.Context(), Config{File: File{Path: newPath(t)}, HeldBytes: 300_000}, r, command.Operator())
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, s)
	path := s.cfg.File.Path
	holder := dial(t, path)
	holder.send(`{"command":"wait","params":{"s":"` + strings.Repeat("x", 250_000) + `"}}` + "\n")
	eventually(t, "a line that is held", func() bool { return s.held.Load() > 230_000 })
	large := `{"command":"echo","params":{"s":"` + strings.Repeat("x", 100_000) + `"}}` + "\n"
	c := dial(t, path)
	go func() { _, _ = io.WriteString(c.UnixConn, large) }()
	contains(t, c.receive(), "unavailable", "more than 300000 bytes")
	c.ended()
	contains(t, dial(t, path).ask(echo), "true")
	release <- struct{}{}
	contains(t, holder.receive(), "waited")
	eventually(t, "room again", func() bool { return s.held.Load() == 0 })
	contains(t, dial(t, path).ask(large[:len(large)-1]), `"success":true`)
	contains(t, dial(t, path).ask(`{"id":1,`+large[1:len(large)-1]), `"success":true`)
	eventually(t, "room again", func() bool { return s.held.Load() == 0 })
}

// Replies count as well: the one that there is no room for ends its connection.
func TestHeldReplies(t *testing.T) {
	t.Parallel()
	r := command.NewRouter(nil)
	err := r.Register("large", func(context.Context, command.Caller, map[string]any) (any, error) {
		return strings.Repeat("x", 500_000), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := ServeCommands(t.Context(), Config{File: File{Path: newPath(t)}, HeldBytes: 300_000}, r, command.Operator())
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, s)
	c := dial(t, s.cfg.File.Path)
	contains(t, c.ask(`{"command":"large"}`), "unavailable", "more than 300000 bytes")
	c.ended()
	if n := s.held.Load(); n != 0 {
		t.Errorf("%d bytes are held by nobody", n)
	}
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	path, _ := serveCommands(t, Config{Connections: 2})
	a, b := dial(t, path), dial(t, path)
	contains(t, a.ask(echo)+b.ask(echo), "true")
	c := dial(t, path)
	if got := c.receive(); got != `{"success":false,"error":"unavailable: 2 clients are connected already; try again later","code":"unavailable"}` {
		t.Errorf("got %s", got)
	}
	c.ended()
	contains(t, a.ask(echo), "true")
	_ = b.Close()
	eventually(t, "room for another", func() bool {
		c := dial(t, path)
		defer c.Close()
		_, _ = io.WriteString(c.UnixConn, echo+"\n") // one that is refused may be closed already
		return strings.Contains(c.receive(), "true")
	})
}

// 200 clients that are slow, dead or mad hold their connections while a good one
// is served. Nothing of theirs times out meanwhile.
func TestBadClientsDoNotDelayAGoodOne(t *testing.T) {
	t.Parallel()
	w := newWorker()
	never := Config{LineTime: time.Hour, WriteTime: time.Hour, TaskTime: time.Hour}
	path := serveTasks(t, TaskConfig{Config: never}, w)
	var bad []*client
	for i := range 200 {
		c := dial(t, path)
		bad = append(bad, c)
		switch i % 5 {
		case 0: // half a line, for ever
			c.send(`{"command":"pi`)
		case 1: // says nothing
		case 2: // asks and asks and never reads: until the buffers are full
			_ = c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
			_, _ = c.Write(bytes.Repeat([]byte("\x00garbage\n"), 200_000))
		case 3: // waits for tasks that nobody runs
			for n := range 16 {
				c.send(fmt.Sprintf(`{"id":"%d","type":"never"}`+"\n", n))
			}
		case 4: // dies in the middle of a line
			c.send(`{"id":"x","type`)
			_ = c.Close()
		}
	}
	good := dial(t, path)
	for i := range 100 {
		contains(t, good.ask(`{"command":"ping"}`), "pong")
		contains(t, good.ask(fmt.Sprintf(`{"id":"%d","type":"ping"}`, i)), `"success":true`)
	}
	for _, c := range bad {
		_ = c.Close()
	}
}

// Many clients at once, each of which gets its own replies.
func TestManyClients(t *testing.T) {
	t.Parallel()
	path, _ := serveCommands(t, Config{})
	var wg sync.WaitGroup
	for i := range 32 {
		c := dial(t, path)
		wg.Go(func() {
			for n := range 50 {
				c.send(fmt.Sprintf(`{"command":"echo","id":%d,"params":{"from":%d}}`+"\n", n, i))
			}
			seen := map[any]bool{}
			for range 50 {
				o := c.object()
				if o["result"].(map[string]any)["from"] != float64(i) {
					t.Errorf("client %d got %v", i, o)
				}
				seen[o["id"]] = true
			}
			if len(seen) != 50 {
				t.Errorf("client %d got %d replies of 50", i, len(seen))
			}
		})
	}
	wg.Wait()
}

// Stop ends the contexts of requests, replies to them, closes connections and
// waits; the file goes first.
func TestStop(t *testing.T) {
	t.Parallel()
	r, _ := newRouter(t)
	path := newPath(t)
	s, err := ServeCommands(t.Context(), Config{File: File{Path: path}}, r, command.Operator())
	if err != nil {
		t.Fatal(err)
	}
	idle, busy, half := dial(t, path), dial(t, path), dial(t, path)
	contains(t, idle.ask(echo), "true")
	busy.send(`{"command":"wait","id":1}` + "\n")
	half.send(`{"comm`)
	contains(t, busy.ask(`{"command":"echo","id":2}`), `"id":2`) // so the first is in flight
	stop(t, s)
	contains(t, busy.receive(), `"id":1`, `"code":"cancelled"`)
	busy.ended()
	idle.ended()
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("the socket is still served")
	}
	stop(t, s) // again
}

// A client that takes nothing does not keep Stop from ending.
func TestStopDoesNotWaitForSlowClients(t *testing.T) {
	t.Parallel()
	r, _ := newRouter(t)
	s, err := ServeCommands(t.Context(), Config{File: File{Path: newPath(t)}, WriteTime: time.Hour, LineTime: time.Hour}, r, command.Operator())
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, s.cfg.File.Path)
	_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = c.Write(bytes.Repeat([]byte(echo+"\n"), 200_000)) // no reply is read
	now, cancel := context.WithCancel(context.Background())
	cancel()
	done := make(chan error, 1)
	go func() { done <- s.Stop(now) }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("Stop waits for a client that reads nothing")
	}
}
