package wire

import (
	"encoding/binary"
	"errors"
	"math"
)

// MaxDepth is how deep arrays and maps may be nested.
const MaxDepth = 32

// What a Reader refuses bytes with.
var (
	ErrTruncated = errors.New("msgpack: the bytes end inside a value")
	ErrType      = errors.New("msgpack: a value of another type was expected")
	ErrRange     = errors.New("msgpack: an integer beyond 64 signed bits")
	ErrExtension = errors.New("msgpack: extension types are not part of the contract")
	ErrReserved  = errors.New("msgpack: the reserved byte 0xc1")
	ErrDepth     = errors.New("msgpack: nested too deeply")
	ErrKey       = errors.New("msgpack: a map key that is no str")
	ErrTrailing  = errors.New("msgpack: bytes behind the value")
	errMany      = errors.New("msgpack: too many values")
)

// Kind is the type of a msgpack value.
type Kind uint8

// The kinds a Reader knows.
const (
	KindInvalid Kind = iota // no value: the end, an extension or the reserved byte
	KindNil
	KindBool
	KindInt
	KindFloat
	KindString
	KindBytes
	KindArray
	KindMap
)

// Reader walks msgpack values. It keeps to the bytes it was given: what it
// returns as []byte is part of them, valid for as long as they are.
//
// A method that fails leaves the Reader where it was.
type Reader struct {
	b   []byte
	off int
}

// NewReader returns a Reader at the first byte of b.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Offset returns how many bytes were read.
func (r *Reader) Offset() int { return r.off }

// Len returns how many bytes are left.
func (r *Reader) Len() int { return len(r.b) - r.off }

// Rest returns what is left.
func (r *Reader) Rest() []byte { return r.b[r.off:] }

// End returns ErrTrailing unless everything was read.
func (r *Reader) End() error {
	if r.off != len(r.b) {
		return ErrTrailing
	}
	return nil
}

// Kind returns the kind of the next value without reading it.
func (r *Reader) Kind() Kind {
	if r.off >= len(r.b) {
		return KindInvalid
	}
	return kinds[r.b[r.off]]
}

// head reads a value's first byte and the big-endian number of size bytes
// behind it, without moving.
func (r *Reader) head(size int) (uint64, error) {
	if r.Len() < 1+size {
		return 0, ErrTruncated
	}
	p := r.b[r.off+1:]
	switch size {
	case 1:
		return uint64(p[0]), nil
	case 2:
		return uint64(binary.BigEndian.Uint16(p)), nil
	case 4:
		return uint64(binary.BigEndian.Uint32(p)), nil
	}
	return binary.BigEndian.Uint64(p), nil
}

func (r *Reader) first() (byte, error) {
	if r.off >= len(r.b) {
		return 0, ErrTruncated
	}
	return r.b[r.off], nil
}

// mismatch says why a value that begins with c is not what was expected.
func mismatch(c byte) error {
	switch {
	case c == 0xc1:
		return ErrReserved
	case c >= 0xc7 && c <= 0xc9, c >= 0xd4 && c <= 0xd8:
		return ErrExtension
	}
	return ErrType
}

// Nil reads a nil if one is next, and says whether it did.
func (r *Reader) Nil() bool {
	if r.off < len(r.b) && r.b[r.off] == codeNil {
		r.off++
		return true
	}
	return false
}

// Bool reads a bool.
func (r *Reader) Bool() (bool, error) {
	c, err := r.first()
	if err != nil {
		return false, err
	}
	if c != codeFalse && c != codeTrue {
		return false, mismatch(c)
	}
	r.off++
	return c == codeTrue, nil
}

// Int reads an integer of any width.
func (r *Reader) Int() (int64, error) {
	c, err := r.first()
	if err != nil {
		return 0, err
	}
	if c < fixMap || c >= negFixInt {
		r.off++
		return int64(int8(c)), nil
	}
	if c < codeUint8 || c > codeInt64 {
		return 0, mismatch(c)
	}
	size := 1 << ((c - codeUint8) & 3)
	u, err := r.head(size)
	if err != nil {
		return 0, err
	}
	v := int64(u)
	switch c {
	case codeUint64:
		if u > math.MaxInt64 {
			return 0, ErrRange
		}
	case codeInt8:
		v = int64(int8(u))
	case codeInt16:
		v = int64(int16(u))
	case codeInt32:
		v = int64(int32(u))
	}
	r.off += 1 + size
	return v, nil
}

// Float reads a float of 32 or 64 bits.
func (r *Reader) Float() (float64, error) {
	c, err := r.first()
	if err != nil {
		return 0, err
	}
	switch c {
	case codeFloat:
		u, err := r.head(4)
		if err != nil {
			return 0, err
		}
		r.off += 5
		return float64(math.Float32frombits(uint32(u))), nil
	case codeDouble:
		u, err := r.head(8)
		if err != nil {
			return 0, err
		}
		r.off += 9
		return math.Float64frombits(u), nil
	}
	return 0, mismatch(c)
}

// String reads a str. The bytes are the Reader's own.
func (r *Reader) String() ([]byte, error) {
	c, err := r.first()
	if err != nil {
		return nil, err
	}
	if c >= fixStr && c < codeNil {
		return r.body(0, uint64(c&0x1f))
	}
	if c < codeStr8 || c > codeStr32 {
		return nil, mismatch(c)
	}
	return r.sized(1 << (c - codeStr8))
}

// Bytes reads a bin. The bytes are the Reader's own.
func (r *Reader) Bytes() ([]byte, error) {
	c, err := r.first()
	if err != nil {
		return nil, err
	}
	if c < codeBin8 || c > codeBin32 {
		return nil, mismatch(c)
	}
	return r.sized(1 << (c - codeBin8))
}

