package config

import (
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var eventPart = regexp.MustCompile(`^[a-z0-9_./-]{1,64}$`)

// check finds what no single value shows: handles without a file or with the
// same one, roles and grants on handles that do not exist, and sockets that meet.
func (c *Config) check(sources map[string]string) Problems {
	var problems Problems
	report := func(key, format string, args ...any) {
		source := sources[key]
		for parent := key; source == "" && strings.Contains(parent, "."); source = sources[parent] {
			parent = parent[:strings.LastIndex(parent, ".")]
		}
		if source == "" {
			source = "after merging all sources"
		}
		problems = append(problems, Problem{Key: key, Source: source, Message: fmt.Sprintf(format, args...)})
	}
	handles := slices.Sorted(maps.Keys(c.Data.Handles))
	known := "no handle is configured below data.handles"
	if len(handles) > 0 {
		known = "configured handles: " + strings.Join(handles, ", ")
	}

	for i, name := range handles {
		handle := c.Data.Handles[name]
		key := "data.handles." + name + ".path"
		if handle.Path == "" {
			report(key, "is missing; set it to the database file")
			continue
		}
		for _, other := range handles[:i] {
			o := c.Data.Handles[other]
			if sameFile(handle.Path, o.Path) && !(handle.ReadOnly && o.ReadOnly) {
				report(key, "is the same file as data.handles.%s.path; moving rows between them would lose rows. Allowed: a file per handle, or read_only on both", other)
			}
		}
	}

	for _, name := range slices.Sorted(maps.Keys(c.Data.Queries)) {
		query := c.Data.Queries[name]
		key := "data.queries." + name
		if query.SQL == "" {
			report(key+".sql", "is missing; set it to a SELECT")
		}
		if query.Handle == "" {
			report(key+".handle", "is missing; %s", known)
		} else if !slices.Contains(handles, query.Handle) {
			report(key+".handle", "is %q, which is no handle; %s", query.Handle, known)
		}
	}

	for _, name := range handles {
		for _, collection := range c.Data.Handles[name].Events {
			if !eventPart.MatchString(collection) {
				report("data.handles."+name+".events", "%q cannot be a part of an event's name, which has lower-case letters, digits and any of _ . / -", collection)
			}
		}
	}

	if o := c.Orchestrator; o.Socket == "" {
		for _, key := range []struct {
			name string
			set  bool
		}{
			{"config_get.command", o.ConfigGet.Command != ""},
			{"session_get.command", o.SessionGet.Command != ""},
			{"events.patterns", len(o.Events.Patterns) > 0},
		} {
			if key.set {
				report("orchestrator."+key.name, "needs orchestrator.socket, which is not set")
			}
		}
	}
	for _, pattern := range c.Orchestrator.Events.Patterns {
		if _, err := path.Match(pattern, ""); err != nil {
			report("orchestrator.events.patterns", "has the malformed pattern %q; allowed: names, with * and ? and [a-z]", pattern)
		}
	}

	for _, name := range slices.Sorted(maps.Keys(c.Workers)) {
		worker := c.Workers[name]
		prefix := "workers." + name + "."
		for _, pattern := range worker.On {
			if _, err := path.Match(pattern, ""); err != nil {
				report(prefix+"on", "%q is no pattern: %v", pattern, err)
			}
		}
		for _, pattern := range worker.Grants.Events {
			if _, err := path.Match(pattern, ""); err != nil {
				report(prefix+"grants.events", "%q is no pattern: %v", pattern, err)
			}
		}
		for _, role := range slices.Sorted(maps.Keys(worker.Handles)) {
			if handle := worker.Handles[role]; !slices.Contains(handles, handle) {
				report(prefix+"handles."+role, "is %q, which is no handle; %s", handle, known)
			}
		}
		for _, query := range worker.Grants.Queries {
			if _, ok := c.Data.Queries[query]; !ok {
				report(prefix+"grants.queries", "has %q, which is no key of data.queries", query)
			}
		}
		for _, handle := range slices.Sorted(maps.Keys(worker.Grants.Data)) {
			key := prefix + "grants.data." + handle
			if !slices.Contains(handles, handle) {
				report(key, "grants on %q, which is no handle; %s", handle, known)
				continue
			}
			if !c.Data.Handles[handle].ReadOnly {
				continue
			}
			for _, verb := range worker.Grants.Data[handle].grants() {
				if verb != "read" {
					report(key, "grants %s, but data.handles.%s is read_only; allowed: read", verb, handle)
				}
			}
		}
	}
	if a := c.Admission; a.RequireSignature && len(a.TrustedKeys) == 0 {
		report("admission.require_signature", "needs admission.trusted_keys, which has none: no worker could be served")
	}
	for _, key := range c.Admission.TrustedKeys {
		// Two letters for the algorithm, an id of 8 bytes, and the key of 32.
		if b, err := base64.StdEncoding.DecodeString(key); err != nil || len(b) != 42 || string(b[:2]) != "Ed" {
			report("admission.trusted_keys", "%q is no public key of minisign; allowed: the second line of a .pub file, which begins with RW", key)
		}
	}
	c.AI.check(report)
	c.checkSockets(report)
	return problems
}

// checkSockets finds two sockets on one path, and a group that could not connect.
func (c *Config) checkSockets(report func(key, format string, args ...any)) {
	taken := map[string]string{}
	check := func(prefix, path, mode, group string) {
		if group != "" && mode == "0600" {
			report(prefix+"socket_group", "has no effect with socket_mode 0600; allowed with 0660")
		}
		if path == "" {
			return
		}
		if abs, err := filepath.Abs(path); err == nil {
			path = abs
		}
		if other, twice := taken[path]; twice {
			report(prefix+"socket", "is the same path as %s; allowed: a path for each socket", other)
		}
		taken[path] = prefix + "socket"
	}
	check("command.", c.Command.Socket, c.Command.SocketMode, c.Command.SocketGroup)
	for _, name := range slices.Sorted(maps.Keys(c.Workers)) {
		w := c.Workers[name]
		check("workers."+name+".", w.Socket, w.SocketMode, w.SocketGroup)
	}
}

// sameFile says whether two paths lead to one file, now or once it exists.
func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	if errA == nil && errB == nil {
		return os.SameFile(infoA, infoB)
	}
	absA, errA := filepath.Abs(a)
	absB, errB := filepath.Abs(b)
	return errA == nil && errB == nil && absA == absB
}
