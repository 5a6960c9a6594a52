package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/wasmhost/wasmhost/abi"
)

// freeInterruptions is how many times a host may die over a task without
// using up an attempt.
const freeInterruptions = 20

// interrupted is a task that this host was running when it died.
type interrupted struct {
	id, attempt, maxAttempts int64
	args, metadata           string
}

// recover makes the tasks that a former process of this host left running
// available again, in one transaction, and gives up the leadership it may have
// held, for which River would otherwise wait until it runs out.
func (q *Queue) recover(ctx context.Context, workers map[string]WorkerConfig) error {
	tx, err := q.db.BeginTx(ctx, nil)
	if err != nil {
		return dbError("taking up interrupted tasks", err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	if err := q.recoverIn(ctx, tx, workers); err != nil {
		return dbError("taking up interrupted tasks", err)
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM river_leader WHERE leader_id = ?`, q.cfg.HostID); err != nil {
		return dbError("taking up interrupted tasks", err)
	}
	if err := tx.Commit(); err != nil {
		return dbError("taking up interrupted tasks", err)
	}
	return nil
}

func (q *Queue) recoverIn(ctx context.Context, tx *sql.Tx, workers map[string]WorkerConfig) error {
	rows, err := tx.QueryContext(ctx, `SELECT id, attempt, max_attempts, queue, json(args), json(metadata) FROM river_job
		WHERE state = 'running' AND json_extract(attempted_by, '$[#-1]') = ?`, q.cfg.HostID)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // rows.Err says what matters
	var left []interrupted
	for rows.Next() {
		var t interrupted
		var worker string
		if err := rows.Scan(&t.id, &t.attempt, &t.maxAttempts, &worker, &t.args, &t.metadata); err != nil {
			return err
		}
		var args taskArgs
		if err := json.Unmarshal([]byte(t.args), &args); err != nil {
			return abi.Errorf(abi.Corrupt, "arguments of task %d: %w", t.id, err)
		}
		if n := workers[worker].MaxAttempts; n > 0 && args.MaxAttempts == 0 {
			t.maxAttempts = int64(n)
		}
		left = append(left, t)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, t := range left {
		if err := t.putBack(ctx, tx); err != nil {
			return err
		}
	}
	if len(left) > 0 {
		q.cfg.Logger.Warn("tasks that this host left running are taken up again", "tasks", len(left))
	}
	return nil
}

// putBack decides what becomes of t and writes it.
func (t *interrupted) putBack(ctx context.Context, tx *sql.Tx) error {
	var meta metadata
	if err := json.Unmarshal([]byte(t.metadata), &meta); err != nil {
		return abi.Errorf(abi.Corrupt, "metadata of task %d: %w", t.id, err)
	}
	times := meta.Interruptions + 1
	now := time.Now().UTC()
	attempt := t.attempt
	state := rivertype.JobStateAvailable
	switch {
	case meta.CancelledAt != nil:
		state = rivertype.JobStateCancelled
	case times <= freeInterruptions:
		attempt = max(attempt-1, 0)
	case attempt >= t.maxAttempts:
		state = rivertype.JobStateDiscarded
	}
	failure, err := json.Marshal(rivertype.AttemptError{
		At:      now,
		Attempt: int(t.attempt),
		Error:   attemptText(abi.Interrupted, fmt.Sprintf("the host went away while the task ran, time %d", times)),
	})
	if err != nil {
		return err
	}
	// River's own format of times; they are compared as text.
	at := now.Format("2006-01-02 15:04:05.000")
	var finalized any
	if state != rivertype.JobStateAvailable {
		finalized = at
	}
	_, err = tx.ExecContext(ctx, `UPDATE river_job SET
			state        = ?,
			attempt      = ?,
			finalized_at = ?,
			errors       = jsonb(json_insert(json(coalesce(errors, jsonb('[]'))), '$[#]', json(?))),
			metadata     = jsonb_set(metadata, '$.interruptions', ?)
		WHERE id = ? AND state = 'running'`,
		string(state), attempt, finalized, string(failure), times, t.id)
	return err
}