func (r *Reader) sized(size int) ([]byte, error) {
	n, err := r.head(size)
	if err != nil {
		return nil, err
	}
	return r.body(size, n)
}

// body returns the n bytes behind a head of 1+size bytes. The capacity is cut
// so that an append cannot run over what follows.
func (r *Reader) body(size int, n uint64) ([]byte, error) {
	start := uint64(r.off) + 1 + uint64(size)
	end := start + n
	if end > uint64(len(r.b)) {
		return nil, ErrTruncated
	}
	r.off = int(end)
	return r.b[start:end:end], nil
}

// Array reads the header of an array and returns its length, which is never
// more than the bytes that are left.
func (r *Reader) Array() (int, error) {
	return r.container(fixArray, codeArr16, 1)
}

// Map reads the header of a map and returns its number of pairs, which is
// never more than half the bytes that are left.
func (r *Reader) Map() (int, error) {
	return r.container(fixMap, codeMap16, 2)
}

func (r *Reader) container(fix, code16 byte, per uint64) (int, error) {
	c, err := r.first()
	if err != nil {
		return 0, err
	}
	var n uint64
	size := 0
	switch {
	case c&0xf0 == fix:
		n = uint64(c & 0x0f)
	case c == code16, c == code16+1:
		size = 2 << (c - code16)
		if n, err = r.head(size); err != nil {
			return 0, err
		}
	default:
		return 0, mismatch(c)
	}
	// Every element takes a byte at least: a header that claims more than
	// there is would only be found out after the allocation.
	if n*per > uint64(r.Len()-1-size) {
		return 0, ErrTruncated
	}
	r.off += 1 + size
	return int(n), nil
}

// Skip reads one value of any kind without looking into it.
func (r *Reader) Skip() error { return r.skip(math.MaxInt) }

// skip is Skip of a value that consists of most values at most.
func (r *Reader) skip(most int) error {
	start := r.off
	count := 0
	// Counting what is still owed instead of recursing makes nesting free: no
	// depth of arrays can exhaust the stack.
	for owed := uint64(1); owed > 0; owed-- {
		more, err := r.skipOne()
		if err == nil && owed-1+more > uint64(r.Len()) {
			err = ErrTruncated // each of them takes a byte at least
		}
		if count++; err == nil && count > most {
			err = errMany
		}
		if err != nil {
			r.off = start
			return err
		}
		owed += more
	}
	return nil
}

// skipOne reads one scalar or one header and returns how many values follow it.
func (r *Reader) skipOne() (uint64, error) {
	c, err := r.first()
	if err != nil {
		return 0, err
	}
	if c < fixMap || c >= negFixInt {
		r.off++
		return 0, nil
	}
	switch r.Kind() {
	case KindNil, KindBool:
		r.off++
	case KindInt:
		_, err = r.fixed(1 << ((c - codeUint8) & 3))
	case KindFloat:
		_, err = r.fixed(4 << (c - codeFloat))
	case KindString:
		_, err = r.String()
	case KindBytes:
		_, err = r.Bytes()
	case KindArray:
		n, err := r.Array()
		return uint64(n), err
	case KindMap:
		n, err := r.Map()
		return 2 * uint64(n), err
	default:
		err = mismatch(c)
	}
	return 0, err
}

func (r *Reader) fixed(size int) ([]byte, error) { return r.body(0, uint64(size)) }

// Raw reads one value of any kind and returns its bytes, the Reader's own.
func (r *Reader) Raw() ([]byte, error) {
	start := r.off
	if err := r.Skip(); err != nil {
		return nil, err
	}
	return r.b[start:r.off:r.off], nil
}

// Value reads one value of any kind into Go: nil, bool, int64, float64,
// string, []byte, []any or map[string]any. What it returns is a copy. Of a key
// that comes twice in a map the last one counts.
func (r *Reader) Value() (any, error) {
	start := r.off
	v, err := r.value(0)
	if err != nil {
		r.off = start
		return nil, err
	}
	return v, nil
}

// eager is how many elements are made room for on the word of a header alone.
// An element in memory is 16 times a byte on the wire or more, and nested
// headers can each claim all the bytes that are left: beyond this a list grows
// with the elements that are really there.
const eager = 64

// value reads one value inside of depth arrays and maps. An error may leave
// the Reader anywhere.
func (r *Reader) value(depth int) (any, error) {
	c, err := r.first()
	if err != nil {
		return nil, err
	}
	switch r.Kind() {
	case KindNil:
		r.off++
		return nil, nil
	case KindBool:
		return r.Bool()
	case KindInt:
		return r.Int()
	case KindFloat:
		return r.Float()
	case KindString:
		b, err := r.String()
		return string(b), err
	case KindBytes:
		b, err := r.Bytes()
		return append([]byte{}, b...), err
	case KindArray:
		n, err := r.Array()
		if err == nil && depth >= MaxDepth {
			err = ErrDepth
		}
		if err != nil {
			return nil, err
		}
		list := make([]any, 0, min(n, eager))
		for range n {
			v, err := r.value(depth + 1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case KindMap:
		n, err := r.Map()
		if err == nil && depth >= MaxDepth {
			err = ErrDepth
		}
		if err != nil {
			return nil, err
		}
		m := make(map[string]any, min(n, eager))
		for range n {
			k, err := r.String()
			if err != nil {
				return nil, errKey(err)
			}
			if m[string(k)], err = r.value(depth + 1); err != nil {
				return nil, err
			}
		}
		return m, nil
	}
	return nil, mismatch(c)
}

func errKey(err error) error {
	if errors.Is(err, ErrType) {
		return ErrKey
	}
	return err
}
