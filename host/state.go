package host

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite" // the database/sql driver of the host's own database

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host/command"
	"github.com/wasmhost/wasmhost/host/command/ai"
	"github.com/wasmhost/wasmhost/host/queue"
	"github.com/wasmhost/wasmhost/host/worker"
)

// databaseName is the host's own database in its state folder.
const databaseName = "host.db"

// State is what the host remembers: tasks, events, sessions. It is open in the
// running host, and in any other process that wants to look or to submit.
type State struct {
	Queue    *queue.Queue
	Events   *command.Events
	Sessions *command.Sessions
	Answers  *ai.Records // that models gave and that were paid for

	id     string                                // of the host
	before func(context.Context, queue.Delivery) // see [queue.Config]; set before the queue is started, nil for nothing
	cfg    *config.Config
	db     *sql.DB
	log    *slog.Logger
}

// OpenState opens the host's database and creates it if it is not there. Close
// it when done.
func OpenState(ctx context.Context, cfg *config.Config, log *slog.Logger) (_ *State, err error) {
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("making the state folder: %w", err)
	}
	db, err := openDatabase(filepath.Join(cfg.StateDir, databaseName))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("state folder %s: %w", cfg.StateDir, err), db.Close())
		}
	}()
	id, err := hostID(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	keep := cfg.Queue.Retention
	s := &State{id: id, cfg: cfg, db: db, log: log}
	s.Queue, err = queue.Open(ctx, db, queue.Config{
		HostID: id, Logger: log, KeepCompleted: keep, KeepCancelled: keep, KeepDead: keep,
		Ended: s.tellEnd,
		Before: func(ctx context.Context, d queue.Delivery) {
			if s.before != nil {
				s.before(ctx, d)
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("opening the queue: %w", err)
	}
	if s.Events, err = command.OpenEvents(ctx, db, command.EventsConfig{Logger: log}); err != nil {
		return nil, fmt.Errorf("opening the event log: %w", err)
	}
	if s.Sessions, err = command.OpenSessions(ctx, db); err != nil {
		return nil, fmt.Errorf("opening the sessions: %w", err)
	}
	if s.Answers, err = ai.OpenRecords(ctx, db, ai.RecordsConfig{Keep: cfg.AI.Keep}); err != nil {
		return nil, fmt.Errorf("opening the models' answers: %w", err)
	}
	return s, nil
}

// openDatabase opens SQLite so that what was committed survives a power cut,
// and several processes can work on it. One connection: River takes its own
// transactions for granted, and a second writer would only wait for the first.
func openDatabase(path string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(abs), RawQuery: url.Values{
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"},
		"_txlock": {"immediate"},
	}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// Close closes the database.
func (s *State) Close() error { return s.db.Close() }

// Submit stores a task for a worker that is in the workers' folder; for one
// that is not it fails with abi.UnknownWorker and names those that are. The kind
// is the worker's name if none is given. See [queue.Queue.Submit].
func (s *State) Submit(ctx context.Context, sub queue.Submission) (id string, created bool, err error) {
	entries, err := worker.Scan(s.cfg.WorkersDir)
	if err != nil {
		return "", false, err
	}
	var names []string
	for _, e := range entries {
		if e.Name == sub.Worker {
			if sub.Kind == "" {
				sub.Kind = e.Name // a worker that does one thing is asked for by its name
			}
			return s.Queue.Submit(ctx, sub)
		}
		names = append(names, e.Name)
	}
	known := "the folder " + s.cfg.WorkersDir + " has none"
	if names != nil {
		known = "there are " + strings.Join(names, ", ")
	}
	return "", false, abi.Errorf(abi.UnknownWorker, "no worker is named %q: %s", clip(sub.Worker), known)
}

// SubmitTask is Submit for the command tasks/submit.
func (s *State) SubmitTask(ctx context.Context, t command.Submission) (id string, created bool, err error) {
	return s.Submit(ctx, queue.Submission{
		Worker: t.Worker, Kind: t.Kind, Payload: t.Payload, UniqueKey: t.UniqueKey, Priority: t.Priority, At: t.At,
	})
}

// Workers lists the workers in the folder, without running or compiling them, and
// what the host made of them, if one runs.
func (s *State) Workers(context.Context) ([]worker.Info, error) {
	entries, err := worker.Scan(s.cfg.WorkersDir)
	if err != nil {
		return nil, err
	}
	decisions, err := worker.ReadDecisions(s.cfg.StateDir)
	if err != nil {
		return nil, err
	}
	served, err := hostRuns(s.cfg.StateDir)
	if err != nil {
		return nil, err
	}
	history := worker.OpenHistory(s.cfg.StateDir)
	infos := make([]worker.Info, 0, len(entries))
	for _, e := range entries {
		c := worker.Change{Entry: e}
		c.Read, c.Err = worker.Read(e, s.cfg.Engine.MaxModuleBytes)
		info := s.infoOf(c)
		if abi.ValidName(e.Name) {
			record, err := history.Record(e.Name)
			if err != nil {
				return nil, err
			}
			info.Versions, info.Pin = record.Versions, decisions[e.Name].Pin
			if seen := record.Seen; served && seen.Digest == info.Digest && seen.State != "" && info.State == worker.Present {
				info.State, info.Reason = seen.State, seen.Reason
			}
			if v, ok := record.Find(record.Serving); ok && served {
				info.Serving, info.ServingVersion = v.Digest, v.Version
			}
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// infoOf describes a worker's file as far as that can be done by reading it.
func (s *State) infoOf(c worker.Change) worker.Info {
	var manifest *abi.Manifest
	info := worker.Info{Name: c.Name, File: c.File, State: worker.Present}
	if f := c.Read; f != nil {
		info.Digest, info.Size, manifest = f.Digest, f.Size, f.Manifest
		info.Manifest = manifest
	}
	if c.Err != nil {
		info.State, info.Reason = worker.Refused, abi.MessageOf(c.Err)
	}
	cfg := configOf(s.cfg.Worker(c.Name), manifest)
	info.Concurrency, info.Deadline = cfg.Concurrency, cfg.Deadline
	return info
}

// clip keeps a name from outside short enough for a message.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "…"
	}
	return s
}
