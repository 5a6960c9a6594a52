package wire

import "math"

// Span is where a scalar stands in the bytes of its row: from Start to End, and
// what is in a str or bin from Body to End.
type Span struct {
	Start, Body, End uint32
}

// spans fills dst with the scalars that stand at off and behind, and returns
// where the last of them ends, or 0 if there are not as many. It is the one look
// at every value that walking a batch costs, so it goes by tables and calls
// nothing.
func spans(b []byte, off int, dst []Span) int {
	for i := range dst {
		if uint(off) >= uint(len(b)) {
			return 0
		}
		c := b[off]
		body, n := off+1, uint64(rests[c])
		if n == sized {
			left := b[body:]
			switch c {
			case codeStr8, codeBin8:
				if len(left) < 1 {
					return 0
				}
				body, n = body+1, uint64(left[0])
			case codeStr16, codeBin16:
				if len(left) < 2 {
					return 0
				}
				body, n = body+2, uint64(left[0])<<8|uint64(left[1])
			case codeStr32, codeBin32:
				if len(left) < 4 {
					return 0
				}
				body, n = body+4, uint64(left[0])<<24|uint64(left[1])<<16|uint64(left[2])<<8|uint64(left[3])
			default:
				return 0
			}
		}
		if n > uint64(len(b)-body) {
			return 0
		}
		end := body + int(n)
		dst[i] = Span{uint32(off), uint32(body), uint32(end)}
		off = end
	}
	if uint64(off) > math.MaxUint32 {
		return 0
	}
	return off
}

// refusal says why spans did not find n scalars.
func (r *Reader) refusal(n int) error {
	for range n {
		if k := r.Kind(); k == KindArray || k == KindMap {
			return ErrType // a column holds a scalar
		}
		if err := r.Skip(); err != nil {
			return err
		}
	}
	return ErrTruncated // beyond what a Span can say
}

// sized marks the first bytes in rests that do not say it alone.
const sized = math.MaxUint8

// rests is how many bytes follow a scalar's first byte, and kinds is its kind.
var rests, kinds = func() (rests [256]uint8, kinds [256]Kind) {
	fill := func(first, last int, kind Kind, rest func(c int) int) {
		for c := first; c <= last; c++ {
			kinds[c], rests[c] = kind, uint8(rest(c))
		}
	}
	is := func(n int) func(int) int { return func(int) int { return n } }
	fill(0, 0xff, KindInvalid, is(sized))
	fill(0, fixMap-1, KindInt, is(0))
	fill(fixMap, fixArray-1, KindMap, is(sized))
	fill(fixArray, fixStr-1, KindArray, is(sized))
	fill(fixStr, codeNil-1, KindString, func(c int) int { return c - fixStr })
	fill(codeNil, codeNil, KindNil, is(0))
	fill(codeFalse, codeTrue, KindBool, is(0))
	fill(codeBin8, codeBin32, KindBytes, is(sized))
	fill(codeFloat, codeDouble, KindFloat, func(c int) int { return 4 << (c - codeFloat) })
	fill(codeUint8, codeUint64, KindInt, func(c int) int { return 1 << (c - codeUint8) })
	fill(codeInt8, codeInt64, KindInt, func(c int) int { return 1 << (c - codeInt8) })
	fill(codeStr8, codeStr32, KindString, is(sized))
	fill(codeArr16, codeArr32, KindArray, is(sized))
	fill(codeMap16, codeMap32, KindMap, is(sized))
	fill(negFixInt, 0xff, KindInt, is(0))
	return rests, kinds
}()

// KindOf returns the kind of a value by its first byte.
func KindOf(first byte) Kind { return kinds[first] }
