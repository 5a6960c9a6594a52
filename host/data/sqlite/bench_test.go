package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/host/data"
)

// The benchmarks do what the archive worker does, on its table, and the same
// through database/sql with the same msgpack encoder, in the same database
// and with the same pragmas. Compare rows/s within one run.

const chatTable = `CREATE TABLE chat_messages (id TEXT PRIMARY KEY, created_at TEXT NOT NULL, updated_at TEXT, version REAL, room_id TEXT,
	sender_id TEXT, sender_name TEXT, sender_type TEXT, content TEXT, status TEXT, priority TEXT, timestamp TEXT, edited_at TEXT,
	reactions TEXT, thread TEXT, reply_to_id TEXT, metadata TEXT)`

const (
	benchRows = 20_000
	pageRows  = 1000
)

func chatDatabase(b *testing.B) string {
	b.Helper()
	path := makeDatabase(b, "PRAGMA journal_mode=WAL", chatTable, `CREATE INDEX chat_messages_at ON chat_messages (created_at, id)`)
	db := openSQL(b, path)
	tx, err := db.Begin()
	if err != nil {
		b.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	uuid := func() string {
		return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", rnd.Uint32(), rnd.IntN(1<<16), rnd.IntN(1<<12), rnd.IntN(1<<12), rnd.Int64N(1<<48))
	}
	st, err := tx.Prepare(`INSERT INTO chat_messages VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`)
	if err != nil {
		b.Fatal(err)
	}
	for i := range benchRows {
		at := fmt.Sprintf("2025-12-%02dT04:%02d:10.%03dZ", 1+i/3600%28, i/60%60, i%1000)
		if _, err := st.Exec(uuid(), at, at, 1.0, uuid(), uuid(), "Ann", "human", `{"text":"`+strings.Repeat("word ", 10+i%20)+`","media":[]}`,
			"sent", "normal", at, nil, "[]", nil, nil, `{"source":"user"}`); err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}

func perRow(b *testing.B, rows int) {
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkRead(b *testing.B) {
	path := chatDatabase(b)
	buf := make([]byte, 1<<20)
	b.Run("store", func(b *testing.B) {
		s := serve(b, Config{Path: path})
		ctx, cancel := context.WithCancel(context.Background()) // as a task has
		defer cancel()
		b.ReportAllocs()
		rows := 0
		order := []abi.Order{{Column: "created_at"}, {Column: "id"}}
		var after []any
		for b.Loop() {
			c, err := s.Open(ctx, &abi.Query{Collection: "chat_messages", OrderBy: order, After: after, Limit: pageRows}, data.Everything())
			if err != nil {
				b.Fatal(err)
			}
			n, err := c.Next(ctx, buf)
			if err != nil {
				b.Fatal(err)
			}
			if err := c.Close(); err != nil {
				b.Fatal(err)
			}
			var got int
			if after, got = lastPlace(b, buf[:n]); got < pageRows {
				after = nil
			}
			rows += got
		}
		perRow(b, rows)
	})
	b.Run("database_sql", func(b *testing.B) {
		db := openSQL(b, path)
		if _, err := db.Exec("PRAGMA cache_size = -8192"); err != nil {
			b.Fatal(err)
		}
		first, err := db.Prepare(`SELECT * FROM chat_messages ORDER BY created_at, id LIMIT 1000`)
		if err != nil {
			b.Fatal(err)
		}
		next, err := db.Prepare(`SELECT * FROM chat_messages WHERE (created_at, id) > (?, ?) ORDER BY created_at, id LIMIT 1000`)
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		b.ReportAllocs()
		rows := 0
		var after []any
		for b.Loop() {
			st := next
			if after == nil {
				st = first
			}
			found, err := st.QueryContext(ctx, after...)
			if err != nil {
				b.Fatal(err)
			}
			page := encodeSQL(b, found, buf)
			var got int
			if after, got = lastPlace(b, page); got < pageRows {
				after = nil
			}
			rows += got
		}
		perRow(b, rows)
	})
}

// encodeSQL encodes rows of database/sql as a batch.
func encodeSQL(b *testing.B, rows *sql.Rows, buf []byte) []byte {
	b.Helper()
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		b.Fatal(err)
	}
	w := wire.Writer{B: append(buf[:0], header(names)...)}
	values, targets := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			b.Fatal(err)
		}
		if err := w.Value(values); err != nil {
			b.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
	return w.B
}

// lastPlace returns created_at and id of a page's last row, and its rows.
func lastPlace(b *testing.B, page []byte) ([]any, int) {
	b.Helper()
	batch, err := wire.OpenBatch(page)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	var last []byte
	for batch.Next() {
		last = batch.Row()
		n++
	}
	if batch.Err() != nil || n == 0 {
		return nil, n
	}
	r := wire.NewReader(last)
	if _, err := r.Array(); err != nil {
		b.Fatal(err)
	}
	id, _ := r.String()
	at, _ := r.String()
	return []any{string(at), string(id)}, n
}

func BenchmarkInsertDelete(b *testing.B) {
	path := chatDatabase(b)
	source := serve(b, Config{Path: path, ReadOnly: true})
	c, err := source.Open(context.Background(), &abi.Query{Collection: "chat_messages", Limit: pageRows}, data.Everything())
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
	b.Run("store", func(b *testing.B) {
		s := openStore(b, Config{}, "PRAGMA journal_mode=WAL", chatTable)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		b.ReportAllocs()
		rows := 0
		for b.Loop() {
			for _, verb := range []abi.Verb{abi.InsertNew, abi.Delete} {
				got, err := s.Write(ctx, []abi.Mutation{{Collection: "chat_messages", Verb: verb}}, page, data.Everything())
				if err != nil || got[0].Applied != pageRows {
					b.Fatal(got, err)
				}
			}
			rows += pageRows
		}
		perRow(b, rows)
	})
	b.Run("database_sql", func(b *testing.B) {
		db := openSQL(b, makeDatabase(b, "PRAGMA journal_mode=WAL", chatTable))
		for _, p := range []string{"PRAGMA synchronous=FULL", "PRAGMA cache_size=-65536", "PRAGMA wal_autocheckpoint=10000", "PRAGMA foreign_keys=ON"} {
			if _, err := db.Exec(p); err != nil {
				b.Fatal(err)
			}
		}
		insert, err := db.Prepare(`INSERT INTO chat_messages VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO NOTHING`)
		if err != nil {
			b.Fatal(err)
		}
		remove, err := db.Prepare(`DELETE FROM chat_messages WHERE id = ?`)
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		b.ReportAllocs()
		rows := 0
		for b.Loop() {
			for _, st := range []*sql.Stmt{insert, remove} {
				tx, err := db.BeginTx(ctx, nil)
				if err != nil {
					b.Fatal(err)
				}
				own := tx.StmtContext(ctx, st)
				batch, err := wire.OpenBatch(page)
				if err != nil {
					b.Fatal(err)
				}
				for batch.Next() {
					r := wire.NewReader(batch.Row())
					v, err := r.Value()
					if err != nil {
						b.Fatal(err)
					}
					values := v.([]any)
					if st == remove {
						values = values[:1]
					}
					if _, err := own.ExecContext(ctx, values...); err != nil {
						b.Fatal(err)
					}
				}
				if err := tx.Commit(); err != nil {
					b.Fatal(err)
				}
			}
			rows += pageRows
		}
		perRow(b, rows)
	})
}

func BenchmarkLookup(b *testing.B) {
	s := serve(b, Config{Path: chatDatabase(b)})
	page := make([]byte, 1<<20)
	read := func(q abi.Query, buf []byte) []byte {
		c, err := s.Open(context.Background(), &q, data.Everything())
		if err != nil {
			b.Fatal(err)
		}
		n, err := c.Next(context.Background(), buf)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
		return buf[:n]
	}
	page = read(abi.Query{Collection: "chat_messages", Limit: pageRows}, page)
	buf := make([]byte, 1<<20)
	b.ReportAllocs()
	rows := 0
	for b.Loop() {
		if found := read(abi.Query{Collection: "chat_messages", Lookup: page}, buf); len(found) != len(page) {
			b.Fatalf("found %d bytes of %d", len(found), len(page))
		}
		rows += pageRows
	}
	perRow(b, rows)
}
