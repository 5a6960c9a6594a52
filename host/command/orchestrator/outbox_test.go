package orchestrator

import (
	"encoding/json"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

// inbox remembers what was delivered, doubles included.
type inbox struct {
	mu  sync.Mutex
	got []delivery
	c   chan int64 // the ids as they come
}

func newInbox() *inbox { return &inbox{c: make(chan int64, 10_000)} }

func (b *inbox) add(d delivery) {
	b.mu.Lock()
	b.got = append(b.got, d)
	b.mu.Unlock()
	b.c <- d.id()
}

func (b *inbox) ids() []int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := make([]int64, len(b.got))
	for i, d := range b.got {
		ids[i] = d.id()
	}
	return ids
}

// accept is an answer that takes every delivery.
func (b *inbox) accept(d delivery) string {
	b.add(d)
	return fine
}

// expect waits for ids in their order.
func (b *inbox) expect(t testing.TB, ids ...int64) {
	t.Helper()
	for _, want := range ids {
		if got := await(t, b.c, fmt.Sprintf("event %d", want)); got != want {
			t.Fatalf("event %d came, want %d", got, want)
		}
	}
}

func (s *station) own(name string) []object {
	s.t.Helper()
	events, err := s.events.Since(s.t.Context(), 0, 1000, name)
	if err != nil {
		s.t.Fatal(err)
	}
	var all []object
	for _, e := range events {
		var data object
		if err := json.Unmarshal(e.Data, &data); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, data)
	}
	return all
}

func TestOutboxDelivers(t *testing.T) {
	t.Parallel()
	s, box := newStation(t), newInbox()
	s.emit(command.Event{Name: "a:before"})
	serve(t, s.cfg.Client.Socket, receive(t, box.accept))
	s.cfg.Patterns = []string{"a:*", "b", "outbox:*"}
	s.cfg.Command = "events/take"
	_, stop := s.run()
	ids := s.emit(
		command.Event{Name: "a:one", Worker: "w", Task: "7", Data: json.RawMessage(`{"n":9007199254740993,"s":"ü","wasmhost":{"id":1,"host":"forged"}}`)},
		command.Event{Name: "c"},
		command.Event{Name: "b", Data: json.RawMessage(`[1,"x"]`)},
		command.Event{Name: "outbox:other"},
		command.Event{Name: "a:none"},
	)
	box.expect(t, ids[0], ids[2], ids[4])
	stop()
	if got := box.ids(); !slices.Equal(got, []int64{2, 4, 6}) {
		t.Errorf("delivered %v", got)
	}
	for i, want := range []struct {
		event, data string
	}{
		{"a:one", `{"n":9007199254740993,"s":"ü"}`}, {"b", `{"value":[1,"x"]}`}, {"a:none", `{}`},
	} {
		d := box.got[i]
		host := d.Params.Data["wasmhost"].(object)
		delete(d.Params.Data, "wasmhost")
		var data object
		_ = json.Unmarshal([]byte(want.data), &data)
		if d.Command != "events/take" || d.Params.Event != want.event || !reflect.DeepEqual(d.Params.Data, data) {
			t.Errorf("got %+v, want %+v", d, want)
		}
		if host["host"] != "host-1" || len(host) != 5 || i == 0 && (host["worker"] != "w" || host["task"] != "7") {
			t.Errorf("the host says %v", host)
		}
	}
}

