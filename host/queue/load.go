package queue

import (
	"context"
	"database/sql"
	"errors"

	"github.com/wasmhost/wasmhost/abi"
)

// Load is how many tasks of a worker are not finished.
type Load struct {
	Queued  int64 // could begin now
	Waiting int64 // for their time, the first or the next
	Running int64
}

// due says that a task's turn has come, as River's fetch does. River's times
// are text in this form.
const due = `(state = 'available' AND scheduled_at <= datetime('now', 'subsec'))`

// Load returns how many unfinished tasks a worker has.
func (q *Queue) Load(ctx context.Context, worker string) (l Load, err error) {
	if err := checkWorker(worker); err != nil {
		return Load{}, err
	}
	err = q.db.QueryRowContext(ctx, `
		SELECT count(*) FILTER (WHERE `+due+`), count(*) FILTER (WHERE state <> 'running' AND NOT `+due+`), count(*) FILTER (WHERE state = 'running')
		FROM river_job WHERE state IN ('available', 'pending', 'retryable', 'running', 'scheduled') AND queue = ?`, worker,
	).Scan(&l.Queued, &l.Waiting, &l.Running)
	if err != nil {
		return Load{}, dbError("counting tasks", err)
	}
	return l, nil
}

// Position returns the place of a task among those of its worker that have not
// begun: 1 for the next, 0 for one that runs or has ended. Tasks that wait for
// their time stand behind all that do not. Code: NotFound.
func (q *Queue) Position(ctx context.Context, id string) (n int64, err error) {
	number, err := parseID(id)
	if err != nil {
		return 0, err
	}
	err = q.db.QueryRowContext(ctx, `
		WITH waiting AS (
			SELECT id, NOT `+due+` AS later, iif(`+due+`, priority, 0) AS turn, scheduled_at
			FROM river_job
			WHERE state IN ('available', 'pending', 'retryable', 'scheduled') AND queue = (SELECT queue FROM river_job WHERE id = ?1)
		), own AS (SELECT * FROM waiting WHERE id = ?1)
		SELECT (SELECT count(*) FROM waiting w, own o
			WHERE (w.later, w.turn, w.scheduled_at, w.id) <= (o.later, o.turn, o.scheduled_at, o.id))
		FROM river_job WHERE id = ?1`, number,
	).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, abi.Errorf(abi.NotFound, "no task %q", id)
	}
	if err != nil {
		return 0, dbError("finding the place of task "+id, err)
	}
	return n, nil
}
