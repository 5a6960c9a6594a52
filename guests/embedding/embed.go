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
	eventFailed   = "embedding:failed"

	// maxText is how many bytes of a text are embedded at most. What stands
	// behind them would hardly move the vector.
	maxText = 1 << 20

	// maxWaiting is how many bytes of text a page reads, to within one text: they
	// are in memory until the model has them.
	maxWaiting = 4 << 20

	maxNamed = 10 // rows that failed
)

// embedder is one attempt at one task.
type embedder struct {
	task   *sdk.Task
	at     place
	model  model
	total  int64
	n      counts
	vector []float32 // one that is looked at
	failed []string  // the first rows that have an error of their own, and why

	waiting []waiting  // the page's texts that need a vector
	out     *sdk.Batch // the page's rows that get another vector, or none
}

// waiting is a text that needs a vector.
type waiting struct {
	key     any
	text    string
	hash    string // of the whole text, of which this may be the beginning
	cut     bool
	invalid bool
	stale   bool // the row has a vector
}

// counts is what became of rows. Each row is in one of the first five.
type counts struct {
	embedded int64 // got a vector
	current  int64 // had the right one
	empty    int64 // have nothing that could be embedded: NULL, no known word
	noText   int64 // have a number or a blob for text
	failed   int64 // have a text that the model refused

	invalid int64 // of those embedded: parts that are no UTF-8 were passed over
	cut     int64 // of those embedded: only the first maxText bytes were
	cleared int64 // of those not embedded: lost an older text's vector
}

func (c *counts) rows() int64 { return c.embedded + c.current + c.empty + c.noText + c.failed }

// Embed does one attempt at a task.
func Embed(t *sdk.Task) error {
	at, err := readTask(t)
	if err != nil {
		return err
	}
	e := &embedder{task: t, at: at, out: sdk.NewBatch(at.key, at.vector, at.model, at.dimension, at.hash)}
	if e.model, err = configuredModel(t); err != nil {
		return err
	}
	if e.model.dimension() == 0 {
		// Which rows have its vectors already can be told when it has made one.
		if _, err := e.model.embed([]string{"dimension"}); err != nil {
			return err
		}
	}
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
		if last == nil {
			return e.finish()
		}
		q.After = []any{last}
	}
}

// page reads a page of rows, and embeds and writes when the query is closed: where
// a database has no write-ahead log, an open one holds off writes. last is the key
// to go on behind, nil at the end.
func (e *embedder) page(q abi.Query) (read int64, last any, err error) {
	e.out.Reset()
	e.waiting = e.waiting[:0]
	rows, err := e.task.Data.Rows(q)
	if err != nil {
		return 0, nil, e.errorf("reading rows: %w", err)
	}
	bytes := 0
	for bytes < maxWaiting && rows.Next() {
		row := rows.Row()
		var n int
		if last, err = row.Value(e.at.key); err == nil {
			n, err = e.row(row, last)
		}
		if err != nil {
			_ = rows.Close() // this error is the one to tell
			return 0, nil, e.errorf("the row with %s %v: %w", e.at.key, last, err)
		}
		bytes += n
		read++
	}
	if err := rows.Err(); err != nil {
		return 0, nil, e.errorf("reading rows: %w", err)
	}
	if err := rows.Close(); err != nil {
		return 0, nil, e.errorf("reading rows: %w", err)
	}
	if read < q.Limit && bytes < maxWaiting {
		last = nil
	}
	if err := e.embed(); err != nil {
		return 0, nil, err
	}
	if e.out.Len() > 0 {
		_, err = e.task.Data.UpdateRows(e.at.handle, e.at.collection, e.out, e.at.key)
		if err != nil {
			return 0, nil, e.errorf("writing %d vectors: %w", e.out.Len(), err)
		}
	}
	return read, last, nil
}

