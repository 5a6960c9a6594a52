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
describe them, and what the host that runs, if one does, has made of them:

    ready     served
    pending   not served: it asks for what it was not given; see wasmhost allow
    held      so does this version, or it is not the pinned one; the version before
              it is served
    refused   it cannot be served, and DETAIL says why; the version before it is
    present   no host that runs has looked at it

SERVING is the version that tasks run on. Nothing is compiled or run.`,
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
			version = dash(w.Manifest.Version)
			if detail == "" {
				detail = w.Manifest.Description
			}
		}
		rows = append(rows, strings.Join([]string{
			w.Name, string(w.State), version, clip(dash(w.Digest), 13), clip(dash(w.Serving), 13), fmt.Sprint(w.Size), fmt.Sprint(w.Concurrency), w.Deadline.String(), clip(detail, 160),
		}, "\t"))
	}
	return a.table("NAME\tSTATE\tVERSION\tDIGEST\tSERVING\tBYTES\tCONCURRENCY\tDEADLINE\tDETAIL", rows)
}
