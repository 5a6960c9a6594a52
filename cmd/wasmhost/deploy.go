package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/worker"
)

func (a *app) deployCommand() *cobra.Command {
	var name string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "deploy FILE",
		Short: "Put a module into the workers' folder",
		Long: `Put a module into the workers' folder, with the manifest (.toml) and the
signatures (.minisig) that are beside it, so that a running host never sees half of
it. Where a host runs, wait for what it makes of it.`,
		Example:           "  wasmhost deploy bin/rooms.wasm\n  wasmhost deploy build/out.wasm --name rooms",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.FixedCompletions([]string{"wasm"}, cobra.ShellCompDirectiveFilterFileExt),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withState(cmd.Context(), true, func(s *host.State, _ *config.Config) error {
				digest, err := s.Deploy(args[0], name)
				if err != nil {
					return err
				}
				return a.awaitVerdict(cmd.Context(), s, digest, wait)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the worker's `name` (default the file's)")
	addWait(cmd, &wait)
	return cmd
}

func (a *app) rollbackCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "rollback WORKER [VERSION]",
		Short: "Serve a version of a worker that was served before",
		Long: `Put a version that was served before into the workers' folder again: the one
before that which is served, or one by its digest or its version. Where a host runs,
wait for what it makes of it. wasmhost workers --json lists the versions.`,
		Example:           "  wasmhost rollback rooms\n  wasmhost rollback rooms 1.0.0",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeWorker,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withState(cmd.Context(), false, func(s *host.State, _ *config.Config) error {
				digest, err := s.Rollback(args[0], append(args, "")[1])
				if err != nil {
					return err
				}
				return a.awaitVerdict(cmd.Context(), s, digest, wait)
			})
		},
	}
	addWait(cmd, &wait)
	return cmd
}

func addWait(cmd *cobra.Command, wait *time.Duration) {
	cmd.Flags().DurationVar(wait, "wait", 30*time.Second, "how `long` to wait for the host; 0 for not at all")
}

// decisionTime is longer than a host takes to follow what an operator decided.
const decisionTime = 1500 * time.Millisecond

// awaitVerdict waits until the host that runs, if one does, has looked at a file
// with this digest, and fails unless it is served.
func (a *app) awaitVerdict(ctx context.Context, s *host.State, digest string, wait time.Duration) error {
	runs, err := s.HostRuns()
	if err != nil {
		return err
	}
	begin, stale := time.Now(), worker.Info{}
	for first := true; ; first = false {
		infos, err := s.Workers(ctx)
		if err != nil {
			return err
		}
		var found *worker.Info
		for i := range infos {
			if infos[i].Digest == digest {
				found = &infos[i]
			}
		}
		// One that the host has judged before may be judged anew.
		if first && found != nil && found.State != worker.Present {
			stale = *found
		}
		switch {
		case found == nil:
			return abi.Errorf(abi.NotFound, "the file has been replaced meanwhile")
		case !runs || wait == 0:
			return a.done(found, "Deployed %s, digest %.12s.", found.Name, digest)
		case found.State == worker.Ready && found.Serving == digest:
			return a.done(found, "The host serves %s, digest %.12s.", found.Name, digest)
		case found.State != worker.Present && found.State != worker.Ready &&
			(found.State != stale.State || found.Reason != stale.Reason || time.Since(begin) > decisionTime):
			return abi.Errorf(abi.Failed, "the host does not serve it, it is %s: %s", found.State, found.Reason)
		case time.Since(begin) > wait:
			return &exitError{exitTimedOut, fmt.Errorf("the host has not looked at it within %v", wait)}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (a *app) pinCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "pin WORKER VERSION",
		Short: "Let only one version of a worker be served",
		Long: `Let only one version of a worker be served, by its digest, the beginning of one,
or its version: one that was served before, or the one in the workers' folder.
Others are held until wasmhost unpin.`,
		Example:           "  wasmhost pin rooms 3f9a0c11d2e4",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeWorker,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withState(cmd.Context(), true, func(s *host.State, _ *config.Config) error {
				digest, err := s.Pin(args[0], args[1])
				if err != nil {
					return err
				}
				return a.done(map[string]any{"worker": args[0], "pin": digest}, "Pinned %s to the version %.12s.", args[0], digest)
			})
		},
	}
}

func (a *app) unpinCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "unpin WORKER",
		Short:             "Let any version of a worker be served again",
		Example:           "  wasmhost unpin rooms",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeWorker,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withState(cmd.Context(), false, func(s *host.State, _ *config.Config) error {
				if err := s.Unpin(args[0]); err != nil {
					return err
				}
				return a.done(map[string]any{"worker": args[0]}, "Unpinned %s.", args[0])
			})
		},
	}
}
