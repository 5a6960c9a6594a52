package demo

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/wasmhost/wasmhost/host/command"
	"github.com/wasmhost/wasmhost/sdk/embed"
)

// checkSearch compares the documents, the answers and the events with what they
// should be.
func checkSearch(ctx context.Context, r *report, f files, s *Search, events []command.Event, documents []string) error {
	if err := verifySearch(ctx, f, s, documents); err != nil {
		return fmt.Errorf("checking the vectors: %w", err)
	}
	progress, err := checkEmbeddingEvents(events, s.Task, len(documents))
	if err != nil {
		return fmt.Errorf("checking the events: %w", err)
	}
	r.step("checked", "each of %s vectors is, bit for bit, the one that native code gives;", thousands(int64(len(documents))))
	r.note("", "native code finds the same %d nearest to each question; %d progress events, 1 complete", hitsPerQuestion, progress)
	return nil
}

// checkEmbeddingEvents compares the events of the embedding task with what it did:
// one of progress for each page, in order, and then one that it is complete. It
// returns the number of those of progress.
func checkEmbeddingEvents(events []command.Event, task string, documents int) (progress int, err error) {
	complete := 0
	for _, e := range events {
		if e.Task != task {
			continue
		}
		var data struct{ Done, Rows int }
		if err := json.Unmarshal(e.Data, &data); err != nil {
			return 0, &Mismatch{What: fmt.Sprintf("event %d (%s) has data of another form: %v", e.ID, e.Name, err)}
		}
		switch {
		case e.Name == "embedding:progress" && complete == 0 && data.Done == min((progress+1)*embeddingBatch, documents):
			progress++
		case e.Name == "embedding:complete" && complete == 0 && data.Rows == documents:
			complete++
		default:
			return 0, &Mismatch{What: fmt.Sprintf("event %d (%s) is not the one that comes behind %d of progress: %s", e.ID, e.Name, progress, e.Data)}
		}
	}
	if want := (documents + embeddingBatch - 1) / embeddingBatch; progress != want || complete != 1 {
		return 0, &Mismatch{What: fmt.Sprintf("there are %d events embedding:progress and %d embedding:complete, want %d and 1", progress, complete, want)}
	}
	return progress, nil
}

// verifySearch compares the documents with their texts, each vector with the one
// that native code gives, and each answer with the nearest that native code finds
// among them. It returns a [Mismatch] or a failure to read.
func verifySearch(ctx context.Context, f files, s *Search, texts []string) error {
	db, err := open(f.primary, "ro")
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "SELECT id, content, embedding, embedding_model, embedding_dim, embedding_hash FROM documents ORDER BY id")
	if err != nil {
		return err
	}
	defer rows.Close()
	vectors := make([][]float32, 0, len(texts))
	embedded := int64(0)
	for rows.Next() {
		var id int64
		var content string
		var vector []byte
		var model, hash *string
		var dim *int64
		if err := rows.Scan(&id, &content, &vector, &model, &dim, &hash); err != nil {
			return err
		}
		wrong := func(what string) error { return &Mismatch{Row: strconv.FormatInt(id, 10), What: what} }
		at := len(vectors)
		if at >= len(texts) || id != int64(at+1) || content != texts[at] {
			return wrong("is in the documents with another text than was put there")
		}
		if string(vector) != string(embed.Append(nil, content)) {
			return wrong("has another vector than native code gives its text")
		}
		v := make([]float32, embed.Dim)
		if !embed.Decode(v, vector) {
			vectors = append(vectors, nil) // nothing in the text is known
			continue
		}
		sum := sha256.Sum256([]byte(content))
		if model == nil || *model != embed.Model || dim == nil || *dim != embed.Dim || hash == nil || *hash != hex.EncodeToString(sum[:16]) {
			return wrong("has a vector with another model, dimension or hash beside it")
		}
		vectors = append(vectors, v)
		embedded++
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(vectors) != len(texts) || embedded != s.Embedded {
		return &Mismatch{What: fmt.Sprintf("there are %d documents, %d with a vector; want %d and, as the worker says, %d", len(vectors), embedded, len(texts), s.Embedded)}
	}
	if len(s.Answers) != len(questions) {
		return &Mismatch{What: fmt.Sprintf("%d questions were answered, want %d", len(s.Answers), len(questions))}
	}
	for _, answer := range s.Answers {
		if err := verifyAnswer(answer, vectors, texts); err != nil {
			return err
		}
	}
	return nil
}

// verifyAnswer looks for the nearest to a question among all vectors, document 1
// first.
func verifyAnswer(answer Answer, vectors [][]float32, texts []string) error {
	question := embed.Text(answer.Question)
	var nearest []Hit
	for i, v := range vectors {
		if v == nil {
			continue
		}
		dot, length := 0.0, 0.0
		for j, x := range v {
			dot += float64(x) * float64(question[j])
			length += float64(x) * float64(x)
		}
		nearest = append(nearest, Hit{Key: int64(i + 1), Score: dot / math.Sqrt(length)}) // the question's length is 1
	}
	slices.SortStableFunc(nearest, func(a, b Hit) int { return cmp.Compare(b.Score, a.Score) })
	nearest = nearest[:min(hitsPerQuestion, len(nearest))]
	if len(answer.Hits) != len(nearest) {
		return &Mismatch{What: fmt.Sprintf("%q has %d hits, want %d", answer.Question, len(answer.Hits), len(nearest))}
	}
	for i, want := range nearest {
		got := answer.Hits[i]
		if got.Key != want.Key || math.Abs(got.Score-want.Score) > 1e-6 || got.Columns.Content != texts[want.Key-1] {
			return &Mismatch{Row: strconv.FormatInt(got.Key, 10),
				What: fmt.Sprintf("is hit %d for %q with the score %f; native code finds row %d with %f", i+1, answer.Question, got.Score, want.Key, want.Score)}
		}
	}
	return nil
}
