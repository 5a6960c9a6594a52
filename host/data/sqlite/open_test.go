package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/datatest"
	"github.com/wasmhost/wasmhost/host/data/sqlite/internal/lite"
)

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("not a database. ", 512)), 0o600); err != nil {
		t.Fatal(err)
	}
	fine := makeDatabase(t)
	for _, test := range []struct {
		name  string
		cfg   Config
		code  abi.Code
		words []string
	}{
		{"no path", Config{}, abi.InvalidArgument, nil},
		{"a file that does not exist", Config{Path: filepath.Join(dir, "gone.db")}, abi.NotFound, []string{"gone.db", "does not exist"}},
		{"a folder", Config{Path: dir}, abi.InvalidArgument, []string{"regular"}},
		{"no database", Config{Path: garbage}, abi.Corrupt, []string{"garbage.db"}},
		{"no database, for reading", Config{Path: garbage, ReadOnly: true}, abi.Corrupt, []string{"garbage.db"}},
		{"negative readers", Config{Path: fine, Readers: -1}, abi.InvalidArgument, []string{"Readers"}},
		{"rows too large for SQLite", Config{Path: fine, MaxRowBytes: 1 << 30}, abi.InvalidArgument, []string{"MaxRowBytes"}},
		{"negative time-out", Config{Path: fine, BusyTimeout: -1}, abi.InvalidArgument, []string{"BusyTimeout"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := Open(context.Background(), test.cfg)
			datatest.WantError(t, err, test.code, test.words...)
			if s != nil {
				t.Error("got a store beside the error")
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "gone.db")); err == nil {
		t.Error("the file was created")
	}
}

func TestOpenDamaged(t *testing.T) {
	t.Parallel()
	path := makeDatabase(t, `CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 2000)
		 INSERT INTO t SELECT i, hex(randomblob(50)) FROM n`)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The first pages hold the schema and the root; what follows is data.
	if _, err := f.WriteAt([]byte(strings.Repeat("damage", 4096)), 3*4096); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s := serve(t, Config{Path: path})
	for range 2 { // the store goes on, and says the same
		_, err = readAll(s, abi.Query{Collection: "t"})
		datatest.WantError(t, err, abi.Corrupt, `"t"`)
		if strings.Contains(err.Error(), "test.db") {
			t.Errorf("the error names the file: %v", err)
		}
	}
}

func TestOpenFollowsLinks(t *testing.T) {
	t.Parallel()
	path := makeDatabase(t, `CREATE TABLE t (id INTEGER PRIMARY KEY)`)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Skip("no symbolic links:", err)
	}
	s := serve(t, Config{Path: link})
	insertID(t, s, 1)
	// Its journal must be beside the file, where other programs look for it.
	if rows, err := readAll(serve(t, Config{Path: path}), abi.Query{Collection: "t"}); err != nil || len(rows) != 1 {
		t.Errorf("through the other name: %v, %v", rows, err)
	}
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{ReadOnly: true}, `CREATE TABLE t (id INTEGER PRIMARY KEY)`, `INSERT INTO t VALUES (1)`)
	rows, err := readAll(s, abi.Query{Collection: "t"})
	if err != nil || len(rows) != 1 {
		t.Errorf("reading: %v, %v", rows, err)
	}
	_, err = s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch([]string{"id"}, []any{int64(2)}), data.Everything())
	datatest.WantError(t, err, abi.ReadOnly)
}

func TestReadOnlyFile(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		// Permissions do not stop root; what SQLite says to a file that cannot
		// be written is the same as to a connection that may not.
		s := openStore(t, Config{}, `CREATE TABLE t (id INTEGER PRIMARY KEY)`)
		insertID(t, s, 1)
		if err := s.writer.Exec("PRAGMA query_only = ON"); err != nil {
			t.Fatal(err)
		}
		_, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch([]string{"id"}, []any{int64(2)}), data.Everything())
		datatest.WantError(t, err, abi.ReadOnly)
		return
	}
	path := makeDatabase(t, `CREATE TABLE t (id INTEGER PRIMARY KEY)`)
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	s := serve(t, Config{Path: path})
	_, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch([]string{"id"}, []any{int64(2)}), data.Everything())
	datatest.WantError(t, err, abi.ReadOnly)
}

