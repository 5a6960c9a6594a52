package data

import (
	"context"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// list is a cursor over rows that are in memory.
type list struct {
	header []byte
	rows   [][]byte
	budget *Budget
	closed bool
}

// List returns a cursor over a few rows, whose values must be scalars.
func List(columns []string, rows [][]any, scope *Scope) (Cursor, error) {
	l := &list{budget: scope.Budget}
	var w wire.Writer
	if err := w.Value(columns); err != nil {
		return nil, err
	}
	l.header = w.B
	for _, row := range rows {
		var w wire.Writer
		if err := w.Value(row); err != nil {
			return nil, err
		}
		l.rows = append(l.rows, w.B)
	}
	return l, nil
}

// Next implements [Cursor].
func (l *list) Next(ctx context.Context, dst []byte) (int, error) {
	if l.closed {
		return 0, abi.Errorf(abi.InvalidArgument, "the cursor was closed")
	}
	if err := ctx.Err(); err != nil {
		return 0, abi.Errorf(abi.CodeOf(err), "%w", err)
	}
	if len(l.rows) == 0 {
		return 0, nil
	}
	if err := l.budget.Spent(); err != nil {
		return 0, err
	}
	if size := len(l.header) + len(l.rows[0]); size > len(dst) {
		return 0, &RowTooLargeError{Size: size}
	}
	used, n := copy(dst, l.header), int64(0)
	for most := l.budget.Left(); n < most && len(l.rows) > 0 && len(l.rows[0]) <= len(dst)-used; n++ {
		used += copy(dst[used:], l.rows[0])
		l.rows = l.rows[1:]
	}
	l.budget.Read(n)
	return used, nil
}

// Close implements [Cursor].
func (l *list) Close() error {
	l.closed = true
	return nil
}
