package sqlite

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/datatest"
)

// These tests have another process work on the database that is served.

func eachMode(t *testing.T, test func(t *testing.T, mode string)) {
	for _, mode := range []string{"WAL", "DELETE"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			test(t, mode)
		})
	}
}

func modeOf(t *testing.T, path string) string {
	t.Helper()
	var mode string
	if err := openSQL(t, path).QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil {
		t.Fatal(err)
	}
	return strings.ToUpper(mode)
}

func TestAnotherProcessWrites(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, mode string) {
		s := openStore(t, Config{BusyTimeout: 20 * time.Second}, "PRAGMA journal_mode="+mode, `CREATE TABLE t (id INTEGER PRIMARY KEY)`)
		const rows = 200
		args := []string{s.path}
		for id := range rows {
			args = append(args, fmt.Sprintf("INSERT INTO t VALUES (%d)", -id-1))
		}
		other := childProcess(t, "sql", args...)
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		for id := range int64(rows) {
			insertID(t, s, id)
		}
		if err := other.Wait(); err != nil {
			t.Error(err)
		}
		if got, err := readAll(s, abi.Query{Collection: "t"}); err != nil || len(got) != 2*rows {
			t.Errorf("%d rows, %v, want %d", len(got), err, 2*rows)
		}
		if got := modeOf(t, s.path); got != mode {
			t.Errorf("the journal mode is now %s", got)
		}
	})
}

// TestShellWrites is the same with the program that people use, which has another
// SQLite in it: it changes rows and the schema, and checks the file at the end.
func TestShellWrites(t *testing.T) {
	t.Parallel()
	shell, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("skipped: there is no sqlite3 shell")
	}
	eachMode(t, func(t *testing.T, mode string) {
		s := openStore(t, Config{BusyTimeout: 20 * time.Second}, "PRAGMA journal_mode="+mode, `CREATE TABLE t (id INTEGER PRIMARY KEY)`)
		const rows = 200
		var script strings.Builder
		script.WriteString(".timeout 20000\n")
		for id := range rows {
			fmt.Fprintf(&script, "INSERT INTO t (id) VALUES (%d);\n", -id-1)
			if id == rows/2 {
				script.WriteString("ALTER TABLE t ADD COLUMN more TEXT DEFAULT 'm';\n")
			}
		}
		other := exec.CommandContext(t.Context(), shell, "-batch", "-bail", s.path)
		other.Stdin = strings.NewReader(script.String())
		var said bytes.Buffer
		other.Stdout, other.Stderr = &said, &said
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		for id := range int64(rows) {
			insertID(t, s, id)
		}
		if err := other.Wait(); err != nil {
			t.Fatalf("%v: %s", err, &said)
		}
		got, err := readAll(s, abi.Query{Collection: "t", Columns: []string{"id", "more"}})
		if err != nil || len(got) != 2*rows || !reflect.DeepEqual(got[0], []any{int64(-rows), "m"}) {
			t.Errorf("%d rows, %v", len(got), err)
		}
		out, err := exec.CommandContext(t.Context(), shell, "-batch", s.path, "PRAGMA integrity_check; SELECT count(*) FROM t;").CombinedOutput()
		if want := fmt.Sprintf("ok\n%d\n", 2*rows); string(out) != want || err != nil {
			t.Errorf("the shell says %q, %v; want %q", out, err, want)
		}
		if got := modeOf(t, s.path); got != mode {
			t.Errorf("the journal mode is now %s", got)
		}
	})
}

func TestAnotherProcessChangesTheSchema(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, mode string) {
		s := openStore(t, Config{BusyTimeout: 20 * time.Second}, "PRAGMA journal_mode="+mode, `CREATE TABLE t (id INTEGER PRIMARY KEY)`)
		insertID(t, s, 1)
		if _, err := readAll(s, abi.Query{Collection: "t"}); err != nil { // its statements are kept
			t.Fatal(err)
		}
		runChild(t, "sql", s.path, "ALTER TABLE t ADD COLUMN more TEXT DEFAULT 'm'")
		insertID(t, s, 2)
		insert := []abi.Mutation{{Collection: "t", Verb: abi.Insert}}
		if _, err := s.Write(context.Background(), insert, datatest.Batch([]string{"id", "more"}, []any{int64(3), "x"}), data.Everything()); err != nil {
			t.Error(err)
		}
		got, err := readAll(s, abi.Query{Collection: "t"})
		if want := [][]any{{int64(1), "m"}, {int64(2), "m"}, {int64(3), "x"}}; err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v, %v, want %v", got, err, want)
		}

		// While batches are written.
		var columns []string
		for i := range 20 {
			columns = append(columns, fmt.Sprintf("ALTER TABLE t ADD COLUMN c%d INTEGER DEFAULT %d", i, i))
		}
		other := childProcess(t, "sql", append([]string{s.path}, columns...)...)
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		for id := range int64(100) {
			insertID(t, s, 10+id)
		}
		if err := other.Wait(); err != nil {
			t.Error(err)
		}
		got, err = readAll(s, abi.Query{Collection: "t", Columns: []string{"id", "c0", "c19"}})
		if err != nil || len(got) != 103 || !reflect.DeepEqual(got[102], []any{int64(109), int64(0), int64(19)}) {
			t.Errorf("%d rows, %v", len(got), err)
		}

		runChild(t, "sql", s.path, "ALTER TABLE t DROP COLUMN more", "ALTER TABLE t RENAME TO u")
		_, err = s.Write(context.Background(), insert, datatest.Batch([]string{"id"}, []any{int64(4)}), data.Everything())
		datatest.WantError(t, err, abi.UnknownCollection, `"t"`)
		insert[0].Collection = "u"
		_, err = s.Write(context.Background(), insert, datatest.Batch([]string{"id", "more"}, []any{int64(4), "x"}), data.Everything())
		datatest.WantError(t, err, abi.UnknownColumn, "more")
	})
}

