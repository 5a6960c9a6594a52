package wire_test

import (
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi/wire"
)

// A row as chats have it: a few ids and times, a text, numbers, NULLs.
var (
	chatID   = []byte("0b6f2c1e-6a52-4a1c-9c1a-2f7d0a1b3c4d")
	chatTime = []byte("2025-12-16T04:32:10.908Z")
	chatText = []byte(strings.Repeat("It is a truth universally acknowledged. ", 5))
)

const chatColumns = 12

func writeChatRow(w *wire.Writer) {
	w.Array(chatColumns)
	w.StringBytes(chatID)
	w.StringBytes(chatTime)
	w.StringBytes(chatTime)
	w.Float(1)
	w.StringBytes(chatID)
	w.StringBytes(chatID)
	w.String("Elizabeth")
	w.StringBytes(chatText)
	w.Int(1_766_000_000_000)
	w.Nil()
	w.Bytes(chatID)
	w.Nil()
}

func chatRow() []byte {
	var w wire.Writer
	writeChatRow(&w)
	return w.B
}

func chatBatch(rows int) []byte {
	var w wire.Writer
	w.Array(chatColumns)
	for _, name := range []string{"id", "created_at", "updated_at", "version", "room_id", "sender_id",
		"sender_name", "content", "timestamp", "edited_at", "digest", "reply_to_id"} {
		w.String(name)
	}
	for range rows {
		writeChatRow(&w)
	}
	return w.B
}

func perRow(b *testing.B, rows int) {
	b.ReportMetric(float64(b.N)*float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkWriterRow(b *testing.B) {
	w := wire.Writer{B: make([]byte, 0, 4096)}
	b.SetBytes(int64(len(chatRow())))
	b.ReportAllocs()
	for b.Loop() {
		w.B = w.B[:0]
		writeChatRow(&w)
	}
	perRow(b, 1)
}

// BenchmarkReaderRow reads each value by its kind, as the SDK does.
func BenchmarkReaderRow(b *testing.B) {
	row := chatRow()
	b.SetBytes(int64(len(row)))
	b.ReportAllocs()
	total := 0
	for b.Loop() {
		r := wire.NewReader(row)
		n, err := r.Array()
		if err != nil {
			b.Fatal(err)
		}
		for range n {
			switch r.Kind() {
			case wire.KindString:
				s, err := r.String()
				if err != nil {
					b.Fatal(err)
				}
				total += len(s)
			case wire.KindInt:
				if _, err := r.Int(); err != nil {
					b.Fatal(err)
				}
			default:
				if err := r.Skip(); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	perRow(b, 1)
	if total == 0 {
		b.Fatal("no text was read")
	}
}

// BenchmarkBatchWalk is what a worker that forwards rows pays for them at most.
func BenchmarkBatchWalk(b *testing.B) {
	const rows = 1000
	batch := chatBatch(rows)
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		walk, err := wire.OpenBatch(batch)
		n := 0
		for walk.Next() {
			n++
		}
		if err != nil || walk.Err() != nil || n != rows {
			b.Fatal(n, err, walk.Err())
		}
	}
	perRow(b, rows)
}

func BenchmarkReaderValue(b *testing.B) {
	row := chatRow()
	b.SetBytes(int64(len(row)))
	b.ReportAllocs()
	for b.Loop() {
		r := wire.NewReader(row)
		if _, err := r.Value(); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b, 1)
}
