package datatest

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
)

const modelTable = `CREATE TABLE m (id TEXT PRIMARY KEY, i BIGINT, s TEXT)`

var modelColumns = strs("id", "i", "s")

// model is what a store should hold: rows of modelColumns by id.
type model map[string]row

func (m model) sorted() []row {
	var rows []row
	for _, r := range m {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a[0].(string), b[0].(string)) })
	return rows
}

// apply does to the model what a store should do, or returns false when the
// store should refuse the whole batch.
func (m model) apply(mu abi.Mutation, rows []row) (abi.WriteResult, bool) {
	var result abi.WriteResult
	for i, r := range rows {
		id := r[0].(string)
		old, exists := m[id]
		applied := true
		switch mu.Verb {
		case abi.Insert:
			if exists {
				return result, false
			}
			m[id] = r
		case abi.InsertNew:
			if applied = !exists; applied {
				m[id] = r
			}
		case abi.Upsert:
			m[id] = r
		case abi.Update, abi.Delete:
			applied = exists
			if mu.Expect != nil {
				applied = exists && reflect.DeepEqual(old[1], r[1])
			}
			if applied && mu.Verb == abi.Update {
				m[id] = r
			} else if applied {
				delete(m, id)
			}
		}
		if applied {
			result.Applied++
		} else {
			result.Unapplied = append(result.Unapplied, int64(i))
		}
	}
	return result, true
}

// testModel runs random batches on a store and on a map.
func testModel(t *testing.T, open opener) {
	const steps = 300
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	s := open(t, modelTable)
	held := model{}
	randomRow := func() row {
		r := row{fmt.Sprintf("%02d", rnd.IntN(40)), nil, nil}
		if rnd.IntN(3) > 0 {
			r[1] = int64(rnd.IntN(3))
		}
		if rnd.IntN(3) > 0 {
			r[2] = strings.Repeat("s", rnd.IntN(50))
		}
		return r
	}
	verbs := []abi.Verb{abi.Insert, abi.InsertNew, abi.Upsert, abi.Update, abi.Delete}
	for step := range steps {
		var ms []abi.Mutation
		var batches []byte
		next := model{}
		for id, r := range held {
			next[id] = r
		}
		var results []abi.WriteResult
		fine := true
		for range 1 + rnd.IntN(3) {
			mu := abi.Mutation{Collection: "m", Verb: verbs[rnd.IntN(len(verbs))]}
			if (mu.Verb == abi.Update || mu.Verb == abi.Delete) && rnd.IntN(2) == 0 {
				mu.Expect = strs("i")
			}
			var rows []row
			for range rnd.IntN(6) {
				rows = append(rows, randomRow())
			}
			batch := Batch(modelColumns, rows...)
			mu.Size = int64(len(batch))
			ms, batches = append(ms, mu), append(batches, batch...)
			if fine {
				var result abi.WriteResult
				result, fine = next.apply(mu, rows)
				results = append(results, result)
			}
		}
		got, err := s.Write(testContext(t), ms, batches, data.Everything())
		if fine {
			if err != nil || !reflect.DeepEqual(got, results) {
				t.Fatalf("step %d, %+v: got %+v, %v, want %+v", step, ms, got, err, results)
			}
			held = next
		} else {
			WantError(t, err, abi.Conflict)
		}
		if step%10 == 0 || step == steps-1 {
			_, rows := Read(t, s, abi.Query{Collection: "m", OrderBy: by("id")}, 100+rnd.IntN(1000))
			sameRows(t, rows, held.sorted())
		}
		if t.Failed() {
			t.Fatalf("at step %d", step)
		}
	}
}

// testHammer moves rows between two tables from several goroutines while
// others count: at no time may a row be in both or in neither.
func testHammer(t *testing.T, open opener) {
	const rows, movers, rounds = 20, 3, 30
	s := open(t, `CREATE TABLE l (id BIGINT PRIMARY KEY)`, `CREATE TABLE r (id BIGINT PRIMARY KEY)`,
		`CREATE VIEW both_sides AS SELECT id FROM l UNION ALL SELECT id FROM r`)
	for i := range rows {
		insert(t, s, "l", strs("id"), row{int64(i)})
	}
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for m := range movers {
		writers.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(m), 7))
			for range rounds {
				from, to := "l", "r"
				if rnd.IntN(2) == 0 {
					from, to = to, from
				}
				_, have, err := read(t, s, abi.Query{Collection: from, Limit: 5, OrderBy: by("id")}, 1024)
				if err != nil {
					t.Errorf("reading: %v", err)
					return
				}
				if len(have) == 0 {
					continue
				}
				batch := Batch(strs("id"), have...)
				// Another mover may have been first; then the insert conflicts
				// and nothing happens.
				_, err = s.Write(testContext(t), []abi.Mutation{
					{Collection: to, Verb: abi.Insert, Size: int64(len(batch))},
					{Collection: from, Verb: abi.Delete},
				}, append(batch, batch...), data.Everything())
				if err != nil && abi.CodeOf(err) != abi.Conflict {
					t.Errorf("writing: %v", err)
				}
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				_, ids, err := read(t, s, abi.Query{Collection: "both_sides"}, 40)
				if err != nil {
					t.Errorf("reading: %v", err)
					return
				}
				seen := make(map[any]bool)
				for _, r := range ids {
					seen[r[0]] = true
				}
				if len(ids) != rows || len(seen) != rows {
					t.Errorf("got %d rows, %d of them different, want %d", len(ids), len(seen), rows)
					return
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}
