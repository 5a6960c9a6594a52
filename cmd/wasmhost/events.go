package main

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/command"
)

type eventFlags struct {
	follow  bool
	since   int64
	pattern string
	limit   int
}

func (a *app) eventsCommand() *cobra.Command {
	var f eventFlags
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Print the events that workers emitted, and follow them",
		Long: `Print events in the order in which they were recorded, one per line: with --json
as one JSON object each.

Without --follow it prints those after --since and ends. With --follow it then
goes on with new ones until interrupted; without --since it begins with the next
new one.`,
		Example: `  wasmhost events --pattern 'archive:*'
  wasmhost events --follow
  wasmhost events --since 120 --follow --json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.since < 0 || f.limit < 0 {
				return usageError("--since and --limit are numbers from 0 on")
			}
			return a.withState(cmd.Context(), f.follow, func(s *host.State, _ *config.Config) error {
				if !f.follow {
					return a.printEvents(cmd.Context(), s, f)
				}
				return a.followEvents(cmd.Context(), s, f, cmd.Flags().Changed("since"))
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&f.follow, "follow", "f", false, "go on with new events until interrupted")
	flags.Int64Var(&f.since, "since", 0, "begin after the event with this `id`")
	flags.StringVar(&f.pattern, "pattern", "", "only events whose name matches, such as archive:* (default: all)")
	flags.IntVar(&f.limit, "limit", 0, "print at most so many (default: no limit)")
	for _, flag := range []string{"since", "pattern", "limit"} {
		must(cmd.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions))
	}
	return cmd
}

// printEvents prints what has been recorded so far.
func (a *app) printEvents(ctx context.Context, s *host.State, f eventFlags) error {
	const page = 500
	for printed := 0; ; {
		events, err := s.Events.Since(ctx, f.since, page, f.pattern)
		if err != nil {
			return err
		}
		for i := range events {
			if err := a.printEvent(&events[i]); err != nil {
				return err
			}
			f.since = events[i].ID
			if printed++; printed == f.limit {
				return nil
			}
		}
		if len(events) == 0 {
			return nil
		}
	}
}

// followEvents prints events until the context ends, which is how it is meant
// to end.
func (a *app) followEvents(ctx context.Context, s *host.State, f eventFlags, since bool) error {
	if !since {
		last, err := s.Events.Last(ctx)
		if err != nil {
			return err
		}
		f.since = last
	}
	printed := 0
	for e, err := range s.Events.Follow(ctx, f.since, f.pattern) {
		if err != nil {
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				return nil
			}
			return err
		}
		if err := a.printEvent(&e); err != nil {
			return err
		}
		if printed++; printed == f.limit {
			return nil
		}
	}
	return nil
}

func (a *app) printEvent(e *command.Event) error {
	if a.json {
		return a.printLine(e)
	}
	from := cmp.Or(e.Worker, "host")
	if e.Task != "" {
		from += "/" + e.Task
	}
	a.say("%s", strings.Join([]string{
		e.Time.Local().Format("2006-01-02 15:04:05.000"), from, e.Name, string(e.Data),
	}, "  "))
	return nil
}
