package queue

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

func TestSubmitIsRead(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	before := time.Now().Add(-2 * time.Millisecond).Truncate(time.Millisecond)
	id := submit(t, q, Submission{
		Worker: "archive", Kind: "collection", Payload: json.RawMessage(` {"a": 9007199254740993, "b": "<ü>"} `),
		UniqueKey: "chat", Priority: 3, MaxAttempts: 7,
	})
	got := task(t, q, id)
	if got.CreatedAt.Before(before) || got.ScheduledAt.Before(before) {
		t.Errorf("created %v, scheduled %v, want after %v", got.CreatedAt, got.ScheduledAt, before)
	}
	var payload struct {
		A json.Number
		B string
	}
	if err := json.Unmarshal(got.Payload, &payload); err != nil || payload.A != "9007199254740993" || payload.B != "<ü>" {
		t.Errorf("got payload %s (%v)", got.Payload, err)
	}
	got.CreatedAt, got.ScheduledAt, got.Payload = time.Time{}, time.Time{}, nil
	want := Record{ID: id, Worker: "archive", Kind: "collection", State: Queued, Priority: 3, MaxAttempts: 7, UniqueKey: "chat"}
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}

func TestSubmitDefaults(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	for _, payload := range []string{"", "null", " null "} {
		got := task(t, q, submit(t, q, Submission{Payload: json.RawMessage(payload)}))
		if got.Payload != nil || got.Priority != 1 || got.MaxAttempts != 25 {
			t.Errorf("payload %q: got %+v", payload, got)
		}
	}
}

func TestSubmitRefuses(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	deep := func(n int) json.RawMessage {
		return json.RawMessage(strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n))
	}
	for _, c := range []struct {
		name  string
		s     Submission
		want  abi.Code
		names string // what the error must name
	}{
		{"no worker", Submission{}, abi.InvalidArgument, "worker"},
		{"worker in capitals", Submission{Worker: "Archive"}, abi.InvalidArgument, "worker"},
		{"worker with a doubled separator", Submission{Worker: "a--b"}, abi.InvalidArgument, "worker"},
		{"worker with a slash", Submission{Worker: "a/b"}, abi.InvalidArgument, "worker"},
		{"worker with a newline", Submission{Worker: "a\n"}, abi.InvalidArgument, "worker"},
		{"worker too long", Submission{Worker: strings.Repeat("a", 65)}, abi.InvalidArgument, "worker"},
		{"kind too long", Submission{Worker: "w", Kind: strings.Repeat("k", 129)}, abi.InvalidArgument, "kind"},
		{"kind not UTF-8", Submission{Worker: "w", Kind: "\xff"}, abi.InvalidArgument, "kind"},
		{"unique key too long", Submission{Worker: "w", UniqueKey: strings.Repeat("k", 257)}, abi.InvalidArgument, "unique key"},
		{"priority", Submission{Worker: "w", Priority: 5}, abi.InvalidArgument, "priority"},
		{"negative priority", Submission{Worker: "w", Priority: -1}, abi.InvalidArgument, "priority"},
		{"attempts", Submission{Worker: "w", MaxAttempts: -1}, abi.InvalidArgument, "attempts"},
		{"year", Submission{Worker: "w", At: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)}, abi.InvalidArgument, "at"},
		{"payload of another type", Submission{Worker: "w", Payload: json.RawMessage(`[1]`)}, abi.InvalidArgument, "payload"},
		{"payload broken", Submission{Worker: "w", Payload: json.RawMessage(`{"a":}`)}, abi.InvalidArgument, "payload"},
		{"payload blank", Submission{Worker: "w", Payload: json.RawMessage(` `)}, abi.InvalidArgument, "payload"},
		{"payload not UTF-8", Submission{Worker: "w", Payload: json.RawMessage("{\"a\":\"\xff\"}")}, abi.InvalidArgument, "payload"},
		{"payload too deep", Submission{Worker: "w", Payload: deep(33)}, abi.InvalidArgument, "payload"},
		{"payload too big", Submission{Worker: "w", Payload: json.RawMessage(`{"a":"` + strings.Repeat("x", 1<<20) + `"}`)}, abi.LimitExceeded, "payload"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := q.Submit(t.Context(), c.s)
			wantCode(t, err, c.want)
			if err != nil && !strings.Contains(err.Error(), c.names) {
				t.Errorf("error %q does not name %q", err, c.names)
			}
		})
	}
	if got, err := q.List(t.Context(), Filter{}); err != nil || len(got) != 0 {
		t.Errorf("refused submissions left %d tasks (%v)", len(got), err)
	}
	submit(t, q, Submission{Payload: deep(32)})
}

