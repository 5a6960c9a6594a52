package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
)

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
		RunE: a.decide(true, func(s *host.State, args []string) (map[string]any, string, error) {
			digest, err := s.Pin(args[0], args[1])
			return map[string]any{"worker": args[0], "pin": digest}, fmt.Sprintf("Pinned %s to the version %.12s.", args[0], digest), err
		}),
	}
}

func (a *app) unpinCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "unpin WORKER",
		Short:             "Let any version of a worker be served again",
		Example:           "  wasmhost unpin rooms",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeWorker,
		RunE: a.decide(false, func(s *host.State, args []string) (map[string]any, string, error) {
			return map[string]any{"worker": args[0]}, fmt.Sprintf("Unpinned %s.", args[0]), s.Unpin(args[0])
		}),
	}
}

// decide is the run of a command that changes what the operator has decided about a
// worker, and says so, as JSON or in words.
func (a *app) decide(create bool, change func(s *host.State, args []string) (map[string]any, string, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		return a.withState(cmd.Context(), create, func(s *host.State, _ *config.Config) error {
			value, text, err := change(s, args)
			if err != nil {
				return err
			}
			return a.done(value, "%s", text)
		})
	}
}
