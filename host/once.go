package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/queue"
)

const (
	// markerMargin is how much longer markers are kept than tasks that ended.
	markerMargin = 24 * time.Hour
	// tellAgain is when a task comes again whose rows are committed and whose
	// events could not be recorded.
	tellAgain = time.Second
)

// once makes the effects of one task of an atomic worker happen once, however
// often the task is delivered: its rows, with a marker that holds what is to
// follow, are one transaction, and events follow from the marker by keys.
type once struct {
	key    string // of the marker
	forget time.Time
	queue  *queue.Queue
	events *command.Events

	recalled bool
	result   json.RawMessage
}

// uniqueName is a task's among all that there ever were. An ID alone could be
// another host's task, or one of a queue that is gone.
func (h *Host) uniqueName(d queue.Delivery) string {
	return fmt.Sprintf("%s/%s@%d", h.state.id, d.ID, d.Created.UnixMilli())
}

// taskKey is what a guest is told of it: the same, but nothing about the host.
func taskKey(unique string) string {
	if unique == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(unique))
	return hex.EncodeToString(sum[:16])
}

// onceFor is the once of a delivery.
func (h *Host) onceFor(d queue.Delivery) *once {
	forget := time.Now().Add(-h.cfg.Queue.Retention - markerMargin)
	if !h.oldest.IsZero() && h.oldest.Before(forget) {
		forget = h.oldest // a task as old may have its marker still to be looked for
	}
	return &once{
		key:    h.uniqueName(d),
		forget: forget, queue: h.state.Queue, events: h.state.Events,
	}
}

// recall looks for the marker of an earlier delivery, and does what was to
// follow. It says whether the task is done.
func (o *once) recall(ctx context.Context, d *data.Access) (bool, error) {
	e, err := d.Effect(ctx, o.key)
	if e == nil || err != nil {
		return false, err
	}
	events, err := command.DecodeEvents(e.Events)
	if err == nil {
		err = o.tell(ctx, events)
	}
	o.recalled, o.result = true, e.Result
	return true, err
}

// commit makes a task that has succeeded happen.
func (o *once) commit(ctx context.Context, e *env, result []byte) error {
	var err error
	if o.result, err = resultToJSON(result); err != nil {
		return err
	}
	if err := o.queue.CheckResult(o.result); err != nil { // later is too late
		return err
	}
	if e.untold != nil {
		return abi.Errorf(abi.CodeOf(e.untold), "what changed cannot be told: %s", abi.MessageOf(e.untold))
	}
	held := e.caller.Held.Events()
	events, err := command.EncodeEvents(held)
	if err != nil {
		return err
	}
	if err := e.data.Commit(ctx, data.Effect{Key: o.key, At: time.Now(), Result: o.result, Events: events, Forget: o.forget}); err != nil {
		return err
	}
	return o.tell(ctx, held)
}

// tell records the events of a task whose rows are committed. It cannot fail any
// more: it comes again until it is done.
func (o *once) tell(ctx context.Context, events []command.Event) error {
	if _, err := o.events.Emit(context.WithoutCancel(ctx), events...); err != nil {
		return &queue.LaterError{After: tellAgain, Err: fmt.Errorf("the task is done, but its events were not recorded: %w", err)}
	}
	return nil
}
