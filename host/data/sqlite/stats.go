package sqlite

import (
	"sync/atomic"
	"time"

	"github.com/wasmhost/wasmhost/host/data/sqlite/internal/lite"
)

// Stats is what a store holds, and has written since it was opened.
type Stats struct {
	Connections int64 // open, the writer included
	Statements  int64 // prepared and kept for the next use

	Waiting    int64         // batches in the line for the writer, now
	Groups     int64         // transactions that were committed
	Batches    int64         // in those, the ones included that failed by themselves
	Largest    int64         // most batches in one
	Locked     int64         // times that other programs had the file locked for too long
	Again      int64         // batches that were taken out of a transaction and went again
	Committing time.Duration // spent in COMMIT, which waits for the disk
}

// Stats returns the figures of now. It may be called at any time.
func (s *Store) Stats() Stats {
	c := &s.counts
	return Stats{
		Connections: c.connections.Load(), Statements: c.statements.Load(),
		Waiting: int64(s.line.length()), Groups: c.groups.Load(), Batches: c.batches.Load(),
		Largest: c.largest.Load(), Locked: c.locked.Load(), Again: c.again.Load(), Committing: time.Duration(c.committing.Load()),
	}
}

// Add returns the figures of two stores together.
func (s Stats) Add(o Stats) Stats {
	return Stats{
		Connections: s.Connections + o.Connections, Statements: s.Statements + o.Statements,
		Waiting: s.Waiting + o.Waiting, Groups: s.Groups + o.Groups, Batches: s.Batches + o.Batches,
		Largest: max(s.Largest, o.Largest), Locked: s.Locked + o.Locked, Again: s.Again + o.Again,
		Committing: s.Committing + o.Committing,
	}
}

type counts struct {
	connections, statements                             atomic.Int64
	groups, batches, largest, locked, again, committing atomic.Int64
}

// opened, used and closed count a connection; used is for when it is not in use.
func (n *counts) opened(c *conn) {
	n.connections.Add(1)
	n.used(c)
}

func (n *counts) used(c *conn) {
	now := int64(c.Statements())
	n.statements.Add(now - c.statements)
	c.statements = now
}

func (n *counts) closed(c *conn) {
	n.connections.Add(-1)
	n.statements.Add(-c.statements)
}

// committed counts a group.
func (n *counts) committed(batches int, took time.Duration) {
	n.groups.Add(1)
	n.batches.Add(int64(batches))
	n.committing.Add(int64(took))
	for most := n.largest.Load(); int64(batches) > most; most = n.largest.Load() {
		n.largest.CompareAndSwap(most, int64(batches))
	}
}

// PageCache returns the bytes that SQLite's page caches hold, and the most that
// they have held, in the whole process: they are one pool, bounded by what all
// open connections may have together (Config.CacheKiB), and nearly all of
// SQLite's memory. What else it holds is not counted in the build that this
// module uses, where its limits on memory have no effect either.
func PageCache() (now, most int64) { return lite.PageCache() }
