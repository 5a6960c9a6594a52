package command

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

func TestEmitOrder(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	logs := []*Events{openLog(t, path), openLog(t, path)}
	sub, cancel := logs[0].Subscribe("")
	defer cancel()
	const emitters, each = 6, 20
	var wg sync.WaitGroup
	for i := range emitters {
		wg.Go(func() {
			var before int64
			for n := range each {
				ids, err := logs[i%2].Emit(t.Context(), Event{Name: "n", Task: fmt.Sprint(i), Data: json.RawMessage(fmt.Sprint(n))},
					Event{Name: "m", Task: fmt.Sprint(i)})
				if err != nil {
					t.Error(err)
					return
				}
				if ids[0] <= before || ids[1] <= ids[0] {
					t.Errorf("ids %v after %d", ids, before)
				}
				before = ids[1]
			}
		})
	}
	wg.Wait()
	events, err := logs[1].Since(t.Context(), 0, 1000, "")
	if err != nil || len(events) != 2*emitters*each {
		t.Fatalf("got %d events, %v", len(events), err)
	}
	next := make([]int, emitters)
	for i, e := range events {
		if i > 0 && e.ID <= events[i-1].ID {
			t.Errorf("id %d after %d", e.ID, events[i-1].ID)
		}
		if e.Name == "n" {
			var who int
			fmt.Sscan(e.Task, &who) //nolint:errcheck // shows in the comparison
			if string(e.Data) != fmt.Sprint(next[who]) {
				t.Errorf("emitter %d: got %s, want %d", who, e.Data, next[who])
			}
			next[who]++
		}
	}
	var before int64
	for range emitters / 2 * each * 2 {
		e := receive(t, sub, "an event")
		if e.ID <= before {
			t.Errorf("subscriber got %d after %d", e.ID, before)
		}
		before = e.ID
	}
}

func TestEmitKey(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	log, other := openLog(t, path), openLog(t, path)
	sub, cancel := log.Subscribe("")
	defer cancel()
	first := emit(t, log, Event{Name: "done", Worker: "w", Key: "task 5"})[0]
	for _, l := range []*Events{log, other} {
		if got := emit(t, l, Event{Name: "done", Worker: "w", Key: "task 5", Data: json.RawMessage(`1`)})[0]; got != first {
			t.Errorf("the same key gets id %d, want %d", got, first)
		}
	}
	if got := emit(t, log, Event{Name: "done", Worker: "x", Key: "task 5"})[0]; got == first {
		t.Error("another worker's key gets the same id")
	}
	both := emit(t, log, Event{Name: "a", Key: "k"}, Event{Name: "b", Key: "k"})
	if both[0] != both[1] {
		t.Errorf("one key in one call gets ids %v", both)
	}
	for _, want := range []string{"done w", "done x", "a "} {
		if e := receive(t, sub, "an event"); e.Name+" "+e.Worker != want {
			t.Errorf("subscriber got %s %s, want %s", e.Name, e.Worker, want)
		}
	}
	if n := len(sub); n != 0 {
		t.Errorf("subscriber got %d events more", n)
	}
}

func TestEmitIsAtomic(t *testing.T) {
	t.Parallel()
	log := openLog(t, newPath(t))
	for _, bad := range []Event{
		{Name: ""}, {Name: "A"}, {Name: strings.Repeat("a", 129)}, {Name: "a\n"},
		{Name: "a", Data: json.RawMessage(`{`)}, {Name: "a", Key: strings.Repeat("k", 257)}, {Name: "a", Key: "\xff"},
	} {
		_, err := log.Emit(t.Context(), Event{Name: "good"}, bad)
		wantCode(t, err, abi.InvalidArgument)
	}
	_, err := log.Emit(t.Context(), Event{Name: "good"}, Event{Name: "a", Data: make([]byte, MaxEventData+1)})
	wantCode(t, err, abi.LimitExceeded)
	if last, err := log.Last(t.Context()); err != nil || last != 0 {
		t.Errorf("last is %d, %v", last, err)
	}
	if ids, err := log.Emit(t.Context()); err != nil || len(ids) != 0 {
		t.Errorf("no events: got %v, %v", ids, err)
	}
}

// An emitter whose time is up while others write takes its events back.
func TestEmitGivesUp(t *testing.T) {
	t.Parallel()
	log := openLog(t, newPath(t))
	<-log.writing // somebody writes
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := log.Emit(ctx, Event{Name: "lost"})
	wantCode(t, err, abi.Cancelled)
	log.writing <- struct{}{}
	emit(t, log, Event{Name: "kept"})
	events, err := log.Since(t.Context(), 0, 10, "")
	if err != nil || len(events) != 1 || events[0].Name != "kept" {
		t.Errorf("got %+v, %v", events, err)
	}
}

