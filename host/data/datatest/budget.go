package datatest

import (
	"errors"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
)

// testBudget reads through a budget of rows that ends before, at and behind
// the end of the answer.
func testBudget(t *testing.T, open opener) {
	s := open(t, `CREATE TABLE bodies (id BIGINT PRIMARY KEY, body TEXT)`)
	const there = 10
	var ids []row
	for i := range int64(there) {
		insert(t, s, "bodies", strs("id", "body"), row{i, strings.Repeat("b", int(i)*20)})
		ids = append(ids, row{i})
	}
	queries := map[string]abi.Query{
		"query":  {Collection: "bodies", OrderBy: by("id")},
		"lookup": {Collection: "bodies", Lookup: Batch(strs("id"), ids...)},
	}
	for name, q := range queries {
		t.Run(name, func(t *testing.T) {
			for most := int64(1); most <= there+1; most++ {
				for _, size := range []int{260, 300, 4096} {
					budget := data.NewBudget(most)
					got, err := rowsOf(t, s, q, size, budget)
					if most >= there && err != nil {
						t.Errorf("budget %d, buffer %d: %v", most, size, err)
					}
					if most < there {
						WantError(t, err, abi.LimitExceeded, "(limit: rows)")
					}
					if want := min(most, there); got != want || budget.RowsRead() != want || budget.Left() != most-want {
						t.Errorf("budget %d, buffer %d: %d rows, counted %d, left %d, want %d rows", most, size, got, budget.RowsRead(), budget.Left(), want)
					}
				}
			}
		})
	}

	t.Run("cursors share it", func(t *testing.T) {
		q := queries["query"]
		scope := limited(data.NewBudget(4))
		var cursors []data.Cursor
		for range 2 {
			c, err := s.Open(testContext(t), &q, scope)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			cursors = append(cursors, c)
		}
		// The first row that does not fit waits in the cursor, and is not counted.
		buf := make([]byte, 100)
		n, err := cursors[0].Next(testContext(t), buf)
		if err != nil {
			t.Fatal(err)
		}
		_, rows := Decode(t, buf[:n])
		if read := scope.Budget.RowsRead(); len(rows) != 3 || read != 3 {
			t.Fatalf("%d rows were handed over, %d counted, want 3", len(rows), read)
		}
		if n, err = cursors[1].Next(testContext(t), buf); err != nil {
			t.Fatal(err)
		}
		if _, rows = Decode(t, buf[:n]); len(rows) != 1 {
			t.Errorf("%d rows, want the one that was left", len(rows))
		}
		for _, c := range cursors {
			_, err := c.Next(testContext(t), make([]byte, 4096))
			WantError(t, err, abi.LimitExceeded, "read 4 and written 0 rows", "(limit: rows)")
		}
	})

	t.Run("aggregates are one row", func(t *testing.T) {
		budget := data.NewBudget(1)
		n, err := rowsOf(t, s, abi.Query{Collection: "bodies", Aggregates: []abi.Aggregate{{Func: "count"}, {Func: "max", Column: "id"}}}, 4096, budget)
		if n != 1 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	})
}

// rowsOf counts the rows of a query, read through a buffer of size bytes and
// more where a row needs it.
func rowsOf(t *testing.T, s data.Store, q abi.Query, size int, budget *data.Budget) (n int64, err error) {
	t.Helper()
	c, err := s.Open(testContext(t), &q, limited(budget))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for buf := make([]byte, size); ; {
		used, err := c.Next(testContext(t), buf)
		var tooLarge *data.RowTooLargeError
		if errors.As(err, &tooLarge) {
			buf = make([]byte, tooLarge.Size)
			continue
		}
		if err != nil || used == 0 {
			return n, err
		}
		_, rows := Decode(t, buf[:used])
		n += int64(len(rows))
	}
}

func limited(b *data.Budget) *data.Scope {
	scope := data.Everything()
	scope.Budget = b
	return scope
}
