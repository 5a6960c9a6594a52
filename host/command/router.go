package command

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// Limits of a call.
const (
	MaxName   = 128     // bytes of a command's name
	MaxParams = 1 << 20 // bytes of its params
	MaxResult = 1 << 20 // bytes of its result

	// maxValues bounds what params take in memory once decoded: a byte each on
	// the wire, up to fifty in Go.
	maxValues = 100_000

	callDeadline = 10 * time.Second
)

// Handler provides one command. params is never nil; its values are nil, bool,
// int64, float64, string, []byte, []any and map[string]any. The result may be of
// those and of whatever else msgpack encodes without an extension type, structs
// with msgpack tags included. An error keeps its code; one without becomes
// Internal. ctx ends ten seconds after the call began at the latest, unless
// [Command.Within] says otherwise.
type Handler func(ctx context.Context, c Caller, params map[string]any) (any, error)

// Command is a command of the host's own.
type Command struct {
	Handler Handler

	// Rehearse answers in Handler's place where nothing is to happen: see
	// [Router.Rehearse]. nil answers nil.
	Rehearse Handler

	// Within is when Handler's ctx ends at the latest; 0 for ten seconds.
	Within time.Duration
}

// Fallback provides the commands that nobody else does. It tells of one that it
// does not have by UnknownCommand, and ends a call in time itself.
type Fallback interface {
	Execute(ctx context.Context, c Caller, name string, params map[string]any) (any, error)
}

// Router finds the provider of a command. It is safe for concurrent use.
type Router struct {
	log *slog.Logger

	mu       sync.RWMutex
	handlers map[string]Command
	provided map[string]provided
	observe  func(command string, code abi.Code, took time.Duration)
	fallback Fallback
}

// NewRouter returns a Router without commands; see [RegisterBuiltins]. A nil
// log discards.
func NewRouter(log *slog.Logger) *Router {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Router{
		log: log, handlers: map[string]Command{}, provided: map[string]provided{},
		observe: func(string, abi.Code, time.Duration) {},
	}
}

// outside is the name that Observe's function gets for all commands of a
// [Fallback].
const outside = "outside"

// Observe has f told of every call that came to a provider. It must be called
// before the first Execute.
func (r *Router) Observe(f func(command string, code abi.Code, took time.Duration)) { r.observe = f }

var namePattern = regexp.MustCompile(`^[a-z0-9_-]+(?:/[a-z0-9_-]+)*$`)

// CheckName says what is wrong with a command's name: they are lower-case words
// joined by slashes.
func CheckName(name string) error {
	if len(name) > MaxName || !namePattern.MatchString(name) {
		return abi.Errorf(abi.InvalidArgument, "command name %q: lower-case words joined by slashes, %d bytes at most", clip(name), MaxName)
	}
	return nil
}

// Register adds a command of the host's own that ends within ten seconds. A name
// that is taken is an error.
func (r *Router) Register(name string, h Handler) error { return r.Add(name, Command{Handler: h}) }

// Add is Register for a command that is more than its handler.
func (r *Router) Add(name string, c Command) error {
	if err := CheckName(name); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.handlers[name]; taken {
		return abi.Errorf(abi.Conflict, "command %s is registered already", name)
	}
	r.handlers[name] = c
	return nil
}

// SetFallback says who is asked for commands that are not registered; nil for
// nobody.
func (r *Router) SetFallback(f Fallback) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fallback = f
}

// Names lists the commands that somebody in this process provides, in ascending
// order.
func (r *Router) Names() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	names := slices.AppendSeq(slices.Collect(maps.Keys(r.handlers)), maps.Keys(r.provided))
	slices.Sort(names)
	return names
}

// Execute calls a command for c. params is one msgpack map or nil; the result is
// one msgpack value, the caller's to keep. A command of the host's own comes
// before one that a worker provides. Codes, besides the command's own:
// NotGranted, UnknownCommand, InvalidArgument, LimitExceeded, DeadlineExceeded,
// Internal; and of a worker that provides it Failed, with the worker's text.
func (r *Router) Execute(ctx context.Context, c Caller, name string, params []byte) ([]byte, error) {
	if len(name) > MaxName {
		return nil, abi.Errorf(abi.InvalidArgument, "command name of %d bytes: %d at most", len(name), MaxName)
	}
	if !c.MayCall(name) {
		return nil, abi.Errorf(abi.NotGranted, "command %q was not granted", name)
	}
	r.mu.RLock()
	own, isBuiltin := r.handlers[name]
	p, isProvided := r.provided[name]
	fallback := r.fallback
	r.mu.RUnlock()
	start, observed := time.Now(), name
	var result []byte
	var err error
	switch {
	case isBuiltin || isProvided:
		ctx, cancel := context.WithTimeout(ctx, cmp.Or(own.Within, callDeadline))
		defer cancel()
		if isBuiltin {
			result, err = r.builtin(ctx, own.Handler, c, name, params)
		} else {
			result, err = r.provider(ctx, p, c, name, params)
		}
	case fallback != nil:
		observed = outside // its names are not ours to know, and may be any number
		result, err = r.builtin(ctx, func(ctx context.Context, c Caller, params map[string]any) (any, error) {
			return fallback.Execute(ctx, c, name, params)
		}, c, name, params)
	default:
		return nil, abi.Errorf(abi.UnknownCommand, "nobody provides the command %q", name)
	}
	r.observe(observed, abi.CodeOf(err), time.Since(start))
	if err != nil {
		return nil, named(name, err)
	}
	return result, nil
}