func TestSince(t *testing.T) {
	t.Parallel()
	log := openLog(t, newPath(t))
	var all []Event
	for i := range 2500 {
		name := "rare:x"
		if i%1200 != 0 {
			name = "often/y"
		}
		all = append(all, Event{Name: name})
	}
	emit(t, log, all...)
	for _, c := range []struct {
		after   int64
		limit   int
		pattern string
		want    []int64
	}{
		{0, 2, "", []int64{1, 2}},
		{2499, 10, "", []int64{2500}},
		{2500, 10, "", nil},
		{0, 10, "rare:*", []int64{1, 1201, 2401}},
		{1, 1, "rare:*", []int64{1201}},
		{0, 10, "*", []int64{1, 1201, 2401}}, // '*' does not match the slash
		{0, 1, "often/?", []int64{2}},
		{0, 10, "none", nil},
	} {
		got, err := log.Since(t.Context(), c.after, c.limit, c.pattern)
		var ids []int64
		for _, e := range got {
			ids = append(ids, e.ID)
		}
		if err != nil || !slices.Equal(ids, c.want) {
			t.Errorf("Since(%d, %d, %q) = %v, %v; want %v", c.after, c.limit, c.pattern, ids, err, c.want)
		}
	}
	_, err := log.Since(t.Context(), 0, 0, "")
	wantCode(t, err, abi.InvalidArgument)
	_, err = log.Since(t.Context(), 0, 1, "[")
	wantCode(t, err, abi.InvalidArgument)
}