// A restart on either side loses nothing and changes no order; what comes twice
// has the same id.
func TestOutboxSurvivesRestarts(t *testing.T) {
	t.Parallel()
	s, box := newStation(t), newInbox()
	side := serve(t, s.cfg.Client.Socket, receive(t, box.accept))
	s.open().Close()
	var want []int64
	for range 5 { // several pages each
		for range 3 * outboxPage {
			want = append(want, s.emit(command.Event{Name: "a:x"}, command.Event{Name: "b"})[0])
		}
		_, stop := s.run()
		await(t, box.c, "an event")
		side.stop() // in the middle
		side = serve(t, s.cfg.Client.Socket, receive(t, box.accept))
		eventually(t, "some more", func() bool { return slices.Contains(box.ids(), want[len(want)-outboxPage]) })
		stop()
	}
	o, stop := s.run()
	eventually(t, "all", func() bool { return slices.Contains(box.ids(), want[len(want)-1]) })
	stop()
	if st := o.Stats(); st.Cursor < want[len(want)-1] || st.Skipped+st.Lost+st.Refused != 0 {
		t.Errorf("stats %+v", st)
	}
	var once []int64
	for _, id := range box.ids() {
		if !slices.Contains(once, id) {
			once = append(once, id)
		}
	}
	if !slices.Equal(once, want) {
		t.Errorf("got %d events once, in order %t; want %d", len(once), slices.IsSorted(once), len(want))
	}
	// What was answered before a stop is not sent after it.
	before := len(box.ids())
	_, stop = s.run()
	last := s.emit(command.Event{Name: "a:last"})[0]
	eventually(t, "the last", func() bool { return slices.Contains(box.ids(), last) })
	stop()
	if n := len(box.ids()) - before; n != 1 {
		t.Errorf("%d events after a restart, want the new one", n)
	}
}

// The cursor moves behind an event when that was answered, and not before.
func TestOutboxWaitsForTheAnswer(t *testing.T) {
	t.Parallel()
	s, box := newStation(t), newInbox()
	side := serve(t, s.cfg.Client.Socket, receive(t, func(d delivery) string {
		box.add(d)
		return "" // hangs up
	}))
	o, stop := s.run()
	ids := s.emit(command.Event{Name: "a:1"}, command.Event{Name: "a:2"})
	box.expect(t, ids[0], ids[0], ids[0])
	if st := o.Stats(); st.Delivered != 0 || st.Cursor != 0 || st.Refused != 0 {
		t.Errorf("stats %+v", st)
	}
	stop()
	side.stop()
	box = newInbox()
	serve(t, s.cfg.Client.Socket, receive(t, box.accept))
	_, stop = s.run()
	box.expect(t, ids...)
	stop()
}

