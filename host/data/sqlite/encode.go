package sqlite

import (
	"fmt"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/sqlite/internal/lite"
)

const (
	maxHeader = 5 // bytes of a msgpack head with a length
	maxNumber = 9 // bytes of a msgpack number
)

// rowEncoder encodes the current row of a statement.
type rowEncoder struct {
	st      *lite.Stmt
	columns int
	most    int    // bytes of a row at most
	spill   []byte // the last row, if it did not fit
}

// errRowSize says that a row is longer than rowEncoder.most.
var errRowSize = fmt.Errorf("the row is too long")

// encode appends the row to dst, never beyond its capacity. A row that does
// not fit is in spill instead and fits is false; dst is then unchanged up to
// its length.
func (e *rowEncoder) encode(dst []byte) (_ []byte, fits bool, err error) {
	w := wire.Writer{B: dst}
	start := len(dst)
	fits = true
	// room makes sure that n more bytes can be appended: appends that fit do
	// not move the buffer.
	room := func(n int) error {
		if len(w.B)-start+n > e.most+maxNumber {
			return errRowSize
		}
		if fits && len(w.B)+n > cap(w.B) {
			fits = false
			e.spill = append(e.spill[:0], w.B[start:]...)
			w.B, start = e.spill, 0
		}
		return nil
	}
	if err := room(maxHeader); err != nil {
		return dst, false, err
	}
	w.Array(e.columns)
	for i := range e.columns {
		v := e.st.Column(i)
		switch v.Type() {
		case lite.Integer:
			err = room(maxNumber)
			if err == nil {
				w.Int(v.Int())
			}
		case lite.Float:
			err = room(maxNumber)
			if err == nil {
				w.Float(v.Float())
			}
		case lite.Text:
			b := v.Bytes()
			if err = room(maxHeader + len(b)); err == nil {
				w.StringBytes(b)
			}
		case lite.Blob:
			b := v.Bytes()
			if err = room(maxHeader + len(b)); err == nil {
				w.Bytes(b)
			}
		default:
			if err = room(1); err == nil {
				w.Nil()
			}
		}
		if err != nil {
			return dst, false, err
		}
	}
	if len(w.B)-start > e.most {
		return dst, false, errRowSize
	}
	if !fits {
		e.spill = w.B
		return dst, false, nil
	}
	return w.B, true, nil
}

// header encodes the names of a batch's columns.
func header(names []string) []byte {
	var w wire.Writer
	w.Array(len(names))
	for _, name := range names {
		w.String(name)
	}
	return w.B
}

// rowKey describes the current row of st by its primary key, as far as it is
// among the columns that were asked for.
func rowKey(t *seen, names []string, st *lite.Stmt) string {
	if t == nil {
		return ""
	}
	var parts []string
	for _, k := range t.key {
		for i, name := range names {
			if name == t.columns[k].name {
				parts = append(parts, name+"="+showValue(st.Column(i)))
			}
		}
	}
	return strings.Join(parts, ", ")
}

func showValue(v lite.Value) string {
	switch v.Type() {
	case lite.Integer:
		return fmt.Sprint(v.Int())
	case lite.Float:
		return fmt.Sprint(v.Float())
	case lite.Text:
		return fmt.Sprintf("%q", data.Clip(string(v.Bytes())))
	case lite.Blob:
		return fmt.Sprintf("x'%x'", clipBytes(v.Bytes()))
	}
	return "null"
}

// batchKey is rowKey for a row of a batch.
func batchKey(t *table, key []int, names []string, row []byte) string {
	var parts []string
	r := wire.NewReader(row)
	if _, err := r.Array(); err != nil {
		return ""
	}
	for _, name := range names {
		value, err := r.Raw()
		if err != nil {
			break
		}
		for _, k := range key {
			if t.columns[k].name == name {
				parts = append(parts, name+"="+showRaw(value))
			}
		}
	}
	return strings.Join(parts, ", ")
}

func showRaw(value []byte) string {
	r := wire.NewReader(value)
	switch r.Kind() {
	case wire.KindString:
		b, _ := r.String()
		return fmt.Sprintf("%q", data.Clip(string(b)))
	case wire.KindBytes:
		b, _ := r.Bytes()
		return fmt.Sprintf("x'%x'", clipBytes(b))
	case wire.KindNil:
		return "null"
	}
	v, err := r.Value()
	if err != nil {
		return "?"
	}
	return fmt.Sprint(v)
}

func clipBytes(b []byte) []byte { return b[:min(len(b), 32)] }

// keyed puts a row's key, if there is one, behind the word row.
func keyed(key string) string {
	if key == "" {
		return ""
	}
	return " (" + key + ")"
}

// tooLong is what a row above MaxRowBytes ends a query with.
func (s *Store) tooLong(what string, n int64, key string) error {
	return abi.Errorf(abi.LimitExceeded, "%s: row %d of the query%s takes more than the %d bytes allowed for one",
		what, n, keyed(key), s.cfg.MaxRowBytes)
}
