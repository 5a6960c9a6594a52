package bench

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

func readRows(db *sql.DB, query string, args ...any) ([][]any, error) {
	rows, err := db.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	if len(names) != columns {
		return nil, errColumns
	}
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

// BenchmarkRead brings all rows of a table into a guest's memory, untouched and
// with three of their columns decoded, beside native Go that reads them with
// database/sql and encodes them as msgpack, as a worker in a process of its
// own would get them.
func BenchmarkRead(b *testing.B) {
	const rows = 100_000
	dir := b.TempDir()
	newDatabase(b, filepath.Join(dir, "primary.db"), rows)
	newArchive(b, filepath.Join(dir, "archive.db"))
	s := newServer(b, dir)
	defer s.stop()
	var read, decode, native time.Duration
	for b.Loop() {
		read += time.Duration(s.run(b, "bench", "read", `{}`).WallMS * 1e6)
		decode += time.Duration(s.run(b, "bench", "decode", `{}`).WallMS * 1e6)
		start := time.Now()
		db := open(b, filepath.Join(dir, "primary.db"))
		n := 0
		page, err := readRows(db, "SELECT * FROM chat_messages ORDER BY timestamp, id LIMIT 1000")
		for err == nil && len(page) > 0 {
			if _, err = msgpack.Marshal(page); err != nil {
				break
			}
			n += len(page)
			last := page[len(page)-1]
			page, err = readRows(db, "SELECT * FROM chat_messages WHERE (timestamp, id) > (?, ?) ORDER BY timestamp, id LIMIT 1000", last[11], last[0])
		}
		db.Close()
		if err != nil || n != rows {
			b.Fatal(fmt.Errorf("read %d rows: %w", n, err))
		}
		native += time.Since(start)
	}
	n := float64(b.N) * rows
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(n/read.Seconds(), "into-guest-rows/s")
	b.ReportMetric(n/decode.Seconds(), "decoded-rows/s")
	b.ReportMetric(n/native.Seconds(), "native-rows/s")
	b.ReportMetric(native.Seconds()/read.Seconds(), "into-guest/native")
}

// BenchmarkHostCall is what a guest pays for crossing to the host and back:
// with nothing to do there, and for the smallest command.
func BenchmarkHostCall(b *testing.B) {
	dir := b.TempDir()
	newDatabase(b, filepath.Join(dir, "primary.db"), 1)
	newArchive(b, filepath.Join(dir, "archive.db"))
	s := newServer(b, dir)
	defer s.stop()
	const calls, commands = 1_000_000, 100_000
	var call, command time.Duration
	for b.Loop() {
		call += time.Duration(s.run(b, "bench", "calls", fmt.Sprintf(`{"n":%d}`, calls)).WallMS * 1e6)
		command += time.Duration(s.run(b, "bench", "commands", fmt.Sprintf(`{"n":%d}`, commands)).WallMS * 1e6)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(call.Nanoseconds())/float64(b.N)/calls, "ns/call")
	b.ReportMetric(float64(command.Nanoseconds())/float64(b.N)/commands, "ns/command")
}
