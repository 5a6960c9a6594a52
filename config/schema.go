package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A node of the schema is a table with known keys, a table with free names, a
// value, or a tree of free form.
type node struct {
	keys map[string]*node // known keys
	each *node            // what every free name holds
	leaf *leaf
	free bool
}

type kind int

const (
	kindString kind = iota
	kindBool
	kindInt
	kindFloat
	kindDuration
	kindList
	kindGrant
	kindSchedules
)

// leaf describes one value.
type leaf struct {
	kind     kind
	def      any      // nil: no default
	min, max int64    // of a kindInt and a kindFloat, and of a kindDuration in nanoseconds
	oneOf    []string // of a kindString and of the parts of a kindList
	path     bool     // relative to where it was written
	most     int      // bytes of a path; 0 for no limit
	name     bool     // of the same form as the names in tables
	address  bool     // host:port
}

// allowed says what a value must look like.
func (l *leaf) allowed() string {
	switch l.kind {
	case kindBool:
		return "true or false"
	case kindInt:
		return fmt.Sprintf("a whole number from %d to %d", l.min, l.max)
	case kindFloat:
		return fmt.Sprintf("a number from %d to %d", l.min, l.max)
	case kindDuration:
		return fmt.Sprintf("a duration from %s to %s, such as \"30s\" or \"1h30m\"", shortDuration(time.Duration(l.min)), shortDuration(time.Duration(l.max)))
	case kindList:
		if l.oneOf != nil {
			return "a list of " + strings.Join(l.oneOf, ", ")
		}
		return "a list of non-empty strings"
	}
	switch {
	case l.oneOf != nil:
		return "one of " + strings.Join(l.oneOf, ", ")
	case l.address:
		return "an address, host:port, such as \"127.0.0.1:9464\""
	case l.name:
		return "a name: " + nameForm
	case l.most > 0:
		return fmt.Sprintf("a path of at most %d bytes, which is what a socket's may have", l.most)
	}
	return "a non-empty string"
}

// nameForm explains abi.ValidName. That leaves out the two underscores which
// stand between levels in the environment.
const nameForm = "up to 64 lower-case letters and digits, in parts joined by one - or _"

func table(keys map[string]*node) *node { return &node{keys: keys} }
func named(each *node) *node            { return &node{each: each} }

func text(def string, oneOf ...string) *node {
	return &node{leaf: &leaf{kind: kindString, def: def, oneOf: oneOf}}
}

func pathTo(def any) *node { return &node{leaf: &leaf{kind: kindString, def: def, path: true}} }

// maxSocketPath is socket.MaxPath of package host/command/socket.
const maxSocketPath = 96

func socket() *node {
	return &node{leaf: &leaf{kind: kindString, path: true, most: maxSocketPath}}
}

func socketMode() *node { return text("0600", "0600", "0660", "0666") }

func address() *node { return &node{leaf: &leaf{kind: kindString, address: true}} }

func flag(def bool) *node { return &node{leaf: &leaf{kind: kindBool, def: def}} }

func number(def, low, high int64) *node {
	return &node{leaf: &leaf{kind: kindInt, def: def, min: low, max: high}}
}

// amount is a number that may have a fraction. Without a default it may be
// missing, which is not the same as 0: its field is a pointer.
func amount(def any, most int64) *node {
	return &node{leaf: &leaf{kind: kindFloat, def: def, max: most}}
}

func duration(def, low, high time.Duration) *node {
	return &node{leaf: &leaf{kind: kindDuration, def: def, min: int64(low), max: int64(high)}}
}

func list(oneOf ...string) *node { return &node{leaf: &leaf{kind: kindList, oneOf: oneOf}} }

