package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// Provider answers commands that are not the host's own: a worker.
type Provider interface {
	// Call answers one call. The result is one msgpack value, nil for nil. ctx
	// ends ten seconds after the call began at the latest.
	Call(ctx context.Context, call Call) ([]byte, error)
}

// Call is a call on its way to a [Provider].
type Call struct {
	Name   string
	Params []byte // one msgpack map, nil for none; valid until Call returns
	Key    string // the same when the caller's task is run again and calls again
	Unique string // as Key, but no other call's at any time: see [Caller.Unique]

	// Chain are the commands that wait for this call, the outermost first, and
	// this one. What the provider calls must carry it on, in [Caller.Chain].
	Chain []string
}

// provided is a command that is not the host's own.
type provided struct {
	owner    string
	provider Provider
}

// Provide makes names the commands that owner, a worker, provides, in place of
// those that it provided before, at once: a call finds the one or the other. A
// name that is the host's own or another's is abi.Conflict, and nothing is
// changed. No names take back what there was.
func (r *Router) Provide(owner string, names []string, p Provider) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		if err := CheckName(name); err != nil {
			return err
		}
		if _, taken := r.handlers[name]; taken {
			return abi.Errorf(abi.Conflict, "command %s is the host's own", name)
		}
		if other, taken := r.provided[name]; taken && other.owner != owner {
			return abi.Errorf(abi.Conflict, "command %s is provided by the worker %s", name, other.owner)
		}
	}
	for name, p := range r.provided {
		if p.owner == owner {
			delete(r.provided, name)
		}
	}
	for _, name := range names {
		r.provided[name] = provided{owner, p}
	}
	return nil
}

// provider calls a command of a worker's.
func (r *Router) provider(ctx context.Context, p provided, c Caller, name string, params []byte) ([]byte, error) {
	if slices.Contains(c.Chain, name) {
		return nil, abi.Errorf(abi.LimitExceeded, "it waits for itself: %s", strings.Join(append(slices.Clone(c.Chain), name), " > "))
	}
	some, err := checkParams(params)
	if err != nil {
		return nil, err
	}
	if !some {
		params = nil
	}
	result, err := p.provider.Call(ctx, Call{Name: name, Params: params, Key: c.Key(), Unique: c.UniqueKey(), Chain: append(slices.Clone(c.Chain), name)})
	if err == nil {
		result, err = checkResult(result)
	}
	if err != nil && ctx.Err() != nil {
		return nil, abi.Errorf(abi.CodeOf(ctx.Err()), "the worker %s did not answer in time: %w", p.owner, ctx.Err())
	}
	if err != nil {
		return nil, abi.Errorf(passedOn(abi.CodeOf(err)), "the worker %s: %s", p.owner, abi.MessageOf(err))
	}
	return result, nil
}

// passedOn is the code of a provider's failure for the caller. The others are
// about the provider: its grants and its handles are not the caller's.
func passedOn(code abi.Code) abi.Code {
	switch code {
	case abi.InvalidArgument, abi.NotFound, abi.Conflict, abi.LimitExceeded, abi.Unavailable, abi.DeadlineExceeded, abi.Cancelled:
		return code
	}
	return abi.Failed
}

// checkResult holds a provider's result against the contract.
func checkResult(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return []byte{0xc0}, nil
	}
	if len(b) > MaxResult {
		return nil, abi.Errorf(abi.LimitExceeded, "a result of %d bytes: %d at most", len(b), MaxResult)
	}
	r := wire.NewReader(b)
	left := maxValues
	err := count(&r, &left, 0)
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return nil, abi.Errorf(abi.Failed, "its result is not one msgpack value of bounded size: %s", abi.MessageOf(err))
	}
	return b, nil
}

// UniqueKey is Key of a task that has a name of its own for all time; "" for one
// without.
func (c Caller) UniqueKey() string {
	if c.Unique == "" {
		return ""
	}
	return fmt.Sprintf("%s.%d", c.Unique, c.Call)
}

// Key names one call of one task, the same when the task is run again and calls
// again; "" for a caller without a task.
func (c Caller) Key() string {
	if c.Task == "" {
		return ""
	}
	return fmt.Sprintf("%s.%d", c.Task, c.Call)
}
