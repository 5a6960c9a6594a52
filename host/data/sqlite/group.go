package sqlite

import (
	"context"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/wasmhost/wasmhost/abi"
)

// groupLimits are what one transaction takes in.
type groupLimits struct {
	// It stops to grow at the first of these.
	batches int
	bytes   int
	grows   time.Duration
	// lasts is when a batch that takes long is put off for those in front of
	// it, which wait for nothing but its end.
	lasts time.Duration
}

// By their bytes, large batches are mostly alone: they gain little from
// company, and others would wait for them.
var defaultLimits = groupLimits{batches: 64, bytes: 256 << 10, grows: 10 * time.Millisecond, lasts: 50 * time.Millisecond}

// group is the batches that are written in one transaction. The first is the
// leader's own and needs no savepoint, since alone it is the transaction; each
// of the others has one.
//
// Some failures end the whole transaction: SQLite does so when it interrupts a
// statement that writes. Then those that had been done go once more, but alone,
// so that nobody can make them go a third time.
type group struct {
	s       *Store
	w       *conn
	schema  *schema
	start   time.Time
	size    int
	members []*batch // to be answered after the commit, in the order they were done
}

// lead writes b and those behind it that fit, and hands the lead on.
func (s *Store) lead(b *batch) {
	g := s.begun(b)
	if g == nil {
		return
	}
	defer s.line.pass()
	defer g.close()
	for !b.alone {
		next := s.line.take(g.fits)
		if next == nil {
			break
		}
		if !g.add(next) {
			return
		}
	}
	g.commit()
}

// begun returns a group that has begun its transaction with b, which has the
// lead. If it cannot, it answers b, passes the lead on, and returns nil.
func (s *Store) begun(b *batch) *group {
	g := &group{s: s, members: []*batch{b}}
	ok := false
	defer func() {
		if !ok {
			g.close()
			s.line.pass()
		}
	}()
	w, err := s.openWriter(b.ctx)
	if err != nil {
		g.fail(s.failure(b.ctx, err))
		return nil
	}
	g.w = w
	s.setBusy(w)
	asked := time.Now()
	if err := g.first(b); err != nil {
		if g.start.IsZero() && isPrimary(err, sqlite3.SQLITE_BUSY) && abi.CodeOf(err) == abi.Unavailable {
			// Who has been in the line meanwhile has waited as long for it.
			s.counts.locked.Add(1)
			g.members = append(g.members, s.line.before(asked)...)
		}
		w.end()
		g.fail(err)
		return nil
	}
	ok = true
	return g
}

func (g *group) fits(b *batch) bool {
	limits := &g.s.limits
	return !b.alone && len(g.members) < limits.batches && g.size+b.size <= limits.bytes && time.Since(g.start) < limits.grows
}

// first begins the transaction and applies b.
func (g *group) first(b *batch) error {
	g.size = b.size
	return g.run(b.ctx, b, func() (err error) {
		if err := g.w.begin.Run(); err != nil {
			return err
		}
		g.start = time.Now()
		if err := g.s.checkMoved(); err != nil {
			return err
		}
		g.schema, err = g.s.schemaOf(g.w)
		return err
	})
}

// run applies b behind what begin does.
func (g *group) run(ctx context.Context, b *batch, begin func() error) error {
	release := g.w.Watch(ctx)
	var err error
	if g.s.isClosed() { // after Watch: an Interrupt from here on is seen
		err = errClosed
	} else if err = begin(); err == nil {
		err = g.s.apply(ctx, g.w, g.schema, b)
	}
	release()
	if err == nil && g.w.Stopped() {
		err = errInterrupted
	}
	err = g.s.failure(ctx, err)
	if err != nil && isBroken(err) {
		g.w.broken = true // better opened anew
	}
	return err
}

// add applies a batch behind others. It says false when they all have lost the
// transaction, and are no members any more.
func (g *group) add(b *batch) bool {
	ctx, cancel := context.WithDeadline(b.ctx, g.start.Add(g.s.limits.lasts))
	defer cancel()
	g.size += b.size
	g.members = append(g.members, b)
	err := g.run(ctx, b, g.w.savepoint.Run)
	kept := g.w.InTransaction() && !g.w.broken
	if kept && err != nil {
		kept = g.w.undo.Run() == nil
	}
	kept = kept && g.w.release.Run() == nil
	if err == nil && kept {
		return true
	}
	putOff := err == nil || b.ctx.Err() == nil && ctx.Err() != nil && abi.CodeOf(err) == abi.DeadlineExceeded
	if kept && !putOff && b.ctx.Err() == nil {
		// What it failed on may be what others have written here, so it is
		// true when that is committed.
		b.err = prefix(err, "write")
		return true
	}
	g.members = g.members[:len(g.members)-1]
	if putOff {
		g.again(b)
	} else {
		b.answer(prefix(err, "write"))
	}
	if !kept {
		g.again(g.members...)
		g.members = nil
	}
	return kept
}

// again lets batches have another turn, alone, if they still want it.
func (g *group) again(bs ...*batch) {
	var live []*batch
	for _, b := range bs {
		switch {
		case b.ctx.Err() != nil:
			b.answer(abi.Errorf(abi.CodeOf(b.ctx.Err()), "write: waited for the commit: %w", b.ctx.Err()))
		case g.s.isClosed():
			b.answer(errClosed)
		default:
			b.alone, b.err = true, nil
			live = append(live, b)
		}
	}
	g.s.counts.again.Add(int64(len(live)))
	g.s.line.back(live)
}

// commit ends the transaction and answers the members. A member whose context
// ends before the commit has begun, or while it waits for readers to let go,
// takes the others out with it: they go again.
func (g *group) commit() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, b := range g.members {
		defer context.AfterFunc(b.ctx, cancel)()
	}
	release := g.w.Watch(ctx)
	err := g.s.checkMoved()
	switch {
	case err != nil:
	case g.s.isClosed(): // after Watch: an Interrupt from here on is seen
		err = errClosed
	case g.ended():
		cancel()
		err = errInterrupted
	default:
		// Only waiting for readers to let go can be ended from here on.
		begun := time.Now()
		if err = g.w.Shield(g.w.commit.Run); err == nil {
			g.s.counts.committed(len(g.members), time.Since(begun))
			err = g.s.checkMoved() // it may be the old file that has the rows
		}
	}
	release()
	if err == nil {
		for _, b := range g.members {
			b.answer(b.err)
		}
		g.members = nil
		return
	}
	err = g.s.failure(ctx, err)
	g.w.end()
	if abi.CodeOf(err) == abi.Cancelled {
		g.again(g.members...)
		g.members = nil
		return
	}
	g.w.broken = g.w.broken || isBroken(err)
	g.fail(err)
}

// ended says whether the context of any member has.
func (g *group) ended() bool {
	for _, b := range g.members {
		if b.ctx.Err() != nil {
			return true
		}
	}
	return false
}

// fail answers all members with err.
func (g *group) fail(err error) {
	for _, b := range g.members {
		b.answer(prefix(err, "write"))
	}
	g.members = nil
}

// close leaves the connection as the next group wants it.
func (g *group) close() {
	if len(g.members) > 0 && g.w != nil { // a panic; nobody must wait for ever
		g.w.broken = true
		g.fail(abi.Errorf(abi.Internal, "the batch was given up"))
	}
	if g.w == nil {
		return
	}
	g.w.end()
	g.w.Unstage()
	g.s.setBusy(nil)
	if g.w.broken {
		_ = g.s.shut(g.w) // its rollback is what matters; the next group opens anew
		g.s.writer = nil
		return
	}
	g.s.counts.used(g.w)
}