// An event that is refused is given up after some attempts, and the log says so;
// those behind it wait, and come after it.
func TestOutboxSkips(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer, code string
		data         string
		arrives      bool
	}{
		"refused":         {`{"success":false,"error":"not this one"}` + "\n", "failed", `{}`, true},
		"refused inside":  {`{"success":true,"result":{"success":false,"error":"not this one"}}` + "\n", "failed", `{}`, true},
		"unknown command": {`{"success":false,"error":"Command 'events/emit' not found"}` + "\n", "unknown_command", `{}`, true},
		"no reply at all": {"<html>\n", "failed", `{}`, true},
		"too large":       {fine, "limit_exceeded", `"` + strings.Repeat("€", 80_000) + `"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, box := newStation(t), newInbox()
			s.cfg.Attempts = 3
			s.cfg.Client.MaxMessageBytes = 300_000
			serve(t, s.cfg.Client.Socket, receive(t, func(d delivery) string {
				box.add(d)
				if d.Params.Event == "a:bad" {
					return c.answer
				}
				return fine
			}))
			o, stop := s.run()
			ids := s.emit(command.Event{Name: "a:1"}, command.Event{Name: "a:bad", Data: json.RawMessage(c.data)}, command.Event{Name: "a:2"})
			box.expect(t, ids[0])
			if c.arrives {
				box.expect(t, ids[1], ids[1], ids[1])
			}
			box.expect(t, ids[2])
			eventually(t, "the cursor", func() bool { return o.Stats().Cursor >= ids[2] })
			stop()
			if st := o.Stats(); st.Delivered != 2 || st.Refused != 3 || st.Skipped != 1 || st.Lost != 0 {
				t.Errorf("stats %+v", st)
			}
			skipped := s.own(EventSkipped)
			if len(skipped) != 1 || skipped[0]["id"] != float64(ids[1]) || skipped[0]["event"] != "a:bad" ||
				skipped[0]["code"] != c.code || skipped[0]["attempts"] != 3.0 || skipped[0]["message"] == "" {
				t.Errorf("told %v", skipped)
			}
		})
	}
}

// What was deleted while the orchestrator was away is told.
func TestOutboxTellsOfLoss(t *testing.T) {
	t.Parallel()
	s, box := newStation(t), newInbox()
	s.events = s.log(100)
	s.emit(command.Event{Name: "a:0"})
	s.open().Close() // begins here, at 1
	for range 40 {
		s.emit(slices.Repeat([]command.Event{{Name: "a:x"}}, 64)...)
	}
	first, err := s.events.First(t.Context())
	if err != nil || first < 100 {
		t.Fatalf("the oldest is %d, %v; the log deletes nothing", first, err)
	}
	serve(t, s.cfg.Client.Socket, receive(t, box.accept))
	o, stop := s.run()
	box.expect(t, first)
	eventually(t, "the rest", func() bool { return slices.Contains(box.ids(), int64(1+40*64)) })
	stop()
	if st := o.Stats(); st.Lost != uint64(first-2) || st.Skipped != 0 {
		t.Errorf("stats %+v, the oldest is %d", st, first)
	}
	if got, want := fmt.Sprint(s.own(EventLost)), fmt.Sprintf("[map[first:2 last:%d]]", first-1); got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

// Ids that were never given are no loss: an event whose key is taken uses one up.
func TestHolesAreNoLoss(t *testing.T) {
	t.Parallel()
	s, box := newStation(t), newInbox()
	s.emit(command.Event{Name: "a:0", Key: "k"})
	s.open().Close()
	for range 3 {
		s.emit(command.Event{Name: "a:0", Key: "k"}, command.Event{Name: "b"}, command.Event{Name: "a:0", Key: "k"})
	}
	last := s.emit(command.Event{Name: "a:1"})[0]
	serve(t, s.cfg.Client.Socket, receive(t, box.accept))
	o, stop := s.run()
	box.expect(t, last)
	stop()
	if st := o.Stats(); st.Lost != 0 || len(s.own(EventLost)) != 0 {
		t.Errorf("stats %+v", st)
	}
}

// Events that concern nobody move the cursor on disk now and then, not each.
func TestOutboxCursor(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.open().Close()
	onDisk := func() (at int64) {
		t.Helper()
		if err := s.db.QueryRowContext(t.Context(), "SELECT cursor FROM outbox").Scan(&at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	s.emit(slices.Repeat([]command.Event{{Name: "b"}}, 10)...)
	o, stop := s.run()
	eventually(t, "the cursor", func() bool { return o.Stats().Cursor == 10 })
	if at := onDisk(); at != 0 {
		t.Errorf("on disk the cursor is at %d", at)
	}
	s.emit(slices.Repeat([]command.Event{{Name: "b"}}, 2*outboxStride)...)
	eventually(t, "the cursor on disk", func() bool { return onDisk() >= outboxStride })
	stop()
}

func TestOutboxConfig(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.cfg.Patterns = []string{"a["}
	_, err := OpenOutbox(t.Context(), s.db, s.events, s.cfg)
	wantCode(t, err, abi.InvalidArgument)
	s.cfg.Patterns, s.cfg.Client.Socket = nil, ""
	_, err = OpenOutbox(t.Context(), s.db, s.events, s.cfg)
	wantCode(t, err, abi.InvalidArgument)
}

// A receiver that hangs has refused nothing, however often.
func TestTimeoutsAreNoRefusal(t *testing.T) {
	t.Parallel()
	s, box := newStation(t), newInbox()
	s.cfg.Attempts = 1
	s.cfg.Client.Timeout = 20 * time.Millisecond
	var awake atomic.Bool
	serve(t, s.cfg.Client.Socket, func(c net.Conn, line string) {
		if awake.Load() {
			receive(t, box.accept)(c, line)
		}
	})
	o, stop := s.run()
	id := s.emit(command.Event{Name: "a:1"})[0]
	eventually(t, "attempts that took too long", func() bool { return o.client.Stats().Timeouts >= 2 })
	stop()
	if st := o.Stats(); st.Cursor != 0 || st.Refused != 0 || st.Skipped != 0 {
		t.Errorf("stats %+v", st)
	}
	awake.Store(true)
	s.cfg.Client.Timeout = 0
	_, stop = s.run()
	box.expect(t, id)
	stop()
}
