package sqlite

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/datatest"
)

// TestTrial writes to two databases, sees what it wrote, lets others see
// nothing, and leaves nothing.
func TestTrial(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := openStore(t, Config{}, groupSchema...), openStore(t, Config{}, groupSchema...)
	insertID(t, a, 1)
	h := data.NewHandles(map[string]data.Store{"a": a, "b": b}, map[string]data.Query{"count": {Handle: "a", SQL: "SELECT count(*) AS n FROM t"}})
	set := data.NewWriteSet()
	trial := h.Trial(ctx, set)
	defer trial.End()
	all := []string{"read", "insert", "update", "delete"}
	access := trial.Handles().Access(data.Grants{
		Handles: map[string]data.Grant{"a": {Verbs: all}, "b": {Verbs: all}}, Queries: []string{"count"},
	}, 0)
	write := func(handle string, verb abi.Verb, list ...int64) error {
		m := abi.Mutation{Handle: handle, Collection: "t", Verb: verb}
		if verb == abi.Delete || verb == abi.InsertNew {
			m.Key = []string{"id"}
		}
		_, err := access.Write(ctx, []abi.Mutation{m}, ids(list...))
		return err
	}
	count := func() int64 {
		t.Helper()
		c, err := access.Open(ctx, &abi.Query{Named: "count"})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := cursorRows(c)
		if err != nil || c.Close() != nil {
			t.Fatal(err)
		}
		return rows[0][0].(int64)
	}
	before, err := access.Open(ctx, &abi.Query{Handle: "a", Collection: "t_as_written"})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		handle string
		verb   abi.Verb
		ids    []int64
		code   abi.Code
		n      int64 // rows of a, as the trial sees them
	}{
		{"a", abi.Insert, []int64{2, 3, 4, 5, 6, 7, 8}, abi.OK, 8},
		{"a", abi.Insert, []int64{9, 1}, abi.Conflict, 8}, // undoes itself, and no more
		{"a", abi.InsertNew, []int64{1, 10}, abi.OK, 9},
		{"b", abi.Insert, []int64{20}, abi.OK, 9},
		{"a", abi.Delete, []int64{1, 99}, abi.OK, 8},
	} {
		if err := write(step.handle, step.verb, step.ids...); abi.CodeOf(err) != step.code {
			t.Errorf("%+v: %v", step, err)
		}
		if n := count(); n != step.n {
			t.Errorf("%+v: %d rows", step, n)
		}
	}
	if rows, err := cursorRows(before); err != nil || len(rows) != 1 {
		t.Errorf("a cursor from before has %v, %v", rows, err)
	}
	wantIDs(t, a, 1)

	got, more := set.Written()
	var lines []string
	for _, g := range got {
		lines = append(lines, fmt.Sprintf("%s %s %s %d %s", g.Handle, g.Collection, g.Op, g.Rows, g.First))
	}
	want := []string{
		`a t insert 7 [{"id":2} {"id":3} {"id":4} {"id":5} {"id":6}]`,
		`a t insert_new 1 [{"id":10}]`, `b t insert 1 [{"id":20}]`, `a t delete 1 [{"id":1}]`,
	}
	if fmt.Sprint(lines) != fmt.Sprint(want) || more != 0 {
		t.Errorf("got\n%q\nwant\n%q", lines, want)
	}

	// Who writes meanwhile waits, and then does.
	waiting := queued(ctx, a, "t", ids(30))
	trial.End()
	trial.End()
	if err := waiting(); err != nil {
		t.Error(err)
	}
	wantIDs(t, a, 1, 30)
	wantIDs(t, b)
	datatest.WantError(t, write("a", abi.Insert, 40), abi.InvalidArgument, "over")
}

// TestTrialEndsWithItsTask: at the deadline others go on, whatever the task does.
func TestTrialEndsWithItsTask(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{}, groupSchema...)
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	trial := data.NewHandles(map[string]data.Store{"a": s}, nil).Trial(ctx, data.NewWriteSet())
	defer trial.End()
	access := trial.Handles().Access(data.Grants{Handles: map[string]data.Grant{"a": {Verbs: []string{"insert"}}}}, 0)
	m := []abi.Mutation{{Handle: "a", Collection: "t", Verb: abi.Insert}}
	if _, err := access.Write(ctx, m, ids(1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	insertID(t, s, 2)
	wantIDs(t, s, 2)
	_, err := access.Write(context.Background(), m, ids(3))
	datatest.WantError(t, err, abi.Cancelled)
}
