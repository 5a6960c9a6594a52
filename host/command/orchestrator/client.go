package orchestrator

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

// Config says whom a [Client] calls. Zero fields but Socket mean defaults.
type Config struct {
	Socket          string
	Timeout         time.Duration // of a call, waiting and connecting included; default 10 s
	Connections     int           // and so requests at a time; default 4
	MaxMessageBytes int           // of a request and of a reply; default 1 MiB

	// UnknownCommand are texts by which an error says that the orchestrator has
	// no such command, in any case; {command} stands for its name. Default
	// [UnknownCommand].
	UnknownCommand []string

	// KeyParam is the param in which a call of a task carries its key, behind
	// Host: the same when the task is run again and calls again. "" for none.
	KeyParam string
	Host     string

	Logger *slog.Logger // default: discards
}

// UnknownCommand returns the texts that are known from the orchestrator.
func UnknownCommand() []string {
	return []string{"Command '{command}' not found", "Command '{command}' not available", "Unknown command: {command}"}
}

// How long a Client waits before it connects again, each time twice as long,
// minus up to a half.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 5 * time.Second
)

// Stats is what a [Client] has counted.
type Stats struct {
	Calls      uint64
	Failures   uint64 // calls that returned an error
	Timeouts   uint64 // those of them whose time ran out
	Reconnects uint64 // connections that replaced one that was lost or refused
	Fallbacks  uint64 // calls answered by a built-in command, since the orchestrator knows none
}

// Client calls the orchestrator's commands. It is safe for concurrent use.
type Client struct {
	cfg   Config
	slots chan struct{} // one for each connection in use

	mu     sync.Mutex
	idle   []*conn
	closed bool
	lost   bool          // a connection was, and none has been made since
	wait   time.Duration // before the last attempt to connect
	next   time.Time     // no attempt before
	reason error         // of the last failure to connect

	calls, failures, timeouts, reconnects, fallbacks atomic.Uint64
}

var _ command.Fallback = (*Client)(nil)

// New returns a Client, which connects when it is called.
func New(cfg Config) (*Client, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Connections == 0 {
		cfg.Connections = 4
	}
	if cfg.MaxMessageBytes == 0 {
		cfg.MaxMessageBytes = 1 << 20
	}
	if cfg.UnknownCommand == nil {
		cfg.UnknownCommand = UnknownCommand()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Socket == "" || cfg.Timeout < 0 || cfg.Connections < 0 || cfg.MaxMessageBytes < 0 {
		return nil, abi.Errorf(abi.InvalidArgument, "orchestrator: a socket is needed, and nothing may be negative")
	}
	return &Client{cfg: cfg, slots: make(chan struct{}, cfg.Connections)}, nil
}

// Close closes the connections, those in use when their call ends. Calls fail
// from then on.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, idle := range c.idle {
		_ = idle.Close()
	}
	c.idle = nil
	return nil
}

// Stats returns what was counted so far.
func (c *Client) Stats() Stats {
	return Stats{
		Calls: c.calls.Load(), Failures: c.failures.Load(), Timeouts: c.timeouts.Load(),
		Reconnects: c.reconnects.Load(), Fallbacks: c.fallbacks.Load(),
	}
}

// Execute implements [command.Fallback]. The orchestrator does not learn who
// calls: what a caller may call was checked before.
func (c *Client) Execute(ctx context.Context, caller command.Caller, name string, params map[string]any) (any, error) {
	if key := caller.Key(); key != "" && c.cfg.KeyParam != "" {
		params = maps.Clone(params)
		params[c.cfg.KeyParam] = c.cfg.Host + "/" + key // whatever a guest has put there
	}
	return c.Call(ctx, name, params)
}

// Call calls a command. The result is made of nil, bool, int64, float64, string,
// []any and map[string]any; bytes in params are sent as base64. Codes:
// Unavailable when the orchestrator is away; DeadlineExceeded; UnknownCommand;
// Failed with the orchestrator's own words, or when it breaks the protocol;
// LimitExceeded and InvalidArgument for what cannot be sent or received.
func (c *Client) Call(ctx context.Context, name string, params map[string]any) (any, error) {
	c.calls.Add(1)
	result, err := c.call(ctx, name, params)
	if err != nil {
		c.failures.Add(1)
		if abi.CodeOf(err) == abi.DeadlineExceeded {
			c.timeouts.Add(1)
		}
		return nil, err
	}
	return result, nil
}

