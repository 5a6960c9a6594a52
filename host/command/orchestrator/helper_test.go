package orchestrator

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type object = map[string]any

// newSocket returns a path that is short enough for a socket.
func newSocket(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "o")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// server is the other side, as bad as a test wants it.
type server struct {
	t        testing.TB
	listener net.Listener
	answer   func(conn net.Conn, line string)

	mu    sync.Mutex
	conns []net.Conn
	wait  sync.WaitGroup
}

// serve calls answer for each line of each connection, one at a time on each.
func serve(t testing.TB, socket string, answer func(conn net.Conn, line string)) *server {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, listener: l, answer: answer}
	s.wait.Go(s.accept)
	t.Cleanup(s.stop)
	return s
}

func (s *server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, conn)
		s.mu.Unlock()
		s.wait.Go(func() {
			defer conn.Close()
			for r := bufio.NewReader(conn); ; {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				s.answer(conn, line)
			}
		})
	}
}

// hangUp closes all connections.
func (s *server) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

func (s *server) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// stop may be called twice.
func (s *server) stop() {
	s.listener.Close()
	s.hangUp()
	s.wait.Wait()
}

// reply answers every line with a text.
func reply(text string) func(net.Conn, string) {
	return func(c net.Conn, _ string) { _, _ = c.Write([]byte(text)) }
}

const fine = `{"success":true,"result":{"ok":true}}` + "\n"

func newClient(t testing.TB, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// patience ends the waiting for the next attempt to connect.
func (c *Client) patience() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = time.Time{}
}

func wantCode(t testing.TB, err error, want abi.Code) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

// openDB opens a database as package host does.
func openDB(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate"+
		"&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

// station is an event log with what an outbox needs.
type station struct {
	t      testing.TB
	db     *sql.DB
	events *command.Events
	cfg    OutboxConfig
}

func newStation(t testing.TB) *station {
	t.Helper()
	s := &station{t: t, db: openDB(t, filepath.Join(t.TempDir(), "host.db"))}
	s.events = s.log(0)
	s.cfg = OutboxConfig{Client: Config{Socket: newSocket(t)}, Host: "host-1", Patterns: []string{"a:*"}}
	return s
}

func (s *station) log(keep int64) *command.Events {
	s.t.Helper()
	log, err := command.OpenEvents(s.t.Context(), s.db, command.EventsConfig{Keep: keep})
	if err != nil {
		s.t.Fatal(err)
	}
	return log
}

func (s *station) emit(events ...command.Event) []int64 {
	s.t.Helper()
	ids, err := s.events.Emit(context.Background(), events...)
	if err != nil {
		s.t.Fatal(err)
	}
	return ids
}

func (s *station) open() *Outbox {
	s.t.Helper()
	o, err := OpenOutbox(s.t.Context(), s.db, s.events, s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

// run runs an outbox until stop is called.
func (s *station) run() (o *Outbox, stop func()) {
	s.t.Helper()
	o = s.open()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.Run(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
		o.Close()
	})
	s.t.Cleanup(stop)
	return o, stop
}

// delivery is what a receiver gets.
type delivery struct {
	Command string `json:"command"`
	Params  struct {
		Event string         `json:"event"`
		Data  map[string]any `json:"data"`
	} `json:"params"`
}

func (d delivery) id() int64 {
	host, _ := d.Params.Data["wasmhost"].(map[string]any)
	id, _ := host["id"].(float64)
	return int64(id)
}

// receive makes a server's answer out of a decision about each delivery.
func receive(t testing.TB, decide func(d delivery) string) func(net.Conn, string) {
	return func(c net.Conn, line string) {
		var d delivery
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Errorf("received %q: %v", line, err)
		}
		if answer := decide(d); answer != "" {
			_, _ = c.Write([]byte(answer))
		} else {
			c.Close()
		}
	}
}

func await[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

// eventually polls for what no channel tells.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func dial(t testing.TB, socket string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
