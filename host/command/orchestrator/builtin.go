package orchestrator

import (
	"context"
	"errors"
	"sync"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

// Question says under which name a built-in command is asked of the
// orchestrator.
type Question struct {
	Command string
	Param   string // the name of the one thing that is asked by: key, sessionId
	// Builtin lets the built-in answer when the orchestrator knows no such
	// command; otherwise that is an error.
	Builtin bool
}

// asked is a built-in command that is asked of the orchestrator.
type asked struct {
	client *Client
	q      Question
	told   sync.Once
}

// ask returns the answer, or with own true that the built-in is to answer.
func (a *asked) ask(ctx context.Context, by string) (answer any, own bool, err error) {
	answer, err = a.client.Call(ctx, a.q.Command, map[string]any{a.q.Param: by})
	if !a.q.Builtin || !errors.Is(err, abi.UnknownCommand) {
		return answer, false, err
	}
	a.client.fallbacks.Add(1)
	a.told.Do(func() {
		a.client.cfg.Logger.Warn("the orchestrator has no such command; the built-in one answers", "command", a.q.Command)
	})
	return nil, true, nil
}

// Config returns a [command.Config] that asks the orchestrator, by default
// config/get {key}. Its answer is the value itself, or an object that holds it
// as value; one without a value is of a key that is not set.
func (c *Client) Config(q Question, own command.Config) command.Config {
	return &askedConfig{asked{client: c, q: q}, own}
}

type askedConfig struct {
	asked
	own command.Config
}

func (a *askedConfig) Lookup(ctx context.Context, key string) (value any, found bool, err error) {
	answer, own, err := a.ask(ctx, key)
	if err != nil {
		return nil, false, err
	}
	if own {
		return a.own.Lookup(ctx, key)
	}
	object, ok := answer.(map[string]any)
	if !ok {
		return answer, answer != nil, nil
	}
	value = object["value"]
	if _, ok := object["value"]; !ok && object["found"] != false && len(without(object, "success")) > 0 {
		return nil, false, abi.Errorf(abi.Failed, "the orchestrator answered %s without a value", a.q.Command)
	}
	return value, value != nil && object["found"] != false, nil
}

// Sessions returns a [command.SessionReader] that asks the orchestrator, by
// default session/get {sessionId}. The session is what its answer has as data,
// or the answer itself; an empty one is none.
func (c *Client) Sessions(q Question, own command.SessionReader) command.SessionReader {
	return &askedSessions{asked{client: c, q: q}, own}
}

type askedSessions struct {
	asked
	own command.SessionReader
}

func (a *askedSessions) Get(ctx context.Context, worker, id string) (*command.Session, error) {
	answer, own, err := a.ask(ctx, id)
	if err != nil {
		return nil, err
	}
	if own {
		return a.own.Get(ctx, worker, id)
	}
	object, ok := answer.(map[string]any)
	if !ok && answer != nil {
		return nil, abi.Errorf(abi.Failed, "the orchestrator answered %s with no object", a.q.Command)
	}
	data, ok := object["data"].(map[string]any)
	if !ok {
		data = without(object, "success", "found")
	}
	if object["found"] == false || len(data) == 0 {
		return nil, abi.Errorf(abi.NotFound, "the orchestrator has no session %q", clip(id))
	}
	return &command.Session{ID: id, Data: data}, nil
}

func without(object map[string]any, keys ...string) map[string]any {
	rest := map[string]any{}
	for key, value := range object {
		rest[key] = value
	}
	for _, key := range keys {
		delete(rest, key)
	}
	return rest
}
