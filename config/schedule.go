package config

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config/cron"
)

// Schedule makes a task of a worker at each of its due times:
//
//	[[workers.NAME.schedule]]
//	cron = "0 3 * * *"
type Schedule struct {
	// Name tells the worker's schedules apart, and stays what it is when another
	// field is changed. Default: Kind.
	Name string
	// Cron is an expression of five fields: see package cron. It must be set.
	Cron string
	// TimeZone is of the IANA database: Europe/Berlin. Default UTC.
	TimeZone string
	// Kind is what the worker is asked for. Default: the worker's name.
	Kind string
	// Payload is a JSON object, nil for none.
	Payload json.RawMessage
	// Missed says what becomes of the due times at which no host ran: skip, or
	// once, for one task in place of them all. Default skip.
	Missed string
}

// What becomes of missed due times.
const (
	MissedSkip = "skip"
	MissedOnce = "once"
)

// maxSchedules is how many a worker may have.
const maxSchedules = 64

// plain is the schedule as the file has it.
func (s Schedule) plain() map[string]any {
	out := map[string]any{"name": s.Name, "cron": s.Cron, "time_zone": s.TimeZone, "kind": s.Kind, "missed": s.Missed}
	if s.Payload != nil {
		out["payload"] = s.Payload
	}
	return out
}

// addSchedules checks a worker's list; path is workers.NAME.schedule.
func (l *layer) addSchedules(path []string, value any, source string) {
	tables, ok := value.([]any)
	if one, single := value.([]map[string]any); single {
		ok = true
		for _, t := range one {
			tables = append(tables, t)
		}
	}
	if !ok {
		l.problem(path, source, "is %s; allowed: tables, each below [[workers.NAME.schedule]] in the file", show(value))
		return
	}
	if len(tables) > maxSchedules {
		l.problem(path, source, "has %d entries; allowed: %d", len(tables), maxSchedules)
		return
	}
	var all []Schedule
	for i, t := range tables {
		table, ok := t.(map[string]any)
		if !ok {
			l.problem(path, source, "entry %d is %s; allowed: a table", i+1, show(t))
			continue
		}
		s, ok := l.schedule(path, i, table, source)
		if !ok {
			continue
		}
		if slices.ContainsFunc(all, func(other Schedule) bool { return other.Name == s.Name }) {
			l.problem(path, source, "has two entries named %q; give them different names", s.Name)
		}
		all = append(all, s)
	}
	l.set(path, all, source)
}

// schedule reads entry i of a list.
func (l *layer) schedule(path []string, i int, table map[string]any, source string) (Schedule, bool) {
	before := len(l.problems)
	report := func(format string, args ...any) {
		l.problem(path, source, "entry %d: %s", i+1, fmt.Sprintf(format, args...))
	}
	s := Schedule{TimeZone: "UTC", Kind: path[1], Missed: MissedSkip}
	texts := map[string]*string{"name": &s.Name, "cron": &s.Cron, "time_zone": &s.TimeZone, "kind": &s.Kind, "missed": &s.Missed}
	for _, key := range sortedKeys(table) {
		value := table[key]
		if key == "payload" {
			clean, ok := plain(value)
			if _, isTable := value.(map[string]any); !ok || !isTable {
				report("payload is %s; allowed: a table of strings, booleans, finite numbers, dates, lists and tables", show(value))
				continue
			}
			var err error
			if s.Payload, err = json.Marshal(clean); err != nil {
				report("payload: %v", err)
			}
			continue
		}
		field, known := texts[key]
		if !known {
			report("unknown key %s; allowed: cron, kind, missed, name, payload, time_zone", key)
			continue
		}
		text, ok := value.(string)
		if !ok || text == "" || len(text) > 128 {
			report("%s is %s; allowed: a text of 1 to 128 bytes", key, show(value))
			continue
		}
		*field = text
	}
	if s.Name == "" {
		s.Name = s.Kind
	}
	if len(l.problems) > before {
		return s, false
	}
	switch _, err := cron.Parse(s.Cron, s.TimeZone); {
	case s.Cron == "":
		report("cron is missing; set it to five fields, such as \"0 3 * * *\"")
	case err != nil:
		report("%v", err)
	case s.Missed != MissedSkip && s.Missed != MissedOnce:
		report("missed is %q; allowed: %s, %s", s.Missed, MissedSkip, MissedOnce)
	case !abi.ValidName(s.Name) && table["name"] != nil:
		report("%q cannot be a name; allowed: %s", s.Name, nameForm)
	}
	return s, len(l.problems) == before
}
