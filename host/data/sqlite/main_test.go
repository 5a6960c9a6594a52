package sqlite

import (
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// childEnv tells the test binary to be another program, with os.Args[1:] as
// its arguments.
const childEnv = "WASMHOST_SQLITE_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		if err := children[name](os.Args[1:]...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

var children = map[string]func(...string) error{
	"sql":    childSQL,
	"lock":   childLock,
	"memory": childMemory,
}

func childProcess(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, args...)
	c.Env = append(os.Environ(), childEnv+"="+name)
	return c
}

func runChild(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := childProcess(t, name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func dsn(path string) string { return "file:" + path + "?_pragma=busy_timeout(20000)" }

// childSQL runs statements on a database, as another program does.
func childSQL(args ...string) error {
	db, err := sql.Open("sqlite", dsn(args[0]))
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range args[1:] {
		if _, err := db.Exec(s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// childLock runs statements, says so, and ends when its input does.
func childLock(args ...string) error {
	db, err := sql.Open("sqlite", dsn(args[0]))
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range args[1:] {
		if _, err := db.Exec(s); err != nil {
			return err
		}
	}
	fmt.Println("locked")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// childTable makes a database in a new folder.
func childTable(statements ...string) (path string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "sqlite")
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join(dir, "test.db")
	return path, func() { os.RemoveAll(dir) }, childSQL(append([]string{path}, statements...)...)
}

func childRows(n int) [][]any {
	var rows [][]any
	for id := range int64(n) {
		rows = append(rows, []any{id, strings.Repeat("x", 2000)})
	}
	return rows
}
