package sqlite

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/datatest"
)

// endless is a view whose first row never comes.
const endless = `CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i FROM n WHERE i < 0`

func TestDeadlineInterrupts(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, endless, `CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)`,
		`CREATE TRIGGER slow BEFORE INSERT ON t WHEN new.id > 100 BEGIN SELECT i FROM endless; END`)
	next := func(q abi.Query) func(context.Context) error {
		return func(ctx context.Context) error {
			c, err := s.Open(context.Background(), &q, data.Everything())
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Next(ctx, make([]byte, 4096))
			return err
		}
	}
	for _, test := range []struct {
		name string
		call func(context.Context) error
	}{
		{"rows", next(abi.Query{Collection: "endless"})},
		{"sorted rows", next(abi.Query{Collection: "endless", OrderBy: []abi.Order{{Column: "i"}}})},
		{"count", next(abi.Query{Collection: "endless", Aggregates: []abi.Aggregate{{Func: "count"}}})},
		{"lookup", next(abi.Query{Collection: "endless", Key: []string{"i"}, Lookup: datatest.Batch([]string{"i"}, []any{int64(-1)})})},
		{"insert", func(ctx context.Context) error {
			_, err := s.Write(ctx, []abi.Mutation{{Collection: "t", Verb: abi.Insert}},
				datatest.Batch([]string{"id"}, []any{int64(1)}, []any{int64(101)}), data.Everything())
			return err
		}},
	} {
		for _, cancel := range []bool{false, true} {
			name, code := test.name+" by deadline", abi.DeadlineExceeded
			if cancel {
				name, code = test.name+" by cancel", abi.Cancelled
			}
			t.Run(name, func(t *testing.T) {
				const after = 30 * time.Millisecond
				ctx, stop := context.WithTimeout(context.Background(), after)
				defer stop()
				if cancel {
					var end func()
					ctx, end = context.WithCancel(context.Background())
					defer time.AfterFunc(after, end).Stop()
				}
				start := time.Now()
				err := test.call(ctx)
				over := time.Since(start) - after
				datatest.WantError(t, err, code)
				// 100 ms is the promise; the rest is for a busy machine.
				if over > time.Second {
					t.Errorf("returned %v late", over)
				}
				t.Logf("returned %v late", over)
			})
		}
	}
	rows, err := readAll(s, abi.Query{Collection: "t"})
	if err != nil || len(rows) != 0 {
		t.Errorf("after writes that were interrupted: %v, %v", rows, err)
	}
	insertID(t, s, 1) // the connections can still be used
}

func TestReadersAreBounded(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{Readers: 2}, `CREATE TABLE t (id INTEGER PRIMARY KEY)`)
	insertID(t, s, 1)
	q := &abi.Query{Collection: "t"}
	var open []data.Cursor
	for range 2 {
		c, err := s.Open(context.Background(), q, data.Everything())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := s.Open(ctx, q, data.Everything())
	datatest.WantError(t, err, abi.DeadlineExceeded, "read connection", "2")

	waiting := make(chan error)
	go func() {
		c, err := s.Open(context.Background(), q, data.Everything())
		if err == nil {
			err = c.Close()
		}
		waiting <- err
	}()
	if err := open[0].Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("Open after a cursor was closed: %v", err)
	}
	// Read to its end, a cursor gives its connection back by itself.
	buf := make([]byte, 64)
	for n := 1; n > 0; {
		if n, err = open[1].Next(context.Background(), buf); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(s.readers); got != 0 {
		t.Errorf("%d connections in use, want none", got)
	}
}

func TestWritersQueue(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, `CREATE TABLE t (id INTEGER PRIMARY KEY)`)
	other := &batch{wake: make(chan signal, 1)}
	s.line.join(other) // leads, and does nothing
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := s.Write(ctx, []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch([]string{"id"}, []any{int64(1)}), data.Everything())
	datatest.WantError(t, err, abi.DeadlineExceeded, "writers")
	s.line.pass()
}

func TestCloseEndsWhatRuns(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{Readers: 2}, endless, `CREATE TABLE t (id INTEGER PRIMARY KEY)`,
		`CREATE TRIGGER slow BEFORE INSERT ON t BEGIN SELECT i FROM endless; END`)
	started := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		c, err := s.Open(context.Background(), &abi.Query{Collection: "endless"}, data.Everything())
		started <- struct{}{}
		if err != nil {
			t.Error(err)
			return
		}
		_, err = c.Next(context.Background(), make([]byte, 64))
		datatest.WantError(t, err, abi.Unavailable, "closed")
	})
	running.Go(func() {
		started <- struct{}{}
		_, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch([]string{"id"}, []any{int64(1)}), data.Everything())
		datatest.WantError(t, err, abi.Unavailable, "closed")
	})
	<-started
	<-started
	idle, err := s.Open(context.Background(), &abi.Query{Collection: "t"}, data.Everything()) // open, and nobody closes it
	if err != nil {
		t.Fatal(err)
	}
	running.Go(func() {
		_, err := s.Open(context.Background(), &abi.Query{Collection: "t"}, data.Everything()) // waits for a connection, or finds it closed
		datatest.WantError(t, err, abi.Unavailable, "closed")
	})
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	running.Wait()
	_, err = idle.Next(context.Background(), make([]byte, 64))
	datatest.WantError(t, err, abi.Unavailable, "closed")
}

func TestSelfLock(t *testing.T) {
	t.Parallel()
	// Without WAL a cursor that is open keeps the commit out, which must fail
	// and not hang.
	s := openStore(t, Config{BusyTimeout: 30 * time.Millisecond}, `PRAGMA journal_mode=DELETE`, `CREATE TABLE t (id INTEGER PRIMARY KEY)`, `INSERT INTO t VALUES (1), (2)`)
	c, err := s.Open(context.Background(), &abi.Query{Collection: "t"}, data.Everything())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(context.Background(), make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	_, err = s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch([]string{"id"}, []any{int64(3)}), data.Everything())
	datatest.WantError(t, err, abi.Unavailable, "locked")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	insertID(t, s, 3)
}

// TestCloseHammer closes a store under load: every call must end, with rows
// or as closed, and Close must not wait for cursors that nobody closes.
func TestCloseHammer(t *testing.T) {
	t.Parallel()
	path := makeDatabase(t, "PRAGMA journal_mode=WAL", `CREATE TABLE t (id INTEGER PRIMARY KEY)`)
	for round := range 15 {
		s := serve(t, Config{Path: path, Readers: 2})
		var users sync.WaitGroup
		check := func(err error) bool {
			if err != nil && abi.CodeOf(err) != abi.Unavailable {
				t.Errorf("got %v, want it closed", err)
			}
			return err == nil
		}
		for u := range 3 {
			users.Go(func() {
				for i := 0; ; i++ {
					_, err := s.Write(context.Background(), []abi.Mutation{{Collection: "t", Verb: abi.Upsert}},
						datatest.Batch([]string{"id"}, []any{int64(u*1000 + i)}), data.Everything())
					if !check(err) {
						return
					}
				}
			})
			users.Go(func() {
				for i := 0; ; i++ {
					c, err := s.Open(context.Background(), &abi.Query{Collection: "t"}, data.Everything())
					if !check(err) {
						return
					}
					_, err = c.Next(context.Background(), make([]byte, 16))
					if i%50 == 49 && err == nil {
						continue // left open; another's Open may wait for Close
					}
					if c.Close() != nil || !check(err) {
						return
					}
				}
			})
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(round)*time.Millisecond)
		<-ctx.Done()
		cancel()
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		users.Wait()
	}
}
