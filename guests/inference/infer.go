package main

import (
	"fmt"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
)

const (
	eventComplete = "inference:complete"
	eventFailed   = "inference:failed"
)

// Infer does one attempt at a task.
func Infer(t *sdk.Task) error {
	o, err := readTask(t)
	if err != nil {
		return err
	}
	g := &generation{id: t.UUID("generation"), task: t, opt: o}
	found, err := g.find()
	if err != nil {
		return g.errorf("looking for the row of an earlier attempt: %w", err)
	}
	if !found {
		if err := g.make(); err != nil {
			return err
		}
	}
	return g.finish()
}

// make asks the model and writes what came of it.
func (g *generation) make() error {
	t, o := g.task, &g.opt
	session, _, err := t.Commands.GetSession(o.session)
	if err != nil {
		return g.errorf("reading the session: %w", err)
	}
	if o.user == "" {
		o.user, _ = session["userId"].(string)
	}
	turns, err := conversation(t, o)
	if err != nil {
		return g.errorf("reading the conversation: %w", err)
	}
	if len(turns) == 0 {
		return sdk.Permanent(g.errorf("%w", abi.Errorf(abi.NotFound, "it has no message with a text")))
	}
	params, err := question(t, o, turns)
	if err != nil {
		return err
	}
	begun := time.Now()
	answer, err := t.Commands.Execute(abi.CommandGenerate, params)
	if err != nil {
		if !g.lasting(err) {
			return g.errorf("asking the model: %w", err)
		}
		g.failed(err, time.Since(begun))
	} else if err := g.read(answer); err != nil {
		return g.errorf("the model's answer: %w", err)
	}
	g.replyTo = turns[len(turns)-1].id
	if err := g.write(time.Now()); err != nil {
		return g.errorf("writing the row: %w", err)
	}
	return nil
}

// question is what ai/generate is asked. Its key makes it one question of the
// task, in each attempt.
func question(t *sdk.Task, o *options, turns []turn) (map[string]any, error) {
	var list []any
	if o.system != "" {
		list = append(list, map[string]any{"role": "system", "content": o.system})
	}
	for _, m := range turns {
		list = append(list, map[string]any{"role": m.role, "content": m.text})
	}
	params := map[string]any{"messages": list, "key": "reply"}
	if o.model != "" {
		params["model"] = o.model
	}
	for _, name := range []string{"context", "max_tokens", "temperature", "seed"} { // the host says what is wrong with them
		v, ok, err := t.Payload.Value(name)
		if err != nil {
			return nil, err
		}
		if ok {
			params[name] = v
		}
	}
	return params, nil
}

// lasting says whether a failure is the task's outcome.
func (g *generation) lasting(err error) bool {
	switch abi.CodeOf(err) {
	case abi.InvalidArgument, abi.LimitExceeded:
		return true
	case abi.Unavailable, abi.Failed, abi.Internal:
		return int64(g.task.Attempt) >= g.opt.attempts
	}
	return false // what was not granted, or the task's own end
}

// finish tells and returns what the row says.
func (g *generation) finish() error {
	summary := map[string]any{
		"taskId": g.task.ID, "generationId": g.id, "roomId": g.opt.room, "success": g.success,
		"provider": g.provider, "model": g.model, "finishReason": g.reason,
		"inputTokens": g.input, "outputTokens": g.output, "totalTokens": g.total, "costUsd": g.cost, "responseTime": g.took,
	}
	name := eventComplete
	if !g.success {
		name = eventFailed
		summary["error"] = g.err
	}
	if g.replied() {
		summary["replyId"] = g.replyID()
	}
	err := g.task.Commands.EmitEvents(sdk.Event{Name: name, Key: g.task.ID + ":end", Data: summary})
	if err != nil {
		return g.errorf("emitting %s: %w", name, err)
	}
	if g.text != "" {
		summary["text"] = g.text // not for everybody who hears events
	}
	return g.task.Return(summary)
}

// errorf says which conversation an error is about. The code is that of the error
// it wraps.
func (g *generation) errorf(format string, args ...any) error {
	return fmt.Errorf("conversation %s.%s: %w", g.opt.handle, g.opt.room, fmt.Errorf(format, args...))
}
