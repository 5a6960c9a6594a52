package orchestrator

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/host/command"
)

// The outbox's own events, which it does not deliver: one that were refused
// would make another.
const (
	EventSkipped = "outbox:skipped" // {id, event, code, message, attempts}
	EventLost    = "outbox:lost"    // {first, last}: ids of events that were deleted undelivered

	ownEvents = "outbox:"
)

const (
	// outboxPage is how many events are held at a time.
	outboxPage = 64
	// outboxStride is how far the cursor may be behind events that are not
	// delivered at all.
	outboxStride = 1000

	firstRetry = 250 * time.Millisecond
	lastRetry  = 10 * time.Second
)

const outboxSchema = `
CREATE TABLE IF NOT EXISTS outbox (
	receiver TEXT PRIMARY KEY,
	cursor   INTEGER NOT NULL -- the last event of the log that needs no more delivery
) STRICT, WITHOUT ROWID`

const receiver = "orchestrator"

// OutboxConfig says what is delivered. Client, Host and Patterns must be set.
type OutboxConfig struct {
	Client   Config   // of the one connection that is used; Connections has no meaning
	Host     string   // of whom the events are: ids are counted by each host for itself
	Patterns []string // of path.Match, of names
	Command  string   // that takes {event, data}; default events/emit
	Attempts int      // to deliver an event that is refused; default 10
}

// OutboxStats is what an [Outbox] has counted since it was opened.
type OutboxStats struct {
	Delivered uint64
	Refused   uint64 // attempts that were answered with a failure
	Skipped   uint64 // events that were given up
	Lost      uint64 // ids that the log no longer had, of whatever events
	Cursor    int64  // the last event that needs no more delivery
}

// Outbox delivers events of the log to the orchestrator. Run it once, and Close
// it after that.
type Outbox struct {
	cfg    OutboxConfig
	events *command.Events
	db     *sql.DB
	client *Client

	at       int64 // as cursor, but perhaps not on disk
	saved    int64
	dirty    bool // at is behind an event that was delivered
	attempts int  // that refused the event behind at

	delivered, refused, skipped, lost atomic.Uint64
	cursor                            atomic.Int64
}

// OpenOutbox prepares the database, which stays the caller's. The first time,
// the outbox begins at the end of the log.
func OpenOutbox(ctx context.Context, db *sql.DB, events *command.Events, cfg OutboxConfig) (*Outbox, error) {
	if cfg.Command == "" {
		cfg.Command = abi.CommandEmitEvent
	}
	if cfg.Attempts == 0 {
		cfg.Attempts = 10
	}
	for _, p := range cfg.Patterns {
		if _, err := path.Match(p, ""); err != nil {
			return nil, abi.Errorf(abi.InvalidArgument, "outbox: malformed pattern %q", clip(p))
		}
	}
	cfg.Client.Connections = 1
	client, err := New(cfg.Client)
	if err != nil {
		return nil, err
	}
	cfg.Client = client.cfg
	o := &Outbox{cfg: cfg, events: events, db: db, client: client}
	last, err := events.Last(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, outboxSchema); err != nil {
		return nil, fmt.Errorf("preparing the outbox: %w", err)
	}
	if _, err := db.ExecContext(ctx, `INSERT INTO outbox (receiver, cursor) VALUES (?, ?) ON CONFLICT DO NOTHING`, receiver, last); err != nil {
		return nil, fmt.Errorf("preparing the outbox: %w", err)
	}
	if err := db.QueryRowContext(ctx, `SELECT cursor FROM outbox WHERE receiver = ?`, receiver).Scan(&o.at); err != nil {
		return nil, fmt.Errorf("preparing the outbox: %w", err)
	}
	o.saved = o.at
	o.cursor.Store(o.at)
	return o, nil
}

// Close closes the connection.
func (o *Outbox) Close() error { return o.client.Close() }

// Stats returns what was counted so far.
func (o *Outbox) Stats() OutboxStats {
	return OutboxStats{
		Delivered: o.delivered.Load(), Refused: o.refused.Load(), Skipped: o.skipped.Load(),
		Lost: o.lost.Load(), Cursor: o.cursor.Load(),
	}
}

