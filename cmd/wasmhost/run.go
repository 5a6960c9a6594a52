package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wasmhost/wasmhost/host"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Serve the workers in the workers' folder",
		Long: `Serve the workers in the workers' folder until interrupted.

On ctrl-C or SIGTERM no new task is begun and running ones may finish; a second
signal ends the program at once. A task that was cut off is taken up again when
the host starts the next time. Only one host can run on a state folder.

The folder is followed: a file that is dropped in is served when it was admitted,
one that is replaced takes over from the version before it, and one that is deleted
is served no more. What cannot be admitted is logged and left out; see wasmhost
workers.`,
		Example: `  wasmhost run
  wasmhost run --config bin/demo/wasmhost.toml --log-level debug
  WASMHOST_LOG__FORMAT=json wasmhost run --workers-dir ./my-workers`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			log := a.logger(cfg, true)
			h, err := host.New(ctx, cfg, log)
			if err != nil {
				return err
			}
			defer func() {
				if closing := h.Close(); err == nil && closing != nil {
					err = fmt.Errorf("closing the host: %w", closing)
				}
			}()
			ready := 0
			for _, w := range h.Workers() {
				if w.Reason == "" {
					ready++
				}
			}
			log.Info("serving", "workers", ready, "workers_dir", cfg.WorkersDir, "state_dir", cfg.StateDir)
			if ready == 0 {
				log.Warn("no worker to serve: put a .wasm file into the workers' folder", "workers_dir", cfg.WorkersDir)
			}
			if err := h.Run(ctx); err != nil && !errors.Is(err, ctx.Err()) {
				return err
			}
			log.Info("stopped")
			return nil
		},
	}
}
