package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// Submission is a task to be.
type Submission struct {
	// Worker is the name of the worker that is to run it: lower-case letters
	// and digits, in parts joined by one '-' or '_', 64 bytes at most. The task
	// waits if no started host has a worker of this name.
	Worker string

	Kind    string          // a word of the worker's own; 128 bytes at most
	Payload json.RawMessage // a JSON object or null, nested up to wire.MaxDepth

	// UniqueKey makes the task the only unfinished one of its worker with this
	// key. 256 bytes at most; "" for any number.
	UniqueKey string

	// Once makes UniqueKey hold for tasks that have ended, too, for as long as
	// they are kept.
	Once bool

	// Due is noted in the same transaction, also where the task is there already;
	// nil for nothing.
	Due *Due

	Priority    int       // 1 (first) to 4 (last); 0 for 1
	At          time.Time // not before; zero for at once
	MaxAttempts int       // 0 for the worker's number, or 25

	// DryRun has the task run without effects: see [Delivery.DryRun]. It is a
	// part of the task that nothing changes. It takes no UniqueKey, and is
	// tried once.
	DryRun bool
}

// taskKind is the one kind of job that River knows of: which worker runs a task
// is decided by its queue, and what it is asked for by taskArgs.Kind.
const taskKind = "task"

// taskArgs is what River stores for a task. A client of River in another
// language submits a job of the kind "task" with these fields.
type taskArgs struct {
	TaskKind    string          `json:"kind,omitempty"`
	Payload     json.RawMessage `json:"payload,omitempty"`
	UniqueKey   string          `json:"unique_key,omitempty" river:"unique"`
	MaxAttempts int             `json:"max_attempts,omitempty"` // 0: the submitter left it to the worker
	DryRun      bool            `json:"dry_run,omitempty"`
}

func (taskArgs) Kind() string { return taskKind }

const (
	maxKind      = 128
	maxUniqueKey = 256
	maxAttempts  = 1000
)

func checkWorker(name string) error {
	if !abi.ValidName(name) { // River names a queue after it, and takes no others

		return abi.Errorf(abi.InvalidArgument, "worker %q: lower-case letters and digits, in parts joined by one '-' or '_', %d at most", clip(name), abi.MaxName)
	}
	return nil
}

func (s *Submission) validate(maxPayload int) error {
	if err := checkWorker(s.Worker); err != nil {
		return err
	}
	if len(s.Kind) > maxKind || !utf8.ValidString(s.Kind) {
		return abi.Errorf(abi.InvalidArgument, "kind %q: UTF-8 of %d bytes at most", clip(s.Kind), maxKind)
	}
	if len(s.UniqueKey) > maxUniqueKey || !utf8.ValidString(s.UniqueKey) {
		return abi.Errorf(abi.InvalidArgument, "unique key %q: UTF-8 of %d bytes at most", clip(s.UniqueKey), maxUniqueKey)
	}
	if s.DryRun && s.UniqueKey != "" {
		return abi.Errorf(abi.InvalidArgument, "a dry run takes no unique key: it must not be there in place of a task")
	}
	if s.Priority < 0 || s.Priority > 4 {
		return abi.Errorf(abi.InvalidArgument, "priority %d: 1 to 4, or 0 for the default", s.Priority)
	}
	if s.MaxAttempts < 0 || s.MaxAttempts > maxAttempts {
		return abi.Errorf(abi.InvalidArgument, "max attempts %d: 1 to %d, or 0 for the default", s.MaxAttempts, maxAttempts)
	}
	if y := s.At.Year(); !s.At.IsZero() && (y < 1970 || y > 9999) {
		return abi.Errorf(abi.InvalidArgument, "at %v: a year from 1970 to 9999", s.At)
	}
	return checkPayload(s.Payload, maxPayload)
}

// checkPayload lets through what can be stored, handed to a guest, and shown.
func checkPayload(p json.RawMessage, most int) error {
	if len(p) > most {
		return abi.Errorf(abi.LimitExceeded, "payload of %d bytes: %d at most", len(p), most)
	}
	if len(p) == 0 {
		return nil
	}
	if !utf8.Valid(p) || !json.Valid(p) {
		return abi.Errorf(abi.InvalidArgument, "payload: not valid JSON in UTF-8")
	}
	if first := bytes.TrimLeft(p, " \t\r\n")[0]; first != '{' && first != 'n' {
		return abi.Errorf(abi.InvalidArgument, "payload: a JSON object or null is needed")
	}
	if depth(p) > wire.MaxDepth {
		return abi.Errorf(abi.InvalidArgument, "payload: nested deeper than %d", wire.MaxDepth)
	}
	return nil
}

// depth returns how deep the arrays and objects of valid JSON are nested.
func depth(p []byte) int {
	deepest, now := 0, 0
	inString := false
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// soon is how far ahead a task may be scheduled and still be left to the
// fetches, which see it within PollInterval of its time. River's scheduler,
// which serves the rest, runs every 5 s and looks 5 s ahead.
const soon = 10 * time.Second

// Submit stores a task, durably when it returns. With created false there was
// an unfinished task with this worker and unique key already, or with Once any,
// whose id it returns. Codes: InvalidArgument, LimitExceeded, and those of the database.
func (q *Queue) Submit(ctx context.Context, s Submission) (id string, created bool, err error) {
	if err := s.validate(q.cfg.MaxPayload); err != nil {
		return "", false, err
	}
	if s.DryRun {
		s.MaxAttempts = 1
	}
	args := taskArgs{TaskKind: s.Kind, UniqueKey: s.UniqueKey, MaxAttempts: s.MaxAttempts, DryRun: s.DryRun}
	if p := bytes.TrimSpace(s.Payload); len(p) > 0 && p[0] == '{' {
		args.Payload = json.RawMessage(p)
	}
	opts := &river.InsertOpts{MaxAttempts: s.MaxAttempts, Priority: s.Priority, Queue: s.Worker}
	now := time.Now()
	if s.At.After(now) {
		opts.ScheduledAt = s.At
	}
	if s.UniqueKey != "" {
		states := unfinished()
		if s.Once {
			states = rivertype.JobStates()
		}
		opts.UniqueOpts = river.UniqueOpts{ByArgs: true, ByQueue: true, ByState: states}
	}

	tx, err := q.db.BeginTx(ctx, nil)
	if err != nil {
		return "", false, dbError("submitting a task", err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	res, err := q.client.InsertTx(ctx, tx, args, opts)
	if err != nil {
		return "", false, dbError("submitting a task", err)
	}
	created = !res.UniqueSkippedAsDuplicate
	if created && !opts.ScheduledAt.IsZero() && s.At.Sub(now) < soon {
		if _, err := tx.ExecContext(ctx, `UPDATE river_job SET state = 'available' WHERE id = ?`, res.Job.ID); err != nil {
			return "", false, dbError("submitting a task", err)
		}
	}
	if s.Due != nil {
		if err := setDue(ctx, tx, *s.Due); err != nil {
			return "", false, err
		}
	}
	if err := tx.Commit(); err != nil {
		return "", false, dbError("submitting a task", err)
	}
	return strconv.FormatInt(res.Job.ID, 10), created, nil
}

// unfinished lists the states in which a task holds its unique key.
func unfinished() []rivertype.JobState {
	return []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
		rivertype.JobStateRunning, rivertype.JobStateScheduled,
	}
}
