package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/sqlite"
)

// BenchmarkRead brings all rows of a table into guests, as batches that are left
// as they are (read), with every field looked at (touch), and with three of the
// 17 columns asked for by name (names). Native Go beside it does the first with
// the product's own store, and the second with database/sql.
func BenchmarkRead(b *testing.B) {
	const rows = 100_000
	dir := b.TempDir()
	newDatabase(b, filepath.Join(dir, "primary.db"), rows)
	newArchive(b, filepath.Join(dir, "archive.db"))
	s := newServer(b, dir)
	defer s.stop()
	took, cpus := samples{}, samples{}
	side := func(name string, do func() time.Duration) {
		before := cpu(b)
		took.add(name, do())
		cpus.add(name, cpu(b)-before)
	}
	guest := func(worker, kind string) (out outcome) {
		side(worker+"-"+kind, func() time.Duration {
			out = s.run(b, worker, kind, `{}`)
			return wall(out)
		})
		return out
	}
	for b.Loop() {
		var sum int64
		side("store", func() time.Duration { return storeRead(b, dir) })
		side("sql", func() (took time.Duration) {
			sum, took = sqlTouch(b, dir)
			return took
		})
		want := fmt.Sprintf(`{"rows":%d,"sum":%d}`, rows, sum)
		for _, worker := range []string{"go", "c"} {
			guest(worker, "read")
			if out := guest(worker, "touch"); string(out.Result) != want {
				b.Fatalf("the guest %s returned %s, want %s", worker, out.Result, want)
			}
		}
		guest("go", "names")
	}
	b.ReportMetric(0, "ns/op")
	took.rate(b, rows, "store", "c-read", "go-read", "sql", "c-touch", "go-touch", "go-names")
	for what, s := range map[string]samples{"": took, "-cpu": cpus} {
		s.ratios(b, "c-read", what, "store")
		s.ratios(b, "go-read", what, "store")
		s.ratios(b, "c-touch", what, "sql")
		s.ratios(b, "go-touch", what, "sql")
	}
}

// storeRead reads all rows as batches, as the guests get them.
func storeRead(tb testing.TB, dir string) time.Duration {
	store := openStore(tb, dir, "primary")
	defer store.Close()
	ctx, cancel := context.WithCancel(context.Background()) // as a task has
	defer cancel()
	start := time.Now()
	buf := make([]byte, 512<<10)
	cursor, err := store.Open(ctx, &abi.Query{Collection: "chat_messages"}, data.Everything())
	for n := 1; err == nil && n > 0; {
		n, err = cursor.Next(ctx, buf)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return time.Since(start)
}

func openStore(tb testing.TB, dir, name string) *sqlite.Store {
	tb.Helper()
	store, err := sqlite.Open(context.Background(), sqlite.Config{Path: filepath.Join(dir, name+".db")})
	if err != nil {
		tb.Fatal(err)
	}
	return store
}

// sqlTouch is touch of the guests as one would write it with database/sql: it
// adds up the numbers, and of text the length and the last byte.
func sqlTouch(tb testing.TB, dir string) (sum int64, took time.Duration) {
	db := open(tb, filepath.Join(dir, "primary.db"))
	defer db.Close()
	if err := db.Ping(); err != nil {
		tb.Fatal(err)
	}
	start := time.Now()
	rows, err := db.Query("SELECT * FROM chat_messages")
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	row, into := make([]any, columns), make([]any, columns)
	for i := range row {
		into[i] = &row[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			tb.Fatal(err)
		}
		for _, v := range row {
			switch v := v.(type) {
			case nil:
			case float64:
				sum += int64(v)
			case string:
				if len(v) > 0 {
					sum += int64(len(v)) + int64(v[len(v)-1])
				}
			default:
				tb.Fatalf("a field of type %T", v)
			}
		}
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return sum, time.Since(start)
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
	took := samples{}
	for b.Loop() {
		took.add("call", wall(s.run(b, "go", "calls", fmt.Sprintf(`{"n":%d}`, calls))))
		took.add("command", wall(s.run(b, "go", "commands", fmt.Sprintf(`{"n":%d}`, commands))))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(median(took["call"]).Nanoseconds())/calls, "ns/call")
	b.ReportMetric(float64(median(took["command"]).Nanoseconds())/commands, "ns/command")
}

// BenchmarkProvidedCommand is a command that a worker in C provides, called by
// one and by two tasks in Go at a time: a clean sandbox for each call.
func BenchmarkProvidedCommand(b *testing.B) {
	dir := b.TempDir()
	newDatabase(b, filepath.Join(dir, "primary.db"), 1)
	newArchive(b, filepath.Join(dir, "archive.db"))
	s := newServer(b, dir)
	defer s.stop()
	const calls = 20_000
	took, p99 := samples{}, samples{}
	ask := func(side string, tasks int) {
		outs := make([]outcome, tasks)
		var wg sync.WaitGroup
		for i := range outs {
			wg.Go(func() { outs[i] = s.run(b, "go", "commands", fmt.Sprintf(`{"n":%d,"command":"c/answer"}`, calls)) })
		}
		wg.Wait()
		longest := time.Duration(0)
		for _, out := range outs {
			var result struct {
				P99 int64 `json:"p99_ns"`
			}
			if err := json.Unmarshal(out.Result, &result); err != nil {
				b.Error(err)
			}
			p99.add(side, time.Duration(result.P99))
			longest = max(longest, wall(out))
		}
		took.add(side, longest)
	}
	for b.Loop() {
		ask("one", 1)
		ask("two", 2)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(calls/median(took["one"]).Seconds(), "one-calls/s")
	b.ReportMetric(2*calls/median(took["two"]).Seconds(), "two-calls/s")
	b.ReportMetric(median(p99["one"]).Seconds()*1e3, "one-p99-ms")
	b.ReportMetric(median(p99["two"]).Seconds()*1e3, "two-p99-ms")
}
