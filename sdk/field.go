package sdk

import "github.com/wasmhost/wasmhost/abi/wire"

// Field is one value of a row, valid as long as the row is. What it returns
// instead of a value of another type is an error that says so.
type Field struct {
	raw  []byte // its msgpack
	body uint32 // where text and bytes begin in raw
}

// Kind returns what the value is: a database has integers, floats, strings,
// bytes and nil.
func (f Field) Kind() wire.Kind {
	if len(f.raw) == 0 {
		return wire.KindInvalid
	}
	return wire.KindOf(f.raw[0])
}

// IsNull says whether the value is NULL.
func (f Field) IsNull() bool { return f.Kind() == wire.KindNil }

// Int returns an integer, or a float without a fraction.
func (f Field) Int() (int64, error) {
	r := wire.NewReader(f.raw)
	switch f.Kind() {
	case wire.KindInt:
		return r.Int()
	case wire.KindFloat:
		v, err := r.Float()
		if err != nil {
			return 0, err
		}
		if n, err := wholeNumber(v); err == nil {
			return n, nil
		}
	}
	return 0, f.mismatch(errNoInt)
}

// Float returns a number.
func (f Field) Float() (float64, error) {
	r := wire.NewReader(f.raw)
	switch f.Kind() {
	case wire.KindFloat:
		return r.Float()
	case wire.KindInt:
		n, err := r.Int()
		return float64(n), err
	}
	return 0, f.mismatch(errNoNumber)
}

// Text returns text.
func (f Field) Text() (string, error) {
	if f.Kind() != wire.KindString {
		return "", f.mismatch(errNoText)
	}
	return string(f.raw[f.body:]), nil
}

// Bytes returns a blob or text, without copying.
func (f Field) Bytes() ([]byte, error) {
	if k := f.Kind(); k == wire.KindString || k == wire.KindBytes {
		return f.raw[f.body:], nil
	}
	return nil, f.mismatch(errNoBytes)
}

// Value returns nil, int64, float64, string or []byte, as a copy.
func (f Field) Value() (any, error) {
	if len(f.raw) == 0 {
		return nil, errNoColumn
	}
	r := wire.NewReader(f.raw)
	return r.Value()
}

// mismatch says why the value is not what was asked for.
func (f Field) mismatch(reason error) error {
	switch f.Kind() {
	case wire.KindNil:
		return errNull
	case wire.KindInvalid:
		return errNoColumn
	}
	return reason
}
