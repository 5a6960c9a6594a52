package command

import (
	"context"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// RehearsedTask is the id of every task that tasks/submit answers with in a
// rehearsal.
const RehearsedTask = "dry-run"

// reads are the commands that change nothing.
var reads = map[string]bool{
	abi.CommandPing: true, abi.CommandGetConfig: true, abi.CommandGetSession: true, abi.CommandListCommands: true,
}

// Rehearsed says whether Rehearse only rehearses a call, and does not make it.
func (r *Router) Rehearsed(c Caller, name string) bool {
	return len(name) <= MaxName && c.MayCall(name) && !reads[name] && r.provides(name)
}

// provides says whether somebody provides a command.
func (r *Router) provides(name string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, isBuiltin := r.handlers[name]
	_, isProvided := r.provided[name]
	return isBuiltin || isProvided || r.fallback != nil
}

// Rehearse is Execute for a caller whose calls are to have no effect. Commands
// of the host's that only read are executed. Of any other it checks what can be
// checked without doing it, the grants, the params and the caller's budget, and
// answers as a success would: events have the id 0, a task [RehearsedTask], and
// what a worker or the orchestrator would answer is nil. Such a call was not
// made, and ran is false.
func (r *Router) Rehearse(ctx context.Context, c Caller, name string, params []byte) (result []byte, ran bool, err error) {
	if !r.Rehearsed(c, name) {
		result, err = r.Execute(ctx, c, name, params)
		return result, true, err
	}
	r.mu.RLock()
	h := r.handlers[name].Rehearse
	r.mu.RUnlock()
	if h == nil {
		h = func(context.Context, Caller, map[string]any) (any, error) { return nil, nil }
	}
	switch name {
	case abi.CommandEmitEvent:
		c.Held = NewHeld("") // of this call only: nothing is ever recorded
		h = emitEvent(nil)
	case abi.CommandSubmitTask:
		h = submitTask(rehearsedTasks{})
	case abi.CommandSetSession:
		h = setSession(time.Now, checkSession)
	case abi.CommandDeleteSession:
		h = deleteSession(deleteNothing)
	}
	result, err = r.builtin(ctx, h, c, name, params)
	if err != nil {
		return nil, false, named(name, err)
	}
	return result, false, nil
}

// rehearsedTasks submits nothing.
type rehearsedTasks struct{}

// SubmitTask implements [Submitter].
func (rehearsedTasks) SubmitTask(context.Context, Submission) (string, bool, error) {
	return RehearsedTask, true, nil
}

func checkSession(_ context.Context, s Session) error {
	_, err := s.encode(time.Now())
	return err
}

func deleteNothing(context.Context, string, string) (bool, error) { return true, nil }
