package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/cmd/wasmhost/watch"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/queue"
)

func (a *app) tasksCommand() *cobra.Command {
	list := a.tasksListCommand()
	cmd := &cobra.Command{
		Use:               "tasks",
		Short:             "List, show, cancel and retry tasks",
		Long:              "List the tasks, the newest first. The commands below it show one, cancel and retry.",
		Example:           list.Example,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              list.RunE,
	}
	cmd.Flags().AddFlagSet(list.Flags()) // tasks is short for tasks list; completions come along
	cmd.AddCommand(list, a.tasksShowCommand(), a.tasksCancelCommand(), a.tasksRetryCommand())
	return cmd
}

func (a *app) tasksListCommand() *cobra.Command {
	var filter queue.Filter
	var states []string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List tasks, the newest first",
		Long: `List the tasks, the newest first.

A task is queued, scheduled (waits for its time), running, retrying (failed, and
waits for its next attempt), completed, cancelled, or dead (failed for good).`,
		Example: `  wasmhost tasks
  wasmhost tasks --worker archive --state running,retrying
  wasmhost tasks --state dead --json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, s := range states {
				filter.States = append(filter.States, queue.State(s))
			}
			return a.withState(cmd.Context(), false, func(s *host.State, _ *config.Config) error {
				records, err := s.Queue.List(cmd.Context(), filter)
				if err != nil {
					return err
				}
				return a.printTasks(records)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&filter.Worker, "worker", "", "only of this `worker`")
	flags.StringSliceVar(&states, "state", nil, "only in these `states`, separated by commas")
	flags.IntVar(&filter.Limit, "limit", 100, "at most so many, 1 to 1000")
	flags.StringVar(&filter.After, "after", "", "only those listed after the task with this `id`")
	must(cmd.RegisterFlagCompletionFunc("worker", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return a.completeWorkers(cmd)
	}))
	must(cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(stateNames(), cobra.ShellCompDirectiveNoFileComp)))
	must(cmd.RegisterFlagCompletionFunc("after", a.completeTasks()))
	return cmd
}

func stateNames() []string {
	var names []string
	for _, s := range queue.States() {
		names = append(names, string(s))
	}
	return names
}

func (a *app) printTasks(records []queue.Record) error {
	if a.json {
		if records == nil {
			records = []queue.Record{}
		}
		return a.printJSON(records)
	}
	if len(records) == 0 {
		a.say("There are no such tasks. Submit one with: wasmhost submit WORKER JSON")
		return nil
	}
	now := time.Now()
	var rows []string
	for _, r := range records {
		rows = append(rows, strings.Join([]string{
			r.ID, r.Worker, dash(r.Kind), string(r.State), progress(&r), fmt.Sprintf("%d/%d", r.Attempt, r.MaxAttempts),
			ago(r.CreatedAt, now), clip(strings.TrimLeft(watch.Detail(&r), ", :"), 80),
		}, "\t"))
	}
	return a.table("ID\tWORKER\tKIND\tSTATE\tPROGRESS\tATTEMPT\tCREATED\tDETAIL", rows)
}

func (a *app) tasksShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "show ID",
		Short:             "Show everything about one task",
		Long:              "Show everything about one task: its payload, its result, the bill of its latest attempt, and how attempts failed.",
		Example:           "  wasmhost tasks show 7\n  wasmhost tasks show 7 --json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTasks(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withState(cmd.Context(), false, func(s *host.State, _ *config.Config) error {
				r, err := s.Queue.Task(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(r)
				}
				return a.printTask(r)
			})
		},
	}
}

func (a *app) printTask(r *queue.Record) error {
	now := time.Now()
	rows := []string{
		"worker\t" + r.Worker, "kind\t" + dash(r.Kind), "state\t" + string(r.State) + watch.Detail(r),
		"progress\t" + progress(r), fmt.Sprintf("attempts\t%d of %d", r.Attempt, r.MaxAttempts), fmt.Sprintf("priority\t%d", r.Priority),
		"created\t" + stamp(r.CreatedAt, now),
	}
	if r.DryRun {
		rows = append(rows, "dry run\tnothing that it did has happened")
	}
	if r.ScheduledAt.After(r.CreatedAt) {
		rows = append(rows, "not before\t"+stamp(r.ScheduledAt, now))
	}
	if !r.AttemptedAt.IsZero() {
		rows = append(rows, "last begun\t"+stamp(r.AttemptedAt, now))
	}
	if !r.FinalizedAt.IsZero() {
		rows = append(rows, "ended\t"+stamp(r.FinalizedAt, now))
	}
	if r.UniqueKey != "" {
		rows = append(rows, "unique key\t"+r.UniqueKey)
	}
	if err := a.table("task\t"+r.ID, rows); err != nil {
		return err
	}
	if len(r.Payload) > 0 {
		a.say("\npayload")
		if err := a.printJSON(r.Payload); err != nil {
			return err
		}
	}
	if len(r.Result) > 0 {
		a.say("\nresult")
		if err := a.printJSON(r.Result); err != nil {
			return err
		}
	}
	if len(r.Bill) > 0 {
		a.say("\nbill")
		if err := a.printJSON(r.Bill); err != nil {
			return err
		}
	}
	if len(r.Errors) > 0 {
		a.say("\nfailures")
		for _, f := range r.Errors {
			a.say("  attempt %d, %s: %s: %s", f.Attempt, stamp(f.At, now), f.Code, f.Message)
		}
	}
	return nil
}

func (a *app) tasksCancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel ID...",
		Short: "Cancel tasks",
		Long: `Cancel tasks. One that waits is cancelled at once; one that runs is told to stop,
which ends its sandbox. What it has written already stays written. One that has
ended is left as it is, and the exit code is 1.`,
		Example:           "  wasmhost tasks cancel 7\n  wasmhost tasks cancel 7 8 9",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeTasks(queue.Queued, queue.Scheduled, queue.Running, queue.Retrying),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachTask(cmd.Context(), args, func(ctx context.Context, s *host.State, id string) (*queue.Record, string, error) {
				r, err := s.Queue.Cancel(ctx, id)
				switch {
				case err != nil:
					return nil, "", err
				case r.State == queue.Cancelled:
					return r, "is cancelled", nil
				case r.State.Finished():
					return nil, "", abi.Errorf(abi.Conflict, "task %s is %s already", id, r.State)
				}
				return r, "is told to stop", nil
			})
		},
	}
}

func (a *app) tasksRetryCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "retry ID...",
		Short: "Put dead, cancelled or waiting tasks back into the queue",
		Long: `Put tasks back into the queue that are dead or cancelled, or that wait for their
time. One that has no attempt left is given one more.`,
		Example:           "  wasmhost tasks retry 7",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeTasks(queue.Dead, queue.Cancelled, queue.Retrying, queue.Scheduled),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachTask(cmd.Context(), args, func(ctx context.Context, s *host.State, id string) (*queue.Record, string, error) {
				r, err := s.Queue.Retry(ctx, id)
				return r, "is queued again", err
			})
		},
	}
}

// eachTask does something to tasks, and stops at the first that it cannot be
// done to.
func (a *app) eachTask(ctx context.Context, ids []string, do func(context.Context, *host.State, string) (*queue.Record, string, error)) error {
	return a.withState(ctx, false, func(s *host.State, _ *config.Config) error {
		for _, id := range ids {
			r, what, err := do(ctx, s, id)
			if err != nil {
				return err
			}
			if !a.json {
				a.say("task %s %s", id, what)
			} else if err := a.printLine(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// progress prints how far a task is.
func progress(r *queue.Record) string {
	switch {
	case r.Total > 0:
		return fmt.Sprintf("%d/%d", r.Done, r.Total)
	case r.Done > 0:
		return fmt.Sprint(r.Done)
	}
	return "-"
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// ago prints how long something is past, in its largest unit.
func ago(t, now time.Time) string {
	switch d := now.Sub(t); {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd ago", int(d.Hours()/24))
	}
}

// stamp prints a time, with how long it is past.
func stamp(t, now time.Time) string {
	text := t.Local().Format("2006-01-02 15:04:05.000")
	if t.After(now) {
		return text
	}
	return text + " (" + ago(t, now) + ")"
}

// clip cuts a text that goes into a table.
func clip(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
