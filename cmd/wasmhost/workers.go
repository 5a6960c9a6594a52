package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/worker"
)

func (a *app) workersCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "workers",
		Short: "List the workers in the workers' folder",
		Long: `List the workers in the workers' folder, as their files and the configuration
describe them. Nothing is compiled or run. A file that cannot be a worker is
listed as refused, with the reason.`,
		Example:           "  wasmhost workers\n  wasmhost workers --json",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withState(cmd.Context(), true, func(s *host.State, cfg *config.Config) error {
				infos, err := s.Workers(cmd.Context())
				if err != nil {
					return err
				}
				return a.printWorkers(infos, cfg)
			})
		},
	}
}

func (a *app) printWorkers(infos []worker.Info, cfg *config.Config) error {
	if a.json {
		return a.printJSON(infos)
	}
	if len(infos) == 0 {
		a.say("There are no workers: put a .wasm file into %s", cfg.WorkersDir)
		return nil
	}
	var rows []string
	for _, w := range infos {
		version, detail := "-", w.Reason
		if w.Manifest != nil {
			version, detail = dash(w.Manifest.Version), w.Manifest.Description
		}
		rows = append(rows, strings.Join([]string{
			w.Name, string(w.State), version, clip(dash(w.Digest), 13), fmt.Sprint(w.Size), fmt.Sprint(w.Concurrency), w.Deadline.String(), clip(detail, 80),
		}, "\t"))
	}
	return a.table("NAME\tSTATE\tVERSION\tDIGEST\tBYTES\tCONCURRENCY\tDEADLINE\tDETAIL", rows)
}
