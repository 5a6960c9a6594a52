package ai

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/host/command"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type object = map[string]any

// server is a model server that answers as a test says, and counts.
type server struct {
	*httptest.Server
	asked  atomic.Int64
	mu     sync.Mutex
	bodies []string
	heads  []http.Header
}

func serve(t *testing.T, answer http.HandlerFunc) *server {
	t.Helper()
	s := new(server)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		s.mu.Lock()
		s.bodies, s.heads = append(s.bodies, b.String()), append(s.heads, r.Header.Clone())
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// world is a Router with the commands, models and the database behind them.
type world struct {
	*testing.T
	router  *command.Router
	service *Service
	records *Records
	db      *sql.DB
	log     bytes.Buffer
	told    []Call
	pauses  []time.Duration // between attempts, none of which is waited for
}

const key = "sk-hidden-0123456789"

func usd(f float64) *float64 { return &f }

// newWorld has the model "m" of the server at url, which change may change.
func newWorld(t *testing.T, url string, change func(*ModelConfig)) *world {
	t.Helper()
	w := &world{T: t, router: command.NewRouter(nil)}
	w.db = openDB(t, filepath.Join(t.TempDir(), "host.db"))
	var err error
	if w.records, err = OpenRecords(t.Context(), w.db, RecordsConfig{Keep: time.Hour}); err != nil {
		t.Fatal(err)
	}
	m := ModelConfig{
		Provider: OpenAI, URL: url + "/v1", Model: "served", Key: func() (string, error) { return key, nil },
		Input: usd(2), Output: usd(10), Timeout: 30 * time.Second, Attempts: 3, MaxTokens: 100, Stream: true,
	}
	if change != nil {
		change(&m)
	}
	w.open(m)
	return w
}

// open makes the service anew, as a host that starts again does.
func (w *world) open(m ModelConfig) {
	w.Helper()
	w.router = command.NewRouter(nil)
	s, err := New(Config{
		Models: map[string]ModelConfig{"m": m, Static: {Provider: Static}, Extractive: {Provider: Extractive}},
		Embed:  Static, Generate: Extractive, Records: w.records,
		Log: slog.New(slog.NewTextHandler(&w.log, nil)), Told: func(c Call) { w.told = append(w.told, c) },
	})
	if err == nil {
		err = s.Register(w.router)
	}
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(s.Close)
	w.service = s
	if o, ok := s.models["m"].generator.(*openAI); ok {
		o.pause = func(ctx context.Context, d time.Duration) error {
			w.pauses = append(w.pauses, d)
			return ctx.Err()
		}
	}
}

func openDB(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

// worker is a caller with a task.
func worker(task string, call int64) command.Caller {
	return command.Caller{
		Worker: "w", Task: task, Unique: "host/" + task + "@1", Call: call,
		Grants: command.Grants{Commands: []string{"ai/*"}}, Budget: command.NewBudget(command.Allowance{}),
	}
}

func (w *world) call(ctx context.Context, c command.Caller, name string, params object) (object, error) {
	w.Helper()
	var p wire.Writer
	if err := p.Value(params); err != nil {
		w.Fatal(err)
	}
	b, err := w.router.Execute(ctx, c, name, p.B)
	if err != nil {
		return nil, err
	}
	return w.decode(b), nil
}

func (w *world) decode(b []byte) object {
	w.Helper()
	r := wire.NewReader(b)
	v, err := r.Value()
	m, ok := v.(object)
	if err != nil || !ok {
		w.Fatalf("result %v: %v", v, err)
	}
	return m
}

// question is what most tests ask.
func question(more object) object {
	p := object{"model": "m", "messages": []any{object{"role": "user", "content": "What do whales eat?"}}}
	for k, v := range more {
		p[k] = v
	}
	return p
}

func (w *world) must(result object, err error) object {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
	return result
}

func wantCode(t *testing.T, err error, want abi.Code) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
