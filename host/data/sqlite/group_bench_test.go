package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/host/data"
)

// BenchmarkWriters has eight workers insert batches into one file, in turns of
// a few batches each: through the store; through the store but one at a time,
// each batch a transaction; and with database/sql on a connection of its own
// for each worker, the rows decoded beforehand. Quotients are of one run.
func BenchmarkWriters(b *testing.B) {
	for _, size := range []struct{ rows, batches int }{{10, 16}, {1000, 1}} {
		b.Run(fmt.Sprintf("rows=%d", size.rows), func(b *testing.B) { benchmarkWriters(b, size.rows, size.batches) })
	}
}

const benchWriters = 8

// writers are one way to write.
type writers struct {
	write   []func() // of each worker
	latency []time.Duration
	took    time.Duration
}

// turn has all workers write some batches.
func (w *writers) turn(batches int) {
	var all sync.WaitGroup
	var mu sync.Mutex
	start := time.Now()
	for _, write := range w.write {
		all.Go(func() {
			var own []time.Duration
			for range batches {
				begun := time.Now()
				write()
				own = append(own, time.Since(begun))
			}
			mu.Lock()
			w.latency = append(w.latency, own...)
			mu.Unlock()
		})
	}
	all.Wait()
	w.took += time.Since(start)
}

func (w *writers) rate() float64 { return float64(len(w.latency)) / w.took.Seconds() }

func (w *writers) quantile(q float64) float64 {
	slices.Sort(w.latency)
	return float64(w.latency[min(int(q*float64(len(w.latency))), len(w.latency)-1)]) / 1e6
}

func benchmarkWriters(b *testing.B, rows, batches int) {
	source := serve(b, Config{Path: chatDatabase(b), ReadOnly: true})
	c, err := source.Open(context.Background(), &abi.Query{Collection: "chat_messages", Limit: int64(rows)}, data.Everything())
	if err != nil {
		b.Fatal(err)
	}
	page := make([]byte, 1<<20)
	n, err := c.Next(context.Background(), page)
	if err != nil {
		b.Fatal(err)
	}
	page = page[:n]
	if err := c.Close(); err != nil {
		b.Fatal(err)
	}
	schema := []string{"PRAGMA journal_mode=WAL", strings.Replace(chatTable, " PRIMARY KEY", "", 1), `CREATE INDEX chat_messages_id ON chat_messages (id)`}

	var grouped, single, own writers
	token := make(chan struct{}, 1)
	store, one := openStore(b, Config{}, schema...), openStore(b, Config{}, schema...)
	path := makeDatabase(b, schema...)
	for w := range benchWriters {
		ctx, cancel := context.WithCancel(data.WithCaller(context.Background(), fmt.Sprint(w)))
		defer cancel()
		insert := func(s *Store) {
			if _, err := s.Write(ctx, []abi.Mutation{{Collection: "chat_messages", Verb: abi.Insert}}, page, data.Everything()); err != nil {
				b.Error(err)
			}
		}
		grouped.write = append(grouped.write, func() { insert(store) })
		single.write = append(single.write, func() {
			token <- struct{}{}
			defer func() { <-token }()
			insert(one)
		})
		own.write = append(own.write, ownConnection(b, path, page))
	}
	for b.Loop() {
		grouped.turn(batches)
		single.turn(batches)
		own.turn(batches)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(grouped.rate()*float64(rows), "rows/s")
	b.ReportMetric(grouped.quantile(.5), "p50-ms")
	b.ReportMetric(grouped.quantile(.99), "p99-ms")
	for _, other := range []struct {
		name string
		w    *writers
	}{{"single", &single}, {"own", &own}} {
		b.ReportMetric(grouped.rate()/other.w.rate(), "rate/"+other.name)
		b.ReportMetric(grouped.quantile(.5)/other.w.quantile(.5), "p50/"+other.name)
		b.ReportMetric(grouped.quantile(.99)/other.w.quantile(.99), "p99/"+other.name)
	}
	b.Logf("%+v", store.Stats())
}

// ownConnection writes page with a connection of its own.
func ownConnection(b *testing.B, path string, page []byte) func() {
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(60000)&_pragma=synchronous(FULL)"+
		"&_pragma=cache_size(-65536)&_pragma=wal_autocheckpoint(10000)&_pragma=foreign_keys(1)")
	if err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	b.Cleanup(func() { db.Close() })
	insert, err := db.Prepare(`INSERT INTO chat_messages VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`)
	if err != nil {
		b.Fatal(err)
	}
	batch, err := wire.OpenBatch(page)
	if err != nil {
		b.Fatal(err)
	}
	var rows [][]any
	for batch.Next() {
		r := wire.NewReader(batch.Row())
		v, err := r.Value()
		if err != nil {
			b.Fatal(err)
		}
		rows = append(rows, v.([]any))
	}
	return func() {
		tx, err := db.Begin()
		if err != nil {
			b.Error(err)
			return
		}
		st := tx.Stmt(insert)
		for _, row := range rows {
			if _, err := st.Exec(row...); err != nil {
				b.Error(err)
			}
		}
		if err := tx.Commit(); err != nil {
			b.Error(err)
		}
	}
}
