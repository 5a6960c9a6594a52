package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/embed"
)

const (
	eventProgress = "embedding:progress"
	eventComplete = "embedding:complete"

	// maxText is how many bytes of a text are embedded at most. What stands
	// behind them would hardly move the vector.
	maxText = 1 << 20
)

// embedder is one attempt at one task.
type embedder struct {
	task  *sdk.Task
	at    place
	total int64
	n     counts
	out   *sdk.Batch // the page's rows that get another vector, or none
	vec   []byte
}

// counts is what became of rows. Each row is in one of the first four.
type counts struct {
	embedded int64 // got a vector
	current  int64 // had the right one
	empty    int64 // have nothing that could be embedded: NULL, no known word
	noText   int64 // have a number or a blob for text

	invalid int64 // of those embedded: parts that are no UTF-8 were passed over
	cut     int64 // of those embedded: only the first maxText bytes were
	cleared int64 // of those empty or without text: lost an older text's vector
}

func (c *counts) rows() int64 { return c.embedded + c.current + c.empty + c.noText }

// Embed does one attempt at a task.
func Embed(t *sdk.Task) error {
	at, err := readTask(t)
	if err != nil {
		return err
	}
	e := &embedder{task: t, at: at, out: sdk.NewBatch(at.key, at.vector, at.model, at.dimension, at.hash)}
	e.total, err = t.Data.CountRows(abi.Query{Handle: at.handle, Collection: at.collection})
	if err != nil {
		return e.errorf("counting rows: %w", err)
	}
	q := abi.Query{
		Handle: at.handle, Collection: at.collection,
		Columns: []string{at.key, at.text, at.vector, at.model, at.dimension, at.hash},
		OrderBy: []abi.Order{{Column: at.key}}, Limit: at.batchSize,
	}
	for {
		read, last, err := e.page(q)
		if err != nil {
			return err
		}
		if read > 0 {
			if err := e.report(); err != nil {
				return err
			}
		}
		if read < at.batchSize {
			return e.finish()
		}
		q.After = []any{last}
	}
}

// page reads a page of rows, embeds while it reads, and writes when the query is
// closed: where a database has no write-ahead log, an open one holds off writes.
func (e *embedder) page(q abi.Query) (read int64, last any, err error) {
	e.out.Reset()
	rows, err := e.task.Data.Rows(q)
	if err != nil {
		return 0, nil, e.errorf("reading rows: %w", err)
	}
	for rows.Next() {
		row := rows.Row()
		if last, err = row.Value(e.at.key); err == nil {
			err = e.row(row, last)
		}
		if err != nil {
			_ = rows.Close() // this error is the one to tell
			return 0, nil, e.errorf("the row with %s %v: %w", e.at.key, last, err)
		}
		read++
	}
	if err := rows.Err(); err != nil {
		return 0, nil, e.errorf("reading rows: %w", err)
	}
	if e.out.Len() > 0 {
		_, err = e.task.Data.UpdateRows(e.at.handle, e.at.collection, e.out, e.at.key)
		if err != nil {
			return 0, nil, e.errorf("writing %d vectors: %w", e.out.Len(), err)
		}
	}
	return read, last, nil
}

// row decides what a row needs and adds it to the page's update.
func (e *embedder) row(row *sdk.Row, key any) error {
	// The places are those of the query's columns.
	text, vector, model, dim, hash := row.Field(1), row.Field(2), row.Field(3), row.Field(4), row.Field(5)
	var b []byte
	switch text.Kind() {
	case wire.KindString:
		var err error
		if b, err = text.Bytes(); err != nil {
			return err
		}
	case wire.KindNil:
	default:
		e.n.noText++
		return e.clear(key, vector)
	}
	sum := sha256.Sum256(b)
	want := hex.EncodeToString(sum[:16])
	if current(vector, model, dim, hash, want) {
		e.n.current++
		return nil
	}
	cut := len(b) > maxText
	if cut {
		b = b[:maxText]
	}
	e.vec = embed.Append(e.vec[:0], string(b))
	if len(e.vec) == 0 {
		e.n.empty++
		return e.clear(key, vector)
	}
	e.n.embedded++
	if cut {
		e.n.cut++
		b = b[:len(b)-utf8.UTFMax] // the last character may be cut in two
	}
	if !utf8.Valid(b) {
		e.n.invalid++
	}
	if err := addKey(e.out.Row(), key); err != nil {
		return err
	}
	e.out.Blob(e.vec).Text(embed.Model).Int(embed.Dim).Text(want)
	return nil
}

// current says whether a row has the vector of its text.
func current(vector, model, dim, hash sdk.Field, want string) bool {
	v, err := vector.Bytes()
	if err != nil || len(v) != 4*embed.Dim {
		return false
	}
	m, err := model.Bytes()
	if err != nil || string(m) != embed.Model {
		return false
	}
	n, err := dim.Int()
	if err != nil || n != embed.Dim {
		return false
	}
	h, err := hash.Bytes()
	return err == nil && string(h) == want
}

// clear removes a vector that belonged to an older text.
func (e *embedder) clear(key any, vector sdk.Field) error {
	if vector.IsNull() {
		return nil
	}
	e.n.cleared++
	if err := addKey(e.out.Row(), key); err != nil {
		return err
	}
	e.out.Null().Null().Null().Null()
	return nil
}

func addKey(b *sdk.Batch, key any) error {
	switch key := key.(type) {
	case int64:
		b.Int(key)
	case string:
		b.Text(key)
	case []byte:
		b.Blob(key)
	case float64:
		b.Float(key)
	default:
		return abi.Errorf(abi.InvalidArgument, "the key is NULL, so the row cannot be found again")
	}
	return nil
}

func (e *embedder) summary() map[string]any {
	return map[string]any{
		"taskId": e.task.ID, "collection": e.at.collection, "model": embed.Model, "dimension": int64(embed.Dim),
		"rows": e.n.rows(), "embedded": e.n.embedded, "current": e.n.current, "empty": e.n.empty, "not_text": e.n.noText,
		"invalid_utf8": e.n.invalid, "cut": e.n.cut, "cleared": e.n.cleared,
	}
}

// report tells how far the task is. Pages begin at the same rows in each
// attempt, so their events have the same keys.
func (e *embedder) report() error {
	done := e.n.rows()
	total := max(e.total, done) // rows may have been added since they were counted
	err := e.emit(eventProgress, "progress:"+strconv.FormatInt(done, 10), map[string]any{
		"taskId": e.task.ID, "collection": e.at.collection, "done": done, "total": total,
	})
	if err != nil {
		return err
	}
	if err := e.task.Progress(done, total); err != nil {
		return e.errorf("reporting progress: %w", err)
	}
	return nil
}

func (e *embedder) finish() error {
	summary := e.summary()
	if err := e.emit(eventComplete, "complete", summary); err != nil {
		return err
	}
	return e.task.Return(summary)
}

func (e *embedder) emit(name, key string, data map[string]any) error {
	err := e.task.Commands.EmitEvents(sdk.Event{Name: name, Key: e.task.ID + ":" + key, Data: data})
	if err != nil {
		return e.errorf("emitting %s: %w", name, err)
	}
	return nil
}

// errorf says which collection an error is about. The code is that of the error
// it wraps.
func (e *embedder) errorf(format string, args ...any) error {
	return fmt.Errorf("embedding %s: %w", strings.Join([]string{e.at.handle, e.at.collection}, "."), fmt.Errorf(format, args...))
}
