package sqlite

import (
	"sync/atomic"
	"time"
)

// Stats is what a store holds, and has written since it was opened.
type Stats struct {
	Connections int64 // open, the writer included
	Statements  int64 // prepared and kept for the next use

	// MemoryBytes is what the connections have in page caches and for the rows
	// to be bound, which is nearly all that SQLite holds, as it was after each
	// one's last use; MemoryPeak is the most it has been. SQLite's own count
	// for the process is switched off in the build that this module uses.
	MemoryBytes, MemoryPeak int64

	Waiting    int64         // batches in the line for the writer, now
	Groups     int64         // transactions that were committed
	Batches    int64         // in those, the ones included that failed by themselves
	Largest    int64         // most batches in one
	Again      int64         // batches that were taken out of a transaction and went again
	Committing time.Duration // spent in COMMIT, which waits for the disk
}

// Stats returns the figures of now. It may be called at any time.
func (s *Store) Stats() Stats {
	c := &s.counts
	return Stats{
		Connections: c.connections.Load(), Statements: c.statements.Load(),
		MemoryBytes: c.memory.Load(), MemoryPeak: c.peak.Load(),
		Waiting: int64(s.line.length()), Groups: c.groups.Load(), Batches: c.batches.Load(),
		Largest: c.largest.Load(), Again: c.again.Load(), Committing: time.Duration(c.committing.Load()),
	}
}

type counts struct {
	connections, statements, memory, peak       atomic.Int64
	groups, batches, largest, again, committing atomic.Int64
}

// opened, used and closed count a connection; used is for when it is idle.
func (n *counts) opened(c *conn) {
	n.connections.Add(1)
	n.used(c)
}

func (n *counts) used(c *conn) {
	memory, statements := c.Memory(), int64(c.Statements())
	raise(&n.peak, n.memory.Add(memory-c.memory))
	n.statements.Add(statements - c.statements)
	c.memory, c.statements = memory, statements
}

func (n *counts) closed(c *conn) {
	n.connections.Add(-1)
	n.memory.Add(-c.memory)
	n.statements.Add(-c.statements)
}

// committed counts a group.
func (n *counts) committed(batches int, took time.Duration) {
	n.groups.Add(1)
	n.batches.Add(int64(batches))
	n.committing.Add(int64(took))
	raise(&n.largest, int64(batches))
}

func raise(most *atomic.Int64, now int64) {
	for {
		old := most.Load()
		if now <= old || most.CompareAndSwap(old, now) {
			return
		}
	}
}
