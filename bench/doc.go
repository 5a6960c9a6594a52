// Package bench measures the product against the same work in native Go, side
// by side in one run, since a figure from one of these machines says little by
// itself. `make bench` runs it all.
//
// It has a go.mod of its own, so that what a comparison needs never becomes a
// dependency of the product.
package bench
