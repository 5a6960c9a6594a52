package sdktest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

type session struct {
	data    map[string]any
	expires time.Time // zero for never
}

// defaultSession is the session of a task that names none.
const defaultSession = "default"

// Config sets what config/get finds: a tree of maps, or keys with dots in
// them, or both.
func (h *Host) Config(tree map[string]any) { h.config = tree }

// Command provides a command, or replaces a built-in one. Its params are nil
// when the worker gives none.
func (h *Host) Command(name string, f func(params map[string]any) (any, error)) {
	h.commands[name] = f
}

// Session returns what is stored under an id; nil for nothing.
func (h *Host) Session(id string) map[string]any {
	s, ok := h.sessions[id]
	if !ok || !s.expires.IsZero() && !time.Now().Before(s.expires) {
		return nil
	}
	return maps.Clone(s.data)
}

func (r *run) execute(q *abi.Request) (any, error) {
	var params map[string]any
	if q.Params != nil {
		rd := wire.NewReader(q.Params)
		v, err := rd.Value()
		if err != nil {
			return nil, abi.Errorf(abi.InvalidArgument, "command %s: params: %w", q.Name, err)
		}
		params = v.(map[string]any) // ReadRequest takes nothing else
	}
	if f := r.h.commands[q.Name]; f != nil {
		v, err := f(params)
		if err != nil && abi.CodeOf(err) == abi.Internal {
			err = abi.Errorf(abi.Failed, "command %s: %w", q.Name, err)
		}
		return v, err
	}
	p := fields{command: q.Name, given: params}
	switch q.Name {
	case abi.CommandPing:
		return map[string]any{"pong": true}, p.only()
	case abi.CommandEmitEvent:
		return r.emit(p)
	case abi.CommandGetConfig:
		return r.h.getConfig(p)
	case abi.CommandGetSession:
		return r.h.getSession(p)
	case abi.CommandSetSession:
		return r.h.setSession(p)
	case abi.CommandDeleteSession:
		return r.h.deleteSession(p)
	case abi.CommandSubmitTask:
		return r.h.submit(p)
	}
	return nil, abi.Errorf(abi.UnknownCommand, "nobody provides the command %q", q.Name)
}

// fields is the params of a command, checked as they are taken.
type fields struct {
	command string
	given   map[string]any
}

func (f fields) only(names ...string) error {
	for _, name := range slices.Sorted(maps.Keys(f.given)) {
		if !slices.Contains(names, name) {
			return abi.Errorf(abi.InvalidArgument, "command %s: unknown param %q", f.command, name)
		}
	}
	return nil
}

// take returns a param of one type: its zero value if it is not given and need
// not be.
func take[T any](f fields, name string, must bool) (T, error) {
	var zero T
	v, ok := f.given[name]
	if !ok || v == nil {
		if must {
			return zero, abi.Errorf(abi.InvalidArgument, "command %s: param %q is missing", f.command, name)
		}
		return zero, nil
	}
	t, ok := v.(T)
	if !ok {
		return zero, abi.Errorf(abi.InvalidArgument, "command %s: param %q is a %T", f.command, name, v)
	}
	return t, nil
}

// emit records one event or several, all or none.
func (r *run) emit(p fields) (any, error) {
	if _, several := p.given["events"]; !several {
		e, err := event(p)
		if err != nil {
			return nil, err
		}
		return map[string]any{"id": r.record(e)}, nil
	}
	if err := p.only("events"); err != nil {
		return nil, err
	}
	list, err := take[[]any](p, "events", true)
	if err != nil {
		return nil, err
	}
	events := make([]Event, len(list))
	for i, v := range list {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, abi.Errorf(abi.InvalidArgument, "command %s: event %d is no map", p.command, i)
		}
		if events[i], err = event(fields{command: fmt.Sprintf("%s: event %d", p.command, i), given: m}); err != nil {
			return nil, err
		}
	}
	ids := make([]any, len(events))
	for i, e := range events {
		ids[i] = r.record(e)
	}
	return map[string]any{"ids": ids}, nil
}

func event(p fields) (e Event, err error) {
	if err := p.only("event", "data", "key"); err != nil {
		return e, err
	}
	if e.Name, err = take[string](p, "event", true); err != nil {
		return e, err
	}
	if e.Data, err = take[map[string]any](p, "data", false); err != nil {
		return e, err
	}
	e.Key, err = take[string](p, "key", false)
	return e, err
}

