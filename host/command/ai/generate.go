package ai

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

// Limits of ai/generate. All of it has to fit into the params of a command.
const (
	maxMessages     = 1000
	maxContext      = 1000
	maxContentBytes = 256 << 10
	maxAnswerTokens = 1_000_000
	maxCallKey      = 128
	maxAnswerBytes  = 512 << 10 // of an answer
	maxReasonBytes  = 64        // of a finish reason
	maxLabelBytes   = 128       // of a model's name, as a server tells it
)

// dryRun is the finish reason of an answer that nobody was asked for.
const dryRun = "dry_run"

// ai/generate {messages: [{role, content}…], context?: [text…], model?,
// max_tokens?, temperature?, seed?, key?} -> {text, model, provider,
// finish_reason, usage: {input_tokens, output_tokens, total_tokens, cost_usd},
// latency_ms, recalled}
func (s *Service) doGenerate(ctx context.Context, c command.Caller, params map[string]any, rehearsed bool) (any, error) {
	p, name, key, err := readPrompt(params)
	if err != nil {
		return nil, err
	}
	m, err := s.model(name, s.generate)
	if err != nil {
		return nil, err
	}
	if m.generator == nil {
		return nil, abi.Errorf(abi.InvalidArgument, "model: %s writes no answers, its provider is %s", m.name, m.provider)
	}
	if p.MaxTokens == 0 || p.MaxTokens > m.maxTokens {
		p.MaxTokens = m.maxTokens
	}
	generate := func(ctx context.Context, key string) (map[string]any, command.Usage, error) {
		begun := time.Now()
		a, err := m.generator.Generate(ctx, key, p)
		if err != nil {
			return nil, command.Usage{}, err
		}
		u := command.Usage{InputTokens: a.Input, OutputTokens: a.Output, CostUSD: m.price.cost(a.Input, a.Output)}
		if m.free {
			zero := 0.0
			u.CostUSD = &zero
		}
		return m.result(a, u, time.Since(begun)), u, nil
	}
	if m.free {
		result, usage, err := generate(ctx, "")
		if err != nil {
			return nil, err
		}
		c.Budget.Settle(command.Estimate{}, usage, false)
		s.told(Call{Model: m.name, Provider: m.provider, Usage: usage})
		return result, nil
	}
	estimate := m.estimate(p.bytes(), p.MaxTokens)
	if rehearsed {
		if err := c.Budget.Reserve(estimate); err != nil {
			return nil, err
		}
		return m.result(&answer{Model: m.label, FinishReason: dryRun}, command.Usage{}, 0), nil
	}
	return s.ask(ctx, c, m, identityOf(c, abi.CommandGenerate, m.name, key, params), estimate, generate)
}

func (m *model) result(a *answer, u command.Usage, took time.Duration) map[string]any {
	var total any
	if u.InputTokens != nil && u.OutputTokens != nil {
		total = *u.InputTokens + *u.OutputTokens
	}
	return map[string]any{
		"text": a.Text, "model": a.Model, "provider": m.provider, "finish_reason": a.FinishReason,
		"latency_ms": took.Milliseconds(), "recalled": false,
		"usage": map[string]any{
			"input_tokens": optional(u.InputTokens), "output_tokens": optional(u.OutputTokens),
			"total_tokens": total, "cost_usd": optional(u.CostUSD),
		},
	}
}

func readPrompt(params map[string]any) (p *prompt, model, key string, err error) {
	f := command.FieldsOf(params)
	list := f.List("messages", maxMessages)
	p = &prompt{
		Context:     f.Texts("context", maxContext, maxContentBytes),
		MaxTokens:   f.Integer("max_tokens", 1, maxAnswerTokens, 0),
		Temperature: f.Float("temperature", 0, 2),
	}
	model, key = f.Text("model", maxModelName), f.Text("key", maxCallKey)
	if params["seed"] != nil {
		seed := f.Integer("seed", -1<<53, 1<<53, 0) // what JSON can say everywhere
		p.Seed = &seed
	}
	if params["messages"] == nil {
		f.Fail("messages", "is required")
	} else if len(list) == 0 {
		f.Fail("messages", "one at least is needed")
	}
	// What else may be given, and nothing but that.
	f.Take("seed")
	if err := f.End(); err != nil {
		return nil, "", "", err
	}
	for i, v := range list {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, "", "", abi.Errorf(abi.InvalidArgument, "messages[%d]: a map is needed", i)
		}
		f := command.FieldsAt(fmt.Sprintf("messages[%d].", i), m)
		msg := message{Role: f.Required("role", 16), Content: f.Text("content", maxContentBytes)}
		if msg.Role != "" && !slices.Contains([]string{"system", "user", "assistant"}, msg.Role) {
			f.Fail("role", "system, user or assistant is needed")
		}
		if err := f.End(); err != nil {
			return nil, "", "", err
		}
		p.Messages = append(p.Messages, msg)
	}
	return p, model, key, nil
}

// bytes is how much text goes in, with what stands around it.
func (p *prompt) bytes() (n int64) {
	const around = 16 // a message's role and its marks
	for _, m := range p.Messages {
		n += int64(len(m.Content)) + around
	}
	for _, t := range p.Context {
		n += int64(len(t)) + around
	}
	return n
}
