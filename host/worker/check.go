package worker

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config/cron"
)

// Bounds of a manifest. A person reads it, and the host keeps it.
const (
	maxListed   = 256  // parts of a list
	maxText     = 256  // bytes of a part
	maxDescribe = 1024 // bytes of a description
)

var verbs = []string{"read", "insert", "update", "delete"}

// checkManifest finds what the types do not show. Its error begins with the key.
func checkManifest(m *abi.Manifest) error {
	for _, t := range []struct {
		key, text string
		most      int
	}{{"name", m.Name, maxText}, {"version", m.Version, maxText}, {"description", m.Description, maxDescribe}} {
		if len(t.text) > t.most || !printable(t.text) {
			return fmt.Errorf("%s: %d bytes of text without control characters at most", t.key, t.most)
		}
	}
	for _, l := range []struct {
		key      string
		list     []string
		patterns bool
	}{
		{"kinds", m.Kinds, false}, {"provides", m.Provides, false}, {"on", m.On, true},
		{"requests.commands", m.Requests.Commands, true}, {"requests.config", m.Requests.Config, true}, {"requests.queries", m.Requests.Queries, false}, {"requests.events", m.Requests.Events, true},
	} {
		if err := checkList(l.key, l.list, l.patterns); err != nil {
			return err
		}
	}
	if err := checkData(&m.Requests); err != nil {
		return err
	}
	if len(m.Schedule) > maxListed {
		return fmt.Errorf("schedule: %d entries, %d at most", len(m.Schedule), maxListed)
	}
	for i, s := range m.Schedule {
		if key, err := checkSchedule(s); err != nil {
			return fmt.Errorf("schedule[%d].%s: %w", i, key, err)
		}
	}
	if l := m.Limits; l != nil {
		for _, n := range []struct {
			key       string
			n         int64
			low, high int64
		}{{"memory_mb", int64(l.MemoryMB), 4, 4096}, {"deadline_ms", l.DeadlineMS, 1, (24 * time.Hour).Milliseconds()}, {"fuel", l.Fuel, 1, 1e15}} {
			if n.n != 0 && (n.n < n.low || n.n > n.high) {
				return fmt.Errorf("limits.%s: %d: from %d to %d", n.key, n.n, n.low, n.high)
			}
		}
	}
	if m.Retry != nil && (m.Retry.MaxAttempts < 0 || m.Retry.MaxAttempts > 1000) {
		return fmt.Errorf("retry.max_attempts: %d: up to 1000", m.Retry.MaxAttempts)
	}
	if m.Isolation != "" && m.Isolation != "task" && m.Isolation != "worker" {
		return fmt.Errorf("isolation: %q: task or worker", m.Isolation)
	}
	if m.SelfTest != nil && m.SelfTest.Kind == "" {
		return fmt.Errorf("self_test.kind: is missing")
	}
	return nil
}

func checkList(key string, list []string, patterns bool) error {
	if len(list) > maxListed {
		return fmt.Errorf("%s: %d entries, %d at most", key, len(list), maxListed)
	}
	for i, s := range list {
		if s == "" || len(s) > maxText || !printable(s) {
			return fmt.Errorf("%s[%d]: 1 to %d bytes of text without control characters", key, i, maxText)
		}
		if _, err := path.Match(s, ""); patterns && err != nil {
			return fmt.Errorf("%s[%d]: %q is no pattern", key, i, s)
		}
	}
	return nil
}

func checkData(r *abi.Requests) error {
	for _, handle := range slices.Sorted(maps.Keys(r.Data)) {
		key := "requests.data." + handle
		if !abi.ValidName(handle) {
			return fmt.Errorf("requests.data: %q is no name of a handle", handle)
		}
		if len(r.Data[handle]) == 0 {
			return fmt.Errorf("%s: asks for nothing", key)
		}
		for i, verb := range r.Data[handle] {
			if !slices.Contains(verbs, verb) {
				return fmt.Errorf("%s[%d]: %q: one of %s", key, i, verb, strings.Join(verbs, ", "))
			}
		}
	}
	for _, handle := range slices.Sorted(maps.Keys(r.Collections)) {
		key := "requests.collections." + handle
		if !abi.ValidName(handle) {
			return fmt.Errorf("requests.collections: %q is no name of a handle", handle)
		}
		if _, twice := r.Data[handle]; twice {
			return fmt.Errorf("%s: the handle is in requests.data as well", key)
		}
		if len(r.Collections[handle]) == 0 || len(r.Collections[handle]) > maxListed {
			return fmt.Errorf("%s: 1 to %d collections", key, maxListed)
		}
		for _, name := range slices.Sorted(maps.Keys(r.Collections[handle])) {
			rights := r.Collections[handle][name]
			if name == "" || len(name) > maxText || !printable(name) {
				return fmt.Errorf("%s: %q is no name of a collection", key, name)
			}
			below := key + "." + name
			if len(rights.Read)+len(rights.Insert)+len(rights.Update) == 0 && !rights.Delete {
				return fmt.Errorf("%s: asks for nothing", below)
			}
			for verb, columns := range map[string][]string{"read": rights.Read, "insert": rights.Insert, "update": rights.Update} {
				if err := checkList(below+"."+verb, columns, false); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// checkSchedule returns the key that is wrong.
func checkSchedule(s abi.Schedule) (key string, err error) {
	if _, err := cron.Parse(s.Cron, ""); err != nil {
		return "cron", err
	}
	if s.Kind == "" || len(s.Kind) > maxText {
		return "kind", fmt.Errorf("1 to %d bytes", maxText)
	}
	if _, err := cron.Parse(s.Cron, s.TimeZone); err != nil {
		return "time_zone", err
	}
	if s.Missed != "" && s.Missed != "skip" && s.Missed != "once" {
		return "missed", fmt.Errorf("%q: skip or once", s.Missed)
	}
	return "", nil
}

// printable keeps what a manifest says from moving the cursor of a terminal.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) })
}
