package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/queue"
)

// What a dry run shows of the commands.
const (
	shownCommands = 100
	shownParams   = 2 << 10 // bytes, as the worker gave them and as JSON
	shownNames    = 100
	maxDryResult  = 1 << 20 // of the whole report: what the queue takes
)

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

// SentCommand is a command that a dry run would have sent.
type SentCommand struct {
	Name        string          `json:"name"`
	Params      json.RawMessage `json:"params,omitempty"`
	ParamsBytes int             `json:"params_bytes,omitempty"` // of those that are too large to be shown
	Error       string          `json:"error,omitempty"`        // why it would have been refused
}

// dryRun records what a job would do.
type dryRun struct {
	router *command.Router
	trial  *data.Trial // set by run
	sent   []SentCommand
	counts map[string]int64
}

// Execute implements [commands].
func (d *dryRun) Execute(ctx context.Context, c command.Caller, name string, params []byte) ([]byte, error) {
	result, ran, err := d.router.Rehearse(ctx, c, name, params)
	if ran {
		return result, err
	}
	if _, known := d.counts[name]; known || len(d.counts) < shownNames {
		d.counts[strings.Clone(name)]++
	}
	if len(d.sent) < shownCommands {
		s := SentCommand{Name: strings.Clone(name)}
		if err != nil {
			s.Error = clipText(err.Error())
		}
		s.Params, s.ParamsBytes = paramsShown(params)
		d.sent = append(d.sent, s)
	}
	return result, err
}

// paramsShown returns params as they are shown, or only their length. What is
// refused for its size is not decoded here either.
func paramsShown(params []byte) (json.RawMessage, int) {
	if len(params) == 0 {
		return nil, 0
	}
	if len(params) <= shownParams {
		if text, err := resultToJSON(params); err == nil && len(text) <= shownParams {
			return text, 0
		}
	}
	return nil, len(params)
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
	j.dry = &dryRun{router: h.router, counts: map[string]int64{}}
	result, bill, err := h.run(ctx, j)
	if b, berr := json.Marshal(bill); berr == nil {
		d.Bill(b)
	}
	if err != nil && (j.dry.trial == nil || ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded)) {
		return nil, err
	}
	report := DryRun{Commands: j.dry.sent, Sent: j.dry.counts}
	if report.Commands == nil {
		report.Commands = []SentCommand{}
	}
	report.Writes, report.MoreRows = j.dry.trial.Written()
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
