package wire

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// msgpack's first bytes, by the names of its specification.
const (
	fixMap     = 0x80
	fixArray   = 0x90
	fixStr     = 0xa0
	codeNil    = 0xc0
	codeFalse  = 0xc2
	codeTrue   = 0xc3
	codeBin8   = 0xc4
	codeBin16  = 0xc5
	codeBin32  = 0xc6
	codeFloat  = 0xca
	codeDouble = 0xcb
	codeUint8  = 0xcc
	codeUint16 = 0xcd
	codeUint32 = 0xce
	codeUint64 = 0xcf
	codeInt8   = 0xd0
	codeInt16  = 0xd1
	codeInt32  = 0xd2
	codeInt64  = 0xd3
	codeStr8   = 0xd9
	codeStr16  = 0xda
	codeStr32  = 0xdb
	codeArr16  = 0xdc
	codeArr32  = 0xdd
	codeMap16  = 0xde
	codeMap32  = 0xdf
	negFixInt  = 0xe0
)

// Writer appends msgpack values to B. The zero Writer is ready to use; a
// Writer over a buffer with capacity does not allocate until it is full.
type Writer struct {
	B []byte
}

// Nil appends nil.
func (w *Writer) Nil() { w.B = append(w.B, codeNil) }

// Bool appends a bool.
func (w *Writer) Bool(v bool) {
	if v {
		w.B = append(w.B, codeTrue)
	} else {
		w.B = append(w.B, codeFalse)
	}
}

// Int appends an integer in its shortest form.
func (w *Writer) Int(v int64) {
	switch {
	case v >= 0:
		w.uint(uint64(v))
	case v >= -32:
		w.B = append(w.B, byte(v))
	case v >= math.MinInt8:
		w.B = append(w.B, codeInt8, byte(v))
	case v >= math.MinInt16:
		w.be16(codeInt16, uint16(v))
	case v >= math.MinInt32:
		w.be32(codeInt32, uint32(v))
	default:
		w.be64(codeInt64, uint64(v))
	}
}

func (w *Writer) uint(v uint64) {
	switch {
	case v <= math.MaxInt8:
		w.B = append(w.B, byte(v))
	case v <= math.MaxUint8:
		w.B = append(w.B, codeUint8, byte(v))
	case v <= math.MaxUint16:
		w.be16(codeUint16, uint16(v))
	case v <= math.MaxUint32:
		w.be32(codeUint32, uint32(v))
	default:
		w.be64(codeUint64, v)
	}
}

// Float appends a float of 64 bits, bit for bit.
func (w *Writer) Float(v float64) { w.be64(codeDouble, math.Float64bits(v)) }

// String appends a str. The bytes are not checked to be UTF-8: a TEXT that is
// not must come back as it was.
func (w *Writer) String(v string) {
	w.strHeader(len(v))
	w.B = append(w.B, v...)
}

// StringBytes is String for bytes.
func (w *Writer) StringBytes(v []byte) {
	w.strHeader(len(v))
	w.B = append(w.B, v...)
}

func (w *Writer) strHeader(n int) {
	switch {
	case n < 32:
		w.B = append(w.B, fixStr|byte(n))
	case n <= math.MaxUint8:
		w.B = append(w.B, codeStr8, byte(n))
	case n <= math.MaxUint16:
		w.be16(codeStr16, uint16(n))
	default:
		w.be32(codeStr32, length32(n))
	}
}

// Bytes appends a bin.
func (w *Writer) Bytes(v []byte) {
	n := len(v)
	switch {
	case n <= math.MaxUint8:
		w.B = append(w.B, codeBin8, byte(n))
	case n <= math.MaxUint16:
		w.be16(codeBin16, uint16(n))
	default:
		w.be32(codeBin32, length32(n))
	}
	w.B = append(w.B, v...)
}

// Array appends the header of an array; its n elements follow.
func (w *Writer) Array(n int) {
	switch {
	case n < 16:
		w.B = append(w.B, fixArray|byte(n))
	case n <= math.MaxUint16:
		w.be16(codeArr16, uint16(n))
	default:
		w.be32(codeArr32, length32(n))
	}
}

// Map appends the header of a map; its n keys and values follow in turn.
func (w *Writer) Map(n int) {
	switch {
	case n < 16:
		w.B = append(w.B, fixMap|byte(n))
	case n <= math.MaxUint16:
		w.be16(codeMap16, uint16(n))
	default:
		w.be32(codeMap32, length32(n))
	}
}

// Raw appends bytes that are msgpack already.
func (w *Writer) Raw(v []byte) { w.B = append(w.B, v...) }

// Value appends v: nil, bool, any integer, float64, float32, string, []byte,
// []any, []string or map[string]any of those. Keys of a map are written in
// ascending order, so that equal values are equal bytes. Other types, integers
// of more than 63 bits (ErrRange) and nesting beyond [MaxDepth] (ErrDepth) are
// an error and append nothing.
func (w *Writer) Value(v any) error {
	start := len(w.B)
	if err := w.value(v, 0); err != nil {
		w.B = w.B[:start]
		return err
	}
	return nil
}

func (w *Writer) value(v any, depth int) error {
	switch v := v.(type) {
	case nil:
		w.Nil()
	case bool:
		w.Bool(v)
	case int:
		w.Int(int64(v))
	case int8:
		w.Int(int64(v))
	case int16:
		w.Int(int64(v))
	case int32:
		w.Int(int64(v))
	case int64:
		w.Int(v)
	case uint:
		return w.value(uint64(v), depth)
	case uint8:
		w.uint(uint64(v))
	case uint16:
		w.uint(uint64(v))
	case uint32:
		w.uint(uint64(v))
	case uint64:
		if v > math.MaxInt64 {
			return ErrRange
		}
		w.uint(v)
	case float32:
		w.Float(float64(v))
	case float64:
		w.Float(v)
	case string:
		w.String(v)
	case []byte:
		w.Bytes(v)
	case []string:
		if depth >= MaxDepth {
			return ErrDepth
		}
		w.strings(v)
	case []any:
		if depth >= MaxDepth {
			return ErrDepth
		}
		w.Array(len(v))
		for _, e := range v {
			if err := w.value(e, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		if depth >= MaxDepth {
			return ErrDepth
		}
		w.Map(len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			w.String(k)
			if err := w.value(v[k], depth+1); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("msgpack: a value of type %T cannot be sent", v)
	}
	return nil
}

// length32 narrows a length. More than 4 GiB cannot be addressed by a guest,
// so a caller that has such a value has lost count long before.
func length32(n int) uint32 {
	if uint64(n) > math.MaxUint32 {
		panic("wire: a length of more than 32 bits")
	}
	return uint32(n)
}

func (w *Writer) be16(code byte, v uint16) {
	w.B = append(w.B, code, byte(v>>8), byte(v))
}

func (w *Writer) be32(code byte, v uint32) {
	w.B = append(w.B, code, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

func (w *Writer) be64(code byte, v uint64) {
	w.B = append(w.B, code,
		byte(v>>56), byte(v>>48), byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}
