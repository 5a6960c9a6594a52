package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/embed"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

var worker = sdk.WorkerFunc(Work)

var columns = []string{"id", "content", "embedding", "embedding_model", "embedding_dim", "embedding_hash", "title"}

// documents makes a table with these texts, which may be of any type.
func documents(t *testing.T, texts ...any) (*sdktest.Host, *sdktest.Table) {
	t.Helper()
	h := sdktest.New(t)
	table := h.Table("primary", "documents", columns, "id")
	for i, text := range texts {
		table.Insert(int64(i), text, nil, nil, nil, nil, fmt.Sprint("title ", i))
	}
	return h, table
}

func run(t *testing.T, h *sdktest.Host, payload map[string]any) map[string]any {
	t.Helper()
	res, err := h.Run(worker, sdktest.TaskOf("embedding", payload))
	if err != nil {
		t.Fatal(err)
	}
	if res.OpenCursors != 0 {
		t.Errorf("%d queries were left open", res.OpenCursors)
	}
	return res.Value.(map[string]any)
}

func checkCounts(t *testing.T, got map[string]any, want map[string]any) {
	t.Helper()
	all := map[string]any{
		"taskId": "task-1", "collection": "documents", "model": embed.Model, "dimension": int64(embed.Dim),
		"rows": int64(0), "embedded": int64(0), "current": int64(0), "empty": int64(0), "not_text": int64(0), "failed": int64(0),
		"invalid_utf8": int64(0), "cut": int64(0), "cleared": int64(0),
	}
	for k, v := range want {
		all[k] = int64(v.(int))
	}
	if !maps.Equal(got, all) {
		t.Errorf("summary:\n got %v\nwant %v", got, all)
	}
}

// checkVectors fails unless each row has the vector of its text.
func checkVectors(t *testing.T, h *sdktest.Host, collection string) {
	t.Helper()
	for _, row := range h.Rows("primary", collection) {
		text, _ := row[1].(string)
		want := embed.Append(nil, text[:min(len(text), maxText)])
		got, _ := row[2].([]byte)
		if !bytes.Equal(got, want) {
			t.Errorf("row %v: a vector of %d bytes, want that of %d of its text", row[0], len(got), len(want))
		}
		if (row[2] == nil) != (row[3] == nil) || row[2] != nil && (row[3] != embed.Model || row[4] != int64(embed.Dim)) {
			t.Errorf("row %v: model %v, dimension %v", row[0], row[3], row[4])
		}
	}
}

func TestEveryKindOfRow(t *testing.T) {
	t.Parallel()
	h, _ := documents(t, "a dog", nil, "", "   ", "a cat", int64(7), []byte("a blob"), 1.5,
		"no \xff UTF-8", strings.Repeat("long text ", 100_000), strings.Repeat("more than is read ", 100_000), "\x00", "a\x00b")
	checkCounts(t, run(t, h, nil), map[string]any{
		"rows": 13, "embedded": 6, "empty": 4, "not_text": 3, "invalid_utf8": 1, "cut": 1,
	})
	checkVectors(t, h, "documents")
	if got := h.Rows("primary", "documents")[0][6]; got != "title 0" {
		t.Errorf("another column became %v", got)
	}
	// Once more there is nothing to do.
	before := len(h.Events(eventComplete))
	res, err := h.Run(worker, sdktest.Task{ID: "task-2"})
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Value.(map[string]any); got["embedded"] != int64(0) || got["current"] != int64(6) {
		t.Errorf("the second time: %v", got)
	}
	if got := len(h.Events(eventComplete)); got != before+1 {
		t.Errorf("%d complete events", got)
	}
}

