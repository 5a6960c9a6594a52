package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
)

func (a *app) deployCommand() *cobra.Command {
	var name string
	var wait time.Duration
	var canary canaryFlags
	cmd := &cobra.Command{
		Use:   "deploy FILE",
		Short: "Put a module into the workers' folder",
		Long: `Put a module into the workers' folder, with the manifest (.toml) and the
signatures (.minisig) that are beside it, so that a running host never sees half of
it. Where a host runs, wait for what it makes of it.

With --canary N the host first compares it with the version that it serves. Each of
the next N tasks of the worker is rehearsed on the new version, without effects as
in submit --dry-run, and then run in earnest by the old one, on the same rows. What
the two did is shown: how they ended, the rows they wrote, the commands they sent,
what they returned, and what that took. Then you are asked. --yes deploys it if all N
tasks were compared and none was different. Until it is deployed, by you or --yes,
and if you interrupt the command, the old version is what is served.

Exit codes with --canary: 5 if too few tasks came, 6 if --yes was given and tasks
were different.`,
		Example: `  wasmhost deploy bin/rooms.wasm
  wasmhost deploy build/out.wasm --name rooms
  wasmhost deploy bin/archive.wasm --canary 5
  wasmhost deploy bin/archive.wasm --canary 20 --ignore duration_ms,started_ms --yes --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.FixedCompletions([]string{"wasm"}, cobra.ShellCompDirectiveFilterFileExt),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := canary.check(cmd); err != nil {
				return err
			}
			return a.withState(cmd.Context(), true, func(s *host.State, _ *config.Config) error {
				if canary.tasks > 0 {
					return a.compareAndDeploy(cmd.Context(), s, args[0], name, canary, wait)
				}
				digest, err := s.Deploy(args[0], name)
				if err != nil {
					return err
				}
				return a.sayVerdict(cmd.Context(), s, digest, wait)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the worker's `name` (default the file's)")
	addWait(cmd, &wait)
	canary.add(cmd)
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
				return a.sayVerdict(cmd.Context(), s, digest, wait)
			})
		},
	}
	addWait(cmd, &wait)
	return cmd
}