// Ids go on after a restart, even when the newest events are gone.
func TestIDsAfterRestart(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	log := openLog(t, path)
	ids := emit(t, log, Event{Name: "a"}, Event{Name: "b"})
	if _, err := log.db.ExecContext(t.Context(), `DELETE FROM events`); err != nil {
		t.Fatal(err)
	}
	again := openLog(t, path)
	if last, err := again.Last(t.Context()); err != nil || last != ids[1] {
		t.Errorf("last is %d, %v, want %d", last, err, ids[1])
	}
	if got := emit(t, again, Event{Name: "c"})[0]; got <= ids[1] {
		t.Errorf("id %d after %d", got, ids[1])
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	log, err := OpenEvents(t.Context(), openDB(t, newPath(t)), EventsConfig{Keep: 300})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		batch := make([]Event, 100)
		for i := range batch {
			batch[i].Name = "n"
		}
		emit(t, log, batch...)
	}
	var n, low, high int64
	if err := log.db.QueryRowContext(t.Context(), `SELECT count(*), min(id), max(id) FROM events`).Scan(&n, &low, &high); err != nil {
		t.Fatal(err)
	}
	if high != 2000 || n < 300 || n > 300+sweepEvery+100 || high-low+1 != n {
		t.Errorf("%d events from %d to %d are left, want the newest 300 or a few more", n, low, high)
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	log, other := openLog(t, path), openLog(t, path)
	emit(t, log, Event{Name: "a:1"}, Event{Name: "a:2"}, Event{Name: "b:3"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan Event)
	end := make(chan error, 1)
	go func() {
		for e, err := range log.Follow(ctx, 1, "a:*") {
			if err != nil {
				end <- err
				return
			}
			got <- e
		}
		end <- errors.New("it ended without an error")
	}()
	for i, emitTo := range []*Events{nil, other, log, other} {
		want := fmt.Sprintf("a:%d", i+2)
		if emitTo != nil {
			emit(t, emitTo, Event{Name: "b:0"}, Event{Name: want})
		}
		if e := receive(t, got, want); e.Name != want {
			t.Errorf("got %s, want %s", e.Name, want)
		}
	}
	cancel()
	if err := receive(t, end, "the end"); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	for _, err := range log.Follow(t.Context(), 0, "[") {
		wantCode(t, err, abi.InvalidArgument)
	}
	for e, err := range log.Follow(t.Context(), 0, "") { // a reader who leaves
		if err != nil || e.ID != 1 {
			t.Errorf("got %+v, %v", e, err)
		}
		break
	}
}

// A follower sees every event once and in order while several processes emit.
func TestFollowHammer(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	logs := []*Events{openLog(t, path), openLog(t, path)}
	reader := openLog(t, path)
	const emitters, each = 4, 25
	var wg sync.WaitGroup
	for i := range emitters {
		wg.Go(func() {
			for range each {
				if _, err := logs[i%2].Emit(t.Context(), Event{Name: "n"}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var before int64
	for e, err := range reader.Follow(t.Context(), 0, "") {
		if err != nil {
			t.Fatal(err)
		}
		if e.ID != before+1 {
			t.Fatalf("id %d after %d", e.ID, before)
		}
		if before = e.ID; before == emitters*each {
			break
		}
	}
	wg.Wait()
}

func TestSubscribe(t *testing.T) {
	t.Parallel()
	log := openLog(t, newPath(t))
	emit(t, log, Event{Name: "a:0"})
	sub, cancel := log.Subscribe("a:*")
	emit(t, log, Event{Name: "a:1", Data: json.RawMessage(`{"n":1}`)}, Event{Name: "b:2"})
	e := receive(t, sub, "the event")
	stored, err := log.Since(t.Context(), 1, 1, "")
	if err != nil || len(stored) != 1 || !e.Time.Equal(stored[0].Time) || e.ID != 2 || e.Name != "a:1" || string(e.Data) != `{"n":1}` || e.Gap != 0 {
		t.Errorf("got %+v, stored %+v, %v", e, stored, err)
	}
	cancel()
	cancel()
	if _, open := <-sub; open {
		t.Error("got more than one event")
	}
	emit(t, log, Event{Name: "a:3"})
}

// A subscriber who does not read delays nobody, and misses nothing if it keeps
// to the rule.
func TestSlowSubscriber(t *testing.T) {
	t.Parallel()
	log := openLog(t, newPath(t))
	sub, cancel := log.Subscribe("")
	defer cancel()
	emitMany := func(n int) {
		batch := make([]Event, n)
		for i := range batch {
			batch[i].Name = "n"
		}
		emit(t, log, batch...)
	}
	emitMany(400)
	var seen int64
	take := func(e Event) {
		if e.ID <= seen {
			return
		}
		if e.ID != seen+1 {
			t.Fatalf("event %d after %d", e.ID, seen)
		}
		seen = e.ID
	}
	gaps := 0
	read := func() {
		e := receive(t, sub, "an event")
		if e.Gap == 0 {
			take(e)
			return
		}
		gaps++
		if e.Gap != seen+1 || e.Name != "" {
			t.Errorf("got gap %+v after event %d", e, seen)
		}
		missed, err := log.Since(t.Context(), e.Gap-1, 10_000, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range missed {
			take(e)
		}
	}
	for seen < 100 {
		read()
	}
	emitMany(50) // there is room again, behind the gap
	for seen < 450 {
		read()
	}
	for len(sub) > 0 {
		read()
	}
	emitMany(10)
	for seen < 460 {
		read()
	}
	if gaps != 1 {
		t.Errorf("%d gaps, want 1", gaps)
	}
}

func TestBadDatabase(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	log, sessions := openLog(t, path), openSessions(t, path)
	for pragma, want := range map[string]abi.Code{"PRAGMA max_page_count = 1": abi.Full, "PRAGMA query_only = 1": abi.ReadOnly} {
		for _, db := range []*sql.DB{log.db, sessions.db} {
			if _, err := db.ExecContext(t.Context(), pragma); err != nil {
				t.Fatal(err)
			}
		}
		_, err := log.Emit(t.Context(), Event{Name: "a", Data: json.RawMessage(`"` + strings.Repeat("x", 200_000) + `"`)})
		wantCode(t, err, want)
		err = sessions.Set(t.Context(), Session{ID: "s", Data: object{"x": make([]byte, 200_000)}, Expires: time.Now().Add(time.Hour)})
		wantCode(t, err, want)
		for _, db := range []*sql.DB{log.db, sessions.db} {
			if _, err := db.ExecContext(t.Context(), "PRAGMA max_page_count = 1000000; PRAGMA query_only = 0"); err != nil {
				t.Fatal(err)
			}
		}
	}
	emit(t, log, Event{Name: "a"})
	if events, err := log.Since(t.Context(), 0, 10, ""); err != nil || len(events) != 1 {
		t.Errorf("got %d events, %v", len(events), err)
	}
}

func BenchmarkEmit(b *testing.B) {
	for _, emitters := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("emitters=%d", emitters), func(b *testing.B) {
			log := openLog(b, newPath(b))
			work := make(chan struct{})
			var wg sync.WaitGroup
			for range emitters {
				wg.Go(func() {
					for range work {
						if _, err := log.Emit(context.Background(), Event{Name: "archive:progress", Data: json.RawMessage(`{"archived":100,"total":90000}`)}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	mine, theirs := openLog(t, path), openLog(t, path)
	if first, err := mine.First(t.Context()); first != 0 || err != nil {
		t.Errorf("the oldest of none is %d, %v", first, err)
	}
	for i, log := range []*Events{mine, theirs} { // this process, and another one
		done := make(chan error, 1)
		go func() { done <- mine.Wait(t.Context(), int64(i)) }()
		emit(t, log, Event{Name: "a"})
		if err := receive(t, done, "the end of the waiting"); err != nil {
			t.Error(err)
		}
	}
	if err := mine.Wait(t.Context(), 1); err != nil {
		t.Error(err)
	}
	if first, err := mine.First(t.Context()); first != 1 || err != nil {
		t.Errorf("the oldest is %d, %v", first, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := mine.Wait(ctx, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
