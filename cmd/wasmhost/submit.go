package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmhost/wasmhost/cmd/wasmhost/watch"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/metrics"
	"github.com/wasmhost/wasmhost/host/queue"
)

// maxPayload is more than the queue takes, and keeps a wrong file name from
// filling the memory.
const maxPayload = 64 << 20

// errTimeout is the cause of a wait whose --timeout is over.
var errTimeout = errors.New("time is over")

type submitFlags struct {
	kind, unique, at      string
	priority, maxAttempts int
	wait, dryRun          bool
	timeout               time.Duration
}

func (a *app) submitCommand() *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use:   "submit WORKER [JSON | @FILE | -]",
		Short: "Give a worker a task",
		Long: `Put a task into a worker's queue. The payload is a JSON object: as it stands,
from a file, or from standard input (-).

The task is on disk when the command returns. It is begun by a running host, now
or whenever one is started. With --wait the command shows how far the task is
and prints its result; interrupting it leaves the task as it is.

With --dry-run a running host runs the task without effects: what it writes is
rolled back, and commands other than config/get, session/get, ping and
commands/list are not sent but answered as if they had been. The command waits,
and prints the rows that the task would have written and the commands that it
would have sent. While a dry run runs, nobody else can write to the databases
that it has written to.

Exit codes with --wait: 3 if the task failed for good or was cancelled, 5 if
--timeout is over before it ended, 130 if the command was interrupted.`,
		Example: `  wasmhost submit archive '{"collection":"chat_messages","keep":10000}' --wait
  wasmhost submit archive '{"collection":"chat_messages","keep":10000}' --dry-run
  wasmhost submit archive @task.json --unique chat_messages --priority 2
  wasmhost submit archive '{"collection":"chat_messages","keep":0}' --at 2h
  echo '{"collection":"chat_messages","limit":500}' | wasmhost submit archive - --json`,
		Args: cobra.RangeArgs(1, 2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return a.completeWorkers(cmd)
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			sub, err := a.submission(f, args)
			if err != nil {
				return err
			}
			if f.dryRun {
				for _, flag := range []string{"unique", "at", "max-attempts"} {
					if cmd.Flags().Changed(flag) {
						return usageError("--dry-run runs the task once and now: it goes without --%s", flag)
					}
				}
				f.wait = true
			}
			if cmd.Flags().Changed("timeout") && !f.wait {
				return usageError("--timeout is for waiting: give --wait too")
			}
			if f.timeout < 0 {
				return usageError("--timeout %s: a duration above 0 is needed", f.timeout)
			}
			return a.withState(cmd.Context(), true, func(s *host.State, _ *config.Config) error {
				return a.submit(cmd.Context(), s, sub, f)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kind, "kind", "", "what is asked for, a `word` of the worker's own")
	flags.StringVar(&f.unique, "unique", "", "submit nothing while an unfinished task of the worker has this `key`")
	flags.IntVar(&f.priority, "priority", 1, "1 (first) to 4 (last)")
	flags.StringVar(&f.at, "at", "", "not before this `time`: 2026-01-31T15:04:05Z, or from now on: 90s, 2h")
	flags.IntVar(&f.maxAttempts, "max-attempts", 0, "how often to try (default: as configured for the worker)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "run the task without effects, and print what it would write and send")
	flags.BoolVar(&f.wait, "wait", false, "wait for the task to end, and print its result")
	flags.DurationVar(&f.timeout, "timeout", 0, "wait no longer than this `duration` (default: no limit)")
	for _, flag := range []string{"kind", "unique", "at", "max-attempts", "timeout"} {
		must(cmd.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions))
	}
	must(cmd.RegisterFlagCompletionFunc("priority", cobra.FixedCompletions([]string{"1", "2", "3", "4"}, cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

// submission makes a task of the command line.
func (a *app) submission(f submitFlags, args []string) (queue.Submission, error) {
	sub := queue.Submission{Worker: args[0], Kind: f.kind, UniqueKey: f.unique, Priority: f.priority, MaxAttempts: f.maxAttempts, DryRun: f.dryRun}
	if f.priority < 1 || f.priority > 4 {
		return sub, usageError("--priority %d: 1 to 4", f.priority)
	}
	if f.at != "" {
		at, err := parseTime(f.at, time.Now())
		if err != nil {
			return sub, usageError("--at %w", err)
		}
		sub.At = at
	}
	if len(args) > 1 {
		payload, err := a.payload(args[1])
		if err != nil {
			return sub, err
		}
		sub.Payload = payload
	}
	return sub, nil
}

// payload reads a payload and checks that it is JSON, so that the message can
// say where it is not.
func (a *app) payload(arg string) (json.RawMessage, error) {
	from, b := "the payload", []byte(arg)
	var err error
	switch {
	case arg == "-":
		from = "standard input"
		b, err = io.ReadAll(io.LimitReader(a.stdin, maxPayload+1))
	case strings.HasPrefix(arg, "@"):
		from = arg[1:]
		var file *os.File
		if file, err = os.Open(from); err == nil {
			b, err = io.ReadAll(io.LimitReader(file, maxPayload+1))
			err = errors.Join(err, file.Close())
		}
	}
	if err != nil {
		return nil, usageError("reading %s: %w", from, err)
	}
	if len(b) > maxPayload {
		return nil, usageError("%s has more than %d bytes", from, maxPayload)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(b, &object); err != nil {
		where := ""
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			where = fmt.Sprintf(" at byte %d", syntax.Offset)
		}
		return nil, usageError(`%s is not a JSON object%s: %w; for example '{"collection":"chat_messages","keep":10000}'`, from, where, err)
	}
	return b, nil
}

// parseTime reads a point in time, or a duration from now on.
func parseTime(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(strings.TrimPrefix(text, "+")); err == nil && d >= 0 {
		return now.Add(d), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q: a time such as 2026-01-31T15:04:05Z or a duration such as 2h is needed", text)
}

func (a *app) submit(ctx context.Context, s *host.State, sub queue.Submission, f submitFlags) error {
	id, created, err := s.Submit(ctx, sub)
	if err != nil {
		return err
	}
	if f.wait {
		return a.wait(ctx, s, id, f.timeout)
	}
	if a.json {
		return a.printJSON(map[string]any{"id": id, "created": created})
	}
	switch {
	case !created:
		a.say("task %s is unfinished and has the unique key %q: nothing was submitted", id, sub.UniqueKey)
	case !sub.At.IsZero():
		a.say("task %s is scheduled for %s, not before %s", id, sub.Worker, sub.At.Local().Format(time.DateTime))
	default:
		a.say("task %s is queued for %s", id, sub.Worker)
	}
	return nil
}

// wait shows a task until it has ended, and then its result.
func (a *app) wait(ctx context.Context, s *host.State, id string, timeout time.Duration) error {
	waiting := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeoutCause(ctx, timeout, errTimeout)
		defer cancel()
	}
	r, err := watch.Task(waiting, s.Queue, id, watch.Options{
		Out: a.stderr, Terminal: isTerminal(a.stderr),
		Idle: fmt.Sprintf("no host has taken task %s up yet; if none is running, start one with: wasmhost run", id),
	})
	goesOn := fmt.Sprintf("task %s goes on without you; see how far it is with: wasmhost tasks show %s; stop it with: wasmhost tasks cancel %s", id, id, id)
	switch {
	case errors.Is(err, errTimeout):
		return &exitError{exitTimedOut, fmt.Errorf("not done after %s: %s", timeout, goesOn)}
	case err != nil && ctx.Err() != nil:
		return &exitError{exitInterrupted, fmt.Errorf("interrupted: %s", goesOn)}
	case err != nil:
		return fmt.Errorf("waiting for task %s: %w", id, err)
	}
	if r.State != queue.Completed {
		if a.json {
			if err := a.printJSON(r); err != nil {
				return err
			}
		}
		return &exitError{exitTaskFailed, taskError(r)}
	}
	if r.DryRun {
		return a.printDryRun(r)
	}
	if a.json {
		return a.printJSON(r)
	}
	var b metrics.Bill
	if err := json.Unmarshal(r.Bill, &b); err != nil {
		return fmt.Errorf("reading the bill of task %s: %w", id, err)
	}
	fmt.Fprintf(a.stderr, "task %s took %.2f s: guest %.2f s, SQL %.2f s, host %.2f s\n", id, b.WallMS/1000, b.GuestMS/1000, b.SQLMS/1000, b.HostMS/1000)
	return a.printJSON(r.Result)
}

// taskError is why a task did not complete, with the code of its last failure.
func taskError(r *queue.Record) error {
	next := fmt.Sprintf("; see: wasmhost tasks show %s; try again with: wasmhost tasks retry %s", r.ID, r.ID)
	if n := len(r.Errors); n > 0 {
		last := r.Errors[n-1]
		return fmt.Errorf("task %s is %s after %d attempts: %w: %s%s", r.ID, r.State, r.Attempt, last.Code, last.Message, next)
	}
	return fmt.Errorf("task %s is %s%s", r.ID, r.State, next)
}
