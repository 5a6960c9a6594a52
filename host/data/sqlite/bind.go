package sqlite

import (
	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/sqlite/internal/lite"
)

// binder sets the parameters of a statement from the rows of a batch, without
// making Go values of them.
type binder struct {
	byName map[string]int // the batch's columns
	params []int          // the parameter of each, counted from 1, or 0
	n      int
	end    int // of the columns that have a parameter
}

// openBatch is wire.OpenBatch with a limit on the columns, which would each
// take many times the memory of their bytes.
func openBatch(b []byte) (wire.Batch, error) {
	r := wire.NewReader(b)
	if n, err := r.Array(); err == nil && n > data.MaxColumns {
		return wire.Batch{}, abi.Errorf(abi.LimitExceeded, "the batch has %d columns, at most %d", n, data.MaxColumns)
	}
	return wire.OpenBatch(b)
}

func newBinder(columns []string) (binder, error) {
	b := binder{byName: make(map[string]int, len(columns)), params: make([]int, len(columns))}
	for i, name := range columns {
		if _, twice := b.byName[name]; twice {
			return binder{}, abi.Errorf(abi.InvalidArgument, "the batch has column %q twice", data.Clip(name))
		}
		b.byName[name] = i
	}
	return b, nil
}

// param returns the number of the parameter for a column of the batch.
func (b *binder) param(name string) (int, error) {
	i, ok := b.byName[name]
	if !ok {
		return 0, abi.Errorf(abi.InvalidArgument, "the batch has no column %q", data.Clip(name))
	}
	if b.params[i] == 0 {
		b.n++
		b.params[i] = b.n
		b.end = max(b.end, i+1)
	}
	return b.params[i], nil
}

// bind sets the parameters from a row. They stay bound to staging memory until
// the next row or st.Clear.
func (b *binder) bind(st *lite.Stmt, row []byte) error {
	if err := st.Stage(row); err != nil {
		return err
	}
	r := wire.NewReader(row)
	if _, err := r.Array(); err != nil {
		return invalid(err)
	}
	for _, p := range b.params[:b.end] {
		if p == 0 {
			if err := r.Skip(); err != nil {
				return invalid(err)
			}
			continue
		}
		if err := bindValue(st, p, &r); err != nil {
			return err
		}
	}
	return nil
}

// bindValue sets parameter p to the next value of r, which reads what was
// staged.
func bindValue(st *lite.Stmt, p int, r *wire.Reader) error {
	switch r.Kind() {
	case wire.KindNil:
		r.Nil()
		return st.BindNull(p)
	case wire.KindInt:
		v, err := r.Int()
		if err != nil {
			return invalid(err)
		}
		return st.BindInt(p, v)
	case wire.KindFloat:
		v, err := r.Float()
		if err != nil {
			return invalid(err)
		}
		return st.BindFloat(p, v)
	case wire.KindString:
		b, err := r.String()
		if err != nil {
			return invalid(err)
		}
		return st.BindText(p, r.Offset()-len(b), len(b))
	case wire.KindBytes:
		b, err := r.Bytes()
		if err != nil {
			return invalid(err)
		}
		return st.BindBlob(p, r.Offset()-len(b), len(b))
	case wire.KindBool:
		v, err := r.Bool()
		if err != nil {
			return invalid(err)
		}
		return st.BindInt(p, boolInt(v))
	}
	return invalid(wire.ErrType)
}

func invalid(err error) error { return abi.Errorf(abi.InvalidArgument, "%w", err) }
