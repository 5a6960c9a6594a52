package bench

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/sqlite"
)

// BenchmarkArchive moves the same rows by the archive worker in its sandbox, and
// by native programs that take the same steps with the same durability (insert,
// commit, read back, compare, delete, commit, page by page): Go on the product's
// own store, Go on database/sql, and C on libsqlite3. All of them have the
// store's settings: WAL, synchronous FULL, 64 MiB of cache, a checkpoint each
// 10,000 pages. The worker also keeps its progress as durable events, and like
// the store, unlike the other two, deletes a row only if it has not changed.
func BenchmarkArchive(b *testing.B) {
	c := buildArchive(b)
	for _, page := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("pages=%d", page), func(b *testing.B) { benchArchive(b, page, c) })
	}
}

func benchArchive(b *testing.B, page int, c string) {
	const rows = 50_000
	master := filepath.Join(b.TempDir(), "master.db")
	newDatabase(b, master, rows)
	var inGuest, inSQL []float64
	took, cpus := samples{}, samples{}
	sides := map[string]func(dir string) time.Duration{
		"store": func(dir string) time.Duration { return storeArchive(b, dir, page) },
		"sql":   func(dir string) time.Duration { return sqlArchive(b, dir, page) },
		"worker": func(dir string) time.Duration {
			s := newServer(b, dir)
			defer s.stop()
			before := cpu(b)
			out := s.run(b, "archive", "archive", fmt.Sprintf(`{"collection":"chat_messages","keep":0,"batch_size":%d}`, page))
			cpus.add("worker", cpu(b)-before)
			inGuest = append(inGuest, 100*out.Bill.GuestMS/out.Bill.WallMS)
			inSQL = append(inSQL, 100*out.Bill.SQLMS/out.Bill.WallMS)
			return wall(out)
		},
	}
	names := []string{"worker", "store", "sql"}
	if c != "" {
		names = append(names, "c")
		sides["c"] = func(dir string) time.Duration {
			wall, used := cArchive(b, c, dir, page)
			cpus.add("c", used)
			return wall
		}
	}
	bases := slices.Clone(names[1:])
	for b.Loop() {
		for _, side := range names {
			dir := b.TempDir()
			copyFile(b, master, filepath.Join(dir, "primary.db"))
			newArchive(b, filepath.Join(dir, "archive.db"))
			before := cpu(b)
			took.add(side, sides[side](dir))
			if len(cpus[side]) < len(took[side]) { // it knows no better itself
				cpus.add(side, cpu(b)-before)
			}
			checkMoved(b, dir, rows)
		}
		names = append(names[1:], names[0]) // so that none always follows the same
	}
	b.ReportMetric(0, "ns/op")
	took.rate(b, rows, names...)
	took.ratios(b, "worker", "", bases...)
	cpus.ratios(b, "worker", "-cpu", bases...)
	b.ReportMetric(median(inGuest), "%guest")
	b.ReportMetric(median(inSQL), "%sql")
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

// storeArchive is the job on the product's store, without a guest and without
// the host around it.
func storeArchive(tb testing.TB, dir string, page int) time.Duration {
	primary, archive := openStore(tb, dir, "primary"), openStore(tb, dir, "archive")
	defer primary.Close()
	defer archive.Close()
	ctx, cancel := context.WithCancel(context.Background()) // as a task has
	defer cancel()
	const collection = "chat_messages"
	order := []abi.Order{{Column: "timestamp"}, {Column: "id"}}
	var after []any
	var rows, found []byte
	room := make([]byte, 512<<10) // that the worker has
	start := time.Now()
	for {
		var err error
		if rows, err = appendRows(ctx, rows[:0], primary, &abi.Query{Collection: collection, OrderBy: order, After: after, Limit: int64(page)}, room); err != nil {
			tb.Fatal(err)
		}
		if len(rows) == 0 {
			return time.Since(start)
		}
		keys, names, last := index(tb, rows)
		after = last
		if _, err := archive.Write(ctx, []abi.Mutation{{Collection: collection, Verb: abi.InsertNew}}, rows, data.Everything()); err != nil {
			tb.Fatal(err)
		}
		if found, err = appendRows(ctx, found[:0], archive, &abi.Query{Collection: collection, Columns: names, Lookup: keys}, room); err != nil {
			tb.Fatal(err)
		}
		if !bytes.Equal(rows, found) {
			tb.Fatal("rows differ")
		}
		if _, err := primary.Write(ctx, []abi.Mutation{{Collection: collection, Verb: abi.Delete, Expect: names}}, rows, data.Everything()); err != nil {
			tb.Fatal(err)
		}
	}
}

// appendRows reads the rows of a query as one batch, through room.
func appendRows(ctx context.Context, dst []byte, store *sqlite.Store, q *abi.Query, room []byte) ([]byte, error) {
	cursor, err := store.Open(ctx, q, data.Everything())
	if err != nil {
		return nil, err
	}
	defer cursor.Close()
	for {
		n, err := cursor.Next(ctx, room)
		if err != nil || n == 0 {
			return dst, err
		}
		b := room[:n]
		if len(dst) > 0 { // the names are there already
			r := wire.NewReader(b)
			if err := r.Skip(); err != nil {
				return nil, err
			}
			b = r.Rest()
		}
		dst = append(dst, b...)
	}
}

// index returns the rows' keys as a batch, the names of the columns, and the
// place of the last row in the order.
func index(tb testing.TB, rows []byte) (keys []byte, names []string, last []any) {
	tb.Helper()
	w := wire.Writer{}
	w.Array(1)
	w.String("id")
	batch, err := wire.OpenBatch(rows)
	if err != nil {
		tb.Fatal(err)
	}
	id := slices.Index(batch.Columns, "id")
	var row []byte
	for batch.Next() {
		row = batch.Row()
		w.Array(1)
		w.Raw(batch.Value(id))
	}
	if err := batch.Err(); err != nil {
		tb.Fatal(err)
	}
	r := wire.NewReader(row)
	v, err := r.Value()
	if err != nil {
		tb.Fatal(err)
	}
	values := v.([]any)
	return w.B, batch.Columns, []any{values[slices.Index(batch.Columns, "timestamp")], values[id]}
}

// sqlArchive is the job as one would write it with database/sql. What closing a
// database writes is not in its time, nor in that of the others.
func sqlArchive(tb testing.TB, dir string, page int) time.Duration {
	primary, archive := open(tb, filepath.Join(dir, "primary.db")), open(tb, filepath.Join(dir, "archive.db"))
	defer primary.Close()
	defer archive.Close()
	start := time.Now()
	read := prepare(tb, primary, "SELECT * FROM chat_messages ORDER BY timestamp, id LIMIT ?")
	insert := prepare(tb, archive, "INSERT INTO chat_messages VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT(id) DO NOTHING")
	lookup := prepare(tb, archive, "SELECT * FROM chat_messages WHERE id = ?")
	remove := prepare(tb, primary, "DELETE FROM chat_messages WHERE id = ?")
	for {
		list, err := readRows(read, page)
		if err != nil {
			tb.Fatal(err)
		}
		if len(list) == 0 {
			return time.Since(start)
		}
		inTransaction(tb, archive, insert, func(insert *sql.Stmt) error {
			for _, row := range list {
				if _, err := insert.Exec(row...); err != nil {
					return err
				}
			}
			return nil
		})
		for _, row := range list {
			found, err := scan(lookup.QueryRow(row[0]).Scan)
			if err != nil {
				tb.Fatal(err)
			}
			if !equal(row, found) {
				tb.Fatalf("row %v differs", row[0])
			}
		}
		inTransaction(tb, primary, remove, func(remove *sql.Stmt) error {
			for _, row := range list {
				if _, err := remove.Exec(row[0]); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func prepare(tb testing.TB, db *sql.DB, query string) *sql.Stmt {
	tb.Helper()
	st, err := db.Prepare(query)
	if err != nil {
		tb.Fatal(err)
	}
	return st
}

func inTransaction(tb testing.TB, db *sql.DB, st *sql.Stmt, do func(*sql.Stmt) error) {
	tb.Helper()
	tx, err := db.Begin()
	if err == nil {
		err = do(tx.Stmt(st))
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		tb.Fatal(err)
	}
}

func readRows(st *sql.Stmt, args ...any) ([][]any, error) {
	rows, err := st.Query(args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var page [][]any
	for rows.Next() {
		row, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		page = append(page, row)
	}
	return page, rows.Err()
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

// buildArchive builds carchive, or says why not and returns no path.
func buildArchive(b *testing.B) string {
	file := filepath.Join(b.TempDir(), "archive")
	out, err := exec.Command("cc", "-O2", "-o", file, "carchive/archive.c", "-lsqlite3").CombinedOutput()
	if err != nil {
		line, _, _ := strings.Cut(string(out), "\n")
		fmt.Fprintf(os.Stderr, "skipped: the archive job in C, which needs a C compiler and libsqlite3: %v %s\n", err, line)
		return ""
	}
	return file
}

// cArchive runs the program of carchive. used is the processor time it took.
func cArchive(tb testing.TB, program, dir string, page int) (wall, used time.Duration) {
	run := exec.Command(program, filepath.Join(dir, "primary.db"), filepath.Join(dir, "archive.db"), strconv.Itoa(page))
	run.Stderr = os.Stderr
	out, err := run.Output()
	if err != nil {
		tb.Fatal(err)
	}
	var seconds float64
	if _, err := fmt.Sscan(string(out), &seconds); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(seconds * 1e9), run.ProcessState.UserTime() + run.ProcessState.SystemTime()
}
