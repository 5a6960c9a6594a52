package wire

import (
	"errors"

	"github.com/wasmhost/wasmhost/abi"
)

// Query appends q as the map that rows_open takes; fields with their zero
// value are left out:
//
//	{handle, collection, columns: [name…], where: [[column, op, value]…],
//	 order_by: [[column, "asc"|"desc"]…], limit, after: [value…], until: [value…],
//	 aggregates: [[func, column]…], lookup: bin, key: [name…],
//	 describe: bool, named: name, params: {name: value}}
//
// handle and collection are there even if they are empty, unless the query is
// Named or there is nothing to say with Describe.
//
// It fails only for a value that cannot be sent, and then appends nothing.
func (w *Writer) Query(q *abi.Query) error {
	start := len(w.B)
	if err := w.query(q); err != nil {
		w.B = w.B[:start]
		return err
	}
	return nil
}

func (w *Writer) query(q *abi.Query) error {
	handle := q.Handle != "" || q.Named == ""
	collection := q.Collection != "" || q.Named == "" && !q.Describe
	n := 0
	for _, given := range []bool{
		handle, collection,
		q.Columns != nil, q.Where != nil, q.OrderBy != nil, q.Limit != 0, q.After != nil, q.Until != nil,
		q.Aggregates != nil, q.Lookup != nil, q.Key != nil, q.Describe, q.Named != "", q.Params != nil,
	} {
		if given {
			n++
		}
	}
	w.Map(n)
	if handle {
		w.key("handle")
		w.String(q.Handle)
	}
	if collection {
		w.key("collection")
		w.String(q.Collection)
	}
	if q.Columns != nil {
		w.key("columns")
		w.strings(q.Columns)
	}
	if q.Where != nil {
		w.key("where")
		w.Array(len(q.Where))
		for _, c := range q.Where {
			w.Array(3)
			w.String(c.Column)
			w.String(string(c.Op))
			if err := w.Value(c.Value); err != nil {
				return err
			}
		}
	}
	if q.OrderBy != nil {
		w.key("order_by")
		w.Array(len(q.OrderBy))
		for _, o := range q.OrderBy {
			w.Array(2)
			w.String(o.Column)
			if o.Descending {
				w.String("desc")
			} else {
				w.String("asc")
			}
		}
	}
	if q.Limit != 0 {
		w.key("limit")
		w.Int(q.Limit)
	}
	if q.After != nil {
		w.key("after")
		if err := w.Value(q.After); err != nil {
			return err
		}
	}
	if q.Until != nil {
		w.key("until")
		if err := w.Value(q.Until); err != nil {
			return err
		}
	}
	if q.Aggregates != nil {
		w.key("aggregates")
		w.Array(len(q.Aggregates))
		for _, a := range q.Aggregates {
			w.Array(2)
			w.String(a.Func)
			w.String(a.Column)
		}
	}
	if q.Lookup != nil {
		w.key("lookup")
		w.Bytes(q.Lookup)
	}
	if q.Key != nil {
		w.key("key")
		w.strings(q.Key)
	}
	if q.Describe {
		w.key("describe")
		w.Bool(true)
	}
	if q.Named != "" {
		w.key("named")
		w.String(q.Named)
	}
	if q.Params != nil {
		w.key("params")
		return w.Value(q.Params)
	}
	return nil
}

// ReadQuery decodes what a guest sent to rows_open. Lookup is part of b;
// everything else is a copy. Its errors are abi.InvalidArgument and name the
// field, or abi.LimitExceeded beyond [MaxValues].
func ReadQuery(b []byte) (abi.Query, error) {
	var q abi.Query
	if err := few("query", b); err != nil {
		return q, err
	}
	err := request("query", b, func(r *Reader, key string) (bool, error) {
		switch key {
		case "handle":
			return true, readString(r, &q.Handle)
		case "collection":
			return true, readString(r, &q.Collection)
		case "columns":
			return true, readStrings(r, &q.Columns)
		case "where":
			return true, eachTuple(r, 3, func() error {
				var c abi.Condition
				if err := readString(r, &c.Column); err != nil {
					return err
				}
				op, err := r.String()
				if err != nil {
					return err
				}
				c.Op = abi.Op(op)
				c.Value, err = r.Value()
				q.Where = append(q.Where, c)
				return err
			})
		case "order_by":
			return true, eachTuple(r, 2, func() error {
				var o abi.Order
				if err := readString(r, &o.Column); err != nil {
					return err
				}
				direction, err := r.String()
				if err != nil {
					return err
				}
				switch string(direction) {
				case "asc":
				case "desc":
					o.Descending = true
				default:
					return errors.New("the direction is neither asc nor desc")
				}
				q.OrderBy = append(q.OrderBy, o)
				return nil
			})
		case "limit":
			return true, readInt(r, &q.Limit)
		case "after":
			return true, readValues(r, &q.After)
		case "until":
			return true, readValues(r, &q.Until)
		case "aggregates":
			return true, eachTuple(r, 2, func() error {
				var a abi.Aggregate
				if err := readString(r, &a.Func); err != nil {
					return err
				}
				err := readString(r, &a.Column)
				q.Aggregates = append(q.Aggregates, a)
				return err
			})
		case "lookup":
			var err error
			q.Lookup, err = r.Bytes()
			return true, err
		case "key":
			return true, readStrings(r, &q.Key)
		case "describe":
			var err error
			q.Describe, err = r.Bool()
			return true, err
		case "named":
			return true, readString(r, &q.Named)
		case "params":
			q.Params = map[string]any{}
			return true, eachField(r, func(name string) error {
				if _, twice := q.Params[name]; twice {
					return abi.Errorf(abi.InvalidArgument, "query: parameter %q comes twice", clip(name))
				}
				var err error
				q.Params[name], err = r.Value()
				return err
			})
		}
		return false, nil
	})
	return q, err
}

// eachTuple reads an array of arrays of size elements each.
func eachTuple(r *Reader, size int, tuple func() error) error {
	n, err := r.Array()
	if err != nil {
		return err
	}
	for range n {
		got, err := r.Array()
		if err != nil {
			return err
		}
		if got != size {
			return ErrType
		}
		if err := tuple(); err != nil {
			return err
		}
	}
	return nil
}
