package host_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/wasmhost/wasmhost/host/queue"
)

// TestEmbeddingByAServer: the embedding worker asks the model that
// embedding.model names, through ai/embed, for the rows and for a question, and
// stores which model it was. What the server told of its tokens is on the bill.
func TestEmbeddingByAServer(t *testing.T) {
	t.Parallel()
	var texts atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Model string
			Input []string
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.Model != "far-2" || r.URL.Path != "/v1/embeddings" {
			http.Error(w, "unexpected request", http.StatusBadRequest)
			return
		}
		type entry struct {
			Index     int       `json:"index"`
			Embedding []float64 `json:"embedding"`
		}
		var data []entry
		for i, text := range asked.Input { // by how often the letters come
			v := []float64{0.25, 0, 0}
			v[1] = float64(strings.Count(text, "a"))
			v[2] = float64(strings.Count(text, "e"))
			data = append(data, entry{i, v})
		}
		texts.Add(int64(len(data)))
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data, "usage": map[string]any{"prompt_tokens": 7 * len(data)}})
	}))
	t.Cleanup(server.Close)
	w := newWorld(t)
	db := w.addEmbedding()
	w.toml = strings.Replace(w.toml, `commands = ["events/emit", "config/get"]
config = ["embedding.*"]`, `commands = ["events/emit", "config/get", "ai/embed"]
config = ["embedding.*"]`, 1) + `model = "far"
[ai.models.far]
url = "` + server.URL + `/v1"
model = "far-2"
input_price = 2
`
	const rows = 130 // more than one call's
	for i := range rows {
		w.exec(db, "INSERT INTO documents (id, content) VALUES (?, ?)", i, strings.Repeat("a", i%7)+strings.Repeat("e", i%5)+".")
	}
	w.exec(db, "INSERT INTO documents (id, content) VALUES (1000, NULL), (1001, 'aaaaaaaaaaaaaaaaaaaa')")
	h, _ := w.start()
	do := func(kind, payload string) (result, bill map[string]any) {
		t.Helper()
		id, _, err := h.State().Submit(t.Context(), queue.Submission{Worker: "embedding", Kind: kind, Payload: json.RawMessage(payload)})
		w.must(err)
		task := w.wait(h, id)
		if task.State != queue.Completed {
			t.Fatalf("%s is %s: %+v", kind, task.State, task.Errors)
		}
		w.must(json.Unmarshal(task.Result, &result))
		b, err := json.Marshal(task.Bill)
		w.must(err)
		w.must(json.Unmarshal(b, &bill))
		return result, bill
	}
	result, bill := do("embedding", `{}`)
	if result["embedded"] != float64(rows+1) || result["empty"] != 1.0 || result["dimension"] != 3.0 {
		t.Errorf("result: %v", result)
	}
	// One text more asks for the dimension.
	if tokens := float64(7 * (rows + 2)); bill["ai_input_tokens"] != tokens || bill["ai_cost_usd"] != tokens*2/1e6 {
		t.Errorf("bill: %v", bill)
	}
	var n int
	w.must(db.QueryRow("SELECT count(*) FROM documents WHERE length(embedding) = 12 AND embedding_dim = 3 AND embedding_model LIKE '%far%'").Scan(&n))
	if n != rows+1 {
		t.Errorf("%d rows have a vector of the model, want %d", n, rows+1)
	}
	before := texts.Load()
	if result, _ := do("embedding", `{}`); result["embedded"] != 0.0 || result["current"] != float64(rows+1) {
		t.Errorf("the second time: %v", result)
	}
	if got := texts.Load() - before; got > 1 { // it may ask for the dimension
		t.Errorf("the second time %d texts were embedded", got)
	}
	if result, _ = do("embedding/query", `{"text":"aaaaaaaaaaaaaaa","k":1}`); result["hits"].([]any)[0].(map[string]any)["key"] != 1001.0 {
		t.Errorf("hits: %v", result)
	}
}