// Whatever is wrong with what stands beside a text makes it new.
func TestStale(t *testing.T) {
	t.Parallel()
	good := embed.Append(nil, "a dog")
	sum := sha256.Sum256([]byte("a dog"))
	hash := hex.EncodeToString(sum[:16])
	h, table := documents(t)
	table.Insert("k", "a dog", good, embed.Model, int64(embed.Dim), hash, nil)
	checkCounts(t, run(t, h, nil), map[string]any{"rows": 1, "current": 1})
	for name, row := range map[string][]any{
		"another text":      {"a cat", good, embed.Model, int64(embed.Dim), hash},
		"another model":     {"a dog", good, "glove", int64(embed.Dim), hash},
		"another dimension": {"a dog", good, embed.Model, int64(100), hash},
		"another length":    {"a dog", good[4:], embed.Model, int64(embed.Dim), hash},
		"no vector":         {"a dog", nil, embed.Model, int64(embed.Dim), hash},
		"no model":          {"a dog", good, nil, int64(embed.Dim), hash},
		"no hash":           {"a dog", good, embed.Model, int64(embed.Dim), nil},
		"no number in it":   {"a dog", append(bytes.Clone(good[4:]), 0, 0, 0xc0, 0x7f), embed.Model, int64(embed.Dim), hash},
		"of other types":    {"a dog", "x", int64(1), "y", 2.5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, table := documents(t)
			table.Insert(append(append([]any{"k"}, row...), nil)...)
			checkCounts(t, run(t, h, nil), map[string]any{"rows": 1, "embedded": 1})
			checkVectors(t, h, "documents")
		})
	}
	for name, text := range map[string]any{"NULL": nil, "empty": "", "a number": int64(3)} {
		t.Run("a text that became "+name, func(t *testing.T) {
			t.Parallel()
			h, table := documents(t)
			table.Insert("k", text, good, embed.Model, int64(embed.Dim), hash, nil)
			want := map[string]any{"rows": 1, "empty": 1, "cleared": 1}
			if text == int64(3) {
				want = map[string]any{"rows": 1, "not_text": 1, "cleared": 1}
			}
			checkCounts(t, run(t, h, nil), want)
			checkVectors(t, h, "documents")
		})
	}
}

func TestOtherNames(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	table := h.Table("live", "notes", []string{"uid", "body", "v", "m", "d", "h"}, "uid")
	for i := range 25 {
		table.Insert([]byte{byte(i)}, fmt.Sprint("note ", i), nil, nil, nil, nil)
	}
	got := run(t, h, map[string]any{
		"collection": "notes", "source_handle": "live", "key": "uid", "text_column": "body", "vector_column": "v",
		"model_column": "m", "dimension_column": "d", "hash_column": "h", "batch_size": 10,
	})
	if got["embedded"] != int64(25) {
		t.Errorf("summary: %v", got)
	}
	var done []any
	for _, e := range h.Events(eventProgress) {
		done = append(done, e.Data["done"], e.Data["total"])
	}
	if want := []any{int64(10), int64(25), int64(20), int64(25), int64(25), int64(25)}; fmt.Sprint(done) != fmt.Sprint(want) {
		t.Errorf("progress: got %v, want %v", done, want)
	}
	for i, row := range h.Rows("live", "notes") {
		if !bytes.Equal(row[2].([]byte), embed.Append(nil, fmt.Sprint("note ", i))) {
			t.Errorf("row %d has another vector", i)
		}
	}
}

func TestBadTasks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		payload map[string]any
		config  map[string]any
		want    string
	}{
		{"a misspelt field", map[string]any{"colection": "x"}, nil, `unknown field "colection"`},
		{"an empty name", map[string]any{"text_column": ""}, nil, `field "text_column" is empty`},
		{"a column twice", map[string]any{"text_column": "embedding"}, nil, `"embedding" is named twice`},
		{"a batch of none", map[string]any{"batch_size": 0}, nil, "from 1 to 5000"},
		{"a batch from config", nil, map[string]any{"embedding.batchSize": 5001}, `config: key "embedding.batchSize"`},
		{"a model with something behind it", nil, map[string]any{"embedding.model": "static+lora:none"}, `primary.lora_adapters has no adapter "none"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h, _ := documents(t, "a dog")
			h.Table("primary", adapters, adapterColumns, "id")
			h.Config(test.config)
			_, err := h.Run(worker, sdktest.TaskOf("embedding", test.payload))
			if !errors.Is(err, abi.InvalidArgument) || !strings.Contains(abi.MessageOf(err), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// A host that is killed after any of its calls leaves rows that are right or not
// done, and the next attempt ends with all done and each event once.
func TestKilledAfterEveryCall(t *testing.T) {
	t.Parallel()
	for n := 0; ; n++ {
		h, _ := documents(t, "a dog", nil, "a cat", "a bird", "", "a fish", "a snake")
		h.Config(map[string]any{"embedding": map[string]any{"batchSize": 3}})
		h.KillAfter(n)
		task := sdktest.TaskOf("embedding", nil)
		_, err := h.Run(worker, task)
		completed := err == nil
		if err != nil && !errors.Is(err, abi.Interrupted) {
			t.Fatalf("killed after call %d: %v", n, err)
		}
		if !completed {
			task.Attempt = 2
			if _, err = h.Run(worker, task); err != nil {
				t.Fatalf("after a kill behind call %d: %v", n, err)
			}
		}
		checkVectors(t, h, "documents")
		if p, c := len(h.Events(eventProgress)), len(h.Events(eventComplete)); p != 3 || c != 1 {
			t.Fatalf("after a kill behind call %d: %d progress events and %d complete, want 3 and 1", n, p, c)
		}
		if completed {
			if n < 10 {
				t.Fatalf("the worker needed only %d calls", n)
			}
			return
		}
	}
}
