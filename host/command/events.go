package command

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"path"
	"regexp"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/wasmhost/wasmhost/abi"
)

// Limits of events.
const (
	MaxEventData = 256 << 10 // bytes of one event's data

	maxEventName = 128
	maxEventKey  = 256
)

// Event is one entry of the event log.
type Event struct {
	ID     int64           `json:"id"` // given by the log
	Time   time.Time       `json:"time"`
	Name   string          `json:"name"`   // lower-case letters, digits and any of _ : . / -
	Worker string          `json:"worker"` // "" for the host
	Task   string          `json:"task"`   // "" for none
	Data   json.RawMessage `json:"data"`   // JSON; nil for none

	// Key makes the log record the event only once per worker. It is not read
	// back.
	Key string `json:"-"`

	// Gap marks an event that is none: see [Events.Subscribe].
	Gap int64 `json:"-"`
}

var eventName = regexp.MustCompile(`^[a-z0-9:_./-]{1,128}$`)

func (e *Event) validate() error {
	switch {
	case !eventName.MatchString(e.Name):
		return abi.Errorf(abi.InvalidArgument, "event name %q: lower-case letters, digits and any of _ : . / -, %d at most", clip(e.Name), maxEventName)
	case len(e.Data) > MaxEventData:
		return abi.Errorf(abi.LimitExceeded, "event %s: %d bytes of data, at most %d are allowed", e.Name, len(e.Data), MaxEventData)
	case len(e.Data) > 0 && !json.Valid(e.Data):
		return abi.Errorf(abi.InvalidArgument, "event %s: data is not valid JSON", e.Name)
	case len(e.Key) > maxEventKey || !utf8.ValidString(e.Key):
		return abi.Errorf(abi.InvalidArgument, "event %s: key: UTF-8 of %d bytes at most", e.Name, maxEventKey)
	}
	return nil
}

// eventsSchema: AUTOINCREMENT because an id must not come back after the
// newest event is deleted.
const eventsSchema = `
CREATE TABLE IF NOT EXISTS events (
	id     INTEGER PRIMARY KEY AUTOINCREMENT,
	time   INTEGER NOT NULL, -- Unix milliseconds
	name   TEXT NOT NULL,
	worker TEXT NOT NULL,
	task   TEXT NOT NULL,
	data   TEXT,
	key    TEXT
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS events_key ON events (worker, key) WHERE key IS NOT NULL`

// EventsConfig says how a log works. Zero fields mean defaults.
type EventsConfig struct {
	Logger *slog.Logger  // default: discards
	Keep   int64         // events; default 1,000,000
	Poll   time.Duration // how often Follow looks for events of other processes; default 50 ms
}

// Events is the event log in the host's database. It is safe for concurrent
// use, and by several processes.
type Events struct {
	db  *sql.DB
	cfg EventsConfig

	mu      sync.Mutex
	pending []*emission
	writing chan struct{} // of capacity 1: a token to write with

	subs    subscribers
	changed broadcast
}

// OpenEvents prepares the database, which stays the caller's, and must have one
// connection at most.
func OpenEvents(ctx context.Context, db *sql.DB, cfg EventsConfig) (*Events, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Keep == 0 {
		cfg.Keep = 1_000_000
	}
	if cfg.Poll == 0 {
		cfg.Poll = 50 * time.Millisecond
	}
	if cfg.Keep < 0 || cfg.Poll < 0 {
		return nil, abi.Errorf(abi.InvalidArgument, "event log: Keep and Poll must not be negative")
	}
	if _, err := db.ExecContext(ctx, eventsSchema+";"+cursorsSchema); err != nil {
		return nil, DBError("preparing the event log", err)
	}
	l := &Events{db: db, cfg: cfg, writing: make(chan struct{}, 1)}
	l.writing <- struct{}{}
	l.subs.all = map[*subscriber]struct{}{}
	l.changed.c = make(chan struct{})
	return l, nil
}

// Last returns the id of the newest event that there ever was, 0 for none.
func (l *Events) Last(ctx context.Context) (int64, error) {
	var id int64
	err := l.db.QueryRowContext(ctx, `SELECT seq FROM sqlite_sequence WHERE name = 'events'`).Scan(&id)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, DBError("reading the event log", err)
	}
	return id, nil
}

// First returns the id of the oldest event that is kept, 0 for none.
func (l *Events) First(ctx context.Context) (int64, error) {
	var id sql.NullInt64
	if err := l.db.QueryRowContext(ctx, `SELECT min(id) FROM events`).Scan(&id); err != nil {
		return 0, DBError("reading the event log", err)
	}
	return id.Int64, nil
}

// Since returns the events with ids above after whose name matches pattern, in
// ascending order, limit at most. The pattern is one of path.Match; "" matches
// every name.
func (l *Events) Since(ctx context.Context, after int64, limit int, pattern string) ([]Event, error) {
	if limit < 1 {
		return nil, abi.Errorf(abi.InvalidArgument, "limit %d: at least 1", limit)
	}
	if err := checkPattern(pattern); err != nil {
		return nil, err
	}
	var found []Event
	for {
		page, last, err := l.scan(ctx, after, limit-len(found), pattern)
		if err != nil {
			return nil, err
		}
		found = append(found, page...)
		if last == after || len(found) == limit {
			return found, nil
		}
		after = last
	}
}

// scanPage is how many rows a scan looks at: as each page is its own read, a
// search through a long log does not keep the connection from emitters.
const scanPage = 1000

// scan looks at one page of the log above after. It returns the events that
// match, limit at most, and the id up to which it has looked: after if there
// is nothing more.
func (l *Events) scan(ctx context.Context, after int64, limit int, pattern string) (found []Event, last int64, err error) {
	rows, err := l.db.QueryContext(ctx, `SELECT id, time, name, worker, task, data FROM events WHERE id > ? ORDER BY id LIMIT ?`, after, scanPage)
	if err != nil {
		return nil, after, DBError("reading the event log", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err says what matters
	last = after
	for len(found) < limit && rows.Next() {
		var e Event
		var ms int64
		var data []byte
		if err := rows.Scan(&e.ID, &ms, &e.Name, &e.Worker, &e.Task, &data); err != nil {
			return nil, after, DBError("reading the event log", err)
		}
		last = e.ID
		if matches(pattern, e.Name) {
			e.Time, e.Data = time.UnixMilli(ms).UTC(), data
			found = append(found, e)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, after, DBError("reading the event log", err)
	}
	return found, last, nil
}

func checkPattern(pattern string) error {
	if _, err := path.Match(pattern, ""); err != nil {
		return abi.Errorf(abi.InvalidArgument, "pattern %q is malformed", clip(pattern))
	}
	return nil
}

func matches(pattern, name string) bool {
	if pattern == "" {
		return true
	}
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}
