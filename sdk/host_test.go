package sdk

import (
	"errors"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// fakeHost answers as it is told to.
type fakeHost struct {
	result  abi.Result // of every call but pending
	answer  []byte     // what calls put into the buffer
	pending func(buf []byte) abi.Result
}

func (h *fakeHost) RowsOpen([]byte) abi.Result          { return abi.Pack(abi.OK, 1) }
func (h *fakeHost) RowsClose(uint32) abi.Result         { return 0 }
func (h *fakeHost) Progress(int64, int64) abi.Result    { return h.result }
func (h *fakeHost) Log(abi.Level, []byte)               {}
func (h *fakeHost) TaskReturn([]byte) abi.Result        { return 0 }
func (h *fakeHost) Pending(buf []byte) abi.Result       { return h.pending(buf) }
func (h *fakeHost) Command(_, buf []byte) abi.Result    { return h.put(buf) }
func (h *fakeHost) RowsWrite(_, _, b []byte) abi.Result { return h.put(b) }

func (h *fakeHost) RowsNext(_ uint32, buf []byte) abi.Result { return h.put(buf) }

func (h *fakeHost) put(buf []byte) abi.Result {
	if h.result != 0 {
		return h.result
	}
	return abi.Pack(abi.OK, uint32(copy(buf, h.answer)))
}

func newFakeTask(h *fakeHost) *Task { return newTask(&port{host: h}, &abi.Task{}) }

// A host that does not keep to the contract is an error that says so.
func TestHostThatBreaksTheContract(t *testing.T) {
	t.Parallel()
	half := func(buf []byte) abi.Result { return abi.Pack(abi.OK, uint32(len(buf)/2)) }
	tests := []struct {
		name string
		host fakeHost
		call func(t *Task) error
		want string
	}{
		{
			name: "more bytes than the buffer has",
			host: fakeHost{result: abi.Pack(abi.OK, 1<<30)},
			call: func(t *Task) error { _, err := t.Commands.Execute("x", nil); return err },
			want: "command: the host claims 1073741824 bytes in a buffer of 4096",
		},
		{
			name: "pending gives less than announced",
			host: fakeHost{result: abi.Pack(abi.BufferTooSmall, 10), pending: half},
			call: func(t *Task) error { _, err := t.Commands.Execute("x", nil); return err },
			want: "command: the host announced 10 bytes, then pending gave code ok and 5 bytes",
		},
		{
			name: "an error's text that is not there",
			host: fakeHost{result: abi.Pack(abi.Conflict, 8), pending: half},
			call: func(t *Task) error { _, err := t.Data.Write(abi.Mutation{}, nil); return err },
			want: "rows_write: the host announced 8 bytes",
		},
		{
			name: "an error without a text",
			host: fakeHost{result: abi.Pack(abi.Cancelled, 0)},
			call: func(t *Task) error { return t.Progress(1, 2) },
			want: "cancelled: progress: the host gave no reason",
		},
		{
			name: "a command's answer that is no msgpack",
			host: fakeHost{answer: []byte{0xc1}},
			call: func(t *Task) error { _, err := t.Commands.Execute("x", nil); return err },
			want: "x: the host's answer",
		},
		{
			name: "two values as a command's answer",
			host: fakeHost{answer: []byte{1, 2}},
			call: func(t *Task) error { _, err := t.Commands.Execute("x", nil); return err },
			want: "x: the host's answer",
		},
		{
			name: "no result of a write",
			host: fakeHost{answer: []byte{0x90}},
			call: func(t *Task) error { _, err := t.Data.Write(abi.Mutation{}, nil); return err },
			want: "rows_write: the host answered 0 results for 1 mutations",
		},
		{
			name: "results that are no msgpack",
			host: fakeHost{answer: []byte{0x91, 0xc1}},
			call: func(t *Task) error { _, err := t.Data.Write(abi.Mutation{}, nil); return err },
			want: "rows_write: the host's answer",
		},
		{
			name: "rows that are no batch",
			host: fakeHost{answer: []byte{0xc0}},
			call: func(t *Task) error { _, err := t.Data.ListRows(abi.Query{}); return err },
			want: "batch: column names",
		},
		{
			name: "a row cut off",
			host: fakeHost{answer: []byte{0x91, 0xa1, 'a', 0x91}},
			call: func(t *Task) error { _, err := t.Data.ListRows(abi.Query{}); return err },
			want: "batch: row 0",
		},
		{
			name: "a count that is text",
			host: fakeHost{answer: []byte{0x91, 0xa1, 'a', 0x91, 0xa1, '9'}},
			call: func(t *Task) error { _, err := t.Data.CountRows(abi.Query{}); return err },
			want: "the host's answer is no integer",
		},
		{
			name: "a count of no row",
			host: fakeHost{},
			call: func(t *Task) error { _, err := t.Data.CountRows(abi.Query{}); return err },
			want: "the host's answer has no row",
		},
		{
			name: "a count of two columns",
			host: fakeHost{answer: []byte{0x92, 0xa1, 'a', 0xa1, 'b', 0x92, 1, 2}},
			call: func(t *Task) error { _, err := t.Data.CountRows(abi.Query{}); return err },
			want: "the host's answer has 2 values",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := test.call(newFakeTask(&test.host))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestServeGarbage(t *testing.T) {
	t.Parallel()
	w := WorkerFunc(func(*Task) error { return errors.New("must not run") })
	for _, input := range []string{"", "\xc1", "\x81\xa2id", "\x81\xa2id\x07"} {
		if got := Serve(&fakeHost{}, w, []byte(input)); got != abi.InvalidArgument {
			t.Errorf("input %q: got %s, want invalid_argument", input, got)
		}
	}
}

// Moving rows as they are costs no memory for each batch, whatever its size.
func TestRawBatchesDoNotAllocate(t *testing.T) {
	b := NewBatch("id", "body")
	for i := range int64(100) {
		b.Row().Int(i).Text("some text that stands for a message")
	}
	h := &fakeHost{answer: b.w.B}
	task := newFakeTask(h)
	batches, err := task.Data.Batches(abi.Query{Handle: "primary", Collection: "notes"}, make([]byte, 64<<10))
	if err != nil {
		t.Fatal(err)
	}
	if got := testing.AllocsPerRun(100, func() {
		if raw, err := batches.NextBatch(); err != nil || len(raw) != len(h.answer) {
			t.Fatal(len(raw), err)
		}
	}); got != 0 {
		t.Errorf("NextBatch: got %v allocations, want none", got)
	}

	raw := h.answer
	var w wire.Writer
	w.WriteResults([]abi.WriteResult{{Applied: 100}})
	h.answer = w.B
	m := abi.Mutation{Handle: "archive", Collection: "notes", Verb: abi.InsertNew}
	if got := testing.AllocsPerRun(100, func() {
		if res, err := task.Data.Write(m, raw); err != nil || res.Applied != 100 {
			t.Fatal(res, err)
		}
	}); got > 4 {
		t.Errorf("Write: got %v allocations, want 4 at most: for the result and for keys of its map", got)
	}
}

// A decoded row costs no memory but for the text that is asked for.
func TestRowsDoNotAllocate(t *testing.T) {
	b := NewBatch("id", "body", "stars")
	for i := range int64(1000) {
		b.Row().Int(i).Text("some text").Float(0.5)
	}
	task := newFakeTask(&fakeHost{answer: b.w.B})
	rows, err := task.Data.Rows(abi.Query{Handle: "primary", Collection: "notes"})
	if err != nil {
		t.Fatal(err)
	}
	rows.Next() // the first allocates what all rows share
	if got := testing.AllocsPerRun(900, func() {
		if !rows.Next() {
			t.Fatal(rows.Err())
		}
		row := rows.Row()
		_, err1 := row.Float("stars")
		_, err2 := row.Bytes("body")
		_, err3 := row.Int("id")
		if err1 != nil || err2 != nil || err3 != nil {
			t.Fatal(err1, err2, err3)
		}
	}); got != 0 {
		t.Errorf("got %v allocations for each row, want none", got)
	}
}

func BenchmarkNextBatchAndWrite(b *testing.B) {
	rows := NewBatch("id", "body")
	for i := range int64(1000) {
		rows.Row().Int(i).Text(strings.Repeat("x", 380))
	}
	h := &fakeHost{}
	task := newFakeTask(h)
	batches, err := task.Data.Batches(abi.Query{}, make([]byte, 1<<20))
	if err != nil {
		b.Fatal(err)
	}
	var w wire.Writer
	w.WriteResults([]abi.WriteResult{{Applied: 1000}})
	b.SetBytes(int64(len(rows.w.B)))
	b.ReportAllocs()
	for b.Loop() {
		h.answer = rows.w.B
		raw, err := batches.NextBatch()
		if err != nil {
			b.Fatal(err)
		}
		h.answer = w.B
		if _, err := task.Data.Write(abi.Mutation{Handle: "archive", Collection: "notes", Verb: abi.InsertNew}, raw); err != nil {
			b.Fatal(err)
		}
	}
}
