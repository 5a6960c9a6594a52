package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/wasmhost/wasmhost/host"
)

// questions are asked of the documents. The best answers share hardly a word with
// them.
var questions = []string{
	"a huge beast of the ocean",
	"physicians for grandparents",
	"the cost of groceries",
}

const (
	hitsPerQuestion = 3   // answers that are asked for
	embeddingBatch  = 500 // documents of a page, as the configuration says
)

// Search is what embedding and asking came to.
type Search struct {
	Task          string   `json:"task"`
	Embedded      int64    `json:"embedded"`
	Seconds       float64  `json:"seconds"` // from submission to completion
	RowsPerSecond float64  `json:"rows_per_second"`
	Answers       []Answer `json:"answers"`
}

// Answer is what one question found, best first.
type Answer struct {
	Question string `json:"question"`
	Hits     []Hit  `json:"hits"`
}

// Hit is a document that was found.
type Hit struct {
	Key     int64   `json:"key"`
	Score   float64 `json:"score"` // the cosine with the question
	Columns struct {
		Content string `json:"content"`
	} `json:"columns"`
}

// search has the worker embed the documents, and asks them.
func search(ctx context.Context, r *report, h *host.Host, opts Options, s *Search) error {
	began := time.Now()
	id, record, err := task(ctx, r, h, opts, "embedding", "documents", map[string]any{"collection": "documents"})
	if err != nil {
		return err
	}
	s.Task, s.Seconds = id, time.Since(began).Seconds()
	var result struct {
		Embedded, Rows int64
	}
	if err := json.Unmarshal(record.Result, &result); err != nil {
		return fmt.Errorf("reading the task's result %s: %w", record.Result, err)
	}
	s.Embedded = result.Embedded
	s.RowsPerSecond = float64(result.Embedded) / s.Seconds
	r.step("embedded", "%s documents, %s rows/s; no network, no native code", thousands(s.Embedded), thousands(int64(s.RowsPerSecond)))

	for _, question := range questions {
		params, err := json.Marshal(map[string]any{"text": question, "k": hitsPerQuestion, "columns": []string{"content"}})
		if err != nil {
			return fmt.Errorf("asking: %w", err)
		}
		result, err := h.Execute(ctx, "embedding/query", params)
		if err != nil {
			return fmt.Errorf("asking %q: %w", question, err)
		}
		answer := Answer{Question: question}
		if err := json.Unmarshal(result, &answer); err != nil {
			return fmt.Errorf("asking %q: the answer %s: %w", question, result, err)
		}
		s.Answers = append(s.Answers, answer)
		r.step("asked", "%q", question)
		for _, hit := range answer.Hits {
			r.note("", "%.2f %s", hit.Score, clip(hit.Columns.Content))
		}
	}
	return nil
}

// clip cuts a text to a line.
func clip(text string) string {
	const most = textWidth + 2
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}
