package lite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

func open(t *testing.T) *Conn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil { // no bytes are an empty database
		t.Fatal(err)
	}
	c, err := Open(context.Background(), path, Options{BusyTimeout: time.Second, MaxLength: 1 << 20, Statements: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

func TestOpenDoesNotCreate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	_, err := Open(context.Background(), path, Options{MaxLength: 1 << 20})
	var e *Error
	if !errors.As(err, &e) || e.Primary() != sqlite3.SQLITE_CANTOPEN {
		t.Errorf("got %v, want SQLITE_CANTOPEN", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file was created")
	}
}

func TestCached(t *testing.T) {
	t.Parallel()
	c := open(t)
	get := func(sql string) *Stmt {
		t.Helper()
		s, err := c.Cached(sql, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b := get("SELECT 1"), get("SELECT 2")
	if get("SELECT 1") != a || get("SELECT 2") != b {
		t.Error("a statement was prepared twice")
	}
	get("SELECT 1")
	get("SELECT 3") // for which the one used longest ago has to go
	if a.p == 0 || b.p != 0 {
		t.Errorf("kept: %v and %v, want the first only", a.p != 0, b.p != 0)
	}
	if row, err := get("SELECT 2").Step(); err != nil || !row {
		t.Errorf("prepared again: %v, %v", row, err)
	}
}

func TestPrepareRefusesNUL(t *testing.T) {
	t.Parallel()
	if _, err := open(t).Prepare("SELECT 1\x00; DROP TABLE t"); err == nil {
		t.Error("a statement with a NUL was prepared")
	}
}

func TestInterruptStays(t *testing.T) {
	t.Parallel()
	c := open(t)
	const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i FROM n WHERE i < 0"
	s, err := c.Prepare(endless)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Finalize()
	c.Interrupt() // before the first step: sqlite3_interrupt alone would be lost
	var e *Error
	if _, err := s.Step(); !errors.As(err, &e) || e.Primary() != sqlite3.SQLITE_INTERRUPT {
		t.Errorf("got %v, want SQLITE_INTERRUPT", err)
	}
	s.Reset()
	c.Watch(context.Background())()
	if c.Stopped() {
		t.Error("an interrupt outlived the next Watch")
	}
	if err := c.Exec("CREATE TABLE t (a)"); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
}

func TestShield(t *testing.T) {
	t.Parallel()
	c := open(t)
	if err := c.Exec("CREATE TABLE t (a)", "BEGIN", "INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	const long = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20000) SELECT count(*) FROM n"
	err := c.Shield(func() error {
		c.Interrupt()
		return c.Exec(long, "COMMIT")
	})
	if err != nil || c.InTransaction() {
		t.Errorf("under a shield: %v", err)
	}
	if err := c.Exec(long); err == nil {
		t.Error("the interrupt was lost")
	}
}

func TestInterruptAfterClose(t *testing.T) {
	t.Parallel()
	c := open(t)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c.Interrupt()
}
