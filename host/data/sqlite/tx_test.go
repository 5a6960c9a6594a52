package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/datatest"
)

func begin(t *testing.T, ctx context.Context, s *Store) data.Tx {
	t.Helper()
	tx, err := s.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tx.Rollback)
	return tx
}

func insertIn(tx data.Tx, list ...int64) error {
	_, err := tx.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, ids(list...), data.Everything())
	return err
}

func marker(key string) data.Effect {
	return data.Effect{Key: key, At: time.UnixMilli(1_700_000_000_123), Result: []byte(`{"a":1}`), Events: []byte(`[1]`)}
}

// reader is what reads: a store or a transaction.
type reader interface {
	Open(context.Context, *abi.Query, *data.Scope) (data.Cursor, error)
}

func idsIn(t *testing.T, r reader) []int64 {
	t.Helper()
	c, err := r.Open(context.Background(), &abi.Query{Collection: "t_as_written"}, data.Everything())
	if err != nil {
		t.Fatal(err)
	}
	rows, err := cursorRows(c)
	if err := errors.Join(err, c.Close()); err != nil {
		t.Fatal(err)
	}
	list := []int64{}
	for _, r := range rows {
		list = append(list, r[0].(int64))
	}
	return list
}

func TestTransaction(t *testing.T) {
	t.Parallel()
	ok := func(want abi.Code) func(*testing.T, error) {
		return func(t *testing.T, err error) {
			t.Helper()
			if abi.CodeOf(err) != want {
				t.Errorf("got %v, want %v", err, want)
			}
		}
	}
	type step struct {
		ids  []int64
		want abi.Code
	}
	for _, test := range []struct {
		name   string
		steps  []step
		inside []int64 // what the transaction reads, nil when it is over
		commit abi.Code
		after  []int64
	}{
		{"batches", []step{{[]int64{1, 2}, abi.OK}, {[]int64{3}, abi.OK}}, []int64{1, 2, 3}, abi.OK, []int64{1, 2, 3}},
		{"no batch", nil, []int64{}, abi.OK, []int64{}},
		{"a batch that fails undoes itself", []step{{[]int64{1}, abi.OK}, {[]int64{2, 1}, abi.Conflict}, {[]int64{3}, abi.OK}}, []int64{1, 3}, abi.OK, []int64{1, 3}},
		{"so does the first", []step{{[]int64{1, 1}, abi.Conflict}, {[]int64{3}, abi.OK}}, []int64{3}, abi.OK, []int64{3}},
		{"a trigger that aborts", []step{{[]int64{1}, abi.OK}, {[]int64{2, 1000}, abi.Conflict}}, []int64{1}, abi.OK, []int64{1}},
		{"a foreign key at the end of a batch", []step{{[]int64{1}, abi.OK}, {[]int64{2, 3000}, abi.Conflict}}, []int64{1}, abi.OK, []int64{1}},
		{"a trigger that rolls back ends it", []step{{[]int64{1}, abi.OK}, {[]int64{2000}, abi.Conflict}, {[]int64{3}, abi.Conflict}}, nil, abi.Conflict, []int64{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, mode string) {
				ctx := context.Background()
				s := openStore(t, Config{}, append([]string{"PRAGMA journal_mode=" + mode}, groupSchema...)...)
				tx := begin(t, ctx, s)
				for _, step := range test.steps {
					ok(step.want)(t, insertIn(tx, step.ids...))
				}
				if test.inside != nil {
					if got := idsIn(t, tx); !reflect.DeepEqual(got, test.inside) {
						t.Errorf("inside: rows %v, want %v", got, test.inside)
					}
				}
				if got := idsIn(t, s); len(got) > 0 {
					t.Errorf("outside, before the commit: rows %v", got)
				}
				ok(test.commit)(t, tx.Commit(ctx, marker("k")))
				if got := idsIn(t, s); !reflect.DeepEqual(got, test.after) {
					t.Errorf("after: rows %v, want %v", got, test.after)
				}
				e, err := s.Effect(ctx, "k")
				if want := marker("k"); err != nil || test.commit == abi.OK && !reflect.DeepEqual(e, &want) || test.commit != abi.OK && e != nil {
					t.Errorf("marker %+v, %v", e, err)
				}
				tx.Rollback() // does nothing
				datatest.WantError(t, insertIn(tx, 9), cmpCode(test.commit, abi.InvalidArgument))
				insertID(t, s, 10) // the line goes on
			})
		})
	}
}

