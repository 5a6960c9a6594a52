package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/host/engine/rewrite"
)

// archiveEnv serves the archive worker from memory: prepared pages of rows, and
// whatever it inserted is found again. So nothing but the guest and the engine
// is measured.
type archiveEnv struct {
	fakeEnv
	pages   [][]byte
	last    []byte // a batch with the place of the last row
	rows    int64  // of one page
	next    int
	deleted int64
}

type oneBatch struct{ b []byte }

func (r *oneBatch) Next(_ context.Context, dst []byte) (int, error) {
	if len(r.b) > len(dst) {
		return 0, &TooSmallError{Size: len(r.b)}
	}
	n := copy(dst, r.b)
	r.b = nil
	return n, nil
}

func (*oneBatch) Close() error { return nil }

// newArchiveEnv makes pages of a thousand rows of 17 columns and 400 bytes.
func newArchiveEnv(pages int) *archiveEnv {
	const rows, columns = 1000, 17
	e := &archiveEnv{rows: rows}
	names := []string{"id", "timestamp"}
	for i := 2; i < columns; i++ {
		names = append(names, fmt.Sprint("column_", i))
	}
	head := func(w *wire.Writer, names ...string) {
		w.Array(len(names))
		for _, n := range names {
			w.String(n)
		}
	}
	for p := range pages {
		var w wire.Writer
		head(&w, names...)
		for i := range rows {
			id, at := fmt.Sprintf("%08x-%04d", p*rows+i, i), fmt.Sprintf("2026-01-01T%08d", p*rows+i)
			w.Array(columns)
			w.String(id)
			w.String(at)
			w.Float(float64(i))
			w.Nil()
			for range columns - 4 {
				w.String("some twenty-four letters")
			}
			if p == pages-1 && i == rows-1 {
				var l wire.Writer
				head(&l, "timestamp", "id")
				l.Array(2)
				l.String(at)
				l.String(id)
				e.last = l.B
			}
		}
		e.pages = append(e.pages, w.B)
	}
	return e
}

func (e *archiveEnv) OpenRows(_ context.Context, q *abi.Query) (Rows, error) {
	switch {
	case q.Lookup != nil:
		return &oneBatch{e.pages[e.next-1]}, nil
	case q.Aggregates != nil:
		var w wire.Writer
		w.Array(1)
		w.String("count")
		w.Array(1)
		w.Int(int64(len(e.pages)) * e.rows)
		return &oneBatch{w.B}, nil
	case len(q.Columns) == 2:
		return &oneBatch{e.last}, nil
	case e.next == len(e.pages):
		return &oneBatch{}, nil
	}
	e.next++
	return &oneBatch{e.pages[e.next-1]}, nil
}

func (e *archiveEnv) WriteRows(_ context.Context, ms []abi.Mutation, rows []byte) ([]abi.WriteResult, error) {
	if !bytes.Equal(rows, e.pages[e.next-1]) {
		return nil, abi.Errorf(abi.Conflict, "these are not the rows of page %d", e.next)
	}
	if ms[0].Verb == abi.Delete {
		e.deleted += e.rows
	}
	return []abi.WriteResult{{Applied: e.rows}}, nil
}

// Command answers an empty map: nothing is configured, no session was found.
func (*archiveEnv) Command(context.Context, *abi.Request) ([]byte, error) { return []byte{0x80}, nil }

// unmetered gives a module the counter that the engine looks for, and nothing
// that counts.
func unmetered(t testing.TB, wasm []byte) []byte {
	t.Helper()
	out := slices.Clone(wasm[:8])
	globals := 0
	for at := 8; at < len(wasm); {
		id := wasm[at]
		size, n := binary.Uvarint(wasm[at+1:])
		body := wasm[at+1+n:][:size]
		at += 1 + n + int(size)
		if id == 6 || id == 7 {
			count, n := binary.Uvarint(body)
			body = slices.Concat(uleb(int(count)+1), body[n:])
			if id == 6 {
				globals = int(count)
				body = append(body, typeI32, 1, 0x41, 0, 0x0b)
			} else {
				body = append(append(append(body, vec([]byte(rewrite.Counter))...), 3), uleb(globals)...)
			}
		}
		out = append(append(out, id), vec(body)...)
	}
	return out
}

// stockEngine is one whose runtime ends guests in its own way, if closing, or
// not at all.
func stockEngine(b *testing.B, closing bool) *Engine {
	ctx := context.Background()
	e, err := New(ctx, Config{})
	if err != nil {
		b.Fatal(err)
	}
	_ = e.runtime.Close(ctx)
	e.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCloseOnContextDone(closing))
	b.Cleanup(func() { _ = e.Close(ctx) })
	if _, err := instantiateWASI(ctx, e.runtime); err != nil {
		b.Fatal(err)
	}
	if _, err := instantiateImports(ctx, e.runtime); err != nil {
		b.Fatal(err)
	}
	return e
}

// BenchmarkArchiveGuest runs the archive worker on rows in memory: plain,
// metered, and ended by the runtime itself. The three take turns, and the
// fastest of each one's turns counts.
func BenchmarkArchiveGuest(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	wasm := archiveGuest(b)
	stock := func(closing bool) *Module {
		e := stockEngine(b, closing)
		compiled, err := e.runtime.CompileModule(ctx, unmetered(b, wasm))
		if err != nil {
			b.Fatal(err)
		}
		return &Module{name: "archive", engine: e, compiled: compiled, limits: Limits{}.withDefaults(), keep: true, slots: make(chan struct{}, 1)}
	}
	e, err := New(ctx, Config{CacheDir: cacheDir})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close(context.Background())
	metered, err := e.Compile(ctx, "archive", wasm, ModuleConfig{Isolation: PerWorker})
	if err != nil {
		b.Fatal(err)
	}
	env := newArchiveEnv(4)
	rows := int64(len(env.pages)) * env.rows
	var payload wire.Writer
	if err := payload.Value(map[string]any{"collection": "chat_messages", "keep": int64(0)}); err != nil {
		b.Fatal(err)
	}
	task := &abi.Task{ID: "1", Kind: "archive", Attempt: 1, Payload: payload.B}
	modules := []*Module{stock(false), metered, stock(true)}
	best := slices.Repeat([]time.Duration{time.Hour}, len(modules))

	for b.Loop() {
		for i, m := range modules {
			env.next, env.deleted = 0, 0
			var usage Usage
			err := m.With(ctx, func(s *Sandbox) (err error) {
				_, usage, err = s.Run(ctx, task, env)
				return err
			})
			if err != nil || env.deleted != rows {
				b.Fatalf("%d of %d rows: %v", env.deleted, rows, err)
			}
			best[i] = min(best[i], usage.Wall)
		}
	}
	plain, m, closed := float64(best[0]), float64(best[1]), float64(best[2])
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(rows)/best[1].Seconds(), "rows/s")
	b.ReportMetric(m/plain, "metered/plain")
	b.ReportMetric(closed/plain, "close/plain")
	b.ReportMetric(closed/m, "close/metered")
}
