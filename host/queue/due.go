package queue

import (
	"context"
	"database/sql"
	"time"
)

// dueTable is how far each schedule has been dealt with.
const dueTable = `
CREATE TABLE IF NOT EXISTS schedule_due (
	worker   TEXT NOT NULL,
	schedule TEXT NOT NULL,
	rule     TEXT NOT NULL,
	until_ms INTEGER NOT NULL,
	PRIMARY KEY (worker, schedule)
) STRICT, WITHOUT ROWID`

// Due is how far one schedule of a worker has been dealt with: of the due times
// up to and with Until each has its task, or is to have none.
type Due struct {
	Worker, Schedule string
	Rule             string // that Until was reckoned by; another one begins anew
	Until            time.Time
}

// Due returns how far the schedules have been dealt with, in no order.
func (q *Queue) Due(ctx context.Context) ([]Due, error) {
	rows, err := q.db.QueryContext(ctx, `SELECT worker, schedule, rule, until_ms FROM schedule_due`)
	if err != nil {
		return nil, dbError("reading the schedules", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err says what matters
	var all []Due
	for rows.Next() {
		var d Due
		var ms int64
		if err := rows.Scan(&d.Worker, &d.Schedule, &d.Rule, &ms); err != nil {
			return nil, dbError("reading the schedules", err)
		}
		d.Until = time.UnixMilli(ms).UTC()
		all = append(all, d)
	}
	if err := rows.Err(); err != nil {
		return nil, dbError("reading the schedules", err)
	}
	return all, nil
}

// SetDue notes how far a schedule has been dealt with. It is on disk when it
// returns.
func (q *Queue) SetDue(ctx context.Context, d Due) error { return setDue(ctx, q.db, d) }

func setDue(ctx context.Context, db interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, d Due) error {
	_, err := db.ExecContext(ctx, `INSERT INTO schedule_due (worker, schedule, rule, until_ms) VALUES (?, ?, ?, ?)
		ON CONFLICT (worker, schedule) DO UPDATE SET rule = excluded.rule, until_ms = excluded.until_ms`,
		d.Worker, d.Schedule, d.Rule, d.Until.UnixMilli())
	if err != nil {
		return dbError("noting a schedule", err)
	}
	return nil
}

// ForgetDue forgets a schedule that there is no more.
func (q *Queue) ForgetDue(ctx context.Context, worker, schedule string) error {
	if _, err := q.db.ExecContext(ctx, `DELETE FROM schedule_due WHERE worker = ? AND schedule = ?`, worker, schedule); err != nil {
		return dbError("forgetting a schedule", err)
	}
	return nil
}
