package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/datatest"
)

// hold keeps the lead until the function it returns is called.
func hold(s *Store) (release func()) {
	s.line.join(&batch{wake: make(chan signal, 1)})
	return s.line.pass
}

// queued starts a write that has to wait, and returns when it does. What it
// comes to is had from the function.
func queued(ctx context.Context, s *Store, collection string, rows []byte) func() error {
	before := s.line.length()
	result := make(chan error, 1)
	go func() {
		_, err := s.Write(ctx, []abi.Mutation{{Collection: collection, Verb: abi.Insert}}, rows, data.Everything())
		result <- err
	}()
	for s.line.length() == before {
		runtime.Gosched()
	}
	return func() error { return <-result }
}

func ids(ids ...int64) []byte {
	var rows [][]any
	for _, id := range ids {
		rows = append(rows, []any{id})
	}
	return datatest.Batch([]string{"id"}, rows...)
}

// wantIDs checks the ids of t, in the order in which they were written.
func wantIDs(t *testing.T, s *Store, want ...int64) {
	t.Helper()
	rows, err := readAll(s, abi.Query{Collection: "t_as_written"})
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for _, r := range rows {
		got = append(got, r[0].(int64))
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("rows %v, want %v", got, want)
	}
}

// groupSchema has a table t of ids. From 1000 on they are trouble.
var groupSchema = []string{
	`CREATE TABLE parent (id INTEGER PRIMARY KEY)`,
	`CREATE TABLE t (id INTEGER UNIQUE, parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)`,
	`CREATE VIEW t_as_written AS SELECT id FROM t ORDER BY rowid`,
	endless,
	`CREATE VIEW long AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 100000) SELECT max(i) FROM n`,
	`CREATE TRIGGER t1 AFTER INSERT ON t WHEN new.id = 1000 BEGIN SELECT RAISE(ABORT, 'abort'); END`,
	`CREATE TRIGGER t2 AFTER INSERT ON t WHEN new.id = 2000 BEGIN SELECT RAISE(ROLLBACK, 'rollback'); END`,
	`CREATE TRIGGER t3 AFTER INSERT ON t WHEN new.id = 3000 BEGIN UPDATE t SET parent = 1 WHERE id = 3000; END`,
	`CREATE TRIGGER t4 AFTER INSERT ON t WHEN new.id = 4000 BEGIN SELECT * FROM endless; END`,
	`CREATE TRIGGER t5 AFTER INSERT ON t WHEN new.id = 5000 BEGIN SELECT * FROM long; END`,
}

func TestGroup(t *testing.T) {
	t.Parallel()
	soon := 30 * time.Millisecond
	for _, test := range []struct {
		name   string
		id     int64 // of the third of five, behind a row that is none
		limit  time.Duration
		code   abi.Code
		groups int64 // 0: not certain
	}{
		{"none fails", 30, 0, abi.OK, 1},
		{"a duplicate of an earlier one", 10, 0, abi.Conflict, 1},
		{"a trigger that aborts", 1000, 0, abi.Conflict, 1},
		{"a foreign key at the end", 3000, 0, abi.Conflict, 1},
		{"a trigger that rolls back", 2000, 0, abi.Conflict, 3},
		{"a deadline passes meanwhile", 4000, soon, abi.DeadlineExceeded, 0},
		{"one takes long", 5000, 0, abi.OK, 0},
		{"one takes longer than it may", 4000, 4 * defaultLimits.lasts, abi.DeadlineExceeded, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, Config{}, groupSchema...)
			if test.groups > 0 {
				s.limits.grows, s.limits.lasts = time.Hour, time.Hour
			} else if test.code == abi.OK {
				s.limits.lasts = time.Millisecond
			}
			release := hold(s)
			ctx := context.Background()
			limited := ctx
			if test.limit > 0 {
				var cancel func()
				limited, cancel = context.WithTimeout(ctx, test.limit)
				defer cancel()
			}
			var wait []func() error
			for i, id := range []int64{10, 20, test.id, 40, 50} {
				if i == 2 {
					wait = append(wait, queued(limited, s, "t", ids(29, id)))
				} else {
					wait = append(wait, queued(ctx, s, "t", ids(id)))
				}
			}
			release()
			for i, w := range wait {
				want := abi.OK
				if i == 2 {
					want = test.code
				}
				if err := w(); abi.CodeOf(err) != want {
					t.Errorf("batch %d: got %v, want %v", i, err, want)
				}
			}
			if rows, err := readAll(s, abi.Query{Collection: "t", Columns: []string{"id"}, OrderBy: []abi.Order{{Column: "id"}}}); err != nil {
				t.Error(err)
			} else if want := map[abi.Code]int{abi.OK: 6}[test.code]; len(rows) != max(want, 4) {
				t.Errorf("rows %v", rows)
			}
			if got := s.Stats(); test.groups > 0 && got.Groups != test.groups {
				t.Errorf("%+v, want %d groups", got, test.groups)
			}
			if n := s.Stats().Waiting; n != 0 {
				t.Errorf("%d are waiting for ever", n)
			}
		})
	}
}

