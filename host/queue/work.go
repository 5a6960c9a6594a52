package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivertype"

	"github.com/wasmhost/wasmhost/abi"
)

// WorkerConfig says how one worker's tasks are run. Zero fields mean defaults.
type WorkerConfig struct {
	Concurrency int           // tasks at a time; default 1, at most 10,000
	Deadline    time.Duration // of each attempt; default 1 h
	MaxAttempts int           // of tasks whose submitter named none; default 25
}

const (
	defaultDeadline = time.Hour
	maxDeadline     = 30 * 24 * time.Hour
	// defaultLater is how long a task waits that asked for later without
	// saying when.
	defaultLater = 10 * time.Second
	maxLater     = 365 * 24 * time.Hour
	// stopGrace is how long Stop waits for runs whose context it has ended.
	stopGrace = 10 * time.Second
)

func (c WorkerConfig) withDefaults() WorkerConfig {
	if c.Concurrency == 0 {
		c.Concurrency = 1
	}
	if c.Deadline == 0 {
		c.Deadline = defaultDeadline
	}
	return c
}

func (c WorkerConfig) validate(worker string) error {
	if err := checkWorker(worker); err != nil {
		return err
	}
	switch {
	case c.Concurrency < 1 || c.Concurrency > river.QueueNumWorkersMax:
		return abi.Errorf(abi.InvalidArgument, "worker %s: concurrency %d: 1 to %d", worker, c.Concurrency, river.QueueNumWorkersMax)
	case c.Deadline < 0 || c.Deadline > maxDeadline:
		return abi.Errorf(abi.InvalidArgument, "worker %s: deadline %v: up to %v", worker, c.Deadline, maxDeadline)
	case c.MaxAttempts < 0 || c.MaxAttempts > maxAttempts:
		return abi.Errorf(abi.InvalidArgument, "worker %s: max attempts %d: up to %d", worker, c.MaxAttempts, maxAttempts)
	}
	return nil
}

// Delivery is one attempt at a task, as a [RunFunc] gets it.
type Delivery struct {
	ID       string
	Worker   string
	Kind     string
	Payload  json.RawMessage // nil for none
	Attempt  int             // 1 on the first
	Created  time.Time       // when it was submitted
	Deadline time.Time
	DryRun   bool // the run is to have no effect, however often it is delivered

	report func(done, total int64)
	bill   func(json.RawMessage)
}

// Progress says how far the task is; a total of 0 means that it is not known.
// It only notes the numbers, so it may be called as often as the task likes:
// the latest are written a few times a second, and once more at the end. It is
// safe for concurrent use and does nothing after the run has returned.
func (d Delivery) Progress(done, total int64) {
	if d.report != nil {
		d.report(done, total)
	}
}

// Bill keeps what the attempt took, as JSON, in the task's record, however the
// attempt ends; that of the latest attempt stays. It is called by the RunFunc,
// once.
func (d Delivery) Bill(bill json.RawMessage) {
	if d.bill != nil {
		d.bill(bill)
	}
}

// RunFunc runs one attempt at a task. ctx ends at the deadline, when the task is
// cancelled, and when Stop has waited long enough; the RunFunc must then return
// soon. The result is JSON, nil for none, and counts even if ctx has ended.
//
// The code of the error (see [abi.CodeOf]) decides what follows: a retryable one
// is tried again after a while, any other ends the task as dead, and
// [abi.Later], best as a [LaterError], runs it again without using up an
// attempt. A panic counts as abi.Internal.
type RunFunc func(ctx context.Context, d Delivery) (result json.RawMessage, err error)

// work is what exists only between Start and Stop.
type work struct {
	client     *river.Client[*sql.Tx]
	longest    time.Duration // deadline that a worker may have
	stopLedger context.CancelFunc
	background sync.WaitGroup

	mu      sync.RWMutex
	workers map[string]WorkerConfig
}