func TestDepth(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{
		`1`: 0, `{}`: 1, `[[],[[]]]`: 3, `{"a":"[[[","b":"\"[[[","c":"\\"}`: 1, `{"]":[{"\\\"":[]}]}`: 4,
	} {
		if got := depth([]byte(in)); got != want {
			t.Errorf("depth(%s) = %d, want %d", in, got, want)
		}
	}
}

func TestUniqueKey(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	q, other := open(t, path), open(t, path)
	s := Submission{Worker: "w", UniqueKey: "chat"}
	first := submit(t, q, s)
	if id, created, err := other.Submit(t.Context(), s); err != nil || created || id != first {
		t.Errorf("second submit: got %s, %v, %v; want %s, false", id, created, err, first)
	}
	s.Kind, s.Payload, s.Priority = "other", json.RawMessage(`{"x":1}`), 4
	if id, created, err := other.Submit(t.Context(), s); err != nil || created || id != first {
		t.Errorf("submit with another payload: got %s, %v, %v; want %s, false", id, created, err, first)
	}
	submit(t, q, Submission{Worker: "x", UniqueKey: "chat"})
	submit(t, q, Submission{Worker: "w", UniqueKey: "mail"})
	submit(t, q, Submission{Worker: "w"})
	submit(t, q, Submission{Worker: "w"})

	start(t, q, nothing)
	awaitState(t, q, first, Completed)
	if id := submit(t, q, Submission{Worker: "w", UniqueKey: "chat"}); id == first {
		t.Error("a completed task still holds its unique key")
	}
}

func TestUniqueKeyUnderContention(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	var mu sync.Mutex
	ids, made := map[string]bool{}, 0
	var wg sync.WaitGroup
	for range 4 {
		q := open(t, path)
		wg.Go(func() {
			for range 10 {
				id, created, err := q.Submit(t.Context(), Submission{Worker: "w", UniqueKey: "one"})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				ids[id] = true
				if created {
					made++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(ids) != 1 || made != 1 {
		t.Errorf("got %d tasks, %d created, want one", len(ids), made)
	}
}

func TestOpenTogether(t *testing.T) {
	t.Parallel()
	path := emptyPath(t)
	var wg sync.WaitGroup
	for range 4 {
		db := openDB(t, path)
		wg.Go(func() {
			q, err := Open(t.Context(), db, Config{})
			if err != nil {
				t.Error(err)
				return
			}
			submit(t, q, Submission{})
		})
	}
	wg.Wait()
	if got, err := open(t, path).List(t.Context(), Filter{}); err != nil || len(got) != 4 {
		t.Errorf("got %d tasks (%v), want 4", len(got), err)
	}
}

// With Once a key is taken also after the task's end.
func TestOnce(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	start(t, q, nothing)
	key := Submission{Worker: "w", UniqueKey: "event:7", Once: true}
	id := submit(t, q, key)
	awaitState(t, q, id, Completed)
	again, created, err := q.Submit(t.Context(), key)
	if again != id || created || err != nil {
		t.Errorf("got %s, %t, %v; want the task %s", again, created, err, id)
	}
	submit(t, q, Submission{Worker: "x", UniqueKey: "event:7", Once: true}) // of another worker
}
