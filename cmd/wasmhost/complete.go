package main

import (
	"github.com/spf13/cobra"

	"github.com/wasmhost/wasmhost/cmd/wasmhost/watch"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/queue"
)

// completeWorkers offers the names in the workers' folder.
func (a *app) completeWorkers(cmd *cobra.Command) ([]string, cobra.ShellCompDirective) {
	var names []string
	a.readFlags(cmd)
	err := a.withState(cmd.Context(), false, func(s *host.State, _ *config.Config) error {
		infos, err := s.Workers(cmd.Context())
		for _, w := range infos {
			names = append(names, cobra.CompletionWithDesc(w.Name, string(w.State)))
		}
		return err
	})
	if err != nil {
		cobra.CompErrorln(err.Error())
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeTasks offers the ids of tasks in these states, of all if there are
// none.
func (a *app) completeTasks(states ...queue.State) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		if len(args) > 0 && cmd.Args(cmd, append(args, "")) != nil {
			return nil, directive // no further one is taken
		}
		var ids []string
		a.readFlags(cmd)
		err := a.withState(cmd.Context(), false, func(s *host.State, _ *config.Config) error {
			records, err := s.Queue.List(cmd.Context(), queue.Filter{States: states, Limit: 50})
			for _, r := range records {
				ids = append(ids, cobra.CompletionWithDesc(r.ID, r.Worker+" "+string(r.State)+watch.Detail(&r)))
			}
			return err
		})
		if err != nil {
			cobra.CompErrorln(err.Error())
		}
		return ids, directive
	}
}
