package queue

import (
	"context"
	"database/sql"
	"log/slog"
	"sync"
	"time"
)

type counts struct{ done, total int64 }

// completion is a task whose run succeeded, on its way to the disk.
type completion struct {
	write func(ctx context.Context, tx *sql.Tx) error
	err   error // set before the flush that took it returns
}

// ledger writes what running tasks produce: their progress, and that they
// completed. Setting progress is a store in memory; one goroutine writes what
// changed, for all tasks in one transaction, once per interval. A completion
// is written at once, in one transaction with all others that came while the
// one before was being written, and with the progress that is outstanding.
type ledger struct {
	db   *sql.DB
	wake chan struct{} // of capacity 1

	mu          sync.Mutex
	progress    map[int64]counts // set and not written
	completions []*completion

	writing sync.Mutex // held while a batch is on its way to the disk
}

const (
	progressInterval = 200 * time.Millisecond
	// writePatience bounds a write, beyond the database's busy time-out.
	writePatience = 15 * time.Second
	sweepInterval = time.Hour
)

func newLedger(db *sql.DB) *ledger {
	return &ledger{db: db, wake: make(chan struct{}, 1), progress: map[int64]counts{}}
}

func (l *ledger) setProgress(id int64, c counts) {
	c.done, c.total = max(c.done, 0), max(c.total, 0)
	l.mu.Lock()
	l.progress[id] = c
	l.mu.Unlock()
	l.nudge()
}

func (l *ledger) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// complete commits what write writes, together with outstanding progress.
func (l *ledger) complete(ctx context.Context, write func(context.Context, *sql.Tx) error) error {
	c := &completion{write: write}
	l.mu.Lock()
	l.completions = append(l.completions, c)
	l.mu.Unlock()
	if err := l.flush(ctx); err != nil {
		return err
	}
	return c.err
}

// flush writes what is outstanding. When it returns nil, all progress that was
// set before the call is in the database. Completions have their own error.
func (l *ledger) flush(ctx context.Context) error {
	// Taking the lock also waits for a batch that another call has taken and
	// not yet written.
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	progress, completions := l.progress, l.completions
	l.progress, l.completions = map[int64]counts{}, nil
	l.mu.Unlock()
	if len(progress) == 0 && len(completions) == 0 {
		return nil
	}
	err := l.write(ctx, progress, completions)
	for _, c := range completions {
		c.err = err
	}
	if err != nil {
		l.mu.Lock()
		for id, c := range progress {
			if _, newer := l.progress[id]; !newer {
				l.progress[id] = c
			}
		}
		l.mu.Unlock()
	}
	return err
}

func (l *ledger) write(ctx context.Context, progress map[int64]counts, completions []*completion) error {
	// A batch is of many tasks; the end of one must not undo the others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writePatience)
	defer cancel()
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return dbError("writing what tasks did", err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	for id, c := range progress {
		if _, err := tx.ExecContext(ctx, `INSERT INTO task_progress (task_id, done, total) VALUES (?, ?, ?)
			ON CONFLICT (task_id) DO UPDATE SET done = excluded.done, total = excluded.total`, id, c.done, c.total); err != nil {
			return dbError("writing progress", err)
		}
	}
	for _, c := range completions {
		if err := c.write(ctx, tx); err != nil {
			return dbError("completing a task", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return dbError("writing what tasks did", err)
	}
	return nil
}

// sweep deletes the progress of tasks that River has deleted.
func (l *ledger) sweep(ctx context.Context) error {
	_, err := l.db.ExecContext(ctx, `DELETE FROM task_progress WHERE task_id NOT IN (SELECT id FROM river_job)`)
	if err != nil {
		return dbError("sweeping progress", err)
	}
	return nil
}

// run writes progress until ctx ends.
func (l *ledger) run(ctx context.Context, log *slog.Logger) {
	sweep := time.NewTicker(sweepInterval)
	defer sweep.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select { // not before an interval after the last write
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		var err error
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
			err = l.flush(ctx)
		case <-sweep.C:
			err = l.sweep(ctx)
		}
		if err != nil && ctx.Err() == nil {
			log.Warn("progress of tasks not written, trying again", "err", err)
			l.nudge()
		}
		pause.Reset(progressInterval)
	}
}
