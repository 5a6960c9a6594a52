package rewrite

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

var (
	errEnd   = errors.New("it ends too early")
	errLEB   = errors.New("a number is too long")
	errUTF8  = errors.New("a name is not UTF-8")
	errCount = errors.New("a count is larger than what follows")
)

// reader walks over a section, or a part of one, and can rewrite it on the way.
// The first failure stays and leaves nothing to read: what is read after it is
// zero, so a walk checks err once at its end, and in its loops.
type reader struct {
	b   []byte
	pos int
	err error

	out    []byte // what was rewritten so far
	copied int    // out stands for b up to here
}

func (r *reader) rest() int { return len(r.b) - r.pos }

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.pos = len(r.b)
}

func (r *reader) byte() byte {
	if r.pos >= len(r.b) {
		r.fail(errEnd)
		return 0
	}
	r.pos++
	return r.b[r.pos-1]
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(r.rest()) {
		r.fail(errEnd)
		return nil
	}
	r.pos += int(n)
	return r.b[r.pos-int(n) : r.pos]
}

func (r *reader) u32() uint32 {
	if r.pos < len(r.b) && r.b[r.pos] < 0x80 {
		r.pos++
		return uint32(r.b[r.pos-1])
	}
	v, n := uint32(0), 0
	for ; n < 5; n++ {
		b := r.byte()
		if n == 4 && b > 0x0f {
			r.fail(errLEB)
			return 0
		}
		v |= uint32(b&0x7f) << (7 * n)
		if b < 0x80 {
			break
		}
	}
	if r.err != nil {
		return 0
	}
	return v
}

// signed reads a signed number of up to bits bits, 33 or more of which are
// for type indices.
func (r *reader) signed(bits int) int64 {
	var v int64
	for shift := 0; shift < bits; shift += 7 {
		b := r.byte()
		v |= int64(b&0x7f) << shift
		if b >= 0x80 {
			continue
		}
		if left := bits - shift; left < 7 {
			// The unused bits of the last byte repeat the sign.
			if top := int8(b<<1) >> left; top != 0 && top != -1 {
				r.fail(errLEB)
				return 0
			}
		}
		if shift+7 < 64 && b&0x40 != 0 {
			v |= -1 << (shift + 7)
		}
		return v
	}
	r.fail(errLEB)
	return 0
}

// put writes v in place of what was read since start.
func (r *reader) put(start int, v uint32) {
	r.copy(start)
	r.out = appendU32(r.out, v)
	r.copied = r.pos
}

// copy takes over everything before end that is not in out yet.
func (r *reader) copy(end int) {
	if r.err == nil {
		r.out = append(r.out, r.b[r.copied:end]...)
		r.copied = end
	}
}

// rewritten returns what became of b.
func (r *reader) rewritten() []byte {
	if r.copied == 0 {
		return r.b
	}
	r.copy(len(r.b))
	return r.out
}

// count reads the length of a vector whose entries take at least size bytes
// each, so that nothing is allocated for entries that cannot be there.
func (r *reader) count(size int) int {
	n := r.u32()
	if uint64(n)*uint64(size) > uint64(r.rest()) {
		r.fail(errCount)
		return 0
	}
	return int(n)
}

func (r *reader) name() []byte {
	b := r.bytes(uint64(r.u32()))
	if !utf8.Valid(b) {
		r.fail(errUTF8)
	}
	return b
}

func appendU32(b []byte, v uint32) []byte { return binary.AppendUvarint(b, uint64(v)) }

func appendS32(b []byte, v int32) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && c&0x40 == 0) || (v == -1 && c&0x40 != 0) {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func appendName(b []byte, name string) []byte {
	return append(appendU32(b, uint32(len(name))), name...)
}
