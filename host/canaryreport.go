package host

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/metrics"
)

const (
	// shownDifferent is how many tasks are reported with rows and params of what
	// is different.
	shownDifferent = 20
	shownExamples  = 3
)

// CanaryState is how far a comparison is.
type CanaryState string

// The states of a comparison. Before the first of them the candidate is admitted.
const (
	CanaryComparing CanaryState = "comparing"
	CanaryDone      CanaryState = "done"
	CanaryRefused   CanaryState = "refused" // the candidate cannot be compared
)

func (s CanaryState) over() bool { return s == CanaryDone || s == CanaryRefused }

// Canary is what a host reports on a candidate.
type Canary struct {
	Worker         string      `json:"worker"`
	Digest         string      `json:"digest"` // of the candidate
	Version        string      `json:"version,omitempty"`
	Against        string      `json:"against,omitempty"` // digest of the version that is served
	AgainstVersion string      `json:"against_version,omitempty"`
	State          CanaryState `json:"state"`
	Reason         string      `json:"reason,omitempty"`

	Wanted    int          `json:"wanted"`   // tasks
	Compared  int          `json:"compared"` // of these
	Different int          `json:"different"`
	Skipped   int          `json:"skipped,omitempty"` // could not be compared, for a reason from outside
	Tasks     []CanaryTask `json:"tasks"`
}

// Equal says whether all tasks that were wanted were compared, and none was
// different.
func (c *Canary) Equal() bool {
	return c.State == CanaryDone && c.Compared == c.Wanted && c.Different == 0
}

// CanaryTask is a task that two versions have had.
type CanaryTask struct {
	ID          string       `json:"id"`
	Kind        string       `json:"kind"`
	Old         Brief        `json:"old"` // of the version that is served, in earnest
	New         Brief        `json:"new"` // of the candidate, before that and without effects
	Differences []Difference `json:"differences,omitempty"`
}

// Brief is how a run ended and what it took.
type Brief struct {
	Code        string  `json:"code"` // ok, or of the failure
	Message     string  `json:"message,omitempty"`
	Fuel        int64   `json:"fuel"`
	WallMS      float64 `json:"wall_ms"`
	RowsRead    int64   `json:"rows_read"`
	RowsWritten int64   `json:"rows_written"`
	Commands    int64   `json:"commands"`
}

// Difference is one thing in which two runs differ. What they took is none.
type Difference struct {
	What string `json:"what"`         // outcome, writes, commands or result
	Of   string `json:"of,omitempty"` // handle, collection and verb; or the command
	Old  string `json:"old"`          // in words
	New  string `json:"new"`

	// Of the first few rows or params, those that the other side has not among
	// its own.
	OldOnly []json.RawMessage `json:"old_only,omitempty"`
	NewOnly []json.RawMessage `json:"new_only,omitempty"`
}

// Doing is what one run did.
type Doing struct {
	Brief
	writes []data.Written
	more   int64
	seen   *observed
	result [32]byte
	shown  json.RawMessage // of the result
}

// doing reads what was observed, when the run is over.
func doing(seen *observed, result []byte, bill metrics.Bill, err error) *Doing {
	d := &Doing{seen: seen, Brief: Brief{
		Code: abi.CodeOf(err).String(), Fuel: bill.Fuel, WallMS: bill.WallMS, RowsRead: bill.RowsRead, RowsWritten: bill.RowsWritten, Commands: bill.Commands,
	}}
	if err != nil {
		d.Message = clipText(abi.MessageOf(err))
	} else {
		d.result = digestOf(result, seen.ignore)
		d.shown, _ = paramsShown(result)
	}
	d.writes, d.more = seen.writes.Written()
	return d
}

// comparable says whether what a run came to says something of the version: not
// what comes from outside.
func (d *Doing) comparable() bool {
	switch d.Code {
	case abi.Cancelled.String(), abi.Interrupted.String(), abi.Unavailable.String():
		return false
	}
	return true
}