// Run delivers until ctx ends.
func (o *Outbox) Run(ctx context.Context) {
	retry := time.Duration(0)
	for ctx.Err() == nil {
		at := o.at
		err := o.page(ctx)
		if o.dirty || o.at-o.saved >= outboxStride || ctx.Err() != nil {
			if serr := o.save(context.WithoutCancel(ctx)); err == nil {
				err = serr
			}
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			retry = 0
			err = o.events.Wait(ctx, o.at)
		case o.at != at:
			retry = 0
		}
		if err == nil {
			continue
		}
		// While the client does not connect there is nothing to try, and as soon
		// as it does there is.
		retry = min(max(2*retry, firstRetry), lastRetry)
		wait := retry - rand.N(retry/2)
		if away := o.client.away(); away > 0 {
			retry, wait = 0, away
		}
		if code := abi.CodeOf(err); ctx.Err() == nil && code != abi.Unavailable {
			o.cfg.Client.Logger.Warn("delivering an event failed; it is tried again", "after", o.at, "in", wait.Round(time.Millisecond), "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// page delivers the next events of the log, and moves the cursor behind each.
func (o *Outbox) page(ctx context.Context) error {
	page, err := o.events.Since(ctx, o.at, outboxPage, "")
	if err != nil || len(page) == 0 {
		return err
	}
	if page[0].ID > o.at+1 {
		if err := o.tellLoss(ctx, page[0].ID); err != nil {
			return err
		}
	}
	for _, e := range page {
		if o.concerns(e.Name) {
			if err := o.deliver(ctx, e); err != nil {
				return err
			}
			o.dirty = true
		}
		o.move(e.ID)
	}
	return nil
}

func (o *Outbox) concerns(name string) bool {
	if strings.HasPrefix(name, ownEvents) {
		return false
	}
	for _, p := range o.cfg.Patterns {
		if ok, err := path.Match(p, name); err == nil && ok {
			return true
		}
	}
	return false
}

func (o *Outbox) move(id int64) {
	o.at, o.attempts = id, 0
	o.cursor.Store(id)
}

// deliver returns nil when an event needs no more delivery.
func (o *Outbox) deliver(ctx context.Context, e command.Event) error {
	data, err := o.data(e)
	if err == nil {
		_, err = o.client.Call(ctx, o.cfg.Command, map[string]any{"event": e.Name, "data": data})
	}
	if err == nil {
		o.delivered.Add(1)
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// An orchestrator that is away, or does not answer, has refused nothing.
	if code := abi.CodeOf(err); code == abi.Unavailable || code == abi.DeadlineExceeded {
		return err
	}
	o.refused.Add(1)
	if o.attempts++; o.attempts < o.cfg.Attempts {
		return err
	}
	return o.skip(ctx, e, err)
}

// skip gives an event up, and says so in the log.
func (o *Outbox) skip(ctx context.Context, e command.Event, why error) error {
	code := abi.CodeOf(why).String()
	err := o.tell(ctx, EventSkipped, fmt.Sprint(e.ID), map[string]any{
		"id": e.ID, "event": e.Name, "code": code, "message": abi.MessageOf(why), "attempts": o.attempts,
	})
	if err != nil {
		return err
	}
	o.skipped.Add(1)
	o.cfg.Client.Logger.Error("an event was refused and is skipped", "id", e.ID, "event", e.Name, "attempts", o.attempts, "error", why)
	return nil
}

// tellLoss says what was deleted before its turn came, if that is why the next
// event is not the one behind the cursor.
func (o *Outbox) tellLoss(ctx context.Context, next int64) error {
	first, err := o.events.First(ctx)
	if err != nil || first != next {
		return err // an id that was never given
	}
	from, to := o.at+1, next-1
	if err := o.tell(ctx, EventLost, fmt.Sprintf("%d-%d", from, to), map[string]any{"first": from, "last": to}); err != nil {
		return err
	}
	o.lost.Add(uint64(to - from + 1))
	o.cfg.Client.Logger.Error("events were deleted before they could be delivered", "first", from, "last", to)
	o.move(to)
	return nil
}

// tell records an event of the outbox's own, once however often it is told.
func (o *Outbox) tell(ctx context.Context, name, key string, data map[string]any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return abi.Errorf(abi.Internal, "event %s: %w", name, err)
	}
	_, err = o.events.Emit(ctx, command.Event{Name: name, Data: b, Key: name + ":" + key})
	return err
}

// data is an event's data with the host's own word about it. Data that is no
// object stands as value in one.
func (o *Outbox) data(e command.Event) (map[string]any, error) {
	data := map[string]any{}
	if len(e.Data) > 0 {
		v, err := decode(e.Data, wire.MaxDepth-1)
		if err != nil {
			return nil, err
		}
		object, ok := v.(map[string]any)
		if !ok {
			object = map[string]any{"value": v}
		}
		data = object
	}
	// Whatever a guest has put there: it must not speak for the host.
	data["wasmhost"] = map[string]any{
		"host": o.cfg.Host, "id": e.ID, "time": e.Time.UTC().Format(time.RFC3339Nano), "worker": e.Worker, "task": e.Task,
	}
	return data, nil
}

// save writes the cursor down. It may stay behind over events that are not
// delivered, which costs a look at them after a restart.
func (o *Outbox) save(ctx context.Context) error {
	if _, err := o.db.ExecContext(ctx, `UPDATE outbox SET cursor = ? WHERE receiver = ?`, o.at, receiver); err != nil {
		return fmt.Errorf("moving the outbox's cursor: %w", err)
	}
	o.saved, o.dirty = o.at, false
	return nil
}
