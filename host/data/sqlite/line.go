package sqlite

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
)

// batch is one Write on its way to the disk. Its states are: in the line;
// leading, or in the hands of a leader; answered.
type batch struct {
	ctx    context.Context
	caller string
	ms     []abi.Mutation
	scope  *data.Scope
	rows   [][]byte // of each mutation
	size   int      // of all rows
	came   time.Time
	alone  bool // shares no transaction any more

	results []abi.WriteResult
	err     error

	wake chan signal // has room for one: there is never a second before the first was taken
}

type signal int

const (
	lead signal = iota // write yourself, and some that wait behind you
	answered
)

func (b *batch) answer(err error) {
	if err != nil {
		b.results = nil
	}
	b.err = err
	b.wake <- answered
}

// line is where batches wait for the connection that writes. Callers have
// their turns one after another, a batch each.
type line struct {
	mu      sync.Mutex
	free    sync.Cond // on mu, for leading to become false
	leading bool      // somebody has the lead, or is being told
	closed  bool
	waiting int
	again   []*batch            // had their turn and lost it; before all others
	turns   []string            // callers with batches, the next one first
	batches map[string][]*batch // of each caller, never empty
}

func newLine() *line {
	l := &line{batches: make(map[string][]*batch)}
	l.free.L = &l.mu
	return l
}

// join puts b in the line, or lets it lead if nobody does. It says false when
// the line was closed.
func (l *line) join(b *batch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return false
	case !l.leading:
		l.leading = true
		b.wake <- lead
		return true
	}
	if len(l.batches[b.caller]) == 0 {
		l.turns = append(l.turns, b.caller)
	}
	b.came = time.Now()
	l.batches[b.caller] = append(l.batches[b.caller], b)
	l.waiting++
	return true
}

// leave takes b out of the line, and says whether it was still there. If not,
// it will be woken.
func (l *line) leave(b *batch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.again, b); i >= 0 {
		l.again = slices.Delete(l.again, i, i+1)
		l.waiting--
		return true
	}
	own := l.batches[b.caller]
	i := slices.Index(own, b)
	if i < 0 {
		return false
	}
	l.waiting--
	if len(own) > 1 {
		l.batches[b.caller] = slices.Delete(own, i, i+1)
		return true
	}
	delete(l.batches, b.caller)
	i = slices.Index(l.turns, b.caller)
	l.turns = slices.Delete(l.turns, i, i+1)
	return true
}

// take returns the next batch, or nil if there is none or it does not fit.
func (l *line) take(fits func(*batch) bool) *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next(fits)
}

// before returns all batches that came before then.
func (l *line) before(then time.Time) []*batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*batch
	early := func(b *batch) bool {
		if !b.came.Before(then) {
			return false
		}
		all = append(all, b)
		return true
	}
	l.again = slices.DeleteFunc(l.again, early)
	for caller, own := range l.batches {
		if own = slices.DeleteFunc(own, early); len(own) > 0 {
			l.batches[caller] = own
		} else {
			delete(l.batches, caller)
		}
	}
	l.turns = slices.DeleteFunc(l.turns, func(caller string) bool { return l.batches[caller] == nil })
	l.waiting -= len(all)
	return all
}

// pass gives the lead to the next batch, or to whoever comes first.
func (l *line) pass() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.next(func(*batch) bool { return true }); b != nil {
		b.wake <- lead
		return
	}
	l.leading = false
	l.free.Broadcast()
}

// back puts batches, which a leader had taken, at the head of the line.
func (l *line) back(bs []*batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.again = append(slices.Clone(bs), l.again...)
	l.waiting += len(bs)
}

func (l *line) next(fits func(*batch) bool) *batch {
	if len(l.again) > 0 {
		b := l.again[0]
		if !fits(b) {
			return nil
		}
		l.again = slices.Delete(l.again, 0, 1)
		l.waiting--
		return b
	}
	if len(l.turns) == 0 {
		return nil
	}
	caller := l.turns[0]
	own := l.batches[caller]
	b := own[0]
	if !fits(b) {
		return nil
	}
	l.turns = slices.Delete(l.turns, 0, 1)
	if len(own) > 1 {
		l.batches[caller] = slices.Delete(own, 0, 1)
		l.turns = append(l.turns, caller)
	} else {
		delete(l.batches, caller)
	}
	l.waiting--
	return b
}

// length is the number of batches in the line.
func (l *line) length() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting
}

// close refuses who comes from now on.
func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// wait returns when nobody leads.
func (l *line) wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.leading {
		l.free.Wait()
	}
}