// differences compares two runs of one task. The text of a failure is not
// compared.
func differences(old, did *Doing) []Difference {
	var all []Difference
	if old.Code != did.Code {
		all = append(all, Difference{What: "outcome", Old: old.words(), New: did.words()})
	} else if old.result != did.result {
		all = append(all, Difference{What: "result", Old: "digest " + short(old.result[:]), New: "digest " + short(did.result[:]),
			OldOnly: only(old.shown, did.shown), NewOnly: only(did.shown, old.shown)})
	}
	all = append(all, differentWrites(old, did)...)
	return append(all, differentCalls(old.seen, did.seen)...)
}

func (d *Doing) words() string {
	if d.Message == "" {
		return d.Code
	}
	return d.Code + ": " + d.Message
}

func differentWrites(old, did *Doing) (all []Difference) {
	type place struct{ handle, collection, verb string }
	by := func(d *Doing) map[place]data.Written {
		m := make(map[place]data.Written, len(d.writes))
		for _, w := range d.writes {
			m[place{w.Handle, w.Collection, string(w.Op)}] = w
		}
		return m
	}
	places, a, b := []place{}, by(old), by(did)
	for _, w := range slices.Concat(old.writes, did.writes) {
		if p := (place{w.Handle, w.Collection, string(w.Op)}); !slices.Contains(places, p) {
			places = append(places, p)
		}
	}
	for _, p := range places {
		x, y := a[p], b[p]
		if x.Digest == y.Digest {
			continue
		}
		d := Difference{What: "writes", Of: fmt.Sprintf("%s %s %s", p.handle, p.collection, p.verb), Old: counts(x.Rows, "row"), New: counts(y.Rows, "row")}
		if x.Rows == y.Rows {
			d.Old, d.New = d.Old+", digest "+x.Digest[:12], d.New+", digest "+y.Digest[:12]
		}
		d.OldOnly, d.NewOnly = only(x.First, y.First), only(y.First, x.First)
		all = append(all, d)
	}
	if old.more != did.more {
		all = append(all, Difference{What: "writes", Of: "other collections", Old: counts(old.more, "row"), New: counts(did.more, "row")})
	}
	return all
}

func differentCalls(old, did *observed) (all []Difference) {
	names := map[string]bool{}
	for name := range old.sums {
		names[name] = true
	}
	for name := range did.sums {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		var x, y data.Sum
		if s := old.sums[name]; s != nil {
			x = *s
		}
		if s := did.sums[name]; s != nil {
			y = *s
		}
		if x == y && old.counts[name] == did.counts[name] {
			continue
		}
		d := Difference{What: "commands", Of: name, Old: counts(old.counts[name], "call"), New: counts(did.counts[name], "call")}
		if old.counts[name] == did.counts[name] {
			d.Old, d.New = d.Old+", digest "+x.String()[:12], d.New+", digest "+y.String()[:12]
		}
		a, b := old.params(name), did.params(name)
		d.OldOnly, d.NewOnly = only(a, b), only(b, a)
		all = append(all, d)
	}
	return all
}

// params are those of the first calls of a command.
func (o *observed) params(name string) (all []json.RawMessage) {
	for _, s := range o.sent {
		if s.Name == name && s.Params != nil {
			all = append(all, s.Params)
		}
	}
	return all
}

// only returns the first of a that are not in b.
func only[T []json.RawMessage | json.RawMessage](a, b T) (few []json.RawMessage) {
	list := func(v T) []json.RawMessage {
		switch v := any(v).(type) {
		case []json.RawMessage:
			return v
		case json.RawMessage:
			if v != nil {
				return []json.RawMessage{v}
			}
		}
		return nil
	}
	other := map[string]bool{}
	for _, text := range list(b) {
		other[string(text)] = true
	}
	for _, text := range list(a) {
		if !other[string(text)] && len(few) < shownExamples {
			few = append(few, text)
		}
	}
	return few
}

// brief is differences without examples.
func brief(all []Difference) []Difference {
	for i := range all {
		all[i].OldOnly, all[i].NewOnly = nil, nil
	}
	return all
}

func counts(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func short(digest []byte) string { return hex.EncodeToString(digest)[:12] }
