package main

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

var worker = sdk.WorkerFunc(Archive)

var columns = []string{"id", "timestamp", "body", "stars", "media"}

// tables makes both databases, with n messages in the primary. Every value has
// its own type now and then, and every fifth row shares its timestamp.
func tables(t *testing.T, n int) (*sdktest.Host, *sdktest.Table) {
	t.Helper()
	h := sdktest.New(t)
	primary := h.Table("primary", "messages", columns, "id")
	// The order of columns differs, as it does in a table that was altered.
	h.Table("archive", "messages", []string{"media", "id", "stars", "body", "timestamp"}, "id")
	for i := range n {
		primary.Insert(message(i)...)
	}
	return h, primary
}

// message is a row; the id's order is not the timestamp's.
func message(i int) []any {
	row := []any{id(i), int64(1000 + i - i%5), fmt.Sprintf("message %d – ünï", i), float64(i) / 2, []byte{0, 255, byte(i)}}
	if i%7 == 3 {
		row[4] = nil
	}
	if i%11 == 4 {
		row[2] = strings.Repeat("long ", 100)
	}
	return row
}

func id(i int) string { return fmt.Sprintf("%03d-%d", (i*377)%1000, i) }

func payload(pairs ...any) map[string]any {
	m := map[string]any{"collection": "messages"}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}

// checkOnce fails unless each of the n messages is in exactly one database
// with the values that it had, and the first `moved` in the archive.
func checkOnce(t *testing.T, h *sdktest.Host, n, moved int) {
	t.Helper()
	want := map[string][]any{}
	place := map[string]string{}
	for i := range n {
		want[id(i)] = message(i)
		place[id(i)] = "primary"
	}
	for _, i := range oldest(n)[:moved] {
		place[id(i)] = "archive"
	}
	seen := 0
	check := func(handle string, row []any) {
		seen++
		key := row[0].(string)
		if place[key] != handle {
			t.Errorf("row %s is in %s, want it in %q", key, handle, place[key])
		}
		if !reflect.DeepEqual(row, want[key]) {
			t.Errorf("row %s in %s:\n got %#v\nwant %#v", key, handle, row, want[key])
		}
	}
	for _, row := range h.Rows("primary", "messages") {
		check("primary", row)
	}
	for _, r := range h.Rows("archive", "messages") {
		check("archive", []any{r[1], r[4], r[3], r[2], r[0]})
	}
	if seen != n {
		t.Errorf("%d rows in both databases, want %d", seen, n)
	}
}

// oldest is the messages by timestamp and id.
func oldest(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	slices.SortFunc(list, func(a, b int) int {
		if d := (a - a%5) - (b - b%5); d != 0 {
			return d
		}
		return strings.Compare(id(a), id(b))
	})
	return list
}

// checkEvents fails unless there is one progress event for each hundred, in
// order, and one archive:complete.
func checkEvents(t *testing.T, h *sdktest.Host, archived, total int64) {
	t.Helper()
	var got []int64
	for _, e := range h.Events(eventProgress) {
		want := map[string]any{"taskId": "task-1", "collection": "messages", "archived": e.Data["archived"], "total": total}
		if !maps.Equal(e.Data, want) {
			t.Errorf("progress event: got %v, want %v", e.Data, want)
		}
		got = append(got, e.Data["archived"].(int64))
	}
	var want []int64
	for n := int64(100); n <= archived; n += 100 {
		want = append(want, n)
	}
	if !slices.Equal(got, want) {
		t.Errorf("progress events: got %v, want %v", got, want)
	}
	complete := h.Events(eventComplete)
	if len(complete) != 1 {
		t.Fatalf("complete events: got %v, want one", complete)
	}
	checkSummary(t, complete[0].Data, archived, total, 0)
}

