package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// leastWords is how many words a sentence has whose halves say something each.
const leastWords = 12

// halves cuts up to n sentences, from all over the text, in two.
func halves(n int) ([][2]string, error) {
	list, err := sentences()
	if err != nil {
		return nil, err
	}
	var long [][2]string
	for _, s := range list {
		if words := strings.Fields(s); len(words) >= leastWords {
			at := len(words) / 2
			long = append(long, [2]string{strings.Join(words[:at], " "), strings.Join(words[at:], " ")})
		}
	}
	n = min(n, len(long))
	pairs := make([][2]string, n)
	for i := range pairs {
		pairs[i] = long[i*len(long)/n]
	}
	return pairs, nil
}

// trainingTables are the tables of the training worker.
const trainingTables = `
CREATE TABLE training_examples (id INTEGER PRIMARY KEY, anchor TEXT, positive TEXT);
CREATE TABLE lora_adapters (id TEXT PRIMARY KEY, task_id TEXT NOT NULL, base_model TEXT NOT NULL,
	dimension INTEGER NOT NULL, rank INTEGER NOT NULL, a BLOB NOT NULL, b BLOB NOT NULL,
	metrics TEXT NOT NULL, seed INTEGER NOT NULL, examples INTEGER NOT NULL, held_out INTEGER NOT NULL,
	digest TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE TABLE training_checkpoints (task_id TEXT PRIMARY KEY, digest TEXT NOT NULL, epoch INTEGER NOT NULL,
	state BLOB NOT NULL, updated_at TEXT NOT NULL);
`

// makeExamples makes a new database with the worker's tables and these examples.
func makeExamples(ctx context.Context, name string, pairs [][2]string) error {
	db, err := open(name, "rwc", "journal_mode(WAL)")
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, trainingTables); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	for i, p := range pairs {
		if _, err := tx.ExecContext(ctx, "INSERT INTO training_examples VALUES (?, ?, ?)", i+1, p[0], p[1]); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// verifyTraining compares what is in the database with what the worker told.
func verifyTraining(ctx context.Context, name string, s *TrainingSummary, opts TrainingOptions) error {
	db, err := open(name, "ro")
	if err != nil {
		return err
	}
	defer db.Close()
	var rows, left int
	if err := db.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM lora_adapters), (SELECT count(*) FROM training_checkpoints)").Scan(&rows, &left); err != nil {
		return err
	}
	if rows != 1 || left != 0 {
		return &Mismatch{What: fmt.Sprintf("there are %d adapters and %d checkpoints, want 1 and 0", rows, left)}
	}
	var text string
	var a, b, examples, held, seed int64
	row := db.QueryRowContext(ctx, "SELECT metrics, length(a), length(b), examples, held_out, seed FROM lora_adapters WHERE id = ?", s.Adapter)
	if err := row.Scan(&text, &a, &b, &examples, &held, &seed); err != nil {
		return err
	}
	var m struct {
		Before, After struct{ MRR float64 }
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return err
	}
	size := int64(4 * s.Rank * s.Dimension)
	switch {
	case a != size || b != size || examples != s.Examples || held != s.HeldOut || seed != opts.Seed || m.Before.MRR != s.MRRBefore || m.After.MRR != s.MRRAfter:
		return &Mismatch{Row: s.Adapter, What: fmt.Sprintf("matrices of %d and %d bytes, %d examples, %d held out, the seed %d and the metrics %s are not what the worker told", a, b, examples, held, seed, text)}
	case len(s.Losses) != s.Epochs:
		return &Mismatch{What: fmt.Sprintf("there are events of %d epochs, want %d", len(s.Losses), s.Epochs)}
	case s.Test != "equal":
		return &Mismatch{Row: s.Adapter, What: "the adapter was not tested: " + s.Untested}
	}
	return nil
}
