package datatest

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/host/data"
)

// Exercise runs the suite. open makes a store over a new database, runs the
// schema's statements on it, and closes the store when the test ends. The
// statements keep to SQL that SQLite and PostgreSQL share.
func Exercise(t *testing.T, open func(t *testing.T, schema ...string) data.Store) {
	for _, part := range []struct {
		name string
		test func(*testing.T, func(*testing.T, ...string) data.Store)
	}{
		{"Read", testRead},
		{"Filters", testFilters},
		{"Order", testOrder},
		{"Keyset", testKeyset},
		{"Aggregates", testAggregates},
		{"Describe", testDescribe},
		{"Lookup", testLookup},
		{"Buffers", testBuffers},
		{"Budget", testBudget},
		{"Verbs", testVerbs},
		{"Expect", testExpect},
		{"Atomic", testAtomic},
		{"Grants", testGrants},
		{"RoundTrip", testRoundTrip},
		{"BadQueries", testBadQueries},
		{"BadWrites", testBadWrites},
		{"Cancel", testCancel},
		{"Closed", testClosed},
		{"Model", testModel},
		{"ModelOfGrants", testModelOfGrants},
		{"Hammer", testHammer},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.test(t, open)
		})
	}
}

type opener = func(t *testing.T, schema ...string) data.Store

// row is a row of a test, in column order.
type row = []any

// list makes rows, where a literal of nested slices would hide the values.
func list(rows ...row) []row { return rows }

// Batch encodes rows for a Write or a lookup.
func Batch(columns []string, rows ...[]any) []byte {
	var w wire.Writer
	w.Array(len(columns))
	for _, c := range columns {
		w.String(c)
	}
	for _, r := range rows {
		if err := w.Value(r); err != nil {
			panic(err) // a test's own mistake
		}
	}
	return w.B
}

// Decode is the inverse of [Batch].
func Decode(t *testing.T, batch []byte) (columns []string, rows [][]any) {
	t.Helper()
	b, err := wire.OpenBatch(batch)
	if err != nil {
		t.Fatalf("reading a batch: %v", err)
	}
	for b.Next() {
		r := wire.NewReader(b.Row())
		v, err := r.Value()
		if err != nil {
			t.Fatalf("reading row %d: %v", b.Index(), err)
		}
		rows = append(rows, v.([]any))
	}
	if err := b.Err(); err != nil {
		t.Fatalf("reading a batch: %v", err)
	}
	return b.Columns, rows
}

// Read returns all rows of a query, read through a buffer of size bytes.
func Read(t *testing.T, s data.Store, q abi.Query, size int) (columns []string, rows [][]any) {
	t.Helper()
	columns, rows, err := read(t, s, q, size)
	if err != nil {
		t.Fatalf("reading: %v", err)
	}
	return columns, rows
}

func read(t *testing.T, s data.Store, q abi.Query, size int) (columns []string, rows [][]any, err error) {
	t.Helper()
	return readAs(t, s, q, size, data.Everything())
}

func readAs(t *testing.T, s data.Store, q abi.Query, size int, scope *data.Scope) (columns []string, rows [][]any, err error) {
	t.Helper()
	c, err := s.Open(testContext(t), &q, scope)
	if err != nil {
		return nil, nil, err
	}
	return readCursor(t, c, size)
}

// readCursor reads a cursor to its end, and closes it.
func readCursor(t *testing.T, c data.Cursor, size int) (columns []string, rows [][]any, err error) {
	t.Helper()
	ctx := testContext(t)
	defer func() {
		if err := c.Close(); err != nil {
			t.Errorf("closing the cursor: %v", err)
		}
	}()
	buf := make([]byte, size)
	for {
		n, err := c.Next(ctx, buf)
		if err != nil || n == 0 {
			return columns, rows, err
		}
		names, more := Decode(t, buf[:n])
		if len(more) == 0 {
			t.Fatalf("a batch of %d bytes without rows", n)
		}
		if columns != nil && !reflect.DeepEqual(names, columns) {
			t.Fatalf("columns changed from %q to %q", columns, names)
		}
		columns, rows = names, append(rows, more...)
	}
}

// want checks the rows of a query.
func want(t *testing.T, s data.Store, q abi.Query, rows []row) {
	t.Helper()
	_, got := Read(t, s, q, 4096)
	sameRows(t, got, rows)
}

func sameRows(t *testing.T, got, rows []row) {
	t.Helper()
	if len(got) == 0 && len(rows) == 0 {
		return
	}
	if !reflect.DeepEqual(got, rows) {
		t.Errorf("rows:\n got %v\nwant %v", got, rows)
	}
}

// write writes one mutation that must succeed.
func write(t *testing.T, s data.Store, m abi.Mutation, batch []byte) abi.WriteResult {
	t.Helper()
	results, err := s.Write(testContext(t), []abi.Mutation{m}, batch, data.Everything())
	if err != nil {
		t.Fatalf("%s: %v", m.Verb, err)
	}
	if len(results) != 1 {
		t.Fatalf("%s: %d results for one mutation", m.Verb, len(results))
	}
	return results[0]
}

func insert(t *testing.T, s data.Store, collection string, columns []string, rows ...row) {
	t.Helper()
	got := write(t, s, abi.Mutation{Collection: collection, Verb: abi.Insert}, Batch(columns, rows...))
	if got.Applied != int64(len(rows)) || got.Unapplied != nil {
		t.Fatalf("insert of %d rows: %+v", len(rows), got)
	}
}

// WantError checks an error's code and that its text has all of the words.
func WantError(t *testing.T, err error, code abi.Code, words ...string) {
	t.Helper()
	if abi.CodeOf(err) != code {
		t.Errorf("got error %v, want code %v", err, code)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("got error %q, want %q in it", err, word)
		}
	}
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func strs(names ...string) []string { return names }
