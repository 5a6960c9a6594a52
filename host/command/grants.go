package command

import (
	"path"
	"slices"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
)

// Grants is what a caller was given. The zero value allows nothing.
type Grants struct {
	Commands []string // names or patterns of path.Match: ping, events/*
	Config   []string // keys or patterns: archive.*

	// Events are names or patterns of events that may be emitted, with the
	// command for it, beside those that begin with the worker's name and a colon.
	Events []string
}

// Validate says which pattern is malformed. One that is matches nothing.
func (g Grants) Validate() error {
	for _, p := range g.Commands {
		if _, err := path.Match(p, ""); err != nil {
			return abi.Errorf(abi.InvalidArgument, "grant of commands: malformed pattern %q", clip(p))
		}
	}
	for _, p := range g.Events {
		if _, err := path.Match(p, ""); err != nil {
			return abi.Errorf(abi.InvalidArgument, "grant of events: malformed pattern %q", clip(p))
		}
	}
	for _, p := range g.Config {
		if _, err := path.Match(p, ""); err != nil {
			return abi.Errorf(abi.InvalidArgument, "grant of config keys: malformed pattern %q", clip(p))
		}
	}
	return nil
}

func matchAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if ok, err := path.Match(p, name); err == nil && ok {
			return true
		}
	}
	return false
}

// Caller is who calls a command.
type Caller struct {
	Worker string // "" for the host itself
	Task   string // the task that the call is part of, if any
	Grants Grants
	Budget *Budget // what is left to it; nil for no end
	Held   *Held   // holds its events until something else has happened; nil to record them at once

	// Unique names the task among all that there ever were: its id may come again
	// when the host's database was made anew. "" for a caller without a task.
	Unique string

	Call  int64    // which of the task's calls it is, from 1
	Chain []string // commands that wait for it: see [Call.Chain]

	operator bool
}

// Operator is the host itself, or the person who runs it: it may do everything.
func Operator() Caller { return Caller{operator: true} }

// MayCall says whether c was granted the command.
func (c Caller) MayCall(name string) bool {
	return c.operator || matchAny(c.Grants.Commands, name)
}

// MayRead says whether c was granted the config key.
func (c Caller) MayRead(key string) bool {
	return c.operator || matchAny(c.Grants.Config, key)
}

// hostEvents are the beginnings of the names of what the host itself tells: others
// go by it, so that no worker may tell it, whatever it was granted.
var hostEvents = []string{"task:", "worker:", "config:", "data:", "outbox:"}

// MayEmit says whether c may emit events of this name: its own, and those that it
// was granted.
func (c Caller) MayEmit(event string) bool {
	if c.operator {
		return true
	}
	if slices.ContainsFunc(hostEvents, func(begin string) bool { return strings.HasPrefix(event, begin) }) {
		return false
	}
	return c.Worker != "" && strings.HasPrefix(event, c.Worker+":") || matchAny(c.Grants.Events, event)
}
