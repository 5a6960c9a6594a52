package queue

import (
	"cmp"
	"context"
	"database/sql"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"

	"github.com/wasmhost/wasmhost/abi"
)

// Config says how a [Queue] works. The zero value of a field means its default.
type Config struct {
	// HostID names this host among all that work on the database, the same
	// after every restart: letters, digits, '_', '-' and '.', 64 bytes at most.
	// Only Start needs it, and no two processes that started may share it.
	HostID string

	Logger *slog.Logger // default: discards

	MaxPayload int // bytes of a task's payload; default 1 MiB
	MaxResult  int // bytes of a task's result; default 1 MiB

	// How long ended tasks are kept. Defaults: 24 h, 24 h, 7 days.
	KeepCompleted, KeepCancelled, KeepDead time.Duration

	// PollInterval is how often each worker's queue is looked at even without
	// news; it bounds how late a scheduled or retried task begins. Default
	// 100 ms.
	PollInterval time.Duration

	// RetryBase is the wait after the first failure; it doubles with each
	// further one up to RetryCap, a fifth more or less by chance. Defaults: 1 s,
	// 5 min.
	RetryBase, RetryCap time.Duration

	// Before is called before each attempt at a task, nil for nothing: it may
	// take up to MaxBefore, which is not of the attempt's time, and cannot keep
	// the attempt from being made. Its ctx ends when it has taken that long, when
	// the task is cancelled, and when Stop has waited long enough; it must then
	// return soon. The Deadline of d is the zero time.
	Before func(ctx context.Context, d Delivery)

	// Ended is told of the end of each attempt that was run here, just before it
	// is written down; nil for nobody. A host that dies in between runs the same
	// attempt again, and so tells again.
	Ended func(ctx context.Context, d Delivery, e Ended)
}

// MaxBefore is how long [Config.Before] may take.
const MaxBefore = 10 * time.Minute

const (
	defaultMaxBytes    = 1 << 20
	defaultMaxAttempts = 25
	// fetchCooldown is the least time between two fetches of one worker's
	// tasks: with concurrency c, c/fetchCooldown tasks a second at most.
	fetchCooldown = 2 * time.Millisecond
)

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.MaxPayload = cmp.Or(c.MaxPayload, defaultMaxBytes)
	c.MaxResult = cmp.Or(c.MaxResult, defaultMaxBytes)
	c.KeepCompleted = cmp.Or(c.KeepCompleted, 24*time.Hour)
	c.KeepCancelled = cmp.Or(c.KeepCancelled, 24*time.Hour)
	c.KeepDead = cmp.Or(c.KeepDead, 7*24*time.Hour)
	c.PollInterval = cmp.Or(c.PollInterval, 100*time.Millisecond)
	c.RetryBase = cmp.Or(c.RetryBase, time.Second)
	c.RetryCap = cmp.Or(c.RetryCap, 5*time.Minute)
	return c
}

var hostIDPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

func (c Config) validate() error {
	if c.HostID != "" && !hostIDPattern.MatchString(c.HostID) {
		return abi.Errorf(abi.InvalidArgument, "queue: HostID %q: letters, digits, '_', '-' and '.', 64 at most", clip(c.HostID))
	}
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"MaxPayload", int64(c.MaxPayload)}, {"MaxResult", int64(c.MaxResult)},
		{"KeepCompleted", int64(c.KeepCompleted)}, {"KeepCancelled", int64(c.KeepCancelled)}, {"KeepDead", int64(c.KeepDead)},
		{"RetryBase", int64(c.RetryBase)}, {"RetryCap", int64(c.RetryCap)},
	} {
		if f.value < 0 {
			return abi.Errorf(abi.InvalidArgument, "queue: %s must not be negative", f.name)
		}
	}
	if c.PollInterval < fetchCooldown {
		return abi.Errorf(abi.InvalidArgument, "queue: PollInterval %v: at least %v", c.PollInterval, fetchCooldown)
	}
	return nil
}

// Queue holds the tasks of one database. It is safe for concurrent use.
type Queue struct {
	db     *sql.DB
	cfg    Config
	client *river.Client[*sql.Tx] // inserts and looks; works nothing
	ledger *ledger

	runningMu sync.Mutex
	running   map[int64]context.CancelCauseFunc // tasks that this Queue runs

	waiters waiters

	workMu sync.Mutex
	work   *work // nil unless started
}

// Open prepares the database and returns its Queue, which can submit, list,
// cancel and retry at once. It runs nothing until [Queue.Start], and holds
// nothing that needs closing. The database stays the caller's, who must have
// opened it with WAL, synchronous=FULL, _txlock=immediate and one connection at
// most, and closes it after Stop.
//
// Several processes may open a new database at the same time.
func Open(ctx context.Context, db *sql.DB, cfg Config) (*Queue, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.Logger = slog.New(quiet{cfg.Logger.Handler()})
	if err := migrate(ctx, db, cfg.Logger); err != nil {
		return nil, err
	}
	client, err := river.NewClient(riversqlite.New(db), &river.Config{
		FetchCooldown: fetchCooldown,
		Logger:        cfg.Logger,
		MaxAttempts:   defaultMaxAttempts,
	})
	if err != nil {
		return nil, abi.Errorf(abi.Internal, "queue: %w", err)
	}
	return &Queue{
		db:      db,
		cfg:     cfg,
		client:  client,
		ledger:  newLedger(db),
		running: map[int64]context.CancelCauseFunc{},
	}, nil
}

// quiet passes on what River says from warnings upwards: its everyday news
// (every failed attempt, counts every five seconds) is what tasks and events
// already tell.
type quiet struct{ slog.Handler }

func (h quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

func (h quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{h.Handler.WithAttrs(a)} }
func (h quiet) WithGroup(name string) slog.Handler   { return quiet{h.Handler.WithGroup(name)} }