func (c *Client) call(ctx context.Context, name string, params map[string]any) (any, error) {
	line, err := request(name, params, c.cfg.MaxMessageBytes)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, abi.Errorf(abi.CodeOf(context.Cause(ctx)), "calling the orchestrator: %w", context.Cause(ctx))
	}
	deadline := time.Now().Add(c.cfg.Timeout)
	if end, ok := ctx.Deadline(); ok && end.Before(deadline) {
		deadline = end
	}
	conn, err := c.acquire(ctx, deadline)
	if err != nil {
		return nil, err
	}
	reply, err := conn.exchange(ctx, line, c.cfg.MaxMessageBytes)
	if err != nil {
		c.discard(conn, err)
		return nil, err
	}
	result, broken, err := c.read(reply, name, params)
	if broken {
		c.discard(conn, err)
		return nil, err
	}
	c.release(conn)
	return result, err
}

// acquire returns a connection that nobody else uses until it is released or
// discarded.
func (c *Client) acquire(ctx context.Context, deadline time.Time) (*conn, error) {
	select {
	case c.slots <- struct{}{}:
	default:
		if err := c.queue(ctx, deadline); err != nil {
			return nil, err
		}
	}
	conn, err := c.connection(ctx, deadline)
	if err != nil {
		<-c.slots
	}
	return conn, err
}

// queue waits for a slot.
func (c *Client) queue(ctx context.Context, deadline time.Time) error {
	late := time.NewTimer(time.Until(deadline))
	defer late.Stop()
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return abi.Errorf(abi.CodeOf(context.Cause(ctx)), "waiting for a connection to the orchestrator: %w", context.Cause(ctx))
	case <-late.C:
		return abi.Errorf(abi.DeadlineExceeded, "all %d connections to the orchestrator were in use", c.cfg.Connections)
	}
}

func (c *Client) connection(ctx context.Context, deadline time.Time) (*conn, error) {
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return nil, abi.Errorf(abi.Unavailable, "the connection to the orchestrator is closed")
		}
		n := len(c.idle)
		if n == 0 {
			wait, reason := time.Until(c.next), c.reason
			c.mu.Unlock()
			if wait > 0 {
				return nil, abi.Errorf(abi.Unavailable, "the orchestrator is away: %w", cause(reason))
			}
			return c.connect(ctx, deadline)
		}
		conn := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		if conn.usable(deadline) {
			return conn, nil
		}
		_ = conn.Close()
		c.mu.Lock()
		c.lost = true
		c.mu.Unlock()
	}
}

func (c *Client) connect(ctx context.Context, deadline time.Time) (*conn, error) {
	d := net.Dialer{Deadline: deadline}
	dialed, err := d.DialContext(ctx, "unix", c.cfg.Socket)
	if err != nil {
		if ctx.Err() == nil {
			c.failed(err)
		}
		return nil, abi.Errorf(abi.Unavailable, "the orchestrator is away: %w", cause(err))
	}
	conn, err := newConn(dialed.(*net.UnixConn), deadline)
	if err != nil {
		_ = dialed.Close()
		return nil, abi.Errorf(abi.Unavailable, "connecting to the orchestrator: %w", err)
	}
	c.mu.Lock()
	again := c.lost
	c.lost = false
	c.mu.Unlock()
	if again {
		c.reconnects.Add(1)
		c.cfg.Logger.Info("connected to the orchestrator again")
	}
	return conn, nil
}

// failed makes the next attempt to connect wait.
func (c *Client) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wait == 0 {
		c.cfg.Logger.Warn("the orchestrator is away", "socket", c.cfg.Socket, "error", err)
	}
	c.wait = min(max(2*c.wait, firstWait), lastWait)
	c.next = time.Now().Add(c.wait - rand.N(c.wait/2))
	c.lost, c.reason = true, err
}

// away returns how long no attempt to connect will be made.
func (c *Client) away() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Until(c.next)
}

// discard ends a connection on which a call has failed.
func (c *Client) discard(conn *conn, err error) {
	_ = conn.Close()
	if !conn.answered && abi.CodeOf(err) == abi.Unavailable {
		c.failed(err) // it may be accepted and closed for ever
	} else {
		c.mu.Lock()
		c.lost = true
		c.mu.Unlock()
	}
	<-c.slots
}

func (c *Client) release(conn *conn) {
	c.mu.Lock()
	if c.wait != 0 {
		c.wait, c.next = 0, time.Time{}
	}
	if c.closed {
		_ = conn.Close()
	} else {
		c.idle = append(c.idle, conn)
	}
	c.mu.Unlock()
	<-c.slots
}
