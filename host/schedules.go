package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/config/cron"
	"github.com/wasmhost/wasmhost/host/queue"
	"github.com/wasmhost/wasmhost/host/worker"
)

const (
	// onTime is how late a due time may be seen and still not be missed.
	onTime = time.Minute
	// scheduleTick is how often the clock is looked at. It is not waited for the
	// next due time: a machine sleeps, and clocks are set.
	scheduleTick = time.Second
	// clockFault is how far in the future a due time that was dealt with must be
	// to show that the clock was wrong then.
	clockFault = 24 * time.Hour
)

// scheduled is a schedule of a worker.
type scheduled struct {
	worker string
	config.Schedule
	when *cron.Schedule
}

// rule is what a change of makes a schedule another one.
func (s *scheduled) rule() string { return s.Cron + " " + s.TimeZone }

// schedulesOf lists all schedules of workers, in an order that stays.
func schedulesOf(workers map[string][]config.Schedule) []scheduled {
	var all []scheduled
	for _, name := range slices.Sorted(maps.Keys(workers)) {
		for _, s := range workers[name] {
			if when, err := cron.Parse(s.Cron, s.TimeZone); err == nil { // it was checked when it was loaded
				all = append(all, scheduled{name, s, when})
			}
		}
	}
	return all
}

// schedule makes tasks of due times until ctx ends.
func (h *Host) schedule(ctx context.Context) {
	tick := time.NewTicker(scheduleTick)
	defer tick.Stop()
	var last map[string][]config.Schedule
	var seen, next time.Time
	for {
		// Without the monotonic clock, which stands still while a machine sleeps.
		now, plan := time.Now().Round(0), h.schedules()
		if !reflect.DeepEqual(plan, last) || now.Before(seen) || !next.IsZero() && !now.Before(next) {
			var err error
			if next, err = h.state.schedule(ctx, schedulesOf(plan), now); err != nil && ctx.Err() == nil {
				h.log.Warn("not all due times became tasks, trying again", "error", err)
			}
			last = plan
		}
		seen = now
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// schedules are those of each worker: what the configuration says, and what the
// version that is served asks for.
func (h *Host) schedules() map[string][]config.Schedule {
	plan := map[string][]config.Schedule{}
	for name, w := range h.now().Workers {
		if len(w.Schedule) > 0 {
			plan[name] = w.Schedule
		}
	}
	for name, v := range h.fleet.served() {
		if all := h.workerConfig(name, v).Schedule; len(all) > 0 {
			plan[name] = all
		}
	}
	return plan
}

// schedule makes a task of each schedule's last due time that has not been dealt
// with, and returns when to look again; the zero time for never. A task and the
// note that it was made are one transaction; the task's key is for notes that were
// lost, as with a clock that was set back. What is not to be tried again fails
// here and is logged.
func (s *State) schedule(ctx context.Context, all []scheduled, now time.Time) (next time.Time, err error) {
	list, err := s.Queue.Due(ctx)
	if err != nil {
		return now, err
	}
	dealt := make(map[[2]string]queue.Due, len(list))
	for _, d := range list {
		dealt[[2]string{d.Worker, d.Schedule}] = d
	}
	var failed []error
	for i := range all {
		key := [2]string{all[i].worker, all[i].Name}
		if err := s.due(ctx, &all[i], dealt[key], now); err != nil {
			failed = append(failed, fmt.Errorf("schedule %s of the worker %s: %w", all[i].Name, all[i].worker, err))
			next = now
		}
		delete(dealt, key)
		if n := all[i].when.Next(now); !n.IsZero() && (next.IsZero() || n.Before(next)) {
			next = n
		}
	}
	for key := range dealt {
		failed = append(failed, s.Queue.ForgetDue(ctx, key[0], key[1]))
	}
	return next, errors.Join(failed...)
}

// due deals with the due times of one schedule up to now.
func (s *State) due(ctx context.Context, c *scheduled, d queue.Due, now time.Time) error {
	if d.Rule != c.rule() || d.Until.After(now.Add(clockFault)) { // it is new, or was never to be
		return s.Queue.SetDue(ctx, queue.Due{Worker: c.worker, Schedule: c.Name, Rule: c.rule(), Until: now})
	}
	due := c.when.Latest(d.Until, now)
	if due.IsZero() {
		return nil
	}
	d.Until = due
	if c.Missed == config.MissedSkip && now.Sub(due) > onTime {
		s.log.Warn("due times of a schedule were missed and are skipped", "worker", c.worker, "schedule", c.Name, "last", due)
	} else {
		_, _, err := s.Submit(ctx, queue.Submission{
			Worker: c.worker, Kind: c.Kind, Payload: c.Payload, Once: true, Due: &d,
			UniqueKey: fmt.Sprintf("schedule:%s:%s", c.Name, due.UTC().Format(time.RFC3339)),
		})
		if err == nil || ctx.Err() != nil || abi.CodeOf(err).Retryable() {
			return err
		}
		// The worker is gone, or its payload is too large.
		s.log.Warn("a due time did not become a task", "worker", c.worker, "schedule", c.Name, "due", due, "error", err)
	}
	return s.Queue.SetDue(ctx, d)
}

// ScheduleInfo is a schedule as it stands.
type ScheduleInfo struct {
	Worker   string          `json:"worker"`
	Name     string          `json:"name"`
	Cron     string          `json:"cron"`
	TimeZone string          `json:"time_zone"`
	Kind     string          `json:"kind"`
	Payload  json.RawMessage `json:"payload,omitempty"`
	Missed   string          `json:"missed"`
	Until    time.Time       `json:"dealt_with_until,omitzero"` // zero: no host has seen it yet
	Next     time.Time       `json:"next,omitzero"`             // due after now, in TimeZone; zero: not in the next five years
}

// Schedules lists the schedules in the configuration and of the workers that are
// served, the next due first.
func (s *State) Schedules(ctx context.Context, now time.Time) ([]ScheduleInfo, error) {
	list, err := s.Queue.Due(ctx)
	if err != nil {
		return nil, err
	}
	workers, err := s.Workers(ctx)
	if err != nil {
		return nil, err
	}
	plan := map[string][]config.Schedule{}
	for name, w := range s.cfg.Workers {
		plan[name] = w.Schedule
	}
	for _, w := range workers {
		if w.State == worker.Ready && w.Manifest != nil {
			plan[w.Name] = configOf(s.cfg.Worker(w.Name), w.Manifest).Schedule
		}
	}
	infos := []ScheduleInfo{}
	for _, c := range schedulesOf(plan) {
		info := ScheduleInfo{
			Worker: c.worker, Name: c.Name, Cron: c.Cron, TimeZone: c.TimeZone, Kind: c.Kind, Payload: c.Payload, Missed: c.Missed,
			Next: c.when.Next(now),
		}
		for _, d := range list {
			if d.Worker == c.worker && d.Schedule == c.Name && d.Rule == c.rule() {
				info.Until = d.Until
			}
		}
		infos = append(infos, info)
	}
	slices.SortStableFunc(infos, func(a, b ScheduleInfo) int {
		return cmp.Or(boolCompare(a.Next.IsZero(), b.Next.IsZero()), a.Next.Compare(b.Next))
	})
	return infos, nil
}

// boolCompare puts false first.
func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