// row decides what a row needs, and returns how many bytes of its text count.
func (e *embedder) row(row *sdk.Row, key any) (size int, err error) {
	// The places are those of the query's columns.
	text, vector, model, dim, hash := row.Field(1), row.Field(2), row.Field(3), row.Field(4), row.Field(5)
	var b []byte
	switch text.Kind() {
	case wire.KindString:
		if b, err = text.Bytes(); err != nil {
			return 0, err
		}
	case wire.KindNil:
	default:
		e.n.noText++
		return 0, e.clear(key, !vector.IsNull())
	}
	size = min(len(b), maxText)
	sum := sha256.Sum256(b)
	want := hex.EncodeToString(sum[:16])
	if e.current(vector, model, dim, hash, want) {
		e.n.current++
		return size, nil
	}
	w := waiting{key: key, text: string(b[:size]), hash: want, cut: len(b) > maxText, stale: !vector.IsNull()}
	if w.cut {
		b = b[:maxText-utf8.UTFMax] // the last character may be cut in two
	}
	w.invalid = !utf8.Valid(b)
	e.waiting = append(e.waiting, w)
	return size, nil
}

// current says whether a row has the vector of its text.
func (e *embedder) current(vector, model, dim, hash sdk.Field, want string) bool {
	v, err := vector.Bytes()
	if err != nil || len(v) != 4*e.model.dimension() {
		return false
	}
	m, err := model.Bytes()
	if err != nil || string(m) != e.model.name() {
		return false
	}
	n, err := dim.Int()
	if err != nil || n != int64(e.model.dimension()) {
		return false
	}
	h, err := hash.Bytes()
	if err != nil || string(h) != want {
		return false
	}
	if len(e.vector) != e.model.dimension() {
		e.vector = make([]float32, e.model.dimension())
	}
	return embed.Decode(e.vector, v)
}

// embed embeds the texts that wait, and adds what becomes of their rows to the
// page's update.
func (e *embedder) embed() error {
	if len(e.waiting) == 0 {
		return nil
	}
	texts := make([]string, len(e.waiting))
	for i := range e.waiting {
		texts[i] = e.waiting[i].text
	}
	vectors, err := e.model.embed(texts)
	if err != nil {
		return e.errorf("the %d texts from %s %v on: %w", len(texts), e.at.key, e.waiting[0].key, err)
	}
	for i, v := range vectors {
		if err := e.add(&e.waiting[i], v); err != nil {
			return e.errorf("the row with %s %v: %w", e.at.key, e.waiting[i].key, err)
		}
	}
	return nil
}

func (e *embedder) add(w *waiting, v vector) error {
	switch {
	case v.err != nil:
		e.n.failed++
		if len(e.failed) < maxNamed {
			e.failed = append(e.failed, fmt.Sprintf("%v (%s)", w.key, abi.MessageOf(v.err)))
		}
		return e.clear(w.key, w.stale)
	case v.bytes == nil:
		e.n.empty++
		return e.clear(w.key, w.stale)
	}
	e.n.embedded++
	if w.cut {
		e.n.cut++
	}
	if w.invalid {
		e.n.invalid++
	}
	if err := addKey(e.out.Row(), w.key); err != nil {
		return err
	}
	e.out.Blob(v.bytes).Text(e.model.name()).Int(int64(e.model.dimension())).Text(w.hash)
	return nil
}

// clear removes a vector that belonged to an older text.
func (e *embedder) clear(key any, stale bool) error {
	if !stale {
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
	m := map[string]any{
		"taskId": e.task.ID, "collection": e.at.collection, "model": e.model.name(), "dimension": int64(e.model.dimension()),
		"rows": e.n.rows(), "embedded": e.n.embedded, "current": e.n.current, "empty": e.n.empty, "not_text": e.n.noText,
		"failed": e.n.failed, "invalid_utf8": e.n.invalid, "cut": e.n.cut, "cleared": e.n.cleared,
	}
	if h, ok := e.model.(*hosted); ok && h.usage != nil {
		m["usage"] = h.usage
	}
	return m
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
	if e.n.failed > 0 {
		if err := e.emit(eventFailed, "failed", summary); err != nil {
			return err
		}
		return sdk.Permanent(e.errorf("%d of %d rows have no vector, and all others that can have one do: %s",
			e.n.failed, e.n.rows(), strings.Join(e.failed, "; ")))
	}
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
