package queue

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/wasmhost/wasmhost/abi"
)

// State says where a task is in its life; see the package's comment.
type State string

// The states of a task.
const (
	Queued    State = "queued"    // waits for its worker
	Scheduled State = "scheduled" // waits for its time
	Running   State = "running"
	Retrying  State = "retrying" // failed, and waits for its next attempt's time
	Completed State = "completed"
	Cancelled State = "cancelled" // by a person
	Dead      State = "dead"      // failed for good
)

// States returns all of them, in the order of a task's life.
func States() []State {
	return []State{Queued, Scheduled, Running, Retrying, Completed, Cancelled, Dead}
}

// Finished says whether a task in this state stays in it unless a person puts
// it back.
func (s State) Finished() bool { return s == Completed || s == Cancelled || s == Dead }

// Record is a task as it stood when it was read.
type Record struct {
	ID          string          `json:"id"`
	Worker      string          `json:"worker"`
	Kind        string          `json:"kind"`
	State       State           `json:"state"`
	Priority    int             `json:"priority"`
	Attempt     int             `json:"attempt"` // attempts begun and not given back
	MaxAttempts int             `json:"max_attempts"`
	Payload     json.RawMessage `json:"payload,omitempty"` // nil for none
	Result      json.RawMessage `json:"result,omitempty"`  // of a completed task; nil for none
	Bill        json.RawMessage `json:"bill,omitempty"`    // of the latest attempt that ended; nil for none
	UniqueKey   string          `json:"unique_key,omitempty"`
	DryRun      bool            `json:"dry_run,omitempty"`
	CreatedAt   time.Time       `json:"created_at"`
	ScheduledAt time.Time       `json:"scheduled_at"`          // not before
	AttemptedAt time.Time       `json:"attempted_at,omitzero"` // begin of the latest attempt
	FinalizedAt time.Time       `json:"finalized_at,omitzero"`
	Done        int64           `json:"done"`  // latest progress, of any attempt
	Total       int64           `json:"total"` // 0 if unknown
	Errors      []Failure       `json:"errors,omitempty"`
}

// metadata is what River keeps beside a job and this package reads. The keys
// are River's where River writes them.
type metadata struct {
	Output        json.RawMessage `json:"output"`
	Bill          json.RawMessage `json:"bill"`
	CancelledAt   *time.Time      `json:"cancel_attempted_at"`
	MaxAttempts   int             `json:"max_attempts"`  // the worker's number, where the submitter left it to the worker
	Interruptions int             `json:"interruptions"` // times the host died over the task
}

// The keys of metadata.MaxAttempts and metadata.Bill.
const (
	metaMaxAttempts = "max_attempts"
	metaBill        = "bill"
)

// record gives a River job the words of this package.
func record(job *rivertype.JobRow, now time.Time) (Record, error) {
	var args taskArgs
	if err := json.Unmarshal(job.EncodedArgs, &args); err != nil {
		return Record{}, abi.Errorf(abi.Corrupt, "queue: arguments of task %d: %w", job.ID, err)
	}
	var meta metadata
	if err := json.Unmarshal(job.Metadata, &meta); err != nil {
		return Record{}, abi.Errorf(abi.Corrupt, "queue: metadata of task %d: %w", job.ID, err)
	}
	r := Record{
		ID:          strconv.FormatInt(job.ID, 10),
		Worker:      job.Queue,
		Kind:        args.TaskKind,
		State:       stateOf(job, now),
		Priority:    job.Priority,
		Attempt:     job.Attempt,
		MaxAttempts: job.MaxAttempts,
		Payload:     args.Payload,
		Bill:        meta.Bill,
		UniqueKey:   args.UniqueKey,
		DryRun:      args.DryRun,
		CreatedAt:   job.CreatedAt,
		ScheduledAt: job.ScheduledAt,
	}
	if meta.MaxAttempts > 0 {
		r.MaxAttempts = max(meta.MaxAttempts, job.Attempt) // a retry by hand goes beyond the worker's number
	}
	if r.State == Completed {
		r.Result = meta.Output
	}
	if job.AttemptedAt != nil {
		r.AttemptedAt = *job.AttemptedAt
	}
	if job.FinalizedAt != nil {
		r.FinalizedAt = *job.FinalizedAt
	}
	for _, e := range job.Errors {
		r.Errors = append(r.Errors, parseFailure(e))
	}
	return r, nil
}

func stateOf(job *rivertype.JobRow, now time.Time) State {
	switch job.State {
	case rivertype.JobStateRunning:
		return Running
	case rivertype.JobStateCompleted:
		return Completed
	case rivertype.JobStateCancelled:
		return Cancelled
	case rivertype.JobStateDiscarded:
		return Dead
	case rivertype.JobStateAvailable:
		if !job.ScheduledAt.After(now) {
			return Queued
		}
	}
	if len(job.Errors) > 0 {
		return Retrying
	}
	return Scheduled
}

// stateSQL is stateOf for a filter: a condition over River's table, with the
// time as @now.
func stateSQL(s State) (condition string, ok bool) {
	const (
		waits  = `(state IN ('scheduled', 'retryable', 'pending') OR (state = 'available' AND scheduled_at > @now))`
		failed = `coalesce(json_array_length(errors), 0) > 0`
	)
	switch s {
	case Queued:
		return `(state = 'available' AND scheduled_at <= @now)`, true
	case Scheduled:
		return `(` + waits + ` AND NOT ` + failed + `)`, true
	case Retrying:
		return `(` + waits + ` AND ` + failed + `)`, true
	case Running:
		return `state = 'running'`, true
	case Completed:
		return `state = 'completed'`, true
	case Cancelled:
		return `state = 'cancelled'`, true
	case Dead:
		return `state = 'discarded'`, true
	}
	return "", false
}
