package command

import (
	"context"
	"database/sql"
	"slices"
	"time"
)

// emission is one call of Emit on its way to the disk.
type emission struct {
	events []Event
	fresh  []bool // recorded by this call, not found by its key
	err    error
	done   bool
}

const (
	// writePatience bounds a write, beyond the database's busy time-out.
	writePatience = 15 * time.Second
	// sweepEvery is after how many events the oldest above Keep are deleted,
	// sweepBatch how many then: more than came, so that a log that was cut to
	// a smaller size gets there.
	sweepEvery = 256
	sweepBatch = 1024
)

// Emit records events in one transaction, in their order, and returns their
// ids when they are on disk. Time is set to now where it is zero. When ctx
// ends first, none is recorded unless the writing had begun, which it waits
// for. Codes: InvalidArgument, LimitExceeded, and those of the database.
func (l *Events) Emit(ctx context.Context, events ...Event) ([]int64, error) {
	if len(events) == 0 {
		return nil, nil
	}
	m := &emission{events: slices.Clone(events), fresh: make([]bool, len(events))}
	for i := range m.events {
		if err := m.events[i].validate(); err != nil {
			return nil, err
		}
		if m.events[i].Time.IsZero() {
			m.events[i].Time = time.Now()
		}
	}
	l.mu.Lock()
	l.pending = append(l.pending, m)
	l.mu.Unlock()
	select {
	case <-l.writing:
	case <-ctx.Done():
		if l.withdraw(m) {
			return nil, DBError("emitting an event", context.Cause(ctx))
		}
		<-l.writing // somebody writes it
	}
	if !m.done { // nobody wrote it while we waited
		l.writePending(ctx)
	}
	l.writing <- struct{}{}
	if m.err != nil {
		return nil, m.err
	}
	ids := make([]int64, len(m.events))
	for i, e := range m.events {
		ids[i] = e.ID
	}
	return ids, nil
}

// withdraw takes m back, if nobody has begun to write it.
func (l *Events) withdraw(m *emission) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.pending, m)
	if i >= 0 {
		l.pending = slices.Delete(l.pending, i, i+1)
	}
	return i >= 0
}

// writePending writes what all callers wait for in one transaction, and then
// tells the readers. The caller holds the token.
func (l *Events) writePending(ctx context.Context) {
	l.mu.Lock()
	batch := l.pending
	l.pending = nil
	l.mu.Unlock()
	// The batch is of many callers; the end of one must not undo the others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writePatience)
	defer cancel()
	err := l.write(ctx, batch)
	for _, m := range batch {
		m.err, m.done = err, true
	}
	if err != nil {
		return
	}
	for _, m := range batch {
		for i := range m.events {
			if m.fresh[i] {
				l.subs.publish(m.events[i])
			}
		}
	}
	l.changed.wake()
}

func (l *Events) write(ctx context.Context, batch []*emission) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return DBError("emitting an event", err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	insert, err := tx.PrepareContext(ctx, `INSERT INTO events (time, name, worker, task, data, key) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (worker, key) WHERE key IS NOT NULL DO NOTHING`)
	if err != nil {
		return DBError("emitting an event", err)
	}
	defer insert.Close() //nolint:errcheck // part of the transaction
	sweep := false
	for _, m := range batch {
		for i := range m.events {
			if m.fresh[i], err = record(ctx, tx, insert, &m.events[i]); err != nil {
				return DBError("emitting an event", err)
			}
			sweep = sweep || m.fresh[i] && m.events[i].ID%sweepEvery == 0
		}
	}
	if sweep {
		if _, err := tx.ExecContext(ctx, `DELETE FROM events WHERE id IN
			(SELECT id FROM events WHERE id <= (SELECT max(id) FROM events) - ? ORDER BY id LIMIT ?)`, l.cfg.Keep, sweepBatch); err != nil {
			return DBError("deleting old events", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return DBError("emitting an event", err)
	}
	return nil
}

// record inserts one event and sets its id; with fresh false there was one with
// its key already.
func record(ctx context.Context, tx *sql.Tx, insert *sql.Stmt, e *Event) (fresh bool, err error) {
	var data, key any
	if len(e.Data) > 0 {
		data = string(e.Data)
	}
	if e.Key != "" {
		key = e.Key
	}
	// As it will be read.
	e.Time = time.UnixMilli(e.Time.UnixMilli()).UTC()
	res, err := insert.ExecContext(ctx, e.Time.UnixMilli(), e.Name, e.Worker, e.Task, data, key)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return false, err
	}
	if n == 0 {
		return false, tx.QueryRowContext(ctx, `SELECT id FROM events WHERE worker = ? AND key = ?`, e.Worker, e.Key).Scan(&e.ID)
	}
	e.ID, err = res.LastInsertId()
	return true, err
}
