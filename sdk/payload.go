package sdk

import (
	"errors"
	"slices"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// Payload is what a task was submitted with: a map of named fields, decoded
// one by one as they are asked for. A field that is nil counts as not given.
//
// The errors of its methods are [abi.InvalidArgument] and name the field.
type Payload struct {
	raw []byte
}

// Raw returns the payload's msgpack value, valid while the task lasts.
func (p Payload) Raw() []byte { return p.raw }

// Has says whether the field was given.
func (p Payload) Has(name string) bool {
	_, ok, err := p.field(name)
	return ok && err == nil
}

// Only fails if the payload has a field with another name: a misspelt option
// must not be passed over in silence.
func (p Payload) Only(names ...string) error {
	return p.each(func(key string, r *wire.Reader) (bool, error) {
		if !slices.Contains(names, key) {
			return false, abi.Errorf(abi.InvalidArgument, "payload: unknown field %q; it takes %s", key, strings.Join(names, ", "))
		}
		return true, r.Skip()
	})
}

// Value returns the field, decoded, and whether it was given.
func (p Payload) Value(name string) (v any, ok bool, err error) {
	r, ok, err := p.field(name)
	if !ok || err != nil {
		return nil, false, err
	}
	v, err = r.Value()
	if err != nil {
		return nil, false, abi.Errorf(abi.InvalidArgument, "payload: field %q: %w", name, err)
	}
	return v, true, nil
}

// String returns a field that must be given and be text.
func (p Payload) String(name string) (string, error) { return required(p, name, asString) }

// StringOr is String with a value for when the field is not given.
func (p Payload) StringOr(name, otherwise string) (string, error) {
	return optional(p, name, otherwise, asString)
}

// Int returns a field that must be given and be a whole number. A float
// without a fraction counts as one, since JSON has only one kind of number.
func (p Payload) Int(name string) (int64, error) { return required(p, name, asInt) }

// IntOr is Int with a value for when the field is not given.
func (p Payload) IntOr(name string, otherwise int64) (int64, error) {
	return optional(p, name, otherwise, asInt)
}

// Float returns a field that must be given and be a number.
func (p Payload) Float(name string) (float64, error) { return required(p, name, asFloat) }

// FloatOr is Float with a value for when the field is not given.
func (p Payload) FloatOr(name string, otherwise float64) (float64, error) {
	return optional(p, name, otherwise, asFloat)
}

// Bool returns a field that must be given and be true or false.
func (p Payload) Bool(name string) (bool, error) { return required(p, name, asBool) }

// BoolOr is Bool with a value for when the field is not given.
func (p Payload) BoolOr(name string, otherwise bool) (bool, error) {
	return optional(p, name, otherwise, asBool)
}

func required[T any](p Payload, name string, as func(any) (T, error)) (T, error) {
	var zero T
	v, ok, err := p.Value(name)
	if err != nil {
		return zero, err
	}
	if !ok {
		return zero, abi.Errorf(abi.InvalidArgument, "payload: field %q is missing", name)
	}
	return convert(name, v, as)
}

func optional[T any](p Payload, name string, otherwise T, as func(any) (T, error)) (T, error) {
	v, ok, err := p.Value(name)
	if err != nil || !ok {
		return otherwise, err
	}
	return convert(name, v, as)
}

func convert[T any](name string, v any, as func(any) (T, error)) (T, error) {
	got, err := as(v)
	if err != nil {
		return got, abi.Errorf(abi.InvalidArgument, "payload: field %q %w", name, err)
	}
	return got, nil
}

// field returns a reader at the value of the field.
func (p Payload) field(name string) (at wire.Reader, ok bool, err error) {
	err = p.each(func(key string, r *wire.Reader) (bool, error) {
		if key == name && r.Kind() != wire.KindNil {
			at, ok = *r, true
			return false, nil
		}
		return true, r.Skip()
	})
	return at, ok, err
}

// each walks the fields for as long as field asks for more. field reads the
// value that r is at.
func (p Payload) each(field func(key string, r *wire.Reader) (more bool, err error)) error {
	r := wire.NewReader(p.raw)
	if r.Len() == 0 || r.Nil() {
		return nil
	}
	n, err := r.Map()
	if errors.Is(err, wire.ErrType) {
		return abi.Errorf(abi.InvalidArgument, "payload: it is no map of named fields")
	}
	for range n {
		if err != nil {
			break
		}
		var key []byte
		if key, err = r.String(); err != nil {
			break
		}
		var more bool
		if more, err = field(string(key), &r); err == nil && !more {
			return nil
		}
	}
	if err != nil && abi.CodeOf(err) == abi.Internal {
		return abi.Errorf(abi.InvalidArgument, "payload: %w", err)
	}
	return err
}
