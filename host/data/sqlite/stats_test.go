package sqlite

import (
	"context"
	"fmt"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/datatest"
)

// TestMemoryIsBounded is in a process of its own, as the caches of all
// connections of a process are one pool.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"WAL", "DELETE"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			runChild(t, "memory", mode)
		})
	}
}

// childMemory writes and reads many times what the caches may hold.
func childMemory(args ...string) error {
	path, remove, err := childTable("PRAGMA journal_mode="+args[0], `CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)`)
	if err != nil {
		return err
	}
	defer remove()
	const cache, rows = 512, 4000
	s, err := Open(context.Background(), Config{Path: path, CacheKiB: cache, Readers: 2})
	if err != nil {
		return err
	}
	batch := datatest.Batch([]string{"id", "body"}, childRows(rows)...)
	if _, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, batch, data.Everything()); err != nil {
		return err
	}
	if got, err := readAll(s, abi.Query{Collection: "t"}); err != nil || len(got) != rows {
		return fmt.Errorf("%d rows: %w", len(got), err)
	}
	// The writer's cache and a reader's, an eighth, and some pages that are in
	// use or belong to a cache that is being made.
	now, peak := PageCache()
	if most := int64(cache+cache/8+128) << 10; peak > most || now > peak {
		return fmt.Errorf("the page caches hold %d bytes and have held %d, want at most %d for a batch of %d", now, peak, most, len(batch))
	}
	if least := int64(cache) << 9; now < least {
		return fmt.Errorf("the page caches hold %d bytes, want at least %d: they have been full", now, least)
	}
	if got := s.Stats().Connections; got != 2 {
		return fmt.Errorf("%d connections, want 2", got)
	}
	if err := s.Close(); err != nil {
		return err
	}
	if got, _ := PageCache(); got != 0 {
		return fmt.Errorf("the page caches hold %d bytes of no connection", got)
	}
	if got := s.Stats(); got.Connections != 0 || got.Statements != 0 {
		return fmt.Errorf("after Close %+v", got)
	}
	return nil
}

func TestStatementsAreBounded(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, `CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c)`)
	columns := []string{"id", "a", "b", "c"}
	for i := range 3 * cachedStatements {
		q := abi.Query{Collection: "t"}
		for bit := range 8 {
			if i>>bit&1 != 0 {
				q.Where = append(q.Where, abi.Condition{Column: columns[bit%4], Op: []abi.Op{abi.IsNull, abi.NotNull}[bit/4]})
			}
		}
		if _, err := readAll(s, q); err != nil {
			t.Fatal(err)
		}
		insert := append([]string{"id"}, columns[1:1+i%4]...)
		row := []any{int64(i), nil, nil, nil}[:len(insert)]
		if _, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch(insert, row), data.Everything()); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Stats().Statements; got != cachedStatements+4 {
		t.Errorf("%d statements are kept, want %d of the reader and 4 of the writer", got, cachedStatements)
	}
}
