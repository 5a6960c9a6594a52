package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/queue"
)

// printDryRun prints what a dry run would have done. That its worker failed is
// the same exit code as of a task that did.
func (a *app) printDryRun(r *queue.Record) error {
	var d host.DryRun
	if err := json.Unmarshal(r.Result, &d); err != nil {
		return fmt.Errorf("reading the result of the dry run %s: %w", r.ID, err)
	}
	var err error
	if a.json {
		err = a.printJSON(d)
	} else {
		err = a.sayDryRun(r, &d)
	}
	if err == nil && d.Error != nil {
		err = &exitError{exitTaskFailed, fmt.Errorf("the dry run failed: %s: %s", d.Error.Code, d.Error.Message)}
	}
	return err
}

func (a *app) sayDryRun(r *queue.Record, d *host.DryRun) error {
	a.say("dry run of %s, task %s: nothing was written and nothing sent", r.Worker, r.ID)
	a.say("\nwould write")
	for _, w := range d.Writes {
		a.say("  %s %s, %s: %s", w.Handle, w.Collection, w.Op, counted(w.Rows, "row"))
		for _, row := range w.First {
			a.say("    %s", clip(string(row), 160))
		}
		if more := w.Rows - int64(len(w.First)); more > 0 && len(w.First) > 0 {
			a.say("    and %d more", more)
		}
	}
	if d.MoreRows > 0 {
		a.say("  other collections: %s", counted(d.MoreRows, "row"))
	}
	if len(d.Writes) == 0 {
		a.say("  nothing")
	}
	a.say("\nwould send")
	for _, name := range slices.Sorted(maps.Keys(d.Sent)) {
		a.say("  %s: %s", name, counted(d.Sent[name], "call"))
		left := 3
		for _, c := range d.Commands {
			if c.Name != name || left == 0 {
				continue
			}
			left--
			what := clip(string(c.Params), 160)
			if c.ParamsBytes > 0 {
				what = fmt.Sprintf("params of %d bytes", c.ParamsBytes)
			}
			if c.Error != "" {
				what += "; refused: " + clip(c.Error, 160)
			}
			a.say("    %s", what)
		}
	}
	if len(d.Sent) == 0 {
		a.say("  nothing")
	}
	if d.ResultBytes > 0 {
		a.say("\nwould return %d bytes, too large to be shown", d.ResultBytes)
	}
	if len(d.Result) == 0 {
		return nil
	}
	a.say("\nwould return")
	return a.printJSON(d.Result)
}

func counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
