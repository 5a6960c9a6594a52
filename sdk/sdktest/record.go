package sdktest

import (
	"slices"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// Event is an event that was recorded.
type Event struct {
	ID   int64
	Task string
	Name string
	Data map[string]any
	Key  string
}

// Log is a line that a worker logged.
type Log struct {
	Level abi.Level
	Text  string
}

// Progress is one call of progress.
type Progress struct {
	Task        string
	Done, Total int64
}

// Submitted is a task that a worker submitted.
type Submitted struct {
	ID        string
	Worker    string
	Kind      string
	Payload   map[string]any
	UniqueKey string
	Priority  int64
	At        time.Time // zero for now
}

// Events returns the events of all runs, in order; only those with one of the
// names if any are given.
func (h *Host) Events(names ...string) []Event {
	list := slices.Clone(h.events)
	if len(names) == 0 {
		return list
	}
	return slices.DeleteFunc(list, func(e Event) bool { return !slices.Contains(names, e.Name) })
}

// Logs returns the log lines of all runs.
func (h *Host) Logs() []Log { return slices.Clone(h.logs) }

// ProgressCalls returns the calls of progress of all runs.
func (h *Host) ProgressCalls() []Progress { return slices.Clone(h.progress) }

// Submitted returns the tasks that were submitted in all runs.
func (h *Host) Submitted() []Submitted { return slices.Clone(h.submitted) }
