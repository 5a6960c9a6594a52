package wire

import "github.com/wasmhost/wasmhost/abi"

// Request appends a call on the command path: {name, params}. Params of no
// bytes are left out.
func (w *Writer) Request(q *abi.Request) {
	if len(q.Params) == 0 {
		w.Map(1)
	} else {
		w.Map(2)
	}
	w.key("name")
	w.String(q.Name)
	if len(q.Params) != 0 {
		w.key("params")
		w.Raw(q.Params)
	}
}

// ReadRequest decodes what a guest sent to command. Params are part of b.
func ReadRequest(b []byte) (abi.Request, error) {
	var q abi.Request
	err := request("command", b, func(r *Reader, key string) (bool, error) {
		switch key {
		case "name":
			return true, readString(r, &q.Name)
		case "params":
			if r.Kind() != KindMap {
				return true, ErrType
			}
			return true, readRaw(r, &q.Params)
		}
		return false, nil
	})
	return q, err
}