func checkSummary(t *testing.T, v any, archived, total, skipped int64) {
	t.Helper()
	got, _ := v.(map[string]any)
	got = maps.Clone(got)
	if d, ok := got["duration_ms"].(int64); !ok || d < 0 {
		t.Errorf("duration_ms: got %v", got["duration_ms"])
	}
	delete(got, "duration_ms")
	delete(got, "rows")
	want := map[string]any{"taskId": "task-1", "collection": "messages", "archived": archived, "total": total, "skipped": skipped}
	if !maps.Equal(got, want) {
		t.Errorf("summary: got %v, want %v", got, want)
	}
}

func TestArchive(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		rows    int
		payload map[string]any
		config  map[string]any
		buffer  int
		moved   int
	}{
		{name: "all but the newest", rows: 450, payload: payload("keep", 120), moved: 330},
		{name: "everything", rows: 230, payload: payload("keep", 0), moved: 230},
		{name: "keeping as many as there are", rows: 50, payload: payload("keep", 50)},
		{name: "keeping more than there are", rows: 50, payload: payload("keep", int64(maxRows))},
		{name: "at most the limit", rows: 450, payload: payload("limit", 205), moved: 205},
		{name: "a limit above what is there", rows: 45, payload: payload("limit", 1000), moved: 45},
		{name: "the limit before keep", rows: 300, payload: payload("limit", 101, "keep", 100), moved: 101},
		{name: "keep before the limit", rows: 300, payload: payload("limit", 250, "keep", 100), moved: 200},
		{name: "a page ends inside of a tie", rows: 103, payload: payload("keep", 2, "batch_size", 4), moved: 101},
		{name: "pages of one row", rows: 12, payload: payload("keep", 3, "batch_size", 1), moved: 9},
		{name: "a page of exactly what there is", rows: 40, payload: payload("keep", 0, "batch_size", 40), moved: 40},
		{name: "pages larger than the buffer", rows: 150, payload: payload("keep", 10, "batch_size", 60), buffer: 300, moved: 140},
		{name: "rows larger than the buffer", rows: 60, payload: payload("keep", 10), buffer: 20, moved: 50},
		{name: "the page from config", rows: 33, payload: payload("keep", 0), config: map[string]any{"archive": map[string]any{"batchSize": 7}}, moved: 33},
		{name: "the order from config", rows: 33, payload: payload("keep", 3), config: map[string]any{"archive.orderBy": "timestamp"}, moved: 30},
		{name: "numbers as JSON has them", rows: 20, payload: payload("keep", 5.0, "batch_size", 2.0), moved: 15},
		{name: "an empty table", payload: payload("keep", 0)},
		{name: "an empty table and a limit", payload: payload("limit", 10)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h, _ := tables(t, test.rows)
			h.Config(test.config)
			h.BufferLimit(test.buffer)
			res, err := h.Run(worker, sdktest.TaskOf("archive", test.payload))
			if err != nil {
				t.Fatal(err)
			}
			moved := int64(test.moved)
			checkSummary(t, res.Value, moved, moved, 0)
			checkOnce(t, h, test.rows, test.moved)
			checkEvents(t, h, moved, moved)
			if res.OpenCursors != 0 {
				t.Errorf("%d queries were left open", res.OpenCursors)
			}
			if calls := h.ProgressCalls(); test.moved > 0 {
				if last := calls[len(calls)-1]; last.Done != moved || last.Total != moved {
					t.Errorf("last progress: got %+v, want %d of %d", last, moved, moved)
				}
			}
		})
	}
}

func TestHandles(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		payload map[string]any
		roles   map[string]string
	}{
		{"from the payload", payload("keep", 0, "source_handle", "live", "dest_handle", "cold"), map[string]string{"source": "x", "dest": "y"}},
		{"from the task", payload("keep", 0), map[string]string{"source": "live", "dest": "cold"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := sdktest.New(t)
			h.Table("live", "messages", columns).Insert(message(1)...)
			h.Table("cold", "messages", columns)
			if _, err := h.Run(worker, sdktest.Task{Payload: test.payload, Handles: test.roles}); err != nil {
				t.Fatal(err)
			}
			if got := h.Rows("cold", "messages"); len(got) != 1 || !reflect.DeepEqual(got[0], message(1)) {
				t.Errorf("got %v in the destination", got)
			}
		})
	}
}