// record adds an event unless its key is there already, and returns its id.
func (r *run) record(e Event) int64 {
	if e.Key != "" {
		for _, other := range r.h.events {
			if other.Key == e.Key {
				return other.ID
			}
		}
	}
	e.ID = int64(len(r.h.events)) + 1
	e.Task = r.task
	r.h.events = append(r.h.events, e)
	return e.ID
}

func (h *Host) getConfig(p fields) (any, error) {
	if err := p.only("key"); err != nil {
		return nil, err
	}
	key, err := take[string](p, "key", true)
	if err != nil {
		return nil, err
	}
	v, found := configValue(h.config, key)
	return map[string]any{"found": found, "value": v}, nil
}

// configValue finds a dotted key in a tree whose own keys may have dots.
func configValue(tree map[string]any, key string) (any, bool) {
	if v, ok := tree[key]; ok {
		return v, true
	}
	for i := range len(key) {
		if key[i] != '.' {
			continue
		}
		if branch, ok := tree[key[:i]].(map[string]any); ok {
			if v, ok := configValue(branch, key[i+1:]); ok {
				return v, true
			}
		}
	}
	return nil, false
}

func (h *Host) getSession(p fields) (any, error) {
	if err := p.only("sessionId"); err != nil {
		return nil, err
	}
	id, err := sessionID(p)
	if err != nil {
		return nil, err
	}
	data := h.Session(id)
	return map[string]any{"found": data != nil, "sessionId": id, "data": data}, nil
}

func (h *Host) setSession(p fields) (any, error) {
	if err := p.only("sessionId", "data", "ttl_ms"); err != nil {
		return nil, err
	}
	id, err := sessionID(p)
	if err != nil {
		return nil, err
	}
	data, err := take[map[string]any](p, "data", true)
	if err != nil {
		return nil, err
	}
	ttl, err := take[int64](p, "ttl_ms", false)
	if err != nil {
		return nil, err
	}
	s := session{data: data}
	if ttl > 0 {
		s.expires = time.Now().Add(time.Duration(ttl) * time.Millisecond)
	}
	h.sessions[id] = s
	return map[string]any{"sessionId": id}, nil
}

func (h *Host) deleteSession(p fields) (any, error) {
	if err := p.only("sessionId"); err != nil {
		return nil, err
	}
	id, err := take[string](p, "sessionId", true)
	if err != nil {
		return nil, err
	}
	_, there := h.sessions[id]
	delete(h.sessions, id)
	return map[string]any{"sessionId": id, "deleted": there}, nil
}

func sessionID(p fields) (string, error) {
	id, err := take[string](p, "sessionId", false)
	if strings.TrimSpace(id) == "" {
		id = defaultSession
	}
	return id, err
}

func (h *Host) submit(p fields) (any, error) {
	if err := p.only("worker", "kind", "payload", "unique_key", "priority", "at_ms"); err != nil {
		return nil, err
	}
	s := Submitted{ID: fmt.Sprintf("submitted-%d", len(h.submitted)+1)}
	var err error
	if s.Worker, err = take[string](p, "worker", true); err != nil {
		return nil, err
	}
	if s.Kind, err = take[string](p, "kind", false); err != nil {
		return nil, err
	}
	if s.Payload, err = take[map[string]any](p, "payload", false); err != nil {
		return nil, err
	}
	if s.UniqueKey, err = take[string](p, "unique_key", false); err != nil {
		return nil, err
	}
	if s.Priority, err = take[int64](p, "priority", false); err != nil {
		return nil, err
	}
	at, err := take[int64](p, "at_ms", false)
	if err != nil {
		return nil, err
	}
	if at != 0 {
		s.At = time.UnixMilli(at)
	}
	for _, other := range h.submitted {
		if s.UniqueKey != "" && other.UniqueKey == s.UniqueKey && other.Worker == s.Worker {
			return map[string]any{"taskId": other.ID, "created": false}, nil
		}
	}
	h.submitted = append(h.submitted, s)
	return map[string]any{"taskId": s.ID, "created": true}, nil
}
