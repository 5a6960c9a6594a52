package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
)

func (a *app) schedulesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schedules",
		Short: "List the schedules of the workers and their next due times",
		Long: `List the schedules that the configuration has for workers, the next due first.
At each due time a running host submits one task; missed says what becomes of
those at which none ran.`,
		Example:           "  wasmhost schedules\n  wasmhost schedules --json",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withState(cmd.Context(), true, func(s *host.State, _ *config.Config) error {
				infos, err := s.Schedules(cmd.Context(), time.Now())
				if err != nil {
					return err
				}
				return a.printSchedules(infos)
			})
		},
	}
}

func (a *app) printSchedules(infos []host.ScheduleInfo) error {
	if a.json {
		return a.printJSON(infos)
	}
	if len(infos) == 0 {
		a.say("There are no schedules: see [[workers.NAME.schedule]] in the configuration")
		return nil
	}
	var rows []string
	for _, s := range infos {
		next := "-"
		if !s.Next.IsZero() {
			next = s.Next.Format("2006-01-02 15:04 MST")
		}
		rows = append(rows, strings.Join([]string{s.Worker, s.Name, s.Cron, s.TimeZone, s.Kind, s.Missed, next}, "\t"))
	}
	return a.table("WORKER\tNAME\tCRON\tTIME ZONE\tKIND\tMISSED\tNEXT", rows)
}