func TestGroupWhoseFirstFails(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, groupSchema...)
	release := hold(s)
	bad := queued(context.Background(), s, "t", ids(1, 1000))
	gone := queued(context.Background(), s, "nothing", ids(1))
	good := queued(context.Background(), s, "t", ids(1))
	release()
	datatest.WantError(t, bad(), abi.Conflict, "abort")
	datatest.WantError(t, gone(), abi.UnknownCollection, "nothing")
	if err := good(); err != nil {
		t.Error(err)
	}
	wantIDs(t, s, 1)
}

func TestGroupIsBounded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		batches int
		bytes   int
		largest int64
	}{
		{"by number", 3 * defaultLimits.batches, 10, int64(defaultLimits.batches)},
		{"by bytes", 8, defaultLimits.bytes / 4, 3},
		{"a batch larger than that", 4, 2 * defaultLimits.bytes, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, Config{}, `CREATE TABLE t (body BLOB)`)
			release := hold(s)
			var wait []func() error
			for range test.batches {
				wait = append(wait, queued(context.Background(), s, "t", datatest.Batch([]string{"body"}, []any{make([]byte, test.bytes)})))
			}
			release()
			for _, w := range wait {
				if err := w(); err != nil {
					t.Error(err)
				}
			}
			got := s.Stats()
			if got.Largest > test.largest || got.Largest == 0 || got.Batches != int64(test.batches) {
				t.Errorf("%+v, want %d batches, at most %d together", got, test.batches, test.largest)
			}
		})
	}
}

func TestCallersTakeTurns(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, groupSchema...)
	release := hold(s)
	var wait []func() error
	many := data.WithCaller(context.Background(), "many")
	for id := range int64(50) {
		wait = append(wait, queued(many, s, "t", ids(id)))
	}
	for i, caller := range []string{"one", "two"} {
		wait = append(wait, queued(data.WithCaller(context.Background(), caller), s, "t", ids(int64(100+i))))
	}
	release()
	for _, w := range wait {
		if err := w(); err != nil {
			t.Error(err)
		}
	}
	want := []int64{0, 100, 101}
	for id := range int64(49) {
		want = append(want, id+1)
	}
	wantIDs(t, s, want...)
}

