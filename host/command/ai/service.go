package ai

import (
	"context"
	"log/slog"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

// within is how long one call may take, with all its requests. The task's own
// deadline is nearly always shorter.
const within = time.Hour

// Config says what there is to ask.
type Config struct {
	Models   map[string]ModelConfig // by the names that callers use
	Embed    string                 // the model of ai/embed when the caller names none
	Generate string                 // that of ai/generate
	Records  *Records
	Log      *slog.Logger // nil discards
	Told     func(Call)   // is told of every call that came to a model; nil for nobody
}

// Call is one call that came to a model.
type Call struct {
	Model    string // its name here
	Provider string
	Code     abi.Code // how it ended
	Usage    command.Usage
	Recalled bool // the answer was recorded already
}

// Service answers the commands. It is safe for concurrent use.
type Service struct {
	models          map[string]*model
	embed, generate string
	records         *Records
	log             *slog.Logger
	told            func(Call)
}

// New returns a Service. Code: InvalidArgument. Close it when done.
func New(c Config) (*Service, error) {
	s := &Service{models: map[string]*model{}, embed: c.Embed, generate: c.Generate, records: c.Records, log: c.Log, told: c.Told}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.told == nil {
		s.told = func(Call) {}
	}
	for name, mc := range c.Models {
		m, err := newModel(name, mc)
		if err != nil {
			return nil, err
		}
		s.models[name] = m
	}
	return s, nil
}

// Close closes connections that are idle.
func (s *Service) Close() {
	for _, m := range s.models {
		if m.close != nil {
			m.close()
		}
	}
}

// Register adds the commands to r.
func (s *Service) Register(r *command.Router) error {
	for name, do := range map[string]func(context.Context, command.Caller, map[string]any, bool) (any, error){
		abi.CommandEmbed: s.doEmbed, abi.CommandGenerate: s.doGenerate,
	} {
		with := func(rehearsed bool) command.Handler {
			return func(ctx context.Context, c command.Caller, params map[string]any) (any, error) {
				return do(ctx, c, params, rehearsed)
			}
		}
		if err := r.Add(name, command.Command{Handler: with(false), Rehearse: with(true), Within: within}); err != nil {
			return err
		}
	}
	return nil
}

// model finds a model by the name that a caller gave, or otherwise.
func (s *Service) model(name, otherwise string) (*model, error) {
	if name == "" {
		name = otherwise
	}
	if m, ok := s.models[name]; ok {
		return m, nil
	}
	return nil, abi.Errorf(abi.InvalidArgument, "model: there is none of the name %q", name)
}

// ask has a paid model asked, unless the answer is on record or the caller has
// nothing left. do asks, with a key that is the same whenever this call comes
// again; its result is on record when ask returns it.
func (s *Service) ask(ctx context.Context, c command.Caller, m *model, id identity, e command.Estimate,
	do func(ctx context.Context, key string) (map[string]any, command.Usage, error)) (map[string]any, error) {
	call := Call{Model: m.name, Provider: m.provider}
	old, err := s.records.find(ctx, id)
	if err != nil {
		return nil, err // asking without looking could pay twice
	}
	if old != nil {
		call.Usage, call.Recalled = usageOf(old), true
		c.Budget.Settle(command.Estimate{}, call.Usage, true)
		s.told(call)
		old["recalled"] = true
		return old, nil
	}
	if err := c.Budget.Reserve(e); err != nil {
		return nil, err
	}
	result, usage, err := do(ctx, id.header())
	if err != nil {
		if !begun(err) {
			c.Budget.Release(e)
		}
		s.log.Warn("a model was asked in vain", "model", m.name, "worker", c.Worker, "task", c.Task, "error", detail(err))
		call.Code = abi.CodeOf(err)
		s.told(call)
		return nil, abi.Errorf(abi.CodeOf(err), "model %s: %s", m.name, abi.MessageOf(err))
	}
	c.Budget.Settle(e, usage, false)
	call.Usage = usage
	s.told(call)
	// It is paid for: also who does not wait any more shall find it.
	if err := s.records.add(context.WithoutCancel(ctx), id, c.Worker, result); err != nil {
		s.log.Error("a model's answer is not on record: the same call would be paid for again", "model", m.name, "worker", c.Worker, "task", c.Task, "error", err)
	}
	result["recalled"] = false
	return result, nil
}

// usageOf reads what usageMap wrote.
func usageOf(result map[string]any) (u command.Usage) {
	m, _ := result["usage"].(map[string]any)
	number := func(name string) *int64 {
		if n, ok := m[name].(int64); ok {
			return &n
		}
		return nil
	}
	u.InputTokens, u.OutputTokens = number("input_tokens"), number("output_tokens")
	if f, ok := m["cost_usd"].(float64); ok {
		u.CostUSD = &f
	}
	return u
}

// optional is a value that may not be known, as results have it.
func optional[T any](v *T) any {
	if v == nil {
		return nil
	}
	return *v
}
