package host

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/worker"
)

// workerConfig is what holds for a version of a worker: the configuration, what
// the version asks for, all of which it was given when it was admitted, and the
// bounds that it sets itself. On a handle that the configuration grants anything
// on, the configuration alone says what.
func (h *Host) workerConfig(name string, v *version) config.Worker {
	return configOf(h.now().Worker(name), v.manifest)
}

func configOf(w config.Worker, m *abi.Manifest) config.Worker {
	if m == nil {
		return w
	}
	r := m.Requests
	add := func(a, b []string) []string {
		return append(slices.Clip(a), slices.DeleteFunc(slices.Clone(b), func(s string) bool { return slices.Contains(a, s) })...)
	}
	g := &w.Grants
	g.Commands, g.Config, g.Queries = add(g.Commands, r.Commands), add(g.Config, r.Config), add(g.Queries, r.Queries)
	g.Events = add(g.Events, r.Events)
	g.Provides, w.On = add(g.Provides, m.Provides), add(w.On, m.On)
	w.Schedule = append(slices.Clip(w.Schedule), manifestSchedules(w.Schedule, m)...)
	all := make(map[string]config.Grant, len(r.Data)+len(r.Collections)+len(g.Data))
	for handle, verbs := range r.Data {
		all[handle] = config.Grant{Verbs: verbs}
	}
	for handle, tables := range r.Collections {
		grant := config.Grant{Collections: make(map[string]config.Rights, len(tables))}
		for name, t := range tables {
			grant.Collections[name] = config.Rights{Read: asColumns(t.Read), Insert: asColumns(t.Insert), Update: asColumns(t.Update), Delete: t.Delete}
		}
		all[handle] = grant
	}
	maps.Copy(all, g.Data)
	g.Data = all
	if n := m.Limits; n != nil {
		w.MemoryMB = lower(w.MemoryMB, n.MemoryMB)
		w.Deadline = lower(w.Deadline, time.Duration(n.DeadlineMS)*time.Millisecond)
		w.Fuel = lower(w.Fuel, n.Fuel)
	}
	if m.Retry != nil {
		w.MaxAttempts = lower(w.MaxAttempts, m.Retry.MaxAttempts)
	}
	if m.Isolation == "task" {
		w.Isolation = "task"
	}
	w.Atomic = w.Atomic || m.Atomic
	return w
}

// manifestSchedules are those of a manifest that the configuration has not. One
// is named by its kind, and by its expression where two are of one kind.
func manifestSchedules(own []config.Schedule, m *abi.Manifest) (more []config.Schedule) {
	has := func(name string) bool {
		return slices.ContainsFunc(slices.Concat(own, more), func(s config.Schedule) bool { return s.Name == name })
	}
	for _, s := range m.Schedule {
		c := config.Schedule{Name: s.Kind, Cron: s.Cron, TimeZone: cmp.Or(s.TimeZone, "UTC"), Kind: s.Kind, Missed: cmp.Or(s.Missed, config.MissedSkip)}
		if slices.ContainsFunc(own, func(o config.Schedule) bool { return o.Name == c.Name }) {
			continue // the operator has another time for it
		}
		if has(c.Name) {
			c.Name += " " + s.Cron
		}
		if s.Payload != nil {
			c.Payload, _ = json.Marshal(s.Payload) // it came from JSON or TOML
		}
		if !has(c.Name) {
			more = append(more, c)
		}
	}
	return more
}

// lower is the lower of two limits, of which 0 is none.
func lower[T int | int64 | time.Duration](a, b T) T {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func asColumns(names []string) config.Columns {
	if slices.Contains(names, "*") {
		return config.Columns{All: true}
	}
	return config.Columns{Names: names}
}

// configAsk is what the configuration gives a worker.
func configAsk(w config.Worker) worker.Ask {
	g := w.Grants
	r := abi.Requests{
		Data: map[string][]string{}, Collections: map[string]map[string]abi.Rights{},
		Commands: g.Commands, Config: g.Config, Queries: g.Queries, Events: g.Events,
	}
	names := func(c config.Columns) []string {
		if c.All {
			return []string{"*"}
		}
		return c.Names
	}
	for handle, grant := range g.Data {
		if grant.Collections == nil {
			r.Data[handle] = grant.Verbs
			continue
		}
		tables := map[string]abi.Rights{}
		for name, t := range grant.Collections {
			tables[name] = abi.Rights{Read: names(t.Read), Insert: names(t.Insert), Update: names(t.Update), Delete: t.Delete}
		}
		r.Collections[handle] = tables
	}
	ask := worker.Ask{Requests: r, Provides: g.Provides, On: w.On}
	for _, s := range w.Schedule {
		ask.Schedule = append(ask.Schedule, worker.ScheduleText(s.Cron, s.TimeZone, s.Kind))
	}
	return ask
}

// grantsOf is what the configuration grants a worker on the fast path.
func grantsOf(g config.Grants) data.Grants {
	grants := data.Grants{Handles: make(map[string]data.Grant, len(g.Data)), Queries: g.Queries}
	for handle, grant := range g.Data {
		collections := make(map[string]data.Rights, len(grant.Collections))
		for name, r := range grant.Collections {
			collections[name] = data.Rights{
				Read: columnsOf(r.Read), Insert: columnsOf(r.Insert), Update: columnsOf(r.Update),
				Delete: r.Delete, Where: r.Where,
			}
		}
		grants.Handles[handle] = data.Grant{Verbs: grant.Verbs, Collections: collections}
	}
	return grants
}

func columnsOf(c config.Columns) data.Columns {
	if c.All {
		return data.AllColumns()
	}
	return data.SomeColumns(c.Names...)
}

// queriesOf is the operator's queries.
func queriesOf(cfg config.Data) map[string]data.Query {
	queries := make(map[string]data.Query, len(cfg.Queries))
	for name, q := range cfg.Queries {
		queries[name] = data.Query{Handle: q.Handle, SQL: q.SQL}
	}
	return queries
}
