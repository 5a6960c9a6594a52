package host

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"

	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/host/command"
	"github.com/wasmhost/wasmhost/host/data"
)

// What is shown of commands.
const (
	shownCommands = 100
	shownParams   = 2 << 10 // bytes, as the worker gave them and as JSON
	shownNames    = 100
)

// SentCommand is a command that has, or would have, an effect.
type SentCommand struct {
	Name        string          `json:"name"`
	Params      json.RawMessage `json:"params,omitempty"`
	ParamsBytes int             `json:"params_bytes,omitempty"` // of those that are too large to be shown
	Error       string          `json:"error,omitempty"`        // why it was, or would have been, refused
}

// observed is what a job did, as far as it has effects.
type observed struct {
	ignore []string // see [worker.Request]
	writes *data.WriteSet

	sent   []SentCommand // the first
	counts map[string]int64
	sums   map[string]*data.Sum // of the params, by name
}

func newObserved(ignore ...string) *observed {
	return &observed{ignore: ignore, writes: data.NewWriteSet(ignore...), sent: []SentCommand{}, counts: map[string]int64{}, sums: map[string]*data.Sum{}}
}

// note keeps one call.
func (o *observed) note(name string, params []byte, err error) {
	sum, known := o.sums[name]
	if !known && len(o.sums) < shownNames {
		name = strings.Clone(name)
		sum, known = new(data.Sum), true
		o.sums[name] = sum
	}
	if known {
		o.counts[name]++
		sum.Add(digestOf(params, o.ignore))
	}
	if len(o.sent) < shownCommands {
		s := SentCommand{Name: strings.Clone(name)}
		if err != nil {
			s.Error = clipText(err.Error())
		}
		s.Params, s.ParamsBytes = paramsShown(params)
		o.sent = append(o.sent, s)
	}
}

// paramsShown returns params as they are shown, or only their length. What is
// refused for its size is not decoded here either.
func paramsShown(params []byte) (json.RawMessage, int) {
	if len(params) == 0 {
		return nil, 0
	}
	if len(params) <= shownParams {
		if text, err := resultToJSON(params); err == nil && len(text) <= shownParams {
			return text, 0
		}
	}
	return nil, len(params)
}

// digestOf is the digest of a msgpack value, the same for maps in any order of
// their keys, and without the keys that are to be ignored at any depth. What is no
// such value, or is too large to be decoded, has that of its bytes.
func digestOf(b []byte, ignore []string) [sha256.Size]byte {
	if len(b) <= command.MaxParams {
		r := wire.NewReader(b)
		if v, err := r.Value(); err == nil && r.End() == nil {
			if text, err := json.Marshal(without(finite(v), ignore)); err == nil {
				return sha256.Sum256(text)
			}
		}
	}
	return sha256.Sum256(b)
}

// without removes the keys of maps that are to be ignored.
func without(v any, ignore []string) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = without(v[i], ignore)
		}
	case map[string]any:
		for k := range v {
			if slices.Contains(ignore, k) {
				delete(v, k)
			} else {
				v[k] = without(v[k], ignore)
			}
		}
	}
	return v
}

// watchedCommands are commands that are sent and noted.
type watchedCommands struct {
	router *command.Router
	seen   *observed
}

// Execute implements [commands].
func (w watchedCommands) Execute(ctx context.Context, c command.Caller, name string, params []byte) ([]byte, error) {
	effect := w.router.Rehearsed(c, name)
	result, err := w.router.Execute(ctx, c, name, params)
	if effect {
		w.seen.note(name, params, err)
	}
	return result, err
}
