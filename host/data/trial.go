package data

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// What a [Trial] shows.
const (
	shownGroups = 200       // of a handle, a collection and a verb
	shownRows   = 5         // of each
	shownText   = 200       // bytes of a value
	shownBytes  = 256 << 10 // of all rows, as JSON
)

// Trial has what a task writes undone when it ends. Each handle that is written
// to has one transaction, which begins with the first write and is never
// committed; from then on reads of the handle are made in it, so that the task
// sees what it wrote. Others cannot write to that database until End.
//
// Two trials that write to two databases in different orders would wait for each
// other: whoever runs trials runs one at a time.
type Trial struct {
	ctx context.Context // of the transactions
	own *Handles

	mu     sync.Mutex
	txs    map[string]Tx
	groups []*Written
	more   int64 // rows of groups that are not listed
	left   int   // of shownBytes
}

// Written is what was written to a collection with one verb.
type Written struct {
	Handle     string            `json:"handle"`
	Collection string            `json:"collection"`
	Op         abi.Verb          `json:"op"`
	Rows       int64             `json:"rows"`
	First      []json.RawMessage `json:"first,omitempty"` // the first rows, as objects of what the task gave
}

// Trial begins a trial on the same stores. ctx is the task's: its end undoes
// what was written. End must be called.
func (h *Handles) Trial(ctx context.Context) *Trial {
	t := &Trial{ctx: ctx, txs: map[string]Tx{}, left: shownBytes}
	stores := make(map[string]Store, len(h.stores))
	for name, s := range h.stores {
		stores[name] = &trialStore{trial: t, handle: name, real: s}
	}
	t.own = NewHandles(stores, h.queries)
	return t
}

// Handles are what the task is to use. Closing them closes nothing.
func (t *Trial) Handles() *Handles { return t.own }

// Written returns what the task has written, in the order of the first row of
// each, and how many rows it wrote that are too many to be listed.
func (t *Trial) Written() (groups []Written, more int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	groups = make([]Written, len(t.groups))
	for i, g := range t.groups {
		groups[i] = *g
	}
	return groups, t.more
}

// End undoes everything.
func (t *Trial) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tx := range t.txs {
		tx.Rollback()
	}
}

func (t *Trial) tx(handle string) Tx {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.txs[handle]
}

// begin returns the transaction of a handle.
func (t *Trial) begin(handle string, real Store) (Tx, error) {
	if tx := t.tx(handle); tx != nil {
		return tx, nil
	}
	able, ok := real.(Transactor)
	if !ok {
		return nil, abi.Errorf(abi.Internal, "its database has no transactions for a dry run")
	}
	tx, err := able.Begin(t.ctx) // which may wait long: without the lock
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.txs[handle] = tx
	return tx, nil
}

// note keeps what a batch did.
func (t *Trial) note(handle string, ms []abi.Mutation, rows []byte, results []abi.WriteResult) {
	batches, err := Split(ms, rows)
	if err != nil {
		return // it was written, so there is none
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range min(len(ms), len(results)) {
		m, r := &ms[i], &results[i]
		if r.Applied == 0 {
			continue
		}
		at := slices.IndexFunc(t.groups, func(g *Written) bool {
			return g.Handle == handle && g.Collection == m.Collection && g.Op == m.Verb
		})
		if at < 0 {
			if len(t.groups) == shownGroups {
				t.more += r.Applied
				continue
			}
			at = len(t.groups)
			t.groups = append(t.groups, &Written{Handle: handle, Collection: strings.Clone(m.Collection), Op: abi.Verb(strings.Clone(string(m.Verb)))})
		}
		g := t.groups[at]
		g.Rows += r.Applied
		t.show(g, batches[i], r.Unapplied)
	}
}

// show adds the first rows of a batch that were applied.
func (t *Trial) show(g *Written, rows []byte, unapplied []int64) {
	b, err := wire.OpenBatch(rows)
	for err == nil && len(g.First) < shownRows && b.Next() {
		if slices.Contains(unapplied, b.Index()) {
			continue
		}
		row := make(map[string]any, len(b.Columns))
		for i, column := range b.Columns {
			r := wire.NewReader(b.Value(i))
			v, verr := r.Value()
			if verr != nil {
				return
			}
			row[column] = shown(v)
		}
		text, jerr := json.Marshal(row)
		if jerr != nil || len(text) > t.left {
			return
		}
		t.left -= len(text)
		g.First = append(g.First, text)
	}
}

// shown is a value as a person is to see it: short, and without bytes.
func shown(v any) any {
	switch v := v.(type) {
	case string:
		if len(v) > shownText {
			return strings.ToValidUTF8(v[:shownText], "") + "…"
		}
	case []byte:
		return map[string]int{"bytes": len(v)}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
	}
	return v
}

// trialStore is a store in a trial.
type trialStore struct {
	trial  *Trial
	handle string
	real   Store
}

var (
	_ Store      = (*trialStore)(nil)
	_ Transactor = (*trialStore)(nil)
)

// Open implements [Store].
func (s *trialStore) Open(ctx context.Context, q *abi.Query, scope *Scope) (Cursor, error) {
	if tx := s.trial.tx(s.handle); tx != nil {
		return tx.Open(ctx, q, scope)
	}
	return s.real.Open(ctx, q, scope)
}

// Select implements [Store].
func (s *trialStore) Select(ctx context.Context, sql string, params map[string]any, scope *Scope) (Cursor, error) {
	if tx := s.trial.tx(s.handle); tx != nil {
		return tx.Select(ctx, sql, params, scope)
	}
	return s.real.Select(ctx, sql, params, scope)
}

// Write implements [Store], but nothing is durable.
func (s *trialStore) Write(ctx context.Context, ms []abi.Mutation, rows []byte, scope *Scope) ([]abi.WriteResult, error) {
	tx, err := s.trial.begin(s.handle, s.real)
	if err != nil {
		return nil, err
	}
	results, err := tx.Write(ctx, ms, rows, scope)
	if err == nil {
		s.trial.note(s.handle, ms, rows, results)
	}
	return results, err
}

// Close implements [Store]. The store is not the trial's.
func (s *trialStore) Close() error { return nil }

// Begin implements [Transactor]: the transaction of an atomic worker is the
// trial's own.
func (s *trialStore) Begin(context.Context) (Tx, error) { return trialTx{s}, nil }

// Effect implements [Transactor]. A trial leaves none, and is never done.
func (s *trialStore) Effect(context.Context, string) (*Effect, error) { return nil, nil }

// trialTx is a transaction that ends with its trial.
type trialTx struct{ *trialStore }

// Commit implements [Tx], and commits nothing.
func (trialTx) Commit(context.Context, Effect) error { return nil }

// Rollback implements [Tx]. The trial's end does it.
func (trialTx) Rollback() {}
