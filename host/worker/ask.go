package worker

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
)

// Ask is what a version asks to be given, or what an operator has given.
type Ask struct {
	Requests abi.Requests `json:"requests"`
	Provides []string     `json:"provides,omitempty"`
	On       []string     `json:"on,omitempty"`
	Schedule []string     `json:"schedule,omitempty"` // see ScheduleText
}

// ScheduleText is a schedule as one asks for it: by what it runs and when.
func ScheduleText(cron, zone, kind string) string {
	return kind + " at " + cron + " " + cmp.Or(zone, "UTC")
}

// AskOf is what a manifest asks for; nothing if there is none.
func AskOf(m *abi.Manifest) Ask {
	if m == nil {
		return Ask{}
	}
	ask := Ask{Requests: m.Requests, Provides: m.Provides, On: m.On}
	for _, s := range m.Schedule {
		ask.Schedule = append(ask.Schedule, ScheduleText(s.Cron, s.TimeZone, s.Kind))
	}
	return ask
}

// Item is one thing that is asked for.
type Item struct {
	kind                             string // data, command, config, query, emit, provides, on or schedule
	handle, collection, verb, column string // of data; "*" for all
	name                             string // of the others
}

// Items lists what is asked for, ordered.
func (a Ask) Items() []Item {
	var items []Item
	r := a.Requests
	for _, handle := range slices.Sorted(maps.Keys(r.Data)) {
		for _, verb := range verbs {
			if slices.Contains(r.Data[handle], verb) {
				items = append(items, Item{kind: "data", handle: handle, collection: "*", verb: verb, column: "*"})
			}
		}
	}
	for _, handle := range slices.Sorted(maps.Keys(r.Collections)) {
		for _, name := range slices.Sorted(maps.Keys(r.Collections[handle])) {
			rights := r.Collections[handle][name]
			for i, columns := range [][]string{rights.Read, rights.Insert, rights.Update} {
				for _, column := range columns {
					items = append(items, Item{kind: "data", handle: handle, collection: name, verb: verbs[i], column: column})
				}
			}
			if rights.Delete {
				items = append(items, Item{kind: "data", handle: handle, collection: name, verb: "delete", column: "*"})
			}
		}
	}
	for _, l := range []struct {
		kind string
		list []string
	}{{"query", r.Queries}, {"command", r.Commands}, {"config", r.Config}, {"emit", r.Events}, {"provides", a.Provides}, {"on", a.On}, {"schedule", a.Schedule}} {
		for _, name := range l.list {
			items = append(items, Item{kind: l.kind, name: name})
		}
	}
	return items
}

// Handle is the database that an item is about, "" for none.
func (i Item) Handle() string { return i.handle }

// covers says whether having i is having o. A pattern covers the names that it
// matches, and itself; whether it covers another pattern is not worked out.
func (i Item) covers(o Item) bool {
	if i == o {
		return true
	}
	all := func(have, want string) bool { return have == "*" || have == want }
	switch {
	case i.kind != o.kind:
		return false
	case i.kind == "data":
		return i.handle == o.handle && i.verb == o.verb && all(i.collection, o.collection) && all(i.column, o.column)
	case i.kind == "query" || i.kind == "provides" || i.kind == "schedule" || strings.ContainsAny(o.name, `*?[\`):
		return false
	}
	ok, err := path.Match(i.name, o.name)
	return ok && err == nil
}

// Missing lists what a asks for and none of given has.
func (a Ask) Missing(given ...Ask) []Item {
	var have []Item
	for _, g := range given {
		have = append(have, g.Items()...)
	}
	return slices.DeleteFunc(a.Items(), func(want Item) bool {
		return slices.ContainsFunc(have, func(i Item) bool { return i.covers(want) })
	})
}

// String says in words what the item lets a worker do.
func (i Item) String() string {
	switch i.kind {
	case "data":
		does := map[string]string{"read": "read", "insert": "add rows to", "update": "change rows of", "delete": "delete rows of"}[i.verb]
		what := fmt.Sprintf("%q in the database %q", i.collection, i.handle)
		if i.collection == "*" {
			what = fmt.Sprintf("everything in the database %q", i.handle)
		} else if i.column != "*" {
			what = fmt.Sprintf("the column %q of %s", i.column, what)
		}
		return does + " " + what
	case "command":
		return "call the command " + i.name
	case "config":
		return "read the setting " + i.name
	case "emit":
		return "emit the event " + i.name
	case "query":
		return "run your query " + i.name
	case "provides":
		return "answer the command " + i.name + " for others"
	case "schedule":
		return "run by the clock: " + i.name
	}
	return "get a task for each event " + i.name
}

// Words joins what items say, the first few of many.
func Words(items []Item) string {
	const most = 5
	var words []string
	for _, i := range items[:min(len(items), most)] {
		words = append(words, i.String())
	}
	if more := len(items) - most; more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	return strings.Join(words, "; ")
}