// TestGroupCannotCommit has a reader keep the commit out, as one does without
// WAL.
func TestGroupCannotCommit(t *testing.T) {
	t.Parallel()
	reading := func(t *testing.T, s *Store) data.Cursor {
		c, err := s.Open(context.Background(), &abi.Query{Collection: "t"}, data.Everything())
		if err == nil {
			_, err = c.Next(context.Background(), make([]byte, 6))
		}
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	schema := []string{`PRAGMA journal_mode=DELETE`, `CREATE TABLE t (id INTEGER PRIMARY KEY)`, `INSERT INTO t VALUES (100), (101), (102)`}
	t.Run("at all", func(t *testing.T) {
		t.Parallel()
		s := openStore(t, Config{BusyTimeout: 30 * time.Millisecond}, schema...)
		reader := reading(t, s)
		release := hold(s)
		var wait []func() error
		for id := range int64(3) {
			wait = append(wait, queued(context.Background(), s, "t", ids(id)))
		}
		release()
		for _, w := range wait {
			datatest.WantError(t, w(), abi.Unavailable, "locked")
		}
		if err := reader.Close(); err != nil {
			t.Fatal(err)
		}
		insertID(t, s, 0)
		if rows, err := readAll(s, abi.Query{Collection: "t"}); err != nil || len(rows) != 4 {
			t.Errorf("%v, %v", rows, err)
		}
	})
	t.Run("before one's deadline", func(t *testing.T) {
		t.Parallel()
		s := openStore(t, Config{BusyTimeout: time.Hour}, schema...)
		reader := reading(t, s)
		release := hold(s)
		first := queued(context.Background(), s, "t", ids(1))
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
		defer cancel()
		second := queued(ctx, s, "t", ids(2))
		third := queued(context.Background(), s, "t", ids(3))
		release()
		datatest.WantError(t, second(), abi.DeadlineExceeded)
		if err := reader.Close(); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(first(), third()); err != nil {
			t.Error(err)
		}
		if rows, err := readAll(s, abi.Query{Collection: "t"}); err != nil || len(rows) != 5 {
			t.Errorf("%v, %v", rows, err)
		}
	})
}

func TestCloseAnswersTheLine(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, groupSchema...)
	release := hold(s)
	var wait []func() error
	for _, id := range []int64{1, 4000, 3} {
		wait = append(wait, queued(context.Background(), s, "t", ids(id)))
	}
	go release()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	datatest.WantError(t, wait[1](), abi.Unavailable, "closed")
	for _, w := range []func() error{wait[0], wait[2]} {
		if err := w(); err != nil {
			datatest.WantError(t, err, abi.Unavailable, "closed")
		}
	}
}

// TestGroupHammer has many callers write batches of which some conflict, take
// long, or are given up at any moment: what was answered well is there with
// all its rows, and of everything else there is nothing.
func TestGroupHammer(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"WAL", "DELETE"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			const callers, rounds, rows = 12, 40, 5
			s := openStore(t, Config{}, "PRAGMA journal_mode="+mode,
				`CREATE TABLE t (batch TEXT, n INTEGER UNIQUE ON CONFLICT ABORT)`,
				`CREATE VIEW long AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 3000) SELECT max(i) FROM n`,
				`CREATE TRIGGER slow AFTER INSERT ON t WHEN new.n % 97 = 0 BEGIN SELECT * FROM long; END`,
				`CREATE TRIGGER back AFTER INSERT ON t WHEN new.n % 101 = 0 BEGIN SELECT RAISE(ROLLBACK, 'rollback'); END`)
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			var mu sync.Mutex
			good := map[string]bool{}
			codes := map[abi.Code]int{}
			var all sync.WaitGroup
			for c := range callers {
				all.Go(func() {
					rnd := rand.New(rand.NewPCG(seed, uint64(c)))
					for round := range rounds {
						name := fmt.Sprintf("%d/%d", c, round)
						var list [][]any
						for range rows {
							list = append(list, []any{name, rnd.Int64N(20000)})
						}
						ctx, cancel := data.WithCaller(context.Background(), fmt.Sprint(c%5)), context.CancelFunc(func() {})
						if rnd.IntN(3) == 0 {
							ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.IntN(20_000))*time.Microsecond)
						}
						got, err := s.Write(ctx, []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch([]string{"batch", "n"}, list...), data.Everything())
						cancel()
						if err == nil && (len(got) != 1 || got[0].Applied != rows) {
							t.Errorf("%s: %+v", name, got)
						}
						mu.Lock()
						good[name] = err == nil
						codes[abi.CodeOf(err)]++
						mu.Unlock()
					}
				})
			}
			all.Wait()
			t.Log(codes, fmt.Sprintf("%+v", s.Stats()))
			for code := range codes {
				switch code {
				case abi.OK, abi.Conflict, abi.DeadlineExceeded:
				default:
					t.Errorf("an unexpected end: %v", code)
				}
			}
			found := map[string]int{}
			list, err := readAll(s, abi.Query{Collection: "t"})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range list {
				found[r[0].(string)]++
			}
			for name, applied := range good {
				if want := map[bool]int{true: rows}[applied]; found[name] != want {
					t.Errorf("batch %s has %d rows, want %d", name, found[name], want)
				}
			}
		})
	}
}

