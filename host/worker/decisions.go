package worker

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"
	"github.com/pelletier/go-toml/v2"

	"github.com/wasmhost/wasmhost/abi"
)

// DecisionsFile is where an operator's decisions are, in the state folder.
const DecisionsFile = "grants.toml"

const maxDecisions = 4 << 20 // bytes of the file

// Decisions are what an operator has decided beside the configuration, by the
// worker's name. Only the operator's commands write them.
type Decisions map[string]Decision

// Decision is what was decided about one worker.
type Decision struct {
	// Allowed is what the worker may have: all of it, though no version gets
	// more than it asks for.
	Allowed []Allowed `toml:"allowed,omitempty"`
	// Pin is the digest of the only version that is served; "" for any.
	Pin string `toml:"pin,omitempty"`
}

// Allowed is one version that was looked at, and what it asked for.
type Allowed struct {
	Digest   string      `toml:"digest"`
	Version  string      `toml:"version,omitempty"`
	At       time.Time   `toml:"at"`
	Provides []string    `toml:"provides,omitempty"`
	On       []string    `toml:"on,omitempty"`
	Schedule []string    `toml:"schedule,omitempty"`
	Data     data        `toml:"data,omitempty"`
	Tables   collections `toml:"collections,omitempty"`
	Commands []string    `toml:"commands,omitempty"`
	Config   []string    `toml:"config,omitempty"`
	Queries  []string    `toml:"queries,omitempty"`
	Events   []string    `toml:"events,omitempty"`
}

type (
	data        map[string][]string
	collections map[string]map[string]rights
	rights      struct {
		Read   []string `toml:"read,omitempty"`
		Insert []string `toml:"insert,omitempty"`
		Update []string `toml:"update,omitempty"`
		Delete bool     `toml:"delete,omitempty"`
	}
)

// Ask is what was allowed.
func (a Allowed) Ask() Ask {
	r := abi.Requests{Data: a.Data, Commands: a.Commands, Config: a.Config, Queries: a.Queries, Events: a.Events}
	if a.Tables != nil {
		r.Collections = make(map[string]map[string]abi.Rights, len(a.Tables))
	}
	for handle, tables := range a.Tables {
		r.Collections[handle] = make(map[string]abi.Rights, len(tables))
		for name, t := range tables {
			r.Collections[handle][name] = abi.Rights(t)
		}
	}
	return Ask{r, a.Provides, a.On, a.Schedule}
}

// Asks is all that was allowed.
func (d Decision) Asks() []Ask {
	asks := make([]Ask, len(d.Allowed))
	for i, a := range d.Allowed {
		asks[i] = a.Ask()
	}
	return asks
}

// When is when a version was allowed, zero if it never was.
func (d Decision) When(digest string) (at time.Time) {
	for _, a := range d.Allowed {
		if a.Digest == digest && a.At.After(at) {
			at = a.At
		}
	}
	return at
}

// Allow adds a version and what it asks for. What is within it is dropped.
func (d *Decision) Allow(f *File, at time.Time) {
	ask := AskOf(f.Manifest)
	a := Allowed{
		Digest: f.Digest, At: at.UTC(), Provides: ask.Provides, On: ask.On, Schedule: ask.Schedule,
		Data: ask.Requests.Data, Commands: ask.Requests.Commands, Config: ask.Requests.Config, Queries: ask.Requests.Queries,
		Events: ask.Requests.Events,
	}
	if f.Manifest != nil {
		a.Version = f.Manifest.Version
	}
	for handle, tables := range ask.Requests.Collections {
		if a.Tables == nil {
			a.Tables = collections{}
		}
		a.Tables[handle] = map[string]rights{}
		for name, r := range tables {
			a.Tables[handle][name] = rights(r)
		}
	}
	d.Allowed = slices.DeleteFunc(d.Allowed, func(old Allowed) bool {
		return old.Digest == f.Digest || len(old.Ask().Missing(ask)) == 0
	})
	d.Allowed = append(d.Allowed, a)
}

// ReadDecisions reads the operator's file. Where there is none, nothing is
// decided. A file that is wrong is abi.InvalidArgument and decides nothing.
func ReadDecisions(stateDir string) (Decisions, error) {
	path := filepath.Join(stateDir, DecisionsFile)
	b, err := readBounded(path, maxDecisions, "fixed")
	if errors.Is(err, fs.ErrNotExist) {
		return Decisions{}, nil
	}
	if err != nil {
		return nil, err
	}
	all := Decisions{}
	d := toml.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&all); err != nil {
		var strict *toml.StrictMissingError
		var at *toml.DecodeError
		switch {
		case errors.As(err, &strict) && len(strict.Errors) > 0:
			row, _ := strict.Errors[0].Position()
			return nil, abi.Errorf(abi.InvalidArgument, "%s: line %d: unknown key %v", path, row, strict.Errors[0].Key())
		case errors.As(err, &at):
			row, column := at.Position()
			return nil, abi.Errorf(abi.InvalidArgument, "%s: line %d, column %d: %w", path, row, column, err)
		}
		return nil, abi.Errorf(abi.InvalidArgument, "%s: %w", path, err)
	}
	return all, nil
}

// SweepDecisions removes what is left of decisions whose process was killed, unless
// one is being made.
func SweepDecisions(stateDir string) {
	lock := flock.New(filepath.Join(stateDir, DecisionsFile+".lock"))
	if free, err := lock.TryLock(); err == nil && free {
		sweep(stateDir, DecisionsFile+".*")
		_ = lock.Unlock()
	}
}

// Decide changes what is decided about one worker. Of several that do so at once
// none loses what another decided.
func Decide(stateDir, name string, change func(*Decision) error) error {
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return fmt.Errorf("deciding about %s: %w", name, err)
	}
	path := filepath.Join(stateDir, DecisionsFile)
	lock := flock.New(path + ".lock")
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("deciding about %s: %w", name, err)
	}
	defer lock.Unlock() //nolint:errcheck // it ends with the process
	sweep(stateDir, DecisionsFile+".*")
	all, err := ReadDecisions(stateDir)
	if err != nil {
		return err
	}
	d := all[name]
	if err := change(&d); err != nil {
		return err
	}
	if all[name] = d; len(d.Allowed) == 0 && d.Pin == "" {
		delete(all, name)
	}
	var b bytes.Buffer
	b.WriteString("# What the operator has decided: wasmhost allow, revoke, pin and unpin write it.\n# A running host follows it.\n\n")
	if err := toml.NewEncoder(&b).Encode(all); err != nil {
		return fmt.Errorf("deciding about %s: %w", name, err)
	}
	if err := writeFile(path, b.Bytes()); err != nil {
		return fmt.Errorf("deciding about %s: %w", name, err)
	}
	return nil
}