// Rows whose order value is NULL are the oldest; numbers come before text,
// text before blobs.
func TestOrderOfMixedValues(t *testing.T) {
	t.Parallel()
	order := []any{nil, nil, int64(-5), 1.5, int64(2), 2.0, "", "2", []byte{}, []byte{1}}
	for moved := range len(order) + 1 {
		h := sdktest.New(t)
		live := h.Table("primary", "messages", []string{"id", "timestamp"})
		h.Table("archive", "messages", []string{"id", "timestamp"})
		for i, v := range order {
			live.Insert(i, v)
		}
		_, err := h.Run(worker, sdktest.TaskOf("", payload("keep", len(order)-moved, "batch_size", 3)))
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range h.Rows("archive", "messages") {
			if !reflect.DeepEqual(row, []any{int64(i), order[i]}) {
				t.Errorf("moving %d: got row %#v at %d of the archive", moved, row, i)
			}
		}
		if got := len(h.Rows("archive", "messages")); got != moved {
			t.Errorf("moving %d: got %d rows in the archive", moved, got)
		}
	}
}

func TestBadTasks(t *testing.T) {
	t.Parallel()
	badConfig := func(key string, v any) map[string]any { return map[string]any{key: v} }
	tests := []struct {
		name    string
		payload map[string]any
		config  map[string]any
		code    abi.Code
		text    string
	}{
		{name: "no payload", code: abi.InvalidArgument, text: `field "collection" is missing`},
		{name: "no collection", payload: map[string]any{"keep": 1}, code: abi.InvalidArgument, text: `field "collection" is missing`},
		{name: "an empty collection", payload: payload("keep", 1, "collection", ""), code: abi.InvalidArgument, text: `field "collection" is empty`},
		{name: "a collection that is no text", payload: payload("keep", 1, "collection", 7), code: abi.InvalidArgument, text: `field "collection" is no text`},
		{name: "neither keep nor limit", payload: payload(), code: abi.InvalidArgument, text: `one of "keep" and "limit" must be given`},
		{name: "keep is nil", payload: payload("keep", nil), code: abi.InvalidArgument, text: `one of "keep" and "limit" must be given`},
		{name: "keep is negative", payload: payload("keep", -1), code: abi.InvalidArgument, text: `field "keep" is -1`},
		{name: "keep is huge", payload: payload("keep", int64(1)<<62), code: abi.InvalidArgument, text: `field "keep" is 4611686018427387904`},
		{name: "keep has a fraction", payload: payload("keep", 1.5), code: abi.InvalidArgument, text: `field "keep" is no whole number`},
		{name: "keep is text", payload: payload("keep", "10"), code: abi.InvalidArgument, text: `field "keep" is no whole number`},
		{name: "limit is 0", payload: payload("limit", 0), code: abi.InvalidArgument, text: `field "limit" is 0`},
		{name: "batch_size is 0", payload: payload("keep", 1, "batch_size", 0), code: abi.InvalidArgument, text: `field "batch_size" is 0`},
		{name: "batch_size is huge", payload: payload("keep", 1, "batch_size", 1<<40), code: abi.InvalidArgument, text: `field "batch_size" is 1099511627776`},
		{name: "batchSize of config is negative", payload: payload("keep", 1), config: badConfig("archive.batchSize", -3), code: abi.InvalidArgument, text: `key "archive.batchSize" is -3`},
		{name: "batchSize of config is text", payload: payload("keep", 1), config: badConfig("archive.batchSize", "many"), code: abi.InvalidArgument, text: `key "archive.batchSize" is no whole number`},
		{name: "orderBy of config is a number", payload: payload("keep", 1), config: badConfig("archive.orderBy", 1), code: abi.InvalidArgument, text: `key "archive.orderBy" is no text`},
		{name: "a field that does not exist", payload: payload("keep", 1, "batchsize", 5), code: abi.InvalidArgument, text: `unknown field "batchsize"`},
		{name: "source is destination", payload: payload("keep", 1, "dest_handle", "primary"), code: abi.InvalidArgument, text: `both the handle "primary"`},
		{name: "order_by is key", payload: payload("keep", 1, "order_by", "id"), code: abi.InvalidArgument, text: `both the column "id"`},
		{name: "an unknown source", payload: payload("keep", 1, "source_handle", "nowhere"), code: abi.UnknownHandle, text: `archiving messages: finding the rows to move in nowhere: unknown_handle: no database has the handle "nowhere"`},
		{name: "an unknown destination", payload: payload("keep", 1, "dest_handle", "nowhere"), code: abi.UnknownHandle, text: "in nowhere"},
		{name: "an unknown collection", payload: payload("keep", 1, "collection", "letters"), code: abi.UnknownCollection, text: `archiving letters: finding the rows to move in primary: unknown_collection`},
		{name: "an unknown order column", payload: payload("keep", 1, "order_by", "age"), code: abi.UnknownColumn, text: `no column "age"`},
		{name: "an unknown key column", payload: payload("keep", 1, "key", "uuid"), code: abi.UnknownColumn, text: `no column "uuid"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h, _ := tables(t, 5)
			h.Config(test.config)
			_, err := h.Run(worker, sdktest.TaskOf("archive", test.payload))
			if !errors.Is(err, test.code) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v\nwant %s with %q", err, test.code, test.text)
			}
			checkOnce(t, h, 5, 0)
		})
	}
}

func TestDestinationWithoutTheTableOrAColumn(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	h.Table("primary", "messages", columns).Insert(message(1)...)
	h.Table("archive", "letters", columns)
	_, err := h.Run(worker, sdktest.TaskOf("", payload("keep", 0)))
	if want := `inserting 1 rows (id "377-1" to "377-1") in archive`; !errors.Is(err, abi.UnknownCollection) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want unknown_collection with %q", err, want)
	}
	h.Table("archive", "messages", columns[:4])
	_, err = h.Run(worker, sdktest.TaskOf("", payload("keep", 0)))
	if !errors.Is(err, abi.UnknownColumn) || !strings.Contains(err.Error(), `"media"`) {
		t.Errorf("got %v, want unknown_column with the column's name", err)
	}
	if got := len(h.Rows("primary", "messages")); got != 1 {
		t.Errorf("%d rows in the primary, want 1", got)
	}
}

// A page of large rows ends at its bytes before it has all its rows.
func TestLargeRows(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	live := h.Table("primary", "messages", []string{"id", "timestamp", "media"})
	h.Table("archive", "messages", []string{"id", "timestamp", "media"})
	for i := range 5 {
		live.Insert(i, i, make([]byte, pageBytes*2/3))
	}
	writes := 0
	h.Before(func(c *sdktest.Call) error {
		if len(c.Mutations) > 0 && c.Mutations[0].Verb == abi.InsertNew {
			writes++
		}
		return nil
	})
	if _, err := h.Run(worker, sdktest.TaskOf("", payload("keep", 0, "batch_size", 4))); err != nil {
		t.Fatal(err)
	}
	if got := len(h.Rows("archive", "messages")); got != 5 || writes != 3 {
		t.Errorf("got %d rows in the archive in %d pages, want 5 in 3", got, writes)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	h, _ := tables(t, 20)
	h.FailNext(abi.ImportProgress, abi.Errorf(abi.Cancelled, "the task was cancelled"))
	_, err := h.Run(worker, sdktest.TaskOf("", payload("keep", 0, "batch_size", 5)))
	if !errors.Is(err, abi.Cancelled) {
		t.Errorf("got %v, want cancelled", err)
	}
	checkOnce(t, h, 20, 5)
}
