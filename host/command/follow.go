package command

import (
	"context"
	"iter"
	"sync"
	"time"
)

// subscriptionBuffer is how many events a subscriber may be behind.
const subscriptionBuffer = 256

// subscribers passes events on within the process.
type subscribers struct {
	mu  sync.Mutex
	all map[*subscriber]struct{}
}

type subscriber struct {
	pattern string
	c       chan Event
	behind  bool // the last thing put into c is a gap
}

// Subscribe returns the events that this process emits from now on whose name
// matches pattern, in the order of their ids. The channel is closed by cancel,
// which the caller must call and may call twice.
//
// The channel holds 256 events. To a reader who is further behind, what comes
// then is not delivered. In its place the channel gets one Event that has no
// name and whose Gap is the id of the first event that is missing: the reader
// reads the log from there, Since(Gap-1, …), and passes over what it then gets
// from the channel a second time. So a slow reader never delays an emitter and
// never misses an event unknowingly.
func (l *Events) Subscribe(pattern string) (events <-chan Event, cancel func()) {
	// One more than it may be behind: there is always room for the gap.
	s := &subscriber{pattern: pattern, c: make(chan Event, subscriptionBuffer+1)}
	l.subs.mu.Lock()
	l.subs.all[s] = struct{}{}
	l.subs.mu.Unlock()
	return s.c, sync.OnceFunc(func() {
		l.subs.mu.Lock()
		defer l.subs.mu.Unlock()
		delete(l.subs.all, s)
		close(s.c)
	})
}

// publish is called with one event at a time, in the order of their ids.
func (s *subscribers) publish(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range s.all {
		if !matches(sub.pattern, e.Name) {
			continue
		}
		switch {
		case len(sub.c) < subscriptionBuffer:
			sub.behind = false
			sub.c <- e
		case !sub.behind:
			sub.behind = true
			sub.c <- Event{Gap: e.ID}
		}
	}
}

// broadcast wakes everybody who waits.
type broadcast struct {
	mu sync.Mutex
	c  chan struct{}
}

// next returns a channel that the next wake closes.
func (b *broadcast) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.c
}

func (b *broadcast) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.c)
	b.c = make(chan struct{})
}

// Follow yields the events with ids above after whose name matches pattern, in
// ascending order, and then waits for more, also from other processes. It ends
// with an error, which it yields: the context's when ctx ends.
func (l *Events) Follow(ctx context.Context, after int64, pattern string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if err := checkPattern(pattern); err != nil {
			yield(Event{}, err)
			return
		}
		poll := time.NewTicker(l.cfg.Poll)
		defer poll.Stop()
		for {
			changed := l.changed.next() // before the look, or one would be missed
			page, last, err := l.scan(ctx, after, scanPage, pattern)
			if err != nil {
				if ctx.Err() != nil {
					err = ctx.Err()
				}
				yield(Event{}, err)
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			if last > after {
				after = last
				continue
			}
			select {
			case <-ctx.Done():
				yield(Event{}, ctx.Err())
				return
			case <-changed:
			case <-poll.C:
			}
		}
	}
}

// Wait returns when there is an event with an id above after, which may come
// from another process.
func (l *Events) Wait(ctx context.Context, after int64) error {
	poll := time.NewTicker(l.cfg.Poll)
	defer poll.Stop()
	for {
		changed := l.changed.next() // before the look, or one would be missed
		var more bool
		err := l.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM events WHERE id > ?)`, after).Scan(&more)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return DBError("reading the event log", err)
		case more:
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-poll.C:
		}
	}
}