// schema describes every key. It says the same as the comments and tags of
// [Config]; a test holds the two together.
func schema() *node {
	worker := DefaultWorker()
	return table(map[string]*node{
		"state_dir":   pathTo("wasmhost-state"),
		"workers_dir": pathTo("workers"),
		"log": table(map[string]*node{
			"level":  text("info", "debug", "info", "warn", "error"),
			"format": text("text", "text", "json"),
		}),
		"data": table(map[string]*node{
			"adapter": text(Daemon, Daemon, Direct),
			"handles": named(table(map[string]*node{
				"path":         pathTo(nil),
				"read_only":    flag(false),
				"busy_timeout": duration(5*time.Second, 0, 10*time.Minute),
				"readers":      number(4, 1, 64),
				"events":       list(),
			})),
			"queries": named(table(map[string]*node{
				"handle": {leaf: &leaf{kind: kindString, name: true}},
				"sql":    {leaf: &leaf{kind: kindString}},
			})),
		}),
		"engine": table(map[string]*node{
			"compile_cache":    flag(true),
			"max_module_bytes": number(64<<20, 8, 1<<30),
		}),
		"queue": table(map[string]*node{
			"retention": duration(168*time.Hour, time.Minute, 87600*time.Hour),
		}),
		"orchestrator": table(map[string]*node{
			"socket":            pathTo(nil),
			"timeout":           duration(10*time.Second, time.Millisecond, time.Hour),
			"connections":       number(4, 1, 256),
			"max_message_bytes": number(1<<20, 1<<10, 64<<20),
			"unknown_command":   list(),
			"key_param":         {leaf: &leaf{kind: kindString}},
			"config_get":        question("key"),
			"session_get":       question("sessionId"),
			"events": table(map[string]*node{
				"patterns": list(),
				"command":  text("events/emit"),
				"attempts": number(10, 1, 1000),
			}),
		}),
		"web": table(map[string]*node{
			"listen": address(),
		}),
		"command": table(map[string]*node{
			"socket":       socket(),
			"socket_mode":  socketMode(),
			"socket_group": {leaf: &leaf{kind: kindString}},
		}),
		"ai": aiSchema(),
		"admission": table(map[string]*node{
			"new_workers":       text(TrustAsk, TrustAsk, TrustManifest, TrustNone),
			"require_signature": flag(false),
			"trusted_keys":      list(),
			"drain":             duration(10*time.Minute, 0, 24*time.Hour),
			"watch_tasks":       number(20, 0, 1000),
		}),
		"workers": named(table(map[string]*node{
			"concurrency":  number(int64(worker.Concurrency), 1, 256),
			"calls":        number(int64(worker.Calls), 1, 256),
			"memory_mb":    number(int64(worker.MemoryMB), 4, 4096),
			"isolation":    text(worker.Isolation, "task", "worker"),
			"atomic":       flag(worker.Atomic),
			"deadline":     duration(worker.Deadline, time.Millisecond, 24*time.Hour),
			"fuel":         number(worker.Fuel, 0, 1e15),
			"max_attempts": number(int64(worker.MaxAttempts), 1, 1000),
			"on":           list(),
			"schedule":     {leaf: &leaf{kind: kindSchedules}},
			"handles":      named(&node{leaf: &leaf{kind: kindString, name: true}}),
			"grants": table(map[string]*node{
				"data":     named(&node{leaf: &leaf{kind: kindGrant}}),
				"queries":  list(),
				"commands": list(),
				"config":   list(),
				"events":   list(),
				"provides": list(),
			}),
			"limits": table(map[string]*node{
				"open_cursors":   number(int64(worker.Limits.OpenCursors), 1, 1000),
				"request_bytes":  number(int64(worker.Limits.RequestBytes), 1<<10, 1<<30),
				"response_bytes": number(int64(worker.Limits.ResponseBytes), 1<<10, 1<<30),
				"result_bytes":   number(int64(worker.Limits.ResultBytes), 1, 1<<20),
				"commands":       number(int64(worker.Limits.Commands), 1, 1e9),
				"events":         number(int64(worker.Limits.Events), 1, 1e9),
				"tasks":          number(int64(worker.Limits.Tasks), 1, 1e6),
				"ai_tokens":      number(worker.Limits.AITokens, 0, 1e15),
				"ai_cost_usd":    amount(worker.Limits.AICostUSD, 1e9),
				"nested_calls":   number(int64(worker.Limits.NestedCalls), 1, 64),
				"transfer_bytes": number(worker.Limits.TransferBytes, 0, 1e15),
				"rows":           number(worker.Limits.Rows, 0, 1e15),
				"log_lines":      number(int64(worker.Limits.LogLines), 1, 1e6),
			}),
			"socket":          socket(),
			"socket_mode":     socketMode(),
			"socket_group":    {leaf: &leaf{kind: kindString}},
			"socket_shutdown": flag(worker.SocketShutdown),
		})),
		"settings": {free: true},
	})
}

// question is a built-in command that may be asked of the orchestrator.
func question(param string) *node {
	return table(map[string]*node{
		"command":    &node{leaf: &leaf{kind: kindString}},
		"param":      text(param),
		"if_unknown": text("error", "error", "builtin"),
	})
}

// names returns the known keys of a table, sorted.
func (n *node) names() []string {
	names := make([]string, 0, len(n.keys))
	for name := range n.keys {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// nearest returns the name that has most likely been meant, or "".
func nearest(name string, names []string) string {
	best, bestDistance := "", len(name)/3+2
	for _, n := range names {
		if d := distance(strings.ToLower(name), n); d < bestDistance {
			best, bestDistance = n, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete or replace to turn a
// into b.
func distance(a, b string) int {
	// A key as long as this has not been mistyped, and outside text must not
	// cost quadratic time.
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := left
			if a[i] != b[j] {
				cost++
			}
			left = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// shortDuration prints 10m0s as 10m and 24h0m0s as 24h.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
