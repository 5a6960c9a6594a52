package demo

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// room1 is the conversation's id.
const room1 = "0a0b0c0d-0000-4000-8000-000000000001"

const createGenerations = `CREATE TABLE ai_generations (
	id TEXT PRIMARY KEY,
	created_at TEXT NOT NULL,
	updated_at TEXT NOT NULL,
	version REAL NOT NULL,
	timestamp REAL,
	request_id TEXT,
	provider TEXT,
	model TEXT,
	input_tokens REAL,
	output_tokens REAL,
	total_tokens REAL,
	estimated_cost REAL,
	response_time REAL,
	user_id TEXT,
	room_id TEXT,
	purpose TEXT,
	finish_reason TEXT,
	success INTEGER,
	error TEXT
)`

// generationColumns are those that the demo shows.
var generationColumns = []string{
	"id", "created_at", "request_id", "provider", "model", "input_tokens", "output_tokens", "total_tokens",
	"estimated_cost", "response_time", "purpose", "finish_reason", "success", "error",
}

// The conversation is the part of the corpus around this sentence, where the
// narrator says what whales are.
const (
	aboutWhales = "To be short, then, a whale is"
	turnsBefore = 12
	turnsBehind = 36
)

// makeConversation makes a database with one conversation whose last message is
// the question, and returns how many messages come before it.
func makeConversation(ctx context.Context, name, question string) (n int, err error) {
	texts, err := sentences()
	if err != nil {
		return 0, err
	}
	at := -1
	for i, s := range texts {
		if strings.HasPrefix(s, aboutWhales) {
			at = i
			break
		}
	}
	if at < turnsBefore || at+turnsBehind > len(texts) {
		return 0, fmt.Errorf("the corpus has no sentence that begins with %q", aboutWhales)
	}
	if err := makeDatabase(ctx, name, 0, nil); err != nil {
		return 0, err
	}
	db, err := open(name, "rw")
	if err != nil {
		return 0, err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, createGenerations); err != nil {
		return 0, err
	}
	g := newGenerator(append(texts[at-turnsBefore:at+turnsBehind:at+turnsBehind], question))
	n = turnsBefore + turnsBehind
	for i := range n + 1 {
		m := g.next()
		m.RoomID, m.SendType = room1, "human"
		if i == n { // a question of now
			m.Timestamp = time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
			m.CreatedAt, m.UpdatedAt = m.Timestamp, m.Timestamp
		}
		if err := insertMessage(ctx, db, &m); err != nil {
			return 0, fmt.Errorf("message %s: %w", m.ID, err)
		}
	}
	return n, nil
}

func insertMessage(ctx context.Context, db *sql.DB, m *message) error {
	cols := columns()
	_, err := db.ExecContext(ctx, "INSERT INTO chat_messages ("+strings.Join(cols, ", ")+") VALUES (?"+strings.Repeat(", ?", len(cols)-1)+")", m.values()...)
	return err
}

// readGeneration returns the one row that there is to be, and the reply.
func readGeneration(ctx context.Context, name string) (row map[string]any, reply string, err error) {
	db, err := open(name, "ro")
	if err != nil {
		return nil, "", err
	}
	defer db.Close()
	var rows, replies int
	if err := db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM ai_generations), (SELECT count(*) FROM chat_messages WHERE sender_id = 'assistant')`).Scan(&rows, &replies); err != nil {
		return nil, "", err
	}
	if rows != 1 || replies > 1 {
		return nil, "", &Mismatch{What: fmt.Sprintf("there are %d rows in ai_generations and %d replies, want one of each", rows, replies)}
	}
	values := make([]any, len(generationColumns))
	to := make([]any, len(values))
	for i := range values {
		to[i] = &values[i]
	}
	if err := db.QueryRowContext(ctx, "SELECT "+strings.Join(generationColumns, ", ")+" FROM ai_generations").Scan(to...); err != nil {
		return nil, "", err
	}
	row = map[string]any{}
	for i, c := range generationColumns {
		row[c] = values[i]
	}
	if replies == 0 {
		if row["finish_reason"] == "stop" {
			return nil, "", &Mismatch{What: "the worker answered and wrote no reply"}
		}
		return row, "(nothing in the conversation has to do with the question)", nil
	}
	var content struct{ Text string }
	var raw []byte
	if err := db.QueryRowContext(ctx, `SELECT content FROM chat_messages WHERE sender_id = 'assistant'`).Scan(&raw); err != nil {
		return nil, "", err
	}
	if err := json.Unmarshal(raw, &content); err != nil {
		return nil, "", &Mismatch{What: fmt.Sprintf("the reply %q is not as replies are: %v", raw, err)}
	}
	return row, content.Text, nil
}