// TestNobodyWaitsForAnEndlessBatch has one that never ends come behind others.
func TestNobodyWaitsForAnEndlessBatch(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, groupSchema...)
	release := hold(s)
	first := queued(context.Background(), s, "t", ids(1))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	endless := queued(ctx, s, "t", ids(4000))
	limited, stop := context.WithTimeout(context.Background(), 4*defaultLimits.lasts)
	defer stop()
	behind := queued(limited, s, "t", ids(2))
	last := queued(context.Background(), s, "t", ids(3))
	release()
	if err := first(); err != nil { // comes before the endless one has ended
		t.Error(err)
	}
	datatest.WantError(t, behind(), abi.DeadlineExceeded, "waited") // also while it runs
	cancel()
	datatest.WantError(t, endless(), abi.Cancelled)
	if err := last(); err != nil {
		t.Error(err)
	}
	wantIDs(t, s, 1, 3)
}

// TestLineAgainstModel compares the line with the plainest one that takes
// callers in turn.
func TestLineAgainstModel(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	l := newLine()
	l.join(&batch{wake: make(chan signal, 1)}) // leads
	var again, waiting []*batch                // in the order they came
	var turns []string
	drop := func(b *batch) {
		is := func(o *batch) bool { return o == b }
		again, waiting = slices.DeleteFunc(again, is), slices.DeleteFunc(waiting, is)
		if !slices.ContainsFunc(waiting, func(o *batch) bool { return o.caller == b.caller }) {
			turns = slices.DeleteFunc(turns, func(c string) bool { return c == b.caller })
		}
	}
	var taken *batch
	for step := range 5000 {
		switch all := slices.Concat(again, waiting); rnd.IntN(5) {
		case 0, 1:
			b := &batch{caller: fmt.Sprint(rnd.IntN(4)), wake: make(chan signal, 1)}
			l.join(b)
			waiting = append(waiting, b)
			if !slices.Contains(turns, b.caller) {
				turns = append(turns, b.caller)
			}
		case 2:
			if len(all) > 0 {
				b := all[rnd.IntN(len(all))]
				if !l.leave(b) || l.leave(b) {
					t.Fatalf("step %d: a batch that waits cannot leave, or can twice", step)
				}
				drop(b)
			}
		case 3:
			if taken != nil {
				l.back([]*batch{taken})
				again = append([]*batch{taken}, again...)
				taken = nil
			}
		case 4:
			var want *batch
			if len(again) > 0 {
				want = again[0]
			} else if len(turns) > 0 {
				want = waiting[slices.IndexFunc(waiting, func(o *batch) bool { return o.caller == turns[0] })]
				turns = append(turns[1:], want.caller)
			}
			if taken = l.take(func(*batch) bool { return true }); taken != want {
				t.Fatalf("step %d: took %+v, want %+v", step, taken, want)
			}
			if want != nil {
				drop(want)
			}
		}
		if l.length() != len(again)+len(waiting) {
			t.Fatalf("step %d: %d are waiting, want %d", step, l.length(), len(again)+len(waiting))
		}
	}
	if all := l.before(time.Now().Add(time.Hour)); len(all) != len(again)+len(waiting) || l.length() != 0 {
		t.Errorf("%d were there, %d are left, want %d and 0", len(all), l.length(), len(again)+len(waiting))
	}
	l.pass()
	l.wait()
}
