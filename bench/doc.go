// Package bench measures the product against the same work in native Go and C,
// side by side in one run, since a figure from one of these machines says little
// by itself. `make bench` runs it all; docs/benchmarks.md says what is compared
// and what must come out.
//
// The guests are guest, in Go, and cguest, in C without a library. carchive is
// the archive job in C.
//
// It has a go.mod of its own, so that what a comparison needs never becomes a
// dependency of the product.
package bench
