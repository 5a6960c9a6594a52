package data

import (
	"math"
	"sync/atomic"

	"github.com/wasmhost/wasmhost/abi"
)

// Budget counts the rows that one task reads and writes, and ends it at a
// limit. A nil Budget has none and counts nothing.
//
// Rows are counted exactly: a cursor hands over no more than are left, and a
// write of more than are left does nothing. What is counted is what crosses
// between guest and host: each row of an answer, one for all aggregates of a
// query; and each row of a write, whether or not it was applied, also when the
// write fails.
type Budget struct {
	most    int64 // 0: no limit
	read    atomic.Int64
	written atomic.Int64
}

// NewBudget returns a budget of so many rows, 0 for no limit.
func NewBudget(rows int64) *Budget { return &Budget{most: rows} }

// Left returns how many rows there may still be.
func (b *Budget) Left() int64 {
	if b == nil || b.most == 0 {
		return math.MaxInt64
	}
	return max(b.most-b.read.Load()-b.written.Load(), 0)
}

// Read counts rows that were handed over.
func (b *Budget) Read(rows int64) {
	if b != nil {
		b.read.Add(rows)
	}
}

// RowsRead returns how many rows were handed over.
func (b *Budget) RowsRead() int64 { return b.read.Load() }

// Write counts rows that are to be written, or fails if there are too many.
func (b *Budget) Write(rows int64) error {
	if rows > b.Left() {
		return abi.Errorf(abi.LimitExceeded, "%d rows are to be written, %d of the task's %d are left (limit: rows)", rows, b.Left(), b.most)
	}
	b.written.Add(rows)
	return nil
}

// Spent is what a call fails with that would go on when nothing is left.
func (b *Budget) Spent() error {
	if b.Left() > 0 {
		return nil
	}
	return abi.Errorf(abi.LimitExceeded, "the task has read %d and written %d rows, at most %d together (limit: rows)",
		b.read.Load(), b.written.Load(), b.most)
}