// Start takes up the tasks that this host left running, and then runs tasks of
// the given workers until Stop. Others can be added by [Queue.Serve]. ctx is for
// starting only.
func (q *Queue) Start(ctx context.Context, workers map[string]WorkerConfig, run RunFunc) error {
	if q.cfg.HostID == "" {
		return abi.Errorf(abi.InvalidArgument, "queue: starting needs a HostID")
	}
	workers = maps.Clone(workers)
	if workers == nil {
		workers = map[string]WorkerConfig{}
	}
	longest := longestDeadline
	for _, name := range slices.Sorted(maps.Keys(workers)) {
		c := workers[name].withDefaults()
		if err := c.validate(name); err != nil {
			return err
		}
		workers[name] = c
		longest = max(longest, c.Deadline)
	}

	q.workMu.Lock()
	defer q.workMu.Unlock()
	if q.work != nil {
		return abi.Errorf(abi.Conflict, "queue: started already")
	}
	if err := q.recover(ctx, workers); err != nil {
		return err
	}
	if err := q.ledger.sweep(ctx); err != nil {
		return err
	}
	w := &work{longest: longest, workers: workers}
	client, err := q.newClient(ctx, w, run)
	if err != nil {
		return err
	}
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return dbError("starting", err)
	}
	w.client = client
	ledgerCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	w.stopLedger = stop
	w.background.Go(func() { q.ledger.run(ledgerCtx, q.cfg.Logger) })
	q.work = w
	return nil
}

func (q *Queue) newClient(ctx context.Context, w *work, run RunFunc) (*river.Client[*sql.Tx], error) {
	// River takes a client without a queue for one that only inserts. This one is
	// gone before it starts.
	const none = "none"
	bundle := river.NewWorkers()
	if err := river.AddWorkerSafely(bundle, &runner{q: q, work: w, run: run}); err != nil {
		return nil, abi.Errorf(abi.Internal, "queue: %w", err)
	}
	client, err := river.NewClient(riversqlite.New(q.db), &river.Config{
		ID:                          q.cfg.HostID,
		Logger:                      q.cfg.Logger,
		Queues:                      map[string]river.QueueConfig{none: {MaxWorkers: 1}},
		Workers:                     bundle,
		FetchCooldown:               fetchCooldown,
		FetchPollInterval:           q.cfg.PollInterval,
		JobTimeout:                  w.longest,
		RescueStuckJobsAfter:        w.longest + time.Hour,
		RetryPolicy:                 &backoff{base: q.cfg.RetryBase, most: q.cfg.RetryCap},
		CompletedJobRetentionPeriod: q.cfg.KeepCompleted,
		CancelledJobRetentionPeriod: q.cfg.KeepCancelled,
		DiscardedJobRetentionPeriod: q.cfg.KeepDead,
	})
	if err != nil {
		return nil, abi.Errorf(abi.Internal, "queue: %w", err)
	}
	err = client.Queues().Remove(ctx, none)
	for name, c := range w.workers {
		if err == nil {
			err = client.Queues().Add(name, river.QueueConfig{MaxWorkers: c.Concurrency})
		}
	}
	if err != nil {
		return nil, abi.Errorf(abi.Internal, "queue: %w", err)
	}
	return client, nil
}

// Stop fetches no more tasks and waits for those that run. When ctx ends first,
// it ends their contexts too, and they become available again at once without
// having used up the attempt. It returns Unavailable if a run has not returned
// ten seconds after that: the task is then taken up by the next Start. Stopping
// a Queue that is not started does nothing.
func (q *Queue) Stop(ctx context.Context) error {
	q.workMu.Lock()
	defer q.workMu.Unlock()
	w := q.work
	if w == nil {
		return nil
	}
	if err := w.client.Stop(ctx); err != nil {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		if err := w.client.StopAndCancel(grace); err != nil {
			return abi.Errorf(abi.Unavailable, "queue: stopping: a task's run did not return within %v of being ended: %w", stopGrace, err)
		}
	}
	w.stopLedger()
	w.background.Wait()
	q.work = nil
	return nil
}

