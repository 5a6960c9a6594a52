package host

import (
	"context"
	"log/slog"

	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host/command"
	"github.com/wasmhost/wasmhost/host/command/orchestrator"
	"github.com/wasmhost/wasmhost/host/metrics"
)

// outside is the program that has commands of its own. Its zero value is none.
type outside struct {
	client *orchestrator.Client
	outbox *orchestrator.Outbox // nil when no events are delivered
}

// openOutside connects nothing yet: the orchestrator may start later.
func openOutside(ctx context.Context, cfg config.Orchestrator, s *State, log *slog.Logger) (o outside, err error) {
	if cfg.Socket == "" {
		return o, nil
	}
	oc := orchestrator.Config{
		Socket: cfg.Socket, Timeout: cfg.Timeout, Connections: cfg.Connections, MaxMessageBytes: cfg.MaxMessageBytes,
		UnknownCommand: cfg.UnknownCommand, KeyParam: cfg.KeyParam, Logger: log,
	}
	if oc.Host, err = hostID(s.cfg.StateDir); err != nil {
		return o, err
	}
	if o.client, err = orchestrator.New(oc); err != nil || len(cfg.Events.Patterns) == 0 {
		return o, err
	}
	oc.Logger = log.With("for", "events")
	o.outbox, err = orchestrator.OpenOutbox(ctx, s.db, s.Events, orchestrator.OutboxConfig{
		Client: oc, Host: oc.Host, Patterns: cfg.Events.Patterns, Command: cfg.Events.Command, Attempts: cfg.Events.Attempts,
	})
	return o, err
}

// register adds the built-in commands, those that are asked of the orchestrator
// included, and what the orchestrator provides.
func (o outside) register(r *command.Router, cfg config.Orchestrator, b command.Builtins) error {
	if o.client != nil {
		r.SetFallback(o.client)
		if q := cfg.ConfigGet; q.Command != "" {
			b.Config = o.client.Config(question(q), b.Config)
		}
		if q := cfg.SessionGet; q.Command != "" {
			b.ReadSessions = o.client.Sessions(question(q), b.Sessions)
		}
	}
	return command.RegisterBuiltins(r, b)
}

func question(q config.Question) orchestrator.Question {
	return orchestrator.Question{Command: q.Command, Param: q.Param, Builtin: q.IfUnknown == "builtin"}
}

// deliver delivers events until stop is called.
func (o outside) deliver(ctx context.Context) (stop func()) {
	if o.outbox == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.outbox.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// figures is what went there, for the metrics.
func (o outside) figures() (f metrics.Orchestrator) {
	if o.client != nil {
		s := o.client.Stats()
		f.Calls, f.Failures, f.Timeouts, f.Reconnects, f.Fallbacks = s.Calls, s.Failures, s.Timeouts, s.Reconnects, s.Fallbacks
	}
	if o.outbox != nil {
		s := o.outbox.Stats()
		f.Delivered, f.Refused, f.Skipped, f.Lost = s.Delivered, s.Refused, s.Skipped, s.Lost
	}
	return f
}

func (o outside) close() {
	if o.client != nil {
		_ = o.client.Close()
	}
	if o.outbox != nil {
		_ = o.outbox.Close()
	}
}
