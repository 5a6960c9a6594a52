package wire

import (
	"errors"
	"slices"

	"github.com/wasmhost/wasmhost/abi"
)

// Strictness of the decoders: the host refuses a request with a field it does
// not know, since the guest must have meant something by it; a guest passes
// over fields it does not know, so that a newer host can send more.

// eachField reads a map and calls field for each key with r at its value,
// which field must read.
func eachField(r *Reader, field func(key string) error) error {
	n, err := r.Map()
	if err != nil {
		return err
	}
	for range n {
		key, err := r.String()
		if err != nil {
			return errKey(err)
		}
		if err := field(string(key)); err != nil {
			return err
		}
	}
	return nil
}

// request decodes what a guest sent: one map and nothing behind it.
func request(what string, b []byte, field func(r *Reader, key string) (known bool, err error)) error {
	r := NewReader(b)
	err := fields(what, &r, field)
	if err == nil {
		err = r.End()
	}
	return invalid(what, err)
}

// MaxValues is how many msgpack values a query or the head of a batch may be
// made of, names and lists included. A value of one byte on the wire can take a
// hundred in memory, so a bound on the bytes alone would not bound the host's
// memory. Databases take fewer parameters in one statement.
const MaxValues = 1 << 16

// few refuses a request of more than MaxValues values before any of it is
// decoded. What else is wrong with it the decoder says better.
func few(what string, b []byte) error {
	r := NewReader(b)
	if errors.Is(r.skip(MaxValues), errMany) {
		return abi.Errorf(abi.LimitExceeded, "%s: more than %d msgpack values", what, MaxValues)
	}
	return nil
}

func fields(what string, r *Reader, field func(r *Reader, key string) (bool, error)) error {
	var seen []string // of known fields, so there are few
	return eachField(r, func(key string) error {
		if slices.Contains(seen, key) {
			return abi.Errorf(abi.InvalidArgument, "%s: field %q comes twice", what, clip(key))
		}
		known, err := field(r, key)
		if !known && err == nil {
			return abi.Errorf(abi.InvalidArgument, "%s: unknown field %q", what, clip(key))
		}
		seen = append(seen, key)
		if err != nil && abi.CodeOf(err) == abi.Internal {
			return abi.Errorf(abi.InvalidArgument, "%s: field %q: %w", what, clip(key), err)
		}
		return err
	})
}

func invalid(what string, err error) error {
	if err == nil || abi.CodeOf(err) != abi.Internal {
		return err
	}
	return abi.Errorf(abi.InvalidArgument, "%s: %w", what, err)
}

// clip keeps a guest's text from flooding an error message.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

func readString(r *Reader, dst *string) error {
	b, err := r.String()
	*dst = string(b)
	return err
}

func readInt(r *Reader, dst *int64) (err error) {
	*dst, err = r.Int()
	return err
}

func readRaw(r *Reader, dst *[]byte) (err error) {
	*dst, err = r.Raw()
	return err
}

func readStrings(r *Reader, dst *[]string) error {
	n, err := r.Array()
	if err != nil {
		return err
	}
	list := make([]string, 0, min(n, eager))
	for range n {
		s, err := r.String()
		if err != nil {
			return err
		}
		list = append(list, string(s))
	}
	*dst = list
	return nil
}

func readValues(r *Reader, dst *[]any) error {
	v, err := r.Value()
	if err != nil {
		return err
	}
	list, ok := v.([]any)
	if !ok {
		return ErrType
	}
	*dst = list
	return nil
}

func (w *Writer) key(name string) { w.String(name) }

func (w *Writer) strings(list []string) {
	w.Array(len(list))
	for _, s := range list {
		w.String(s)
	}
}