// runner is the one River worker: it runs the tasks of every worker.
type runner struct {
	river.WorkerDefaults[taskArgs]
	q    *Queue
	work *work
	run  RunFunc
}

// Timeout gives River the deadline of the job's worker, and the time before it.
func (r *runner) Timeout(job *river.Job[taskArgs]) time.Duration {
	return r.work.config(job.Queue).Deadline + MaxBefore
}

// Work runs one attempt and tells River what became of it.
func (r *runner) Work(ctx context.Context, job *river.Job[taskArgs]) error {
	defer r.q.waiters.wake(job.ID)
	if n := r.work.config(job.Queue).MaxAttempts; n > 0 && job.Args.MaxAttempts == 0 {
		job.MaxAttempts = n
		if err := river.MetadataSet(ctx, metaMaxAttempts, n); err != nil {
			return err
		}
	}
	ctx, cancel, release := r.detach(ctx, job.ID)
	defer release()
	r.q.runningMu.Lock()
	r.q.running[job.ID] = cancel
	r.q.runningMu.Unlock()
	defer func() {
		r.q.runningMu.Lock()
		delete(r.q.running, job.ID)
		r.q.runningMu.Unlock()
	}()

	d := r.delivery(job)
	r.before(ctx, d)
	ctx, end := context.WithTimeout(ctx, r.work.config(job.Queue).Deadline)
	defer end()
	d.Deadline, _ = ctx.Deadline()
	var bill json.RawMessage
	d.bill = func(b json.RawMessage) {
		bill = b
		_ = river.MetadataSet(ctx, metaBill, b) // it fails only outside of a run
	}
	result, err := r.attempt(ctx, job.ID, d)
	if err == nil {
		err = r.q.CheckResult(result)
	}
	if err != nil {
		err = verdict(ctx, job.JobRow, err)
	}
	if end, ok := endOf(job.JobRow, err); ok && r.q.cfg.Ended != nil {
		end.Bill = bill
		r.q.cfg.Ended(context.WithoutCancel(ctx), d, end)
	}
	if err != nil {
		return err
	}
	if len(result) > 0 {
		if err := river.RecordOutput(ctx, result); err != nil {
			return err
		}
	}
	// River would write this too, after a quarter of a second in which a dying
	// host would forget it. It still does if we cannot.
	if err := r.q.ledger.complete(ctx, func(write context.Context, tx *sql.Tx) error {
		_, err := river.JobCompleteTx[*riversqlite.Driver](joined{write, ctx}, tx, job)
		return err
	}); err != nil {
		r.q.cfg.Logger.Warn("completion of a task not written, trying again", "task", job.ID, "err", err)
	}
	return nil
}

// before calls what is to be called before an attempt.
func (r *runner) before(ctx context.Context, d Delivery) {
	if r.q.cfg.Before == nil {
		return
	}
	ctx, end := context.WithTimeout(ctx, MaxBefore)
	defer end()
	r.q.cfg.Before(ctx, d)
}

// detach returns a context with the values, the deadline and the end of River's,
// but that does not end by a cancel which was meant for an earlier attempt: River
// learns of cancels by notifications, and one that comes late would end the
// attempt that a person began since. release must be called at the end of the
// run.
func (r *runner) detach(parent context.Context, id int64) (ctx context.Context, cancel context.CancelCauseFunc, release func()) {
	deadline, _ := parent.Deadline() // every worker has one: see Timeout
	ctx, stopTimer := context.WithDeadline(context.WithoutCancel(parent), deadline)
	ctx, cancel = context.WithCancelCause(ctx)
	told := make(chan struct{})
	stopTelling := context.AfterFunc(parent, func() {
		defer close(told)
		cause := context.Cause(parent)
		switch {
		case errors.Is(cause, context.DeadlineExceeded): // ctx has an earlier one
		case errors.Is(cause, river.ErrJobCancelledRemotely) && !r.q.cancelRequested(context.WithoutCancel(parent), id):
			r.q.cfg.Logger.Info("a cancel of an earlier attempt is passed over", "task", id)
		default:
			cancel(cause)
		}
	})
	return ctx, cancel, func() {
		if !stopTelling() {
			<-told
		}
		cancel(nil)
		stopTimer()
	}
}