func TestConnectionSettings(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete", "truncate"} {
		s := openStore(t, Config{CacheKiB: 800}, "PRAGMA journal_mode="+mode, `CREATE TABLE t (id INTEGER PRIMARY KEY)`)
		insertID(t, s, 1) // so that there is a writer
		reader, err := s.acquire(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer s.release(reader)
		for _, test := range []struct {
			conn   *conn
			pragma string
			want   string
		}{
			{s.writer, "synchronous", "2"},
			{s.writer, "foreign_keys", "1"},
			{s.writer, "trusted_schema", "0"},
			{s.writer, "cache_size", "-800"},
			{s.writer, "wal_autocheckpoint", "10000"},
			{s.writer, "query_only", "0"},
			{reader, "query_only", "1"},
			{reader, "trusted_schema", "0"},
			{reader, "cache_size", "-100"},
		} {
			var got string
			err := test.conn.each("PRAGMA "+test.pragma, "", func(row *lite.Stmt) { got = string(row.Column(0).Bytes()) })
			if err != nil || got != test.want {
				t.Errorf("%s: got %s, %v, want %s", test.pragma, got, err, test.want)
			}
		}
		if err := s.writer.Exec("PRAGMA writable_schema = ON", "UPDATE sqlite_schema SET sql = NULL"); err == nil {
			t.Error("the schema could be written: SQLite is not in its defensive mode")
		}
		// TRUNCATE is a connection's own; in the file it is DELETE.
		var journal string
		if err := openSQL(t, s.path).QueryRow("PRAGMA journal_mode").Scan(&journal); err != nil || (journal == "wal") != (mode == "wal") {
			t.Errorf("the journal mode was %s and is %s, %v", mode, journal, err)
		}
	}
}

func TestFull(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, `PRAGMA journal_mode=WAL`, `CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)`)
	insertID(t, s, 1)
	if err := s.writer.Exec("PRAGMA max_page_count = 20"); err != nil {
		t.Fatal(err)
	}
	var rows [][]any
	for i := range 100 {
		rows = append(rows, []any{int64(i + 10), strings.Repeat("x", 2000)})
	}
	_, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch([]string{"id", "body"}, rows...), data.Everything())
	datatest.WantError(t, err, abi.Full, `"t"`, "row ")
	left, err := readAll(s, abi.Query{Collection: "t", Columns: []string{"id"}})
	if err != nil || len(left) != 1 {
		t.Errorf("after a write that failed: %v, %v", left, err)
	}
	insertID(t, s, 2) // there is room for a small one
}

func TestLocked(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{BusyTimeout: 60 * time.Millisecond}, `CREATE TABLE t (id INTEGER PRIMARY KEY)`)
	other := openSQL(t, s.path)
	if _, err := other.Exec("BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	batch := datatest.Batch([]string{"id"}, []any{int64(1)})
	insert := []abi.Mutation{{Collection: "t", Verb: abi.Insert}}

	start := time.Now()
	_, err := s.Write(context.Background(), insert, batch, data.Everything())
	datatest.WantError(t, err, abi.Unavailable, "locked")
	_, err = readAll(s, abi.Query{Collection: "t"})
	datatest.WantError(t, err, abi.Unavailable, "locked")
	if waited := time.Since(start); waited < 60*time.Millisecond || waited > 5*time.Second {
		t.Errorf("waited %v for two locks with a time-out of 60ms", waited)
	}

	if _, err := other.Exec("COMMIT"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(context.Background(), insert, batch, data.Everything()); err != nil {
		t.Errorf("after the lock was gone: %v", err)
	}
}

func TestLockedUntilTheDeadline(t *testing.T) {
	t.Parallel()
	path := makeDatabase(t, `CREATE TABLE t (id INTEGER PRIMARY KEY)`)
	s := serve(t, Config{Path: path, BusyTimeout: time.Hour})
	other := openSQL(t, path)
	if _, err := other.Exec("BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func(context.Context) error{
		"write": func(ctx context.Context) error {
			_, err := s.Write(ctx, []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch([]string{"id"}, []any{int64(1)}), data.Everything())
			return err
		},
		"read": func(ctx context.Context) error {
			_, err := s.Open(ctx, &abi.Query{Collection: "t"}, data.Everything())
			return err
		},
		"open": func(ctx context.Context) error {
			_, err := Open(ctx, Config{Path: path, BusyTimeout: time.Hour})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			start := time.Now()
			datatest.WantError(t, call(ctx), abi.DeadlineExceeded, "lock")
			if over := time.Since(start) - 50*time.Millisecond; over > time.Second {
				t.Errorf("returned %v after the deadline", over)
			}
		})
	}
}
