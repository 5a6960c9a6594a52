package ai

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

func encode(t *testing.T, v any) []byte {
	t.Helper()
	var w wire.Writer
	if err := w.Value(v); err != nil {
		t.Fatal(err)
	}
	return w.B
}

// TestOnce: a call that comes again gets the answer that was paid for, also from a
// host that has started again, and another call does not.
func TestOnce(t *testing.T) {
	t.Parallel()
	var s *server
	s = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/embeddings" {
			fmt.Fprint(w, `{"data":[{"embedding":[1,2]}],"usage":{"prompt_tokens":7}}`)
			return
		}
		stream(w, fmt.Sprint("Answer ", s.asked.Load()), "stop", used)
	})
	w := newWorld(t, s.URL, nil)
	first := w.must(w.call(t.Context(), worker("17", 3), abi.CommandGenerate, question(nil)))
	w.open(ModelConfig{Provider: OpenAI, URL: s.URL + "/v1", Model: "served", Timeout: time.Minute, Attempts: 1, MaxTokens: 100, Stream: true})
	c := worker("17", 3)
	c.Budget = w.budget(1500, 0)
	again := w.must(w.call(t.Context(), c, abi.CommandGenerate, question(nil)))
	if s.asked.Load() != 1 || again["recalled"] != true || first["recalled"] != false {
		t.Errorf("asked %d times, recalled %v", s.asked.Load(), again["recalled"])
	}
	again["recalled"] = false
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error(diff)
	}
	if spent := c.Budget.Spent(); spent.Calls != 1 || spent.Recalled != 1 || spent.CostUSD != 0 || spent.InputTokens != 0 {
		t.Errorf("spent %+v", spent)
	}
	if err := c.Budget.Reserve(budgetOf(451)); err == nil {
		t.Error("an answer on record is not taken from the budget, as it was the first time")
	}
	for i, other := range []struct {
		task string
		call int64
		more object
	}{
		{"17", 4, nil},                      // the same question, once more
		{"18", 3, nil},                      // of another task
		{"17", 3, object{"seed": int64(1)}}, // another question, which must not get that answer
	} {
		before := s.asked.Load()
		w.must(w.call(t.Context(), worker(other.task, other.call), abi.CommandGenerate, question(other.more)))
		if s.asked.Load() != before+1 {
			t.Errorf("other call %d was not made", i)
		}
	}
	// By a key of its own it is the same whatever it asks, and wherever it comes.
	before := s.asked.Load()
	a := w.must(w.call(t.Context(), worker("20", 1), abi.CommandGenerate, question(object{"key": "reply"})))
	b := w.must(w.call(t.Context(), worker("20", 9), abi.CommandGenerate, question(object{"key": "reply", "seed": int64(5)})))
	if s.asked.Load() != before+1 || a["text"] != b["text"] {
		t.Errorf("asked %d times for %v and %v", s.asked.Load()-before, a["text"], b["text"])
	}
	// Vectors are the same.
	before = s.asked.Load()
	for range 2 {
		got := w.must(w.call(t.Context(), worker("21", 1), abi.CommandEmbed, object{"model": "m", "texts": []any{"a"}}))
		if len(got["vectors"].([]any)[0].([]byte)) != 8 {
			t.Errorf("got %v", got)
		}
	}
	if s.asked.Load() != before+1 {
		t.Errorf("vectors were asked for %d times", s.asked.Load()-before)
	}
	// Whoever has no task cannot come again.
	before = s.asked.Load()
	for range 2 {
		c := worker("22", 1)
		c.Unique = ""
		w.must(w.call(t.Context(), c, abi.CommandGenerate, question(nil)))
	}
	if s.asked.Load() != before+2 {
		t.Errorf("callers without a task were answered %d times", s.asked.Load()-before)
	}
}

// A database that cannot be read is no reason to pay twice.
func TestRecordsAreNotReadable(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { stream(w, "Krill.", "stop", used) })
	w := newWorld(t, s.URL, nil)
	if _, err := w.db.Exec("DROP TABLE ai_results"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.call(t.Context(), worker("1", 1), abi.CommandGenerate, question(nil)); err == nil || s.asked.Load() != 0 {
		t.Errorf("asked %d times, %v", s.asked.Load(), err)
	}
}

func TestRecordsAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	r, err := OpenRecords(t.Context(), openDB(t, t.TempDir()+"/host.db"), RecordsConfig{Keep: time.Hour, MaxBytes: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	r.now = func() time.Time { return now }
	add := func(i int) {
		t.Helper()
		if err := r.add(t.Context(), identity{call: fmt.Sprint(i)}, "w", object{"text": string(make([]byte, 990))}); err != nil {
			t.Fatal(err)
		}
	}
	there := func(i int) bool {
		t.Helper()
		m, err := r.find(t.Context(), identity{call: fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		return m != nil
	}
	for i := range 50 {
		add(i)
	}
	var n int
	if err := r.db.QueryRow("SELECT count(*) FROM ai_results").Scan(&n); err != nil || n > 11 || n < 10 || there(0) || !there(49) {
		t.Errorf("%d records of 1 kB, %v", n, err)
	}
	now = now.Add(61 * time.Minute)
	if there(49) {
		t.Error("a record is older than it may be")
	}
	add(50)
	if err := r.db.QueryRow("SELECT count(*) FROM ai_results").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d records, %v", n, err)
	}
}