// joined has the life of one context and the values of another.
type joined struct {
	context.Context
	values context.Context
}

func (j joined) Value(key any) any { return j.values.Value(key) }

func (r *runner) delivery(job *river.Job[taskArgs]) Delivery {
	return Delivery{
		ID:      strconv.FormatInt(job.ID, 10),
		Worker:  job.Queue,
		Kind:    job.Args.TaskKind,
		Payload: job.Args.Payload,
		Attempt: job.Attempt,
		Created: job.CreatedAt,
		DryRun:  job.Args.DryRun,
	}
}

// attempt calls the RunFunc. If that fails, the progress it reported is in the
// database when attempt returns, also by a panic; if it succeeds, progress goes
// with the completion.
func (r *runner) attempt(ctx context.Context, id int64, d Delivery) (result json.RawMessage, err error) {
	var reported, over atomic.Bool
	d.report = func(done, total int64) {
		if over.Load() {
			return
		}
		reported.Store(true)
		r.q.ledger.setProgress(id, counts{done, total})
	}
	succeeded := false
	defer func() {
		over.Store(true)
		if succeeded || !reported.Load() {
			return
		}
		if err := r.q.ledger.flush(ctx); err != nil {
			r.q.cfg.Logger.Warn("last progress of a task not written", "task", id, "err", err)
		}
	}()
	result, err = r.run(ctx, d)
	succeeded = err == nil
	return result, err
}

// CheckResult says whether a task can be completed with a result: what it
// refuses, abi.Permanent, ends the task as dead.
func (q *Queue) CheckResult(result json.RawMessage) error {
	if len(result) > q.cfg.MaxResult {
		return abi.Errorf(abi.Permanent, "result of %d bytes: %d at most", len(result), q.cfg.MaxResult)
	}
	if len(result) > 0 && !json.Valid(result) {
		return abi.Errorf(abi.Permanent, "result is not valid JSON")
	}
	return nil
}

// verdict turns a run's error into what makes River do the right thing.
func verdict(ctx context.Context, job *rivertype.JobRow, err error) error {
	cause := context.Cause(ctx)
	late := errors.Is(cause, context.DeadlineExceeded)
	switch {
	case errors.Is(cause, river.ErrJobCancelledRemotely):
		return river.ErrJobCancelledRemotely
	case cause != nil && !late:
		// The queue is stopping: River makes the task available again, and
		// knows that case by this error.
		return context.Canceled
	}
	code, message := abi.CodeOf(err), abi.MessageOf(err)
	if late && (code == abi.Cancelled || code == abi.Interrupted || code == abi.Internal) {
		code = abi.DeadlineExceeded // what the end of the context looked like from inside
	}
	if code == abi.Later {
		after := defaultLater
		var later *LaterError
		if errors.As(err, &later) && later.After > 0 {
			after = min(later.After, maxLater)
		}
		return river.JobSnooze(after)
	}
	if !code.Retryable() {
		// River discards a job, which keeps the error and says what it is, once
		// its attempts are used up. Nothing of this row but its id is written.
		job.MaxAttempts = job.Attempt
	}
	return &attemptError{code, message}
}

// backoff is River's retry policy: base, doubled for each attempt, up to most,
// a fifth more or less by chance so that tasks that failed together part.
type backoff struct{ base, most time.Duration }

func (b *backoff) NextRetry(job *rivertype.JobRow) time.Time {
	return time.Now().Add(b.wait(job.Attempt, rand.Float64()))
}

// wait returns how long to wait after the given attempt; chance is in [0, 1).
func (b *backoff) wait(attempt int, chance float64) time.Duration {
	d := b.base
	for i := 1; i < attempt && d < b.most; i++ {
		d *= 2
	}
	d = min(d, b.most)
	return min(time.Duration(float64(d)*(0.8+0.4*chance)), b.most)
}