func TestAnotherProcessHasItLocked(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, mode string) {
		s := openStore(t, Config{BusyTimeout: 50 * time.Millisecond}, "PRAGMA journal_mode="+mode, `CREATE TABLE t (id INTEGER PRIMARY KEY)`)
		other := childProcess(t, "lock", s.path, "BEGIN IMMEDIATE")
		in, err := other.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := other.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "locked\n" {
			t.Fatal(line, err)
		}
		release := hold(s)
		var wait []func() error
		for id := range int64(20) {
			wait = append(wait, queued(context.Background(), s, "t", ids(id)))
		}
		release()
		for _, w := range wait {
			datatest.WantError(t, w(), abi.Unavailable, "locked")
		}
		if got := s.Stats(); got.Groups != 0 || got.Locked != 1 {
			t.Errorf("%+v: those who had waited meanwhile were to be answered together", got)
		}
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
		if err := other.Wait(); err != nil {
			t.Error(err)
		}
		insertID(t, s, 1)
	})
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestTheFileIsReplaced(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, mode string) {
		schema := []string{"PRAGMA journal_mode=" + mode, `CREATE TABLE t (id INTEGER PRIMARY KEY)`}
		s := openStore(t, Config{}, schema...)
		insertID(t, s, 1) // in the log, with WAL
		if _, err := readAll(s, abi.Query{Collection: "t"}); err != nil {
			t.Fatal(err)
		}
		cursor, err := s.Open(context.Background(), &abi.Query{Collection: "t"}, data.Everything())
		if err != nil {
			t.Fatal(err)
		}
		defer cursor.Close()
		fresh := makeDatabase(t, append(schema, `INSERT INTO t VALUES (100)`)...)
		kept := filepath.Join(t.TempDir(), "kept.db")
		rename(t, s.path, kept)
		rename(t, fresh, s.path)

		for range 2 {
			_, err = s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, ids(2), data.Everything())
			datatest.WantError(t, err, abi.Unavailable, "replaced")
			_, err = readAll(s, abi.Query{Collection: "t"})
			datatest.WantError(t, err, abi.Unavailable, "replaced")
		}
		if !s.Moved() {
			t.Error("it does not know")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if mode == "WAL" {
			for range 2 {
				datatest.WantError(t, s.Leftover(), abi.Unavailable, "-wal", "-shm")
			}
			rename(t, s.path+"-wal", kept+"-wal")
			rename(t, s.path+"-shm", kept+"-shm")
		}
		if err := s.Leftover(); err != nil {
			t.Error(err)
		}

		anew := serve(t, Config{Path: s.path})
		insertID(t, anew, 2)
		for path, want := range map[string][][]any{s.path: {{int64(2)}, {int64(100)}}, kept: {{int64(1)}}} {
			got, err := readAll(serve(t, Config{Path: path}), abi.Query{Collection: "t"})
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v, %v, want %v", path, got, err, want)
			}
		}
		if got := modeOf(t, s.path); got != mode {
			t.Errorf("the journal mode is now %s", got)
		}
	})
}

func TestTheFileIsReplacedBeforeTheWriterOpens(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, mode string) {
		schema := []string{"PRAGMA journal_mode=" + mode, `CREATE TABLE t (id INTEGER PRIMARY KEY)`}
		s := openStore(t, Config{}, schema...)
		rename(t, makeDatabase(t, append(schema, `INSERT INTO t VALUES (100)`)...), s.path)
		_, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, ids(2), data.Everything())
		datatest.WantError(t, err, abi.Unavailable, "replaced")
		// Nothing was put into the new file, and its log is not the old one's.
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		_ = os.Remove(s.path + "-wal")
		_ = os.Remove(s.path + "-shm")
		if got, err := readAll(serve(t, Config{Path: s.path}), abi.Query{Collection: "t"}); err != nil || len(got) != 1 {
			t.Errorf("%v, %v", got, err)
		}
	})
}
