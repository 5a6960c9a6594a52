package datatest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
)

func testBuffers(t *testing.T, open opener) {
	s := open(t, `CREATE TABLE bodies (id BIGINT PRIMARY KEY, body TEXT)`)
	columns := strs("id", "body")
	var rows []row
	for i := range 40 {
		rows = append(rows, row{int64(i), strings.Repeat("b", i*7%90)})
	}
	insert(t, s, "bodies", columns, rows...)
	q := abi.Query{Collection: "bodies", OrderBy: by("id")}

	t.Run("every size of buffer gives the same rows", func(t *testing.T) {
		for size := 110; size < 600; size += 7 {
			_, got := Read(t, s, q, size)
			sameRows(t, got, rows)
		}
	})

	t.Run("a row over the buffer waits for a larger one", func(t *testing.T) {
		lookups := abi.Query{Collection: "bodies", Lookup: Batch(strs("id"), row{int64(1)}, row{int64(12)}, row{int64(13)})}
		for name, q := range map[string]abi.Query{"query": {Collection: "bodies", OrderBy: by("id"), Where: where("id", abi.In, []any{int64(1), int64(12), int64(13)})}, "lookup": lookups} {
			c, err := s.Open(testContext(t), &q, data.Everything())
			if err != nil {
				t.Fatal(err)
			}
			var got []row
			for _, size := range []int{0, 1, 9, 15, 22, 90, 95, 98, 101, 200} {
				buf := make([]byte, size, size+200) // what lies behind len is not Next's
				tail := buf[size : size+200]
				n, err := c.Next(testContext(t), buf)
				var tooLarge *data.RowTooLargeError
				switch {
				case errors.As(err, &tooLarge):
					if !errors.Is(err, abi.BufferTooSmall) || n != 0 {
						t.Errorf("%s: got n %d and error %v that is no BufferTooSmall", name, n, err)
					}
					if tooLarge.Size <= size {
						t.Errorf("%s: size %d was asked for with %d given", name, tooLarge.Size, size)
					}
					exact := make([]byte, tooLarge.Size)
					if n, err = c.Next(testContext(t), exact); err != nil || n != tooLarge.Size {
						t.Fatalf("%s: Next with the size it asked for: %d, %v", name, n, err)
					}
					_, more := Decode(t, exact[:n])
					got = append(got, more...)
				case err != nil:
					t.Fatalf("%s: %v", name, err)
				case n > 0:
					_, more := Decode(t, buf[:n])
					got = append(got, more...)
				}
				for i, b := range tail {
					if b != 0 {
						t.Fatalf("%s: byte %d behind a buffer of %d was written", name, i, size)
					}
				}
			}
			sameRows(t, got, list(rows[1], rows[12], rows[13]))
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})

	t.Run("after the end comes the end", func(t *testing.T) {
		c, err := s.Open(testContext(t), &abi.Query{Collection: "bodies", Limit: 1}, data.Everything())
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1024)
		for i, more := range []bool{true, false, false} {
			if n, err := c.Next(testContext(t), buf); err != nil || (n > 0) != more {
				t.Errorf("call %d: %d, %v", i, n, err)
			}
		}
		for range 2 {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})

	t.Run("a closed cursor", func(t *testing.T) {
		c, err := s.Open(testContext(t), &q, data.Everything())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = c.Next(testContext(t), make([]byte, 1024))
		WantError(t, err, abi.InvalidArgument, "closed")
	})
}

func testCancel(t *testing.T, open opener) {
	s := open(t, notes)
	insert(t, s, "notes", notesColumns, row{"a", nil, "a", nil})
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	expired, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	for name, test := range map[string]struct {
		ctx  context.Context
		code abi.Code
	}{
		"cancelled": {cancelled, abi.Cancelled},
		"expired":   {expired, abi.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Write(test.ctx, []abi.Mutation{{Collection: "notes", Verb: abi.Delete}}, Batch(strs("id"), row{"a"}), data.Everything())
			WantError(t, err, test.code)
			_, err = s.Write(test.ctx, []abi.Mutation{{Collection: "notes", Verb: abi.Delete}}, nil, data.Everything()) // also with nothing to do
			WantError(t, err, test.code)
			if _, err = s.Open(test.ctx, &abi.Query{Collection: "notes"}, data.Everything()); err == nil {
				t.Error("Open succeeded")
			}
			WantError(t, err, test.code)

			c, err := s.Open(testContext(t), &abi.Query{Collection: "notes"}, data.Everything())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for range 2 { // the error stays
				_, err = c.Next(test.ctx, make([]byte, 1024))
				WantError(t, err, test.code)
			}
			want(t, s, abi.Query{Collection: "notes", Columns: strs("id")}, list(row{"a"}))
		})
	}
}

func testClosed(t *testing.T, open opener) {
	s := open(t, notes)
	insert(t, s, "notes", notesColumns, row{"a", nil, "a", nil})
	c, err := s.Open(testContext(t), &abi.Query{Collection: "notes"}, data.Everything())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	_, err = c.Next(testContext(t), make([]byte, 1024))
	WantError(t, err, abi.Unavailable)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	_, err = s.Open(testContext(t), &abi.Query{Collection: "notes"}, data.Everything())
	WantError(t, err, abi.Unavailable)
	_, err = s.Write(testContext(t), []abi.Mutation{{Collection: "notes", Verb: abi.Delete}}, Batch(strs("id"), row{"a"}), data.Everything())
	WantError(t, err, abi.Unavailable)
}
