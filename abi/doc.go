// Package abi is the contract between the host and its guests, version 1.
//
// Everything that both sides must agree on is declared here and nowhere else:
// the names of imports and exports, how a call's result is packed into one
// i64, the codes a call can fail with, and the shapes of what travels through
// the guest's memory. How those shapes look as bytes is package abi/wire.
//
// A guest imports its functions from the module named [Module]. A change that
// an existing guest could notice needs a new module name; the host can serve
// several at once. Codes and fields are only ever appended.
//
// The package imports the standard library only, so that it builds for every
// target a guest may be compiled to.
package abi
