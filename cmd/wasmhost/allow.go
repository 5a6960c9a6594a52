package main

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
)

func (a *app) allowCommand() *cobra.Command {
	var yes bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "allow WORKER",
		Short: "Give a worker what its file asks for",
		Long: `Show what the worker's file in the workers' folder asks to do, and what of it is
new, and give it that when you say yes. It is written to grants.toml in the state
folder, which a running host follows. A version that was taken back because its
tasks failed is tried again.

Later versions that ask for no more are served without asking; one that asks for
more is held until it is allowed, and the version before it goes on.`,
		Example:           "  wasmhost allow rooms\n  wasmhost allow rooms --yes --json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeWorker,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withState(cmd.Context(), true, func(s *host.State, cfg *config.Config) error {
				r, err := s.Review(args[0])
				if err != nil {
					return err
				}
				if cfg.Admission.NewWorkers == config.TrustNone {
					return abi.Errorf(abi.Conflict, "admission.new_workers is none: only the configuration grants, below workers.%s.grants", r.Name)
				}
				if !a.json {
					a.printReview(r)
				}
				if !yes && !a.confirm("Allow this?") {
					return &exitError{exitFailed, fmt.Errorf("nothing was allowed; to say yes in a script, use --yes")}
				}
				if err := s.Allow(r); err != nil {
					return err
				}
				if a.json {
					return a.printJSON(r)
				}
				a.say("Allowed.")
				if runs, err := s.HostRuns(); err != nil || !runs || wait == 0 {
					return err
				}
				return a.sayVerdict(cmd.Context(), s, r.Digest, wait)
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	addWait(cmd, &wait)
	return cmd
}

func (a *app) printReview(r *host.Review) {
	title := fmt.Sprintf("The worker %s, ", r.Name)
	if r.Version != "" {
		title += "version " + r.Version + ", "
	}
	a.say("%sdigest %.12s", title, r.Digest)
	if r.Description != "" {
		a.say("  %s", r.Description)
	}
	if len(r.Asks) == 0 {
		a.say("asks for nothing.")
	} else {
		a.say("asks to")
	}
	for _, ask := range r.Asks {
		mark := "   "
		if slices.Contains(r.New, ask) {
			mark = "new"
		}
		a.say("  %s  %s", mark, ask)
	}
	if len(r.Dropped) > 0 {
		a.say("and no longer to")
		for _, ask := range r.Dropped {
			a.say("       %s", ask)
		}
	}
	for _, handle := range r.NoHandles {
		a.say("No database %q is configured: calls that need it will fail.", handle)
	}
	if r.TakenBack != "" {
		a.say("This version was taken back: %s", r.TakenBack)
	}
}

// confirm asks a person. The end of the input is no.
func (a *app) confirm(question string) bool {
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	line, _ := bufio.NewReader(a.stdin).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}

func (a *app) revokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke WORKER",
		Short: "Take back what a worker was allowed",
		Long: `Take back all that wasmhost allow gave a worker. If its version asks for more
than the configuration grants it is not served any more: its running tasks may
finish, and the others wait until it is allowed again.`,
		Example:           "  wasmhost revoke rooms",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeWorker,
		RunE: a.decide(false, func(s *host.State, args []string) (map[string]any, string, error) {
			return map[string]any{"worker": args[0]}, fmt.Sprintf("Revoked what %s was allowed.", args[0]), s.Revoke(args[0])
		}),
	}
}

// done says what was done, as JSON or in words.
func (a *app) done(value any, format string, args ...any) error {
	if a.json {
		return a.printJSON(value)
	}
	a.say(format, args...)
	return nil
}

// completeWorker offers workers for the first argument.
func (a *app) completeWorker(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeWorkers(cmd)
}
