package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the configuration",
		Long:  "Show the configuration as it is in force.",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "show",
		Short: "Print every value and where it came from",
		Long: `Print every value of the configuration and where it came from: a default, the
file, an environment variable or a flag. Secrets are masked.

An environment variable has two underscores between levels:
WASMHOST_DATA__HANDLES__PRIMARY__PATH sets data.handles.primary.path. Below
settings case counts: WASMHOST_SETTINGS__archive__batchSize.`,
		Example:           "  wasmhost config show\n  WASMHOST_LOG__LEVEL=debug wasmhost config show --json",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			entries := cfg.Effective()
			if a.json {
				return a.printJSON(entries)
			}
			var rows []string
			for _, e := range entries {
				value, err := json.Marshal(e.Value)
				if err != nil {
					return fmt.Errorf("printing %s: %w", e.Key, err)
				}
				rows = append(rows, e.Key+"\t"+string(value)+"\t"+e.Source)
			}
			return a.table("KEY\tVALUE\tSOURCE", rows)
		},
	})
	return cmd
}
