package demo

import (
	"context"
	"fmt"
)

// The table of documents and what searching them takes: the columns that the
// embedding worker fills, and an index of the words that a trigger keeps in step.
var createDocuments = []string{
	`CREATE TABLE documents (
	id INTEGER PRIMARY KEY,
	content TEXT NOT NULL,
	embedding BLOB,
	embedding_model TEXT,
	embedding_dim INTEGER,
	embedding_hash TEXT
)`,
	`CREATE VIRTUAL TABLE documents_fts USING fts5(content, content='documents', content_rowid='id', tokenize='porter unicode61')`,
	`CREATE TRIGGER documents_added AFTER INSERT ON documents BEGIN
	INSERT INTO documents_fts (rowid, content) VALUES (new.id, new.content);
END`,
	`CREATE TRIGGER documents_removed AFTER DELETE ON documents BEGIN
	INSERT INTO documents_fts (documents_fts, rowid, content) VALUES ('delete', old.id, old.content);
END`,
	`CREATE TRIGGER documents_changed AFTER UPDATE OF content ON documents BEGIN
	INSERT INTO documents_fts (documents_fts, rowid, content) VALUES ('delete', old.id, old.content);
	INSERT INTO documents_fts (rowid, content) VALUES (new.id, new.content);
END`,
}

// spread picks n of the texts, evenly from the whole; all of them if there are no
// more.
func spread(texts []string, n int) []string {
	if n >= len(texts) {
		return texts
	}
	picked := make([]string, n)
	for i := range picked {
		picked[i] = texts[i*len(texts)/n]
	}
	return picked
}

// makeDocuments adds the documents to a database, with the ids 1, 2, and so on.
func makeDocuments(ctx context.Context, name string, texts []string) (err error) {
	db, err := open(name, "rw", "synchronous(OFF)") // the demo makes it anew each time
	if err != nil {
		return err
	}
	defer func() {
		if closing := db.Close(); err == nil && closing != nil {
			err = fmt.Errorf("closing %s: %w", name, closing)
		}
	}()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("making the documents: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	for _, statement := range createDocuments {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("making the documents: %w", err)
		}
	}
	insert, err := tx.PrepareContext(ctx, "INSERT INTO documents (id, content) VALUES (?, ?)")
	if err != nil {
		return fmt.Errorf("making the documents: %w", err)
	}
	defer insert.Close()
	for i, text := range texts {
		if _, err := insert.ExecContext(ctx, i+1, text); err != nil {
			return fmt.Errorf("making document %d: %w", i+1, err)
		}
	}
	return tx.Commit()
}
