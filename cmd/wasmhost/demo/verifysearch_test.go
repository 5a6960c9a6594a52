package demo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/sdk/embed"
)

var verifyTexts = []string{"the whale is a beast of the sea", "doctors care for old people", "food prices rose", "peace on earth"}

// searched is a folder as a run leaves it, without the run.
func searched(t *testing.T) (files, *Search) {
	t.Helper()
	f := filesIn(t.TempDir())
	if err := makeDatabase(t.Context(), f.primary, 0, nil); err != nil {
		t.Fatal(err)
	}
	if err := makeDocuments(t.Context(), f.primary, verifyTexts); err != nil {
		t.Fatal(err)
	}
	db, err := open(f.primary, "rw")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i, text := range verifyTexts {
		sum := sha256.Sum256([]byte(text))
		if _, err := db.Exec("UPDATE documents SET embedding = ?, embedding_model = ?, embedding_dim = ?, embedding_hash = ? WHERE id = ?",
			embed.Append(nil, text), embed.Model, embed.Dim, hex.EncodeToString(sum[:16]), i+1); err != nil {
			t.Fatal(err)
		}
	}
	s := &Search{Embedded: int64(len(verifyTexts))}
	for i, question := range questions {
		q := embed.Text(question)
		answer := Answer{Question: question}
		var order []int
		for at := range verifyTexts { // by hand: the nearest first
			order = append(order, at)
		}
		score := func(at int) (d float64) {
			for j, x := range embed.Text(verifyTexts[at]) {
				d += float64(x) * float64(q[j])
			}
			return d
		}
		for a := range order {
			for b := a + 1; b < len(order); b++ {
				if score(order[b]) > score(order[a]) {
					order[a], order[b] = order[b], order[a]
				}
			}
		}
		if order[0] != i {
			t.Fatalf("the nearest to %q is %q", question, verifyTexts[order[0]])
		}
		for _, at := range order[:hitsPerQuestion] {
			hit := Hit{Key: int64(at + 1), Score: score(at)}
			hit.Columns.Content = verifyTexts[at]
			answer.Hits = append(answer.Hits, hit)
		}
		s.Answers = append(s.Answers, answer)
	}
	return f, s
}

// Whatever is wrong with the documents or an answer is found.
func TestVerifySearch(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, sql string
		spoil     func(s *Search)
		want      string
	}{
		{name: "all right"},
		{name: "another vector", sql: "UPDATE documents SET embedding = (SELECT embedding FROM documents WHERE id = 1) WHERE id = 2", want: "row 2: has another vector"},
		{name: "no vector", sql: "UPDATE documents SET embedding = NULL WHERE id = 2", want: "row 2: has another vector"},
		{name: "another model", sql: "UPDATE documents SET embedding_model = 'x' WHERE id = 3", want: "row 3: has a vector with another model"},
		{name: "an older text's hash", sql: "UPDATE documents SET embedding_hash = 'x' WHERE id = 3", want: "row 3: has a vector with another model"},
		{name: "another text", sql: "UPDATE documents SET content = 'x' WHERE id = 4", want: "row 4: is in the documents with another text"},
		{name: "one too few", sql: "DELETE FROM documents WHERE id = 4", want: "there are 3 documents"},
		{name: "another count", spoil: func(s *Search) { s.Embedded-- }, want: "as the worker says, 3"},
		{name: "no answers", spoil: func(s *Search) { s.Answers = nil }, want: "0 questions"},
		{name: "a hit too few", spoil: func(s *Search) { s.Answers[1].Hits = s.Answers[1].Hits[:2] }, want: "has 2 hits"},
		{name: "another order", spoil: func(s *Search) { h := s.Answers[0].Hits; h[0], h[1] = h[1], h[0] }, want: "is hit 1 for"},
		{name: "another score", spoil: func(s *Search) { s.Answers[2].Hits[2].Score += 0.001 }, want: "is hit 3 for"},
		{name: "another row's text", spoil: func(s *Search) { s.Answers[2].Hits[0].Columns.Content = "x" }, want: "is hit 1 for"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, s := searched(t)
			if test.sql != "" {
				db, err := open(f.primary, "rw")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := db.Exec(test.sql); err != nil {
					t.Fatal(err)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if test.spoil != nil {
				test.spoil(s)
			}
			err := verifySearch(t.Context(), f, s, verifyTexts)
			var mismatch *Mismatch
			if test.want == "" && err != nil || test.want != "" && (!errors.As(err, &mismatch) || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestReadGuestsNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "archive.wasm"), "x")
	if _, err := readGuests(dir); err == nil || !strings.Contains(err.Error(), "the embedding worker") {
		t.Errorf("got %v", err)
	}
}