// cmpCode is the first that is not OK.
func cmpCode(a, b abi.Code) abi.Code {
	if a != abi.OK {
		return a
	}
	return b
}

func TestTransactionIsRolledBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openStore(t, Config{}, groupSchema...)
	tx := begin(t, ctx, s)
	if err := insertIn(tx, 1, 2); err != nil {
		t.Fatal(err)
	}
	c, err := tx.Open(ctx, &abi.Query{Collection: "t"}, data.Everything())
	if err != nil {
		t.Fatal(err)
	}
	tx.Rollback()
	tx.Rollback()
	_, err = c.Next(ctx, make([]byte, 100))
	datatest.WantError(t, err, abi.InvalidArgument, "over")
	datatest.WantError(t, tx.Commit(ctx, marker("k")), abi.InvalidArgument, "over")
	wantIDs(t, s)
	// Nothing is made in a database before something is committed to it.
	var n int
	if err := openSQL(t, s.path).QueryRow(`SELECT count(*) FROM sqlite_schema WHERE name = ?`, effectsTable).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
	if e, err := s.Effect(ctx, "k"); e != nil || err != nil {
		t.Errorf("%+v, %v", e, err)
	}
}

// TestTransactionHasManyCursors: of one text, each with parameters of its own,
// while batches are written that succeed and fail.
func TestTransactionHasManyCursors(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openStore(t, Config{}, `CREATE TABLE t (id TEXT PRIMARY KEY, body TEXT)`)
	tx := begin(t, ctx, s)
	text := func(i int) string { return fmt.Sprintf("%c%s", 'a'+i, strings.Repeat(fmt.Sprint(i), 100)) }
	write := func(verb abi.Verb, list ...string) error {
		var rows [][]any
		for _, id := range list {
			rows = append(rows, []any{id, "body of " + id})
		}
		_, err := tx.Write(ctx, []abi.Mutation{{Collection: "t", Verb: verb}}, datatest.Batch([]string{"id", "body"}, rows...), data.Everything())
		return err
	}
	var all []string
	for i := range 8 {
		all = append(all, text(i))
	}
	if err := write(abi.Insert, all...); err != nil {
		t.Fatal(err)
	}
	var cursors []data.Cursor
	for i := range all {
		q := &abi.Query{Collection: "t", Columns: []string{"body"}, Where: []abi.Condition{{Column: "id", Op: abi.Equal, Value: all[i]}}}
		if i%2 == 1 {
			q = &abi.Query{Collection: "t", Columns: []string{"body"}, Lookup: datatest.Batch([]string{"id"}, []any{all[i]}, []any{all[0]})}
		}
		c, err := tx.Open(ctx, q, data.Everything())
		if err != nil {
			t.Fatal(err)
		}
		cursors = append(cursors, c)
		if err := write(abi.Insert, text(i+10), all[0]); abi.CodeOf(err) != abi.Conflict {
			t.Error(err)
		}
		if err := write(abi.Insert, text(i+10)); err != nil {
			t.Error(err)
		}
	}
	for _, i := range []int{7, 0, 3, 4, 1, 2, 6, 5} {
		want := [][]any{{"body of " + all[i]}}
		if i%2 == 1 {
			want = append(want, []any{"body of " + all[0]})
		}
		got, err := cursorRows(cursors[i])
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("cursor %d: %v, %v, want %v", i, got, err, want)
		}
	}
	c, err := tx.Select(ctx, "SELECT count(*) AS n FROM t WHERE id >= :from", map[string]any{"from": "a"}, data.Everything())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cursorRows(c); err != nil || !reflect.DeepEqual(got, [][]any{{int64(16)}}) {
		t.Errorf("%v, %v", got, err)
	}
	_, err = tx.Select(ctx, "DELETE FROM t", nil, data.Everything())
	datatest.WantError(t, err, abi.Internal)
	if got := s.Stats().Statements; got > 4 {
		t.Errorf("%d statements are kept", got)
	}
	if err := tx.Commit(ctx, marker("k")); err != nil {
		t.Error(err)
	}
}

