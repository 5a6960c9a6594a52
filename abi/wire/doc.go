// Package wire is the msgpack of the contract: how the shapes of package abi
// look as bytes.
//
// [Writer] appends to a buffer that the caller owns and never fails. [Reader]
// walks bytes that the caller owns, never copies them, and refuses whatever is
// not well-formed: before anything is allocated for a length that the bytes
// claim, the length is checked against the bytes that are there.
//
// The format is msgpack with the shortest encoding of each value. Extension
// types, floats of 32 bits when written, and map keys other than str are not
// part of the contract. Neither side needs reflection, which is slow inside a
// guest.
//
// General msgpack libraries read the same bytes, but bytes from outside go
// through [Reader.Skip] or [Reader.Value] first: the usual Go library makes
// room for as many elements as a header claims, and a process cannot recover
// from asking for too much.
package wire
