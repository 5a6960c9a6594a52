package host

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host/command"
	"github.com/wasmhost/wasmhost/host/engine"
	"github.com/wasmhost/wasmhost/host/metrics"
	"github.com/wasmhost/wasmhost/host/queue"
)

// job is one run of a worker: an attempt at a task, or a call of a command that
// the worker provides.
type job struct {
	worker   string
	version  *version
	task     abi.Task  // its DeadlineMS and Handles are filled in
	unique   string    // its task among all that there ever were
	chain    []string  // commands that wait for it
	once     *once     // of an atomic task; nil for none
	dry      *dryRun   // nil for a run that has effects
	watch    *observed // of a run with effects; nil when nobody watches
	progress func(done, total int64)
}

// run gives a job a sandbox, and what the worker was granted.
func (h *Host) run(ctx context.Context, j job) (result []byte, bill metrics.Bill, err error) {
	handles, giveBack, err := h.databases.take()
	if err != nil {
		return nil, bill, err
	}
	defer giveBack()
	var sent commands = h.router
	told := h.cfg.Data.Handles
	if j.dry != nil {
		trial := handles.Trial(ctx, j.dry.writes)
		defer trial.End()
		j.dry.begun = true
		handles, sent, told = trial.Handles(), j.dry, nil
	} else if j.watch != nil {
		handles, sent = handles.Watched(j.watch.writes), watchedCommands{h.router, j.watch}
	}
	cfg := h.workerConfig(j.worker, j.version)
	e := &env{
		progress: j.progress,
		data:     handles.Access(grantsOf(cfg.Grants), cfg.Limits.Rows),
		commands: sent,
		events:   h.state.Events,
		told:     told,
		caller: command.Caller{
			Worker: j.worker, Task: j.task.ID, Unique: j.unique, Chain: j.chain,
			Grants: command.Grants{Commands: cfg.Grants.Commands, Config: cfg.Grants.Config, Events: cfg.Grants.Events},
			Budget: command.NewBudget(command.Allowance{Events: cfg.Limits.Events, Tasks: cfg.Limits.Tasks, Tokens: cfg.Limits.AITokens, CostUSD: cfg.Limits.AICostUSD}),
		},
		log: h.log.With("worker", j.worker, "task", j.task.ID),
	}
	if deadline, ok := ctx.Deadline(); ok {
		j.task.DeadlineMS = deadline.UnixMilli()
	}
	j.task.Handles = cfg.Handles
	j.task.Key = taskKey(j.unique)
	if j.once != nil {
		e.data.Atomically()
		defer e.data.Rollback()
		e.caller.Held = command.NewHeld(j.once.key)
		if done, err := j.once.recall(ctx, e.data); done || err != nil {
			return nil, bill, err
		}
	}
	if j.dry != nil && cfg.Atomic {
		e.data.Atomically()
	}
	var usage engine.Usage
	running, stop := j.version.within(ctx)
	defer stop()
	err = j.version.module.With(running, func(s *engine.Sandbox) (err error) {
		if j.dry != nil {
			defer s.Discard() // it may remember what did not happen
		}
		result, usage, err = s.Run(running, &j.task, e)
		return err
	})
	err = j.version.drainError(ctx, err)
	if err == nil && j.once != nil {
		begun := time.Now()
		err = j.once.commit(ctx, e, result)
		took := time.Since(begun)
		usage.Wall, usage.Host, e.sql = usage.Wall+took, usage.Host+took, e.sql+took
	}
	bill = e.bill(usage)
	h.metrics.Used(j.worker, &bill)
	return result, bill, err
}

// runTask is one attempt at a task.
func (h *Host) runTask(ctx context.Context, d queue.Delivery) (json.RawMessage, error) {
	v, giveBack, err := h.fleet.take(d.Worker)
	if err != nil {
		return nil, err
	}
	defer giveBack()
	payload, err := payloadToWire(d.Payload)
	if err != nil {
		return nil, err
	}
	log := h.log.With("worker", d.Worker, "task", d.ID, "attempt", d.Attempt)
	j := job{
		worker: d.Worker, version: v, progress: d.Progress, unique: h.uniqueName(d),
		task: abi.Task{ID: d.ID, Kind: d.Kind, Payload: payload, Attempt: d.Attempt},
	}
	if d.DryRun {
		return h.runDry(ctx, d, j)
	}
	if h.workerConfig(d.Worker, v).Atomic {
		j.once = h.onceFor(d)
	}
	canary := h.fleet.witness(d.Worker, d.ID, v)
	if canary != nil {
		j.watch = newObserved(canary.request.Ignore...)
	}
	result, bill, err := h.run(ctx, j)
	if canary != nil {
		canary.heard(&j, result, bill, err)
	}
	h.metrics.Ended(d.Worker, abi.CodeOf(err), &bill)
	if d.Attempt == 1 {
		h.fleet.keeper(d.Worker).note(v, abi.CodeOf(err))
	}
	if b, berr := json.Marshal(bill); berr == nil {
		d.Bill(b)
	}
	var later *engine.LaterError
	switch {
	case errors.As(err, &later):
		log.Info("task asks to be run later", "after", later.After, "reason", later.Message)
		return nil, &queue.LaterError{After: later.After, Err: errors.New(later.Message)}
	case err != nil:
		log.Warn("task failed", "error", err)
		return nil, err
	}
	var out json.RawMessage
	if j.once != nil {
		out = j.once.result
		if j.once.recalled {
			log.Info("the task had succeeded before the host died; it does not run again")
		}
	} else if out, err = resultToJSON(result); err != nil {
		return nil, err
	}
	log.Info("task completed", "took", time.Duration(bill.WallMS*float64(time.Millisecond)).Round(time.Millisecond))
	return out, nil
}

// provider answers the commands of a worker, by the version that is served when
// the call begins, each in a sandbox of its own and beside the worker's tasks: a
// task that calls its own worker's command must not wait for itself.
type provider struct {
	host   *Host
	worker string
	slots  chan struct{} // a token for each call that runs
}

// provide offers the commands that a worker was granted to provide. One that is
// taken is logged, and the worker serves its tasks without it.
func (k *keeper) provide(cfg config.Worker) {
	h := k.fleet.host
	if err := h.router.Provide(k.name, cfg.Grants.Provides, k.provider); err != nil {
		h.log.Warn("a worker's commands are not provided", "worker", k.name, "error", err)
	}
}

// Call implements [command.Provider].
func (p *provider) Call(ctx context.Context, c command.Call) ([]byte, error) {
	v, giveBack, err := p.host.fleet.take(p.worker)
	if err != nil {
		return nil, err
	}
	defer giveBack()
	ctx, cancel := context.WithTimeout(ctx, p.host.workerConfig(p.worker, v).Deadline)
	defer cancel()
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, abi.Errorf(abi.CodeOf(ctx.Err()), "waiting for one of %d calls to end: %w", cap(p.slots), ctx.Err())
	}
	result, _, err := p.host.run(ctx, job{
		worker: p.worker, version: v, unique: c.Unique, chain: c.Chain,
		task:     abi.Task{ID: c.Key, Kind: c.Name, Payload: c.Params, Attempt: 1},
		progress: func(int64, int64) {}, // there is nobody to see it
	})
	return result, err
}