func TestTransactionKeepsGrantsAndBudgets(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openStore(t, Config{}, `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, secret TEXT)`, `INSERT INTO t VALUES (1, 'x', 's'), (2, 'y', 's')`)
	tx := begin(t, ctx, s)
	scope := data.NewScope(data.Grant{Collections: map[string]data.Rights{"t": {
		Read: data.SomeColumns("id", "a"), Insert: data.SomeColumns("id", "a"), Where: []abi.Condition{{Column: "a", Op: abi.Equal, Value: "x"}},
	}}}, data.NewBudget(3))
	_, err := tx.Open(ctx, &abi.Query{Collection: "t", Columns: []string{"secret"}}, scope)
	datatest.WantError(t, err, abi.UnknownColumn)
	insert := []abi.Mutation{{Collection: "t", Verb: abi.Insert}}
	_, err = tx.Write(ctx, insert, datatest.Batch([]string{"id", "a"}, []any{int64(3), "z"}), scope)
	datatest.WantError(t, err, abi.NotGranted)
	_, err = tx.Write(ctx, insert, datatest.Batch([]string{"id", "secret"}, []any{int64(3), "z"}), scope)
	datatest.WantError(t, err, abi.UnknownColumn)
	if _, err = tx.Write(ctx, insert, datatest.Batch([]string{"id", "a"}, []any{int64(3), "x"}, []any{int64(4), "x"}, []any{int64(5), "x"}), scope); err != nil {
		t.Fatal(err)
	}
	c, err := tx.Open(ctx, &abi.Query{Collection: "t"}, scope)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := cursorRows(c)
	if datatest.WantError(t, err, abi.LimitExceeded); len(rows) != 3 {
		t.Errorf("%v", rows)
	}
	if err := tx.Commit(ctx, marker("k")); err != nil {
		t.Error(err)
	}
}

// TestTransactionEnds: whatever ends it, nothing of it remains, those who waited
// write, and who goes on is told.
func TestTransactionEnds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		end  func(t *testing.T, s *Store, cancel func())
		code abi.Code
		next abi.Code // of who waits
	}{
		{"its context", func(_ *testing.T, _ *Store, cancel func()) { cancel() }, abi.Cancelled, abi.OK},
		{"its context, while it reads", func(t *testing.T, s *Store, cancel func()) {
			s.mu.Lock()
			tx := s.tx
			s.mu.Unlock()
			time.AfterFunc(10*time.Millisecond, cancel)
			_, err := tx.Write(tx.ctx, []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, ids(4000), data.Everything())
			datatest.WantError(t, err, abi.Cancelled)
		}, abi.Cancelled, abi.OK},
		{"the store's close", func(t *testing.T, s *Store, _ func()) {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}, abi.Unavailable, abi.Unavailable},
		{"another file in its place", func(t *testing.T, s *Store, _ func()) {
			rename(t, s.path, s.path+".old")
		}, abi.Unavailable, abi.Unavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, Config{}, append([]string{"PRAGMA journal_mode=DELETE"}, groupSchema...)...)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			tx := begin(t, ctx, s)
			if err := insertIn(tx, 1); err != nil {
				t.Fatal(err)
			}
			next := queued(context.Background(), s, "t", ids(2))
			test.end(t, s, cancel)
			datatest.WantError(t, insertIn(tx, 3), test.code)
			datatest.WantError(t, tx.Commit(context.Background(), marker("k")), test.code)
			if err := next(); abi.CodeOf(err) != test.next {
				t.Errorf("who waited: %v, want %v", err, test.next)
			}
			if test.next == abi.OK {
				wantIDs(t, s, 2)
			}
		})
	}
}

