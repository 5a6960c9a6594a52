package socket

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// toWire turns JSON into the msgpack of a command's params. A whole number is an
// int64 or an error, any other number a float64 or an error: none becomes
// another one.
func toWire(b json.RawMessage) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, abi.Errorf(abi.InvalidArgument, "params: %w", err)
	}
	v, err := numbers(v)
	if err != nil {
		return nil, abi.Errorf(abi.InvalidArgument, "params: %w", err)
	}
	var w wire.Writer
	if err := w.Value(v); err != nil {
		return nil, abi.Errorf(abi.InvalidArgument, "params: %w", err)
	}
	return w.B, nil
}

// numbers replaces each json.Number.
func numbers(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		if !strings.ContainsAny(v.String(), ".eE") {
			n, err := v.Int64()
			if err != nil {
				return nil, fmt.Errorf("the whole number %s is not one of 64 bits", clip(v.String()))
			}
			return n, nil
		}
		f, err := v.Float64()
		if err != nil {
			return nil, fmt.Errorf("the number %s is too large", clip(v.String()))
		}
		return f, nil
	case []any:
		for i := range v {
			if v[i], err = numbers(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], err = numbers(v[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// fromWire turns a command's result into JSON: bytes become base64 text, and
// what JSON has no form for is an error.
func fromWire(b []byte) (json.RawMessage, error) {
	if len(b) == 0 {
		return json.RawMessage("null"), nil
	}
	r := wire.NewReader(b)
	v, err := r.Value()
	if err == nil {
		err = r.End()
	}
	if err == nil {
		err = representable(v)
	}
	if err != nil {
		return nil, abi.Errorf(abi.Internal, "the result cannot be told in JSON: %w", err)
	}
	return encode(v)
}

func representable(v any) error {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("it has the number %v", v)
		}
	case string:
		if !utf8.ValidString(v) {
			return fmt.Errorf("it has text that is not UTF-8")
		}
	case []any:
		for _, e := range v {
			if err := representable(e); err != nil {
				return err
			}
		}
	case map[string]any:
		for k, e := range v {
			if err := representable(k); err != nil {
				return err
			}
			if err := representable(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, abi.Errorf(abi.Internal, "encoding: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// ascii escapes what is not ASCII in valid JSON, which has such characters
// inside of strings only.
func ascii(b []byte) []byte {
	first := bytes.IndexFunc(b, func(r rune) bool { return r >= utf8.RuneSelf })
	if first < 0 {
		return b
	}
	out := append(make([]byte, 0, len(b)+len(b)/4), b[:first]...)
	for rest := b[first:]; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		rest = rest[n:]
		switch {
		case r < utf8.RuneSelf:
			out = append(out, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = appendUnit(appendUnit(out, high), low)
		default:
			out = appendUnit(out, r)
		}
	}
	return out
}

func appendUnit(b []byte, r rune) []byte {
	digits := strconv.FormatUint(uint64(r), 16)
	return append(append(append(b, '\\', 'u'), "0000"[len(digits):]...), digits...)
}
