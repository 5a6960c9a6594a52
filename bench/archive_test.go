package bench

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkArchive moves the same rows twice: by the archive worker in its
// sandbox, and by native Go on database/sql that does the same steps with the
// same durability (insert, commit, read back, compare, delete, commit, in
// pages of 1000). The worker also emits its progress as durable events.
func BenchmarkArchive(b *testing.B) {
	const rows = 50_000
	master := filepath.Join(b.TempDir(), "master.db")
	newDatabase(b, master, rows)
	var guest, native, inGuest, inSQL time.Duration
	for b.Loop() {
		dir := b.TempDir()
		copyFile(b, master, filepath.Join(dir, "primary.db"))
		newArchive(b, filepath.Join(dir, "archive.db"))
		s := newServer(b, dir)
		bill := s.run(b, "archive", "archive", `{"collection":"chat_messages","keep":0}`)
		s.stop()
		checkMoved(b, dir, rows)
		guest += time.Duration(bill.WallMS * 1e6)
		inGuest += time.Duration(bill.GuestMS * 1e6)
		inSQL += time.Duration(bill.SQLMS * 1e6)

		dir = b.TempDir()
		copyFile(b, master, filepath.Join(dir, "primary.db"))
		newArchive(b, filepath.Join(dir, "archive.db"))
		start := time.Now()
		nativeArchive(b, dir)
		native += time.Since(start)
		checkMoved(b, dir, rows)
	}
	n := float64(b.N) * rows
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(n/guest.Seconds(), "worker-rows/s")
	b.ReportMetric(n/native.Seconds(), "native-rows/s")
	b.ReportMetric(native.Seconds()/guest.Seconds(), "worker/native")
	b.ReportMetric(100*inGuest.Seconds()/guest.Seconds(), "%guest")
	b.ReportMetric(100*inSQL.Seconds()/guest.Seconds(), "%sql")
}

func checkMoved(tb testing.TB, dir string, rows int) {
	tb.Helper()
	for name, want := range map[string]int{"primary.db": 0, "archive.db": rows} {
		db := open(tb, filepath.Join(dir, name))
		var got int
		err := db.QueryRow("SELECT count(*) FROM chat_messages").Scan(&got)
		db.Close()
		if err != nil || got != want {
			tb.Fatalf("%s has %d rows, want %d: %v", name, got, want, err)
		}
	}
}

// nativeArchive is the job as one would write it with database/sql.
func nativeArchive(tb testing.TB, dir string) {
	primary, archive := open(tb, filepath.Join(dir, "primary.db")), open(tb, filepath.Join(dir, "archive.db"))
	defer primary.Close()
	defer archive.Close()
	for {
		page, err := readRows(primary, "SELECT * FROM chat_messages ORDER BY timestamp, id LIMIT 1000")
		if err != nil {
			tb.Fatal(err)
		}
		if len(page) == 0 {
			return
		}
		tx, err := archive.Begin()
		if err != nil {
			tb.Fatal(err)
		}
		insert, err := tx.Prepare("INSERT INTO chat_messages VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT(id) DO NOTHING")
		if err != nil {
			tb.Fatal(err)
		}
		for _, row := range page {
			if _, err := insert.Exec(row...); err != nil {
				tb.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			tb.Fatal(err)
		}
		lookup, err := archive.Prepare("SELECT * FROM chat_messages WHERE id = ?")
		if err != nil {
			tb.Fatal(err)
		}
		for _, row := range page {
			found, err := scan(lookup.QueryRow(row[0]).Scan)
			if err != nil {
				tb.Fatal(err)
			}
			if !equal(row, found) {
				tb.Fatalf("row %v differs", row[0])
			}
		}
		lookup.Close()
		if tx, err = primary.Begin(); err != nil {
			tb.Fatal(err)
		}
		remove, err := tx.Prepare("DELETE FROM chat_messages WHERE id = ?")
		if err != nil {
			tb.Fatal(err)
		}
		for _, row := range page {
			if _, err := remove.Exec(row[0]); err != nil {
				tb.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			tb.Fatal(err)
		}
	}
}

// equal compares two rows value by value, storage classes included.
func equal(a, b []any) bool {
	return slices.EqualFunc(a, b, func(x, y any) bool {
		if xb, ok := x.([]byte); ok {
			yb, ok := y.([]byte)
			return ok && bytes.Equal(xb, yb)
		}
		return x == y
	})
}

func scan(scan func(...any) error) ([]any, error) {
	row, into := make([]any, columns), make([]any, columns)
	for i := range row {
		into[i] = &row[i]
	}
	return row, scan(into...)
}

var errColumns = fmt.Errorf("the table does not have %d columns", columns)
