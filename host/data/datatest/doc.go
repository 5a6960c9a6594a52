// Package datatest is the specification of data.Store as tests. Every store
// passes [Exercise].
package datatest
