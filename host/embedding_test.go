package host_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/metrics"
	"github.com/wasmhost/wasmhost/host/queue"
	"github.com/wasmhost/wasmhost/sdk/embed"
)

// embeddingGuest builds the worker and compiles it, once for all worlds.
var embeddingGuest = sync.OnceValues(func() (string, error) {
	wasm := filepath.Join(filepath.Dir(archiveWasm), "embedding.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", wasm, "../guests/embedding")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the worker: %w\n%s", err, out)
	}
	w := &world{dir: wasm + ".world"}
	w.must(os.MkdirAll(w.path("workers"), 0o755))
	w.must(os.Link(wasm, w.path("workers/embedding.wasm")))
	h, err := host.New(context.Background(), w.config(), discard())
	w.must(err)
	w.must(h.Close())
	return wasm, nil
})

// addEmbedding drops the worker into the folder, grants it what it needs, and
// makes a table for it.
func (w *world) addEmbedding() *sql.DB {
	w.Helper()
	wasm, err := embeddingGuest()
	w.must(err)
	w.must(os.Link(wasm, w.path("workers/embedding.wasm")))
	w.addCompiled(wasm + ".world")
	w.toml += `
[workers.embedding]
max_attempts = 1
[workers.embedding.grants]
commands = ["events/emit", "config/get"]
config = ["embedding.*"]
[workers.embedding.grants.data.primary.documents]
read = true
update = ["embedding", "embedding_model", "embedding_dim", "embedding_hash"]
[settings.embedding]
batchSize = 40
`
	db := w.open("primary.db")
	w.exec(db, `CREATE TABLE documents (id INTEGER PRIMARY KEY, content, title TEXT,
		embedding BLOB, embedding_model TEXT, embedding_dim INTEGER, embedding_hash TEXT)`)
	return db
}

// TestEmbedding: the embedding worker, with the memory that any worker has, gives
// rows of every kind the vectors that the same table gives natively, byte for
// byte, and finds the nearest.
func TestEmbedding(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.addEmbedding()
	texts := []any{nil, "", "no \xff UTF-8", "nul\x00inside", []byte{1, 2}, 7,
		strings.Repeat("a long text about whales ", 45_000), "Ünïcödé, 中文, 한국어 and 👍", "İstanbul ≠ Ⅷ ﬁ",
		"the whale is a large animal of the sea", "the price of bread rose"}
	for i := range 140 {
		texts = append(texts, fmt.Sprintf("row %d speaks of %d things", i, i*i))
	}
	for i, text := range texts {
		if s, ok := text.(string); ok { // as it is, whatever the driver thinks of it
			w.exec(db, "INSERT INTO documents (id, content) VALUES (?, CAST(? AS TEXT))", i, []byte(s))
			continue
		}
		w.exec(db, "INSERT INTO documents (id, content) VALUES (?, ?)", i, text)
	}
	h, _ := w.start()
	do := func(kind, payload string) map[string]any {
		t.Helper()
		id, _, err := h.State().Submit(t.Context(), queue.Submission{Worker: "embedding", Kind: kind, Payload: json.RawMessage(payload)})
		w.must(err)
		task := w.wait(h, id)
		if task.State != queue.Completed {
			t.Fatalf("%s is %s: %+v", kind, task.State, task.Errors)
		}
		t.Logf("%s: %s\n%s", kind, task.Result, task.Bill)
		var result map[string]any
		w.must(json.Unmarshal(task.Result, &result))
		return result
	}
	got := do("embedding", `{}`)
	for name, want := range map[string]int{"rows": len(texts), "embedded": len(texts) - 4, "empty": 2, "not_text": 2, "invalid_utf8": 1, "cut": 1, "current": 0} {
		if got[name] != float64(want) {
			t.Errorf("%s: got %v, want %d", name, got[name], want)
		}
	}
	rows, err := db.Query("SELECT id, embedding FROM documents ORDER BY id")
	w.must(err)
	defer rows.Close()
	for rows.Next() {
		var id int
		var vector []byte
		w.must(rows.Scan(&id, &vector))
		text, _ := texts[id].(string)
		if !bytes.Equal(vector, embed.Append(nil, text[:min(len(text), 1<<20)])) {
			t.Errorf("row %d: the guest's vector is not the native one", id)
		}
	}
	w.must(rows.Err())
	if got := do("embedding", `{}`); got["embedded"] != 0.0 || got["current"] != float64(len(texts)-4) {
		t.Errorf("the second time: %v", got)
	}
	hits := do("embedding/query", `{"text":"the largest creature in the ocean","k":3,"columns":["id"]}`)["hits"].([]any)
	near := false
	for _, hit := range hits {
		near = near || hit.(map[string]any)["key"] == 9.0
	}
	if len(hits) != 3 || !near {
		t.Errorf("hits: %v", hits)
	}
}

// BenchmarkEmbedding embeds 20,000 sentences natively, and as rows by the worker:
// the whole task, and the part of it inside of the guest, which also hashes.
func BenchmarkEmbedding(b *testing.B) {
	sentences := corpus(b)[:20_000]
	perSecond := func(b *testing.B, seconds float64, name string) float64 {
		rate := float64(len(sentences)*b.N) / seconds
		b.ReportMetric(rate, name)
		return rate
	}
	var native float64
	b.Run("native", func(b *testing.B) {
		embed.Load()
		var v []byte
		for b.Loop() {
			for _, s := range sentences {
				v = embed.Append(v[:0], s)
			}
		}
		native = perSecond(b, b.Elapsed().Seconds(), "texts/s")
	})
	b.Run("guest", func(b *testing.B) {
		w := newWorld(b)
		db := w.addEmbedding()
		tx, err := db.Begin()
		w.must(err)
		for i, s := range sentences {
			_, err := tx.Exec("INSERT INTO documents (id, content) VALUES (?, ?)", i, s)
			w.must(err)
		}
		w.must(tx.Commit())
		h, _ := w.start()
		var guest, wall float64
		for b.Loop() {
			w.exec(db, "UPDATE documents SET embedding = NULL")
			id, _, err := h.State().Submit(b.Context(), queue.Submission{Worker: "embedding", Kind: "embedding", Payload: json.RawMessage(`{"batch_size":1000}`)})
			w.must(err)
			task := w.wait(h, id)
			var bill metrics.Bill
			w.must(json.Unmarshal(task.Bill, &bill))
			if task.State != queue.Completed || bill.RowsWritten != int64(len(sentences)) {
				b.Fatalf("the task is %s: %s, %+v", task.State, task.Bill, task.Errors)
			}
			guest, wall = guest+bill.GuestMS/1000, wall+bill.WallMS/1000
		}
		if inside := perSecond(b, guest, "texts/s-in-guest"); native > 0 { // it may not have been run
			b.ReportMetric(native/inside, "native/guest")
		}
		perSecond(b, wall, "rows/s")
	})
}
