package queue

import (
	"context"
	"time"

	"github.com/riverqueue/river"

	"github.com/wasmhost/wasmhost/abi"
)

// Cancel ends a task: at once if it waits; if it runs, by ending its run's
// context, after which it becomes Cancelled unless the run succeeds all the
// same. A task that has ended is left as it is. The Record shows the task right
// after the request, so a task that was running is Running in it. Code:
// NotFound.
func (q *Queue) Cancel(ctx context.Context, id string) (*Record, error) {
	n, err := parseID(id)
	if err != nil {
		return nil, err
	}
	job, err := q.client.JobCancel(ctx, n)
	if err != nil {
		return nil, taskError("cancelling", id, err)
	}
	// The notification would reach our own run too, a poll later.
	q.runningMu.Lock()
	if cancel := q.running[n]; cancel != nil {
		cancel(river.ErrJobCancelledRemotely)
	}
	q.runningMu.Unlock()
	q.waiters.wake(n)
	return q.recordOf(ctx, job)
}

// Retry puts a dead or cancelled task back, or ends a task's wait for its time,
// with one more attempt if it had none left. Codes: NotFound; Conflict if the
// task runs or completed, or if another unfinished task has taken its unique
// key.
func (q *Queue) Retry(ctx context.Context, id string) (*Record, error) {
	n, err := parseID(id)
	if err != nil {
		return nil, err
	}
	tx, err := q.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, taskError("retrying", id, err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	job, err := q.client.JobGetTx(ctx, tx, n)
	if err != nil {
		return nil, taskError("retrying", id, err)
	}
	if s := stateOf(job, time.Now()); s == Running || s == Completed {
		return nil, abi.Errorf(abi.Conflict, "task %s is %s: only a task that failed, was cancelled or waits can be retried", id, s)
	}
	// A cancel tells the hosts by a row that they look for now and then. One
	// that is still there is about the attempt before. A host that has read it
	// already passes over it: see runner.detach.
	if _, err := tx.ExecContext(ctx, `DELETE FROM river_notification WHERE topic = 'river_control'
		AND json_extract(payload, '$.action') = 'cancel' AND json_extract(payload, '$.job_id') = ?`, n); err != nil {
		return nil, taskError("retrying", id, err)
	}
	worker := job.Queue
	if job, err = q.client.JobRetryTx(ctx, tx, n); err != nil {
		if sqliteCode(err) == sqliteConstraint {
			return nil, abi.Errorf(abi.Conflict, "task %s: another unfinished task of worker %s has its unique key", id, worker)
		}
		return nil, taskError("retrying", id, err)
	}
	if err := tx.Commit(); err != nil {
		return nil, taskError("retrying", id, err)
	}
	return q.recordOf(ctx, job)
}

// cancelRequested says whether the current attempt at a task was cancelled. When
// that cannot be found out it is taken for so: a person who cancels must not be
// passed over.
func (q *Queue) cancelRequested(ctx context.Context, id int64) bool {
	ctx, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	var asked bool
	err := q.db.QueryRowContext(ctx, `SELECT json_extract(metadata, '$.cancel_attempted_at') IS NOT NULL
		FROM river_job WHERE id = ?`, id).Scan(&asked)
	return asked || err != nil
}
