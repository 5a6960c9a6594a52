package host_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasmhost/wasmhost/host/queue"
	"github.com/wasmhost/wasmhost/host/testdata/history"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

const (
	lanes = 3
	steps = 150
)

// TestAdaptersComeToTheSame has the bytes of one guest do random histories, at
// the same time on lanes of one table, through each adapter, and the same code
// on the host in memory: every answer and every row in the end is the same.
func TestAdaptersComeToTheSame(t *testing.T) {
	t.Parallel()
	seed := rand.Int64()
	t.Logf("seed %d", seed)
	payload := func(lane int) map[string]any {
		return map[string]any{"seed": seed, "lane": string(rune('a' + lane)), "steps": int64(steps)}
	}

	memory := sdktest.New(t)
	memory.Table(history.Handle, history.Collection, history.Columns)
	var want [][]any
	for lane := range lanes {
		r, err := memory.Run(sdk.WorkerFunc(history.Work), sdktest.TaskOf("history", payload(lane)))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, r.Value.(map[string]any)["lines"].([]any))
	}
	rows := memory.Rows(history.Handle, history.Collection)

	for _, adapter := range []string{"daemon", "direct"} {
		for _, mode := range []string{"WAL", "DELETE"} {
			t.Run(adapter+" "+mode, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.must(os.Link(historyWasm, w.path("workers/history.wasm")))
				w.toml = fmt.Sprintf("[workers.history]\nconcurrency = %d\nmax_attempts = 1\n"+
					"grants.data = { primary = ['read', 'insert', 'update', 'delete'] }\n", lanes)
				w.adapter, w.timeout = adapter, "20s"
				db := w.open("primary.db")
				w.exec(db, history.Schema)
				w.exec(db, "PRAGMA journal_mode = "+mode)
				h, _ := w.start()
				var ids []string
				for lane := range lanes {
					text, err := json.Marshal(payload(lane))
					w.must(err)
					id, _, err := h.State().Submit(t.Context(), queue.Submission{Worker: "history", Payload: text})
					w.must(err)
					ids = append(ids, id)
				}
				for lane, id := range ids {
					task := w.wait(h, id)
					if task.State != queue.Completed {
						t.Fatalf("lane %d: %+v", lane, task)
					}
					var result struct{ Lines []any }
					w.must(json.Unmarshal(task.Result, &result))
					if diff := cmp.Diff(want[lane], result.Lines); diff != "" {
						t.Errorf("lane %d: -memory +%s: %s", lane, adapter, diff)
					}
				}
				if s := h.DataStats()["primary"]; s.Batches < lanes*steps/4 || s.Connections < 2 || adapter == "direct" && s.Connections < 2*lanes {
					t.Errorf("%+v", s)
				}
				if got := storedRows(w, db); !reflect.DeepEqual(got, rows) {
					t.Errorf("rows: -memory +%s: %s", adapter, cmp.Diff(rows, got))
				}
			})
		}
	}
}

// storedRows returns the table of the history as the host in memory does.
func storedRows(w *world, db *sql.DB) [][]any {
	w.Helper()
	found, err := db.Query("SELECT * FROM m ORDER BY id")
	w.must(err)
	defer found.Close()
	var rows [][]any
	for found.Next() {
		row, to := make([]any, len(history.Columns)), make([]any, len(history.Columns))
		for i := range row {
			to[i] = &row[i]
		}
		w.must(found.Scan(to...))
		for i, v := range row {
			if b, ok := v.([]byte); ok && b == nil {
				row[i] = []byte{} // how the driver gives a blob of no bytes
			}
		}
		rows = append(rows, row)
	}
	w.must(found.Err())
	return rows
}