// builtin calls a handler with params that are decoded.
func (r *Router) builtin(ctx context.Context, h Handler, c Caller, name string, params []byte) ([]byte, error) {
	p, err := decodeParams(params)
	if err != nil {
		return nil, err
	}
	result, err := r.call(ctx, h, c, name, p)
	if err != nil {
		return nil, err
	}
	return encodeResult(result)
}

// call keeps a handler's panic from taking the host with it.
func (r *Router) call(ctx context.Context, h Handler, c Caller, name string, params map[string]any) (result any, err error) {
	defer func() {
		if v := recover(); v != nil {
			r.log.Error("a command's handler panicked", "command", name, "worker", c.Worker, "task", c.Task,
				"panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			result, err = nil, abi.Errorf(abi.Internal, "the host failed; its log has the reason")
		}
	}()
	return h(ctx, c, params)
}

// named puts the command's name in front of an error's text and keeps its code.
func named(name string, err error) error {
	return abi.Errorf(abi.CodeOf(err), "command %s: %s", name, abi.MessageOf(err))
}

// checkParams makes sure that b is one map of bounded size, and says so, or
// nothing.
func checkParams(b []byte) (some bool, err error) {
	if len(b) == 0 {
		return false, nil
	}
	if len(b) > MaxParams {
		return false, abi.Errorf(abi.LimitExceeded, "params of %d bytes: %d at most", len(b), MaxParams)
	}
	r := wire.NewReader(b)
	if r.Nil() && r.Len() == 0 {
		return false, nil
	}
	r = wire.NewReader(b)
	if r.Kind() != wire.KindMap {
		return false, abi.Errorf(abi.InvalidArgument, "params: a msgpack map is needed")
	}
	left := maxValues
	if err := count(&r, &left, 0); err != nil {
		return false, err
	}
	if err := r.End(); err != nil {
		return false, abi.Errorf(abi.InvalidArgument, "params: %w", err)
	}
	return true, nil
}

func decodeParams(b []byte) (map[string]any, error) {
	some, err := checkParams(b)
	if err != nil {
		return nil, err
	}
	if !some {
		return map[string]any{}, nil
	}
	r := wire.NewReader(b)
	v, err := r.Value()
	if err != nil {
		return nil, abi.Errorf(abi.InvalidArgument, "params: %w", err)
	}
	return v.(map[string]any), nil
}

// count walks one value and takes what it holds off left.
func count(r *wire.Reader, left *int, depth int) error {
	if *left--; *left < 0 {
		return abi.Errorf(abi.LimitExceeded, "params of more than %d values", maxValues)
	}
	n, err := 0, error(nil)
	switch r.Kind() {
	case wire.KindArray:
		n, err = r.Array()
	case wire.KindMap:
		n, err = r.Map()
		n *= 2
	default:
		err = r.Skip()
	}
	if err == nil && n > 0 && depth >= wire.MaxDepth {
		err = wire.ErrDepth
	}
	if err != nil {
		return abi.Errorf(abi.InvalidArgument, "params: %w", err)
	}
	for range n {
		if err := count(r, left, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// encodeResult encodes whatever msgpack has a form for. The result of a handler
// is the host's own, but what it is made of may be anything: so what comes out
// is held against the contract, which has no extension types.
func encodeResult(v any) ([]byte, error) {
	var out bytes.Buffer
	e := msgpack.NewEncoder(&out)
	e.UseCompactInts(true)
	e.SetSortMapKeys(true)
	if err := e.Encode(v); err != nil {
		return nil, abi.Errorf(abi.Internal, "result: %w", err)
	}
	if out.Len() > MaxResult {
		return nil, abi.Errorf(abi.LimitExceeded, "result of %d bytes: %d at most", out.Len(), MaxResult)
	}
	r := wire.NewReader(out.Bytes())
	if err := r.Skip(); err != nil {
		return nil, abi.Errorf(abi.Internal, "result: %w", err)
	}
	return out.Bytes(), nil
}