// TestOthersWaitForTheTransaction in the line, each as long as it likes, and
// have their turns behind it.
func TestOthersWaitForTheTransaction(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, mode string) {
		ctx := context.Background()
		s := openStore(t, Config{BusyTimeout: time.Millisecond}, append([]string{"PRAGMA journal_mode=" + mode}, groupSchema...)...)
		first := queued2(t, s, hold(s), ids(1))
		tx := begin(t, ctx, s) // behind the first
		if err := first(); err != nil {
			t.Fatal(err)
		}
		limited, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		gone := queued(limited, s, "t", ids(2))
		stays := queued(ctx, s, "t", ids(3))
		another := make(chan error, 1)
		before := s.line.length()
		go func() {
			other, err := s.Begin(ctx)
			if err == nil {
				err = errors.Join(insertIn(other, 5), other.Commit(ctx, marker("other")))
			}
			another <- err
		}()
		for s.line.length() == before {
			time.Sleep(time.Millisecond)
		}
		datatest.WantError(t, gone(), abi.DeadlineExceeded, "other writers")
		if err := errors.Join(insertIn(tx, 4), tx.Commit(ctx, marker("k")), stays(), <-another); err != nil {
			t.Fatal(err)
		}
		wantIDs(t, s, 1, 4, 3, 5)
	})
}

// queued2 is queued for a lead that is held, and then let go.
func queued2(t *testing.T, s *Store, release func(), rows []byte) func() error {
	t.Helper()
	wait := queued(context.Background(), s, "t", rows)
	release()
	return wait
}

// TestEffectsAreNoCollection, whatever is granted.
func TestEffectsAreNoCollection(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openStore(t, Config{}, groupSchema...)
	tx := begin(t, ctx, s)
	if err := errors.Join(insertIn(tx, 1), tx.Commit(ctx, marker("k"))); err != nil {
		t.Fatal(err)
	}
	rights := data.Rights{Read: data.AllColumns(), Insert: data.AllColumns(), Update: data.AllColumns(), Delete: true}
	byName := data.NewScope(data.Grant{Collections: map[string]data.Rights{effectsTable: rights, strings.ToUpper(effectsTable): rights, "t": rights}}, nil)
	row := datatest.Batch([]string{"task", "at"}, []any{"k2", int64(1)})
	for _, scope := range []*data.Scope{data.Everything(), byName} {
		for _, name := range []string{effectsTable, strings.ToUpper(effectsTable)} {
			for _, q := range []abi.Query{{Collection: name}, {Collection: name, Describe: true}} {
				_, err := s.Open(ctx, &q, scope)
				datatest.WantError(t, err, abi.UnknownCollection)
			}
			for _, verb := range []abi.Verb{abi.Insert, abi.Upsert, abi.Update, abi.Delete} {
				_, err := s.Write(ctx, []abi.Mutation{{Collection: name, Verb: verb}}, row, scope)
				datatest.WantError(t, err, abi.UnknownCollection)
			}
		}
		c, err := s.Open(ctx, &abi.Query{Describe: true}, scope)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := cursorRows(c)
		if err != nil || len(rows) == 0 || slices.ContainsFunc(rows, func(r []any) bool { return strings.EqualFold(r[0].(string), effectsTable) }) {
			t.Errorf("%v, %v", rows, err)
		}
	}
}

