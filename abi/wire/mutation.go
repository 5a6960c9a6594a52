package wire

import "github.com/wasmhost/wasmhost/abi"

// Mutations appends the head of an atomic batch, an array of maps; fields with
// their zero value are left out:
//
//	[{handle, collection, op, columns: [name…], key: [name…], expect: [name…], size}…]
func (w *Writer) Mutations(ms ...abi.Mutation) {
	w.Array(len(ms))
	for i := range ms {
		w.mutation(&ms[i])
	}
}

func (w *Writer) mutation(m *abi.Mutation) {
	n := 3
	for _, given := range []bool{m.Columns != nil, m.Key != nil, m.Expect != nil, m.Size != 0} {
		if given {
			n++
		}
	}
	w.Map(n)
	w.key("handle")
	w.String(m.Handle)
	w.key("collection")
	w.String(m.Collection)
	w.key("op")
	w.String(string(m.Verb))
	if m.Columns != nil {
		w.key("columns")
		w.strings(m.Columns)
	}
	if m.Key != nil {
		w.key("key")
		w.strings(m.Key)
	}
	if m.Expect != nil {
		w.key("expect")
		w.strings(m.Expect)
	}
	if m.Size != 0 {
		w.key("size")
		w.Int(m.Size)
	}
}

// ReadMutations decodes the head of an atomic batch. Its errors are
// abi.InvalidArgument and name the field, or abi.LimitExceeded beyond
// [MaxValues].
func ReadMutations(b []byte) ([]abi.Mutation, error) {
	const what = "mutation"
	if err := few(what, b); err != nil {
		return nil, err
	}
	r := NewReader(b)
	n, err := r.Array()
	if err != nil {
		return nil, invalid(what, err)
	}
	var ms []abi.Mutation
	for range n {
		var m abi.Mutation
		err := fields(what, &r, func(r *Reader, key string) (bool, error) {
			switch key {
			case "handle":
				return true, readString(r, &m.Handle)
			case "collection":
				return true, readString(r, &m.Collection)
			case "op":
				verb, err := r.String()
				m.Verb = abi.Verb(verb)
				return true, err
			case "columns":
				return true, readStrings(r, &m.Columns)
			case "key":
				return true, readStrings(r, &m.Key)
			case "expect":
				return true, readStrings(r, &m.Expect)
			case "size":
				return true, readInt(r, &m.Size)
			}
			return false, nil
		})
		if err != nil {
			return nil, invalid(what, err)
		}
		ms = append(ms, m)
	}
	return ms, invalid(what, r.End())
}

// WriteResults appends what rows_write answers: [{applied, unapplied: [index…]}…],
// one map for each mutation.
func (w *Writer) WriteResults(results []abi.WriteResult) {
	w.Array(len(results))
	for _, res := range results {
		w.Map(2)
		w.key("applied")
		w.Int(res.Applied)
		w.key("unapplied")
		w.Array(len(res.Unapplied))
		for _, i := range res.Unapplied {
			w.Int(i)
		}
	}
}

// ReadWriteResults decodes what rows_write answered.
func ReadWriteResults(b []byte) ([]abi.WriteResult, error) {
	r := NewReader(b)
	n, err := r.Array()
	if err != nil {
		return nil, invalid("write result", err)
	}
	results := make([]abi.WriteResult, 0, min(n, eager))
	for range n {
		var res abi.WriteResult
		err := eachField(&r, func(key string) error {
			switch key {
			case "applied":
				return readInt(&r, &res.Applied)
			case "unapplied":
				n, err := r.Array()
				if err != nil {
					return err
				}
				for range n {
					index, err := r.Int()
					if err != nil {
						return err
					}
					res.Unapplied = append(res.Unapplied, index)
				}
				return nil
			}
			return r.Skip()
		})
		if err != nil {
			return nil, invalid("write result", err)
		}
		results = append(results, res)
	}
	return results, nil
}
