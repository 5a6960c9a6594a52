package command

import (
	"context"
	"encoding/json"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// Config is where config/get looks.
type Config interface {
	// Lookup returns the value of a key of the effective configuration.
	Lookup(ctx context.Context, key string) (value any, found bool, err error)
}

// SessionReader is where session/get looks.
type SessionReader interface {
	// Get returns a session as a worker sees it. One that does not expire has
	// the zero time. Code: NotFound.
	Get(ctx context.Context, worker, id string) (*Session, error)
}

// Submitter is where tasks/submit submits.
type Submitter interface {
	// SubmitTask stores a task. With created false there was an unfinished one
	// with this worker and unique key, whose id it returns.
	SubmitTask(ctx context.Context, t Submission) (id string, created bool, err error)
}

// Submission is a task that a caller wants done. Fields that were not given are
// zero.
type Submission struct {
	Worker    string
	Kind      string
	Payload   json.RawMessage // a JSON object; bytes in it are base64 text
	UniqueKey string
	Priority  int
	At        time.Time
}

// Builtins is what the built-in commands work on.
type Builtins struct {
	Events   *Events
	Sessions *Sessions
	Config   Config
	Tasks    Submitter

	// ReadSessions is where session/get looks; nil for Sessions.
	ReadSessions SessionReader
}

// RegisterBuiltins adds the built-in commands to r. All of b must be set but
// for ReadSessions.
func RegisterBuiltins(r *Router, b Builtins) error {
	if b.ReadSessions == nil {
		b.ReadSessions = b.Sessions
	}
	for _, c := range []struct {
		name string
		h    Handler
	}{
		{abi.CommandPing, ping},
		{abi.CommandEmitEvent, emitEvent(b.Events)},
		{abi.CommandGetConfig, getConfig(b.Config)},
		{abi.CommandGetSession, getSession(b.ReadSessions)},
		{abi.CommandSetSession, setSession(b.Sessions.now, b.Sessions.Set)},
		{abi.CommandDeleteSession, deleteSession(b.Sessions.Delete)},
		{abi.CommandSubmitTask, submitTask(b.Tasks)},
		{abi.CommandListCommands, listCommands(r)},
	} {
		if err := r.Register(c.name, c.h); err != nil {
			return err
		}
	}
	return nil
}
