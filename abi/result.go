package abi

// Result is what every host function returns: a [Code] in the upper 32 bits
// and a number in the lower 32.
//
//	 63            32 31             0
//	+----------------+----------------+
//	|      code      |       n        |
//	+----------------+----------------+
//
// With code OK, n is a length, a cursor or a count. With any other code, n is
// the number of bytes that the import pending has ready: the error's text, or
// with [BufferTooSmall] the bytes that did not fit.
type Result int64

// Pack makes a Result of a code and a number.
func Pack(code Code, n uint32) Result {
	return Result(uint64(code)<<32 | uint64(n))
}

// Code returns the upper half.
func (r Result) Code() Code { return Code(uint64(r) >> 32) }

// N returns the lower half.
func (r Result) N() uint32 { return uint32(r) }
