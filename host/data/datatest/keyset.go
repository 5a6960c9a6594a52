package datatest

import (
	"fmt"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
)

// testKeyset reads a table in pages of every ordering and checks each bound
// against the whole list, so NULL on either side of a bound is met wherever
// it can be.
func testKeyset(t *testing.T, open opener) {
	s := open(t, `CREATE TABLE k (id BIGINT PRIMARY KEY, a BIGINT, b TEXT, n BIGINT NOT NULL)`, `CREATE INDEX k_ab ON k (a, b)`)
	var rows []row
	id := int64(0)
	for _, a := range []any{nil, int64(1), int64(2)} {
		for _, b := range []any{nil, "x", "y"} {
			for range 2 {
				id++
				rows = append(rows, row{id, a, b, id % 3})
			}
		}
	}
	insert(t, s, "k", strs("id", "a", "b", "n"), rows...)

	for _, order := range [][]abi.Order{
		by("id"), by("-id"), by("n", "id"), by("-n", "-id"), by("n", "-id"),
		by("a", "id"), by("-a", "id"), by("a", "-id"), by("-a", "-id"),
		by("a", "b", "id"), by("-a", "-b", "-id"), by("a", "-b", "id"), by("-a", "b", "-id"), by("n", "b", "a", "id"),
	} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			columns := make([]string, len(order))
			for i, o := range order {
				columns[i] = o.Column
			}
			q := abi.Query{Collection: "k", Columns: columns, OrderBy: order}
			_, all := Read(t, s, q, 4096)
			if len(all) != len(rows) {
				t.Fatalf("got %d rows, want %d", len(all), len(rows))
			}
			for i, bound := range all {
				after, until := q, q
				after.After, until.Until = bound, bound
				want(t, s, after, all[i+1:])
				want(t, s, until, all[:i+1])
			}
			for i := 0; i < len(all); i += 3 {
				for j := i; j < len(all); j += 4 {
					both := q
					both.After, both.Until = all[i], all[j]
					want(t, s, both, all[i+1:max(j+1, i+1)])
				}
			}
			pages := q
			pages.Limit = 4
			var got []row
			for {
				_, page := Read(t, s, pages, 4096)
				if len(page) == 0 {
					break
				}
				got = append(got, page...)
				pages.After = page[len(page)-1]
			}
			sameRows(t, got, all)
		})
	}

	t.Run("a bound that is no row", func(t *testing.T) {
		want(t, s, abi.Query{Collection: "k", Columns: strs("id"), OrderBy: by("id"), After: []any{int64(16)}, Until: []any{int64(99)}},
			list(row{int64(17)}, row{int64(18)}))
	})
	t.Run("with a filter", func(t *testing.T) {
		want(t, s, abi.Query{Collection: "k", Columns: strs("id"), OrderBy: by("id"), After: []any{int64(6)}, Where: where("b", abi.Equal, "x")},
			list(row{int64(9)}, row{int64(10)}, row{int64(15)}, row{int64(16)}))
	})
}
