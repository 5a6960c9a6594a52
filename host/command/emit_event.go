package command

import (
	"context"
	"fmt"

	"github.com/wasmhost/wasmhost/abi"
)

// maxEmit is how many events one call may emit.
const maxEmit = 1000

// events/emit {event, data?, key?} -> {id}
// events/emit {events: [{event, data?, key?}…]} -> {ids}, in one transaction
func emitEvent(log *Events) Handler {
	return func(ctx context.Context, c Caller, params map[string]any) (any, error) {
		f := FieldsOf(params)
		list, many := f.Take("events")
		if !many {
			e := readEvent(f, c)
			if err := f.End(); err != nil {
				return nil, err
			}
			if err := c.checkEmit(e); err != nil {
				return nil, err
			}
			if err := c.Budget.events(1); err != nil {
				return nil, err
			}
			ids, err := c.emit(ctx, log, e)
			if err != nil {
				return nil, err
			}
			return map[string]any{"id": ids[0]}, nil
		}
		if err := f.End(); err != nil {
			return nil, err
		}
		events, err := readEvents(list, c)
		if err != nil {
			return nil, err
		}
		if err := c.checkEmit(events...); err != nil {
			return nil, err
		}
		if err := c.Budget.events(len(events)); err != nil {
			return nil, err
		}
		ids, err := c.emit(ctx, log, events...)
		if err != nil {
			return nil, err
		}
		out := make([]any, len(ids))
		for i, id := range ids {
			out[i] = id
		}
		return map[string]any{"ids": out}, nil
	}
}

// checkEmit refuses events that c may not emit.
func (c Caller) checkEmit(events ...Event) error {
	for i := range events {
		if !c.MayEmit(events[i].Name) {
			return abi.Errorf(abi.NotGranted, "event %q was not granted", clip(events[i].Name))
		}
	}
	return nil
}

// emit records events, or holds them: their ids are 0 then.
func (c Caller) emit(ctx context.Context, log *Events, events ...Event) ([]int64, error) {
	if c.Held != nil {
		return make([]int64, len(events)), c.Held.Add(events...)
	}
	return log.Emit(ctx, events...)
}

func readEvents(list any, c Caller) ([]Event, error) {
	items, ok := list.([]any)
	if !ok {
		return nil, abi.Errorf(abi.InvalidArgument, "events: an array is needed, not %s", kindOf(list))
	}
	if len(items) > maxEmit {
		return nil, abi.Errorf(abi.LimitExceeded, "events: %d, at most %d are allowed", len(items), maxEmit)
	}
	events := make([]Event, len(items))
	for i, item := range items {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, abi.Errorf(abi.InvalidArgument, "events[%d]: a map is needed, not %s", i, kindOf(item))
		}
		f := FieldsAt(fmt.Sprintf("events[%d].", i), m)
		events[i] = readEvent(f, c)
		if err := f.End(); err != nil {
			return nil, err
		}
	}
	return events, nil
}

func readEvent(f *Fields, c Caller) Event {
	e := Event{
		Name:   f.Required("event", maxEventName),
		Data:   f.JSON("data", MaxEventData),
		Key:    f.Text("key", maxEventKey),
		Worker: c.Worker,
		Task:   c.Task,
	}
	if e.Name != "" && !eventName.MatchString(e.Name) {
		f.Fail("event", "%q: lower-case letters, digits and any of _ : . / -", clip(e.Name))
	}
	return e
}
