package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	_ "modernc.org/sqlite" // what the tests prepare databases with

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/datatest"
)

func TestExercise(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"WAL", "DELETE"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			datatest.Exercise(t, func(t *testing.T, schema ...string) data.Store {
				return openStore(t, Config{}, append([]string{"PRAGMA journal_mode=" + mode}, schema...)...)
			})
		})
	}
}

// makeDatabase makes a database file in a folder of the test's own.
func makeDatabase(t testing.TB, statements ...string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "test.db")
	db := openSQL(t, path)
	defer db.Close()
	for _, s := range append(slices.Clone(statements), "PRAGMA user_version = 1") {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return path
}

// openSQL opens a database as another program would.
func openSQL(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

// openStore serves a new database. cfg.Path is set.
func openStore(t testing.TB, cfg Config, statements ...string) *Store {
	t.Helper()
	cfg.Path = makeDatabase(t, statements...)
	return serve(t, cfg)
}

func serve(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return s
}

// readAll is datatest.Read with the error returned.
func readAll(s *Store, q abi.Query) ([][]any, error) {
	ctx := context.Background()
	c, err := s.Open(ctx, &q, data.Everything())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return cursorRows(c)
}

func cursorRows(c data.Cursor) (rows [][]any, err error) {
	buf := make([]byte, 1<<16)
	for {
		n, err := c.Next(context.Background(), buf)
		var tooLarge *data.RowTooLargeError
		if errors.As(err, &tooLarge) {
			buf = make([]byte, tooLarge.Size)
			continue
		}
		if err != nil || n == 0 {
			return rows, err
		}
		b, err := wire.OpenBatch(buf[:n])
		if err != nil {
			return nil, err
		}
		for b.Next() {
			r := wire.NewReader(b.Row())
			v, err := r.Value()
			if err != nil {
				return nil, err
			}
			rows = append(rows, v.([]any))
		}
		if b.Err() != nil {
			return nil, b.Err()
		}
	}
}

// insertID inserts a row with an id into t.
func insertID(t testing.TB, s *Store, id int64) {
	t.Helper()
	_, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch([]string{"id"}, []any{id}), data.Everything())
	if err != nil {
		t.Fatal(err)
	}
}
