package queue

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/wasmhost/wasmhost/abi"
)

// Filter chooses tasks. The zero value chooses the newest hundred.
type Filter struct {
	Worker string  // "" for every worker's
	States []State // nil for every state
	Limit  int     // at most 1000; 0 for 100
	After  string  // the id of the last task of the page before; "" for the first page
}

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// Task returns one task. Code: NotFound.
func (q *Queue) Task(ctx context.Context, id string) (*Record, error) {
	n, err := parseID(id)
	if err != nil {
		return nil, err
	}
	job, err := q.client.JobGet(ctx, n)
	if err != nil {
		return nil, taskError("reading", id, err)
	}
	return q.recordOf(ctx, job)
}

// Oldest returns when the oldest task was submitted that has not ended, zero if
// there is none.
func (q *Queue) Oldest(ctx context.Context) (time.Time, error) {
	var id int64
	err := q.db.QueryRowContext(ctx, `SELECT id FROM river_job WHERE finalized_at IS NULL ORDER BY id LIMIT 1`).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, dbError("looking for the oldest task", err)
	}
	job, err := q.client.JobGet(ctx, id)
	if err != nil {
		return time.Time{}, dbError("looking for the oldest task", err)
	}
	return job.CreatedAt, nil
}

// List returns the tasks that f chooses, the newest first.
func (q *Queue) List(ctx context.Context, f Filter) ([]Record, error) {
	if f.Limit < 0 || f.Limit > maxLimit {
		return nil, abi.Errorf(abi.InvalidArgument, "limit %d: 1 to %d, or 0 for %d", f.Limit, maxLimit, defaultLimit)
	}
	if f.Limit == 0 {
		f.Limit = defaultLimit
	}
	params := river.NewJobListParams().OrderBy(river.JobListOrderByID, river.SortOrderDesc).First(f.Limit)
	if f.Worker != "" {
		if err := checkWorker(f.Worker); err != nil {
			return nil, err
		}
		params = params.Queues(f.Worker)
	}
	if f.After != "" {
		n, err := parseID(f.After)
		if err != nil {
			return nil, err
		}
		params = params.After(river.JobListCursorFromJob(&rivertype.JobRow{ID: n}))
	}
	now := time.Now()
	if len(f.States) > 0 {
		var conditions []string
		for _, s := range f.States {
			c, ok := stateSQL(s)
			if !ok {
				return nil, abi.Errorf(abi.InvalidArgument, "state %q: one of %v", clip(string(s)), States())
			}
			if !slices.Contains(conditions, c) {
				conditions = append(conditions, c)
			}
		}
		where := "(" + strings.Join(conditions, " OR ") + ")"
		if strings.Contains(where, "@now") {
			params = params.Where(where, river.NamedArgs{"now": now})
		} else {
			params = params.Where(where)
		}
	}
	res, err := q.client.JobList(ctx, params)
	if err != nil {
		return nil, dbError("listing tasks", err)
	}
	records := make([]Record, 0, len(res.Jobs))
	for _, job := range res.Jobs {
		r, err := record(job, now)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, q.addProgress(ctx, records)
}

// recordOf makes the Record of a job that was just read. Progress is read
// after the job, so that a completed task shows its last.
func (q *Queue) recordOf(ctx context.Context, job *rivertype.JobRow) (*Record, error) {
	r, err := record(job, time.Now())
	if err != nil {
		return nil, err
	}
	one := []Record{r}
	if err := q.addProgress(ctx, one); err != nil {
		return nil, err
	}
	return &one[0], nil
}

func (q *Queue) addProgress(ctx context.Context, records []Record) error {
	if len(records) == 0 {
		return nil
	}
	index := make(map[string]*Record, len(records))
	ids := make([]string, len(records))
	for i := range records {
		index[records[i].ID] = &records[i]
		ids[i] = records[i].ID
	}
	rows, err := q.db.QueryContext(ctx, `SELECT CAST(task_id AS TEXT), done, total FROM task_progress WHERE task_id IN (SELECT value FROM json_each(?))`,
		"["+strings.Join(ids, ",")+"]")
	if err != nil {
		return dbError("reading progress", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err says what matters
	for rows.Next() {
		var id string
		var c counts
		if err := rows.Scan(&id, &c.done, &c.total); err != nil {
			return dbError("reading progress", err)
		}
		if r := index[id]; r != nil {
			r.Done, r.Total = c.done, c.total
		}
	}
	if err := rows.Err(); err != nil {
		return dbError("reading progress", err)
	}
	return nil
}

func parseID(id string) (int64, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != id {
		return 0, abi.Errorf(abi.NotFound, "no task %q", clip(id))
	}
	return n, nil
}

func taskError(doing, id string, err error) error {
	if errors.Is(err, river.ErrNotFound) || errors.Is(err, sql.ErrNoRows) {
		return abi.Errorf(abi.NotFound, "no task %q", id)
	}
	return dbError(doing+" task "+id, err)
}
