package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/queue"
)

// maxDryResult is how many bytes a report may have: what the queue takes.
const maxDryResult = 1 << 20

// DryRun is the result of a task that was submitted as a dry run: what the
// worker did, none of which has happened.
type DryRun struct {
	Result      json.RawMessage  `json:"result,omitempty"`       // the worker's
	ResultBytes int              `json:"result_bytes,omitempty"` // of one that is too large to be shown
	Error       *DryRunError     `json:"error,omitempty"`        // how the worker failed; nil if it did not
	Writes      []data.Written   `json:"writes"`
	MoreRows    int64            `json:"more_rows,omitempty"` // written to collections that are not listed
	Commands    []SentCommand    `json:"commands"`            // the first that it would have sent
	Sent        map[string]int64 `json:"sent"`                // how many of each, the first hundred names
}

// DryRunError is the failure of a dry run's worker.
type DryRunError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// dryRun records what a job would do.
type dryRun struct {
	*observed
	router *command.Router
	begun  bool // the job could be run
}

func (h *Host) newDryRun(ignore ...string) *dryRun {
	return &dryRun{observed: newObserved(ignore...), router: h.router}
}

// Execute implements [commands].
func (d *dryRun) Execute(ctx context.Context, c command.Caller, name string, params []byte) ([]byte, error) {
	result, ran, err := d.router.Rehearse(ctx, c, name, params)
	if !ran {
		d.note(name, params, err)
	}
	return result, err
}

// runDry runs a task without effects. One at a time: each may hold several
// databases, and two would wait for one another. A worker's failure is a part of
// the result; what is an error here is that the run itself did not come to its
// end.
func (h *Host) runDry(ctx context.Context, d queue.Delivery, j job) (json.RawMessage, error) {
	select {
	case h.dry <- struct{}{}:
		defer func() { <-h.dry }()
	case <-ctx.Done():
		return nil, abi.Errorf(abi.CodeOf(ctx.Err()), "waiting for another dry run to end: %w", ctx.Err())
	}
	j.dry = h.newDryRun()
	result, bill, err := h.run(ctx, j)
	if b, berr := json.Marshal(bill); berr == nil {
		d.Bill(b)
	}
	if err != nil && (!j.dry.begun || ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded)) {
		return nil, err
	}
	report := DryRun{Commands: j.dry.sent, Sent: j.dry.counts}
	report.Writes, report.MoreRows = j.dry.writes.Written()
	if err == nil {
		report.Result, err = resultToJSON(result)
	}
	if err != nil {
		report.Error = &DryRunError{abi.CodeOf(err).String(), clipText(abi.MessageOf(err))}
	}
	h.log.Info("dry run ended", "worker", d.Worker, "task", d.ID)
	out, err := json.Marshal(report)
	if err == nil && len(out) > maxDryResult {
		report.ResultBytes, report.Result = len(report.Result), nil
		out, err = json.Marshal(report)
	}
	if err != nil {
		return nil, fmt.Errorf("reporting a dry run: %w", err)
	}
	return out, nil
}