func TestOldMarkersAreForgotten(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openStore(t, Config{}, groupSchema...)
	const old = 3*forgets + 1
	for i := range old + 3 {
		tx := begin(t, ctx, s)
		e := data.Effect{Key: fmt.Sprint(i), At: time.UnixMilli(int64(i + 1))}
		if i >= old {
			e.At, e.Forget = time.UnixMilli(1_000_000), time.UnixMilli(old)
		}
		if err := errors.Join(insertIn(tx, int64(i)), tx.Commit(ctx, e)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range old + 3 {
		e, err := s.Effect(ctx, fmt.Sprint(i))
		if want := i >= old-1; err != nil || (e != nil) != want {
			t.Errorf("marker %d: %+v, %v", i, e, err)
		}
	}
}

// TestCommitTwice: a marker is written once.
func TestCommitTwice(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := openStore(t, Config{}, groupSchema...)
	for i, want := range []abi.Code{abi.OK, abi.Conflict, abi.Conflict} {
		tx := begin(t, ctx, s)
		if err := insertIn(tx, int64(i)); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(ctx, marker("k")); abi.CodeOf(err) != want {
			t.Errorf("%d: %v, want %v", i, err, want)
		}
	}
	wantIDs(t, s, 0)
}

func TestTransactionOfWhatIsReadOnly(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{ReadOnly: true}, groupSchema...)
	_, err := s.Begin(context.Background())
	datatest.WantError(t, err, abi.ReadOnly)
	if e, err := s.Effect(context.Background(), "k"); e != nil || err != nil {
		t.Errorf("%+v, %v", e, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = s.Begin(context.Background())
	datatest.WantError(t, err, abi.ReadOnly)
	_, err = s.Effect(context.Background(), "k")
	datatest.WantError(t, err, abi.Unavailable, "closed")
}

// TestTransactionHammer has transactions and single batches of many callers, of
// which some fail, are given up or rolled back at any moment: of what committed
// all is there, with its marker, and of everything else nothing.
func TestTransactionHammer(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, mode string) {
		const callers, rounds, batches, rows = 8, 20, 4, 3
		s := openStore(t, Config{}, "PRAGMA journal_mode="+mode, `CREATE TABLE t (round TEXT, batch INTEGER, n INTEGER UNIQUE)`,
			`CREATE TRIGGER back AFTER INSERT ON t WHEN new.n % 211 = 0 BEGIN SELECT RAISE(ROLLBACK, 'rollback'); END`)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		var mu sync.Mutex
		want := map[string]bool{}      // round/batch
		committed := map[string]bool{} // rounds, by marker
		kinds := map[string]int{}
		insert := []abi.Mutation{{Collection: "t", Verb: abi.Insert}}
		var all sync.WaitGroup
		for c := range callers {
			all.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, uint64(c)))
				batch := func(round string, i int) []byte {
					var list [][]any
					for range rows {
						list = append(list, []any{round, int64(i), rnd.Int64N(30000)})
					}
					return datatest.Batch([]string{"round", "batch", "n"}, list...)
				}
				for r := range rounds {
					round := fmt.Sprintf("%d-%d", c, r)
					ctx, cancel := context.WithCancel(data.WithCaller(context.Background(), fmt.Sprint(c)))
					if rnd.IntN(4) == 0 {
						ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.IntN(30_000))*time.Microsecond)
					}
					if c%2 == 0 {
						_, err := s.Write(ctx, insert, batch(round, 0), data.Everything())
						cancel()
						mu.Lock()
						want[round+"/0"] = err == nil
						mu.Unlock()
						continue
					}
					tx, err := s.Begin(ctx)
					if err != nil {
						cancel()
						continue
					}
					good := map[string]bool{}
					for i := range batches {
						if _, err := tx.Write(ctx, insert, batch(round, i), data.Everything()); err == nil {
							good[fmt.Sprintf("%s/%d", round, i)] = true
						}
						seen, err := tx.Open(ctx, &abi.Query{Collection: "t", Where: []abi.Condition{{Column: "round", Op: abi.Equal, Value: round}}}, data.Everything())
						if err == nil {
							own, err := cursorRows(seen)
							if err == nil && len(own) != rows*len(good) {
								t.Errorf("%s sees %d of its rows, want %d", round, len(own), rows*len(good))
							}
							_ = seen.Close() // it says nothing that Next did not
						}
					}
					kind := "committed"
					if rnd.IntN(4) == 0 {
						tx.Rollback()
						kind = "rolled back"
					} else if err := tx.Commit(ctx, marker(round)); err != nil {
						kind = "failed"
					}
					cancel()
					tx.Rollback()
					mu.Lock()
					kinds[kind]++
					for name := range good {
						want[name] = kind == "committed"
					}
					committed[round] = kind == "committed"
					mu.Unlock()
				}
			})
		}
		all.Wait()
		found, err := readAll(s, abi.Query{Collection: "t"})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for _, r := range found {
			got[fmt.Sprintf("%s/%d", r[0], r[1])]++
		}
		for name, there := range want {
			if n := got[name]; there && n != rows || !there && n != 0 {
				t.Errorf("batch %s: %d rows, committed %v", name, n, there)
			}
			delete(got, name)
		}
		if len(got) > 0 {
			t.Errorf("nobody wrote %v", got)
		}
		for round, there := range committed {
			if e, err := s.Effect(context.Background(), round); err != nil || (e != nil) != there {
				t.Errorf("marker of %s: %+v, %v", round, e, err)
			}
		}
		if kinds["committed"] == 0 || kinds["rolled back"] == 0 {
			t.Errorf("%v", kinds)
		}
		t.Logf("%v", kinds)
	})
}
