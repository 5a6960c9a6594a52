package ai

import (
	"context"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

// Limits of ai/embed. All texts together have to fit into the params of a
// command, [command.MaxParams], and all vectors into a result.
const (
	maxTexts     = 1000
	maxTextBytes = 256 << 10

	maxModelName = 64
	// vectorHead is what a vector takes in a result beside its numbers, or more.
	vectorHead = 5
	resultHead = 512 // and the result beside its vectors
)

// ai/embed {texts: [text…], model?} -> {model, dimension, vectors: [bin or nil…],
// usage: {input_tokens, cost_usd}, recalled}
func (s *Service) doEmbed(ctx context.Context, c command.Caller, params map[string]any, rehearsed bool) (any, error) {
	f := command.FieldsOf(params)
	texts := f.Texts("texts", maxTexts, maxTextBytes)
	name := f.Text("model", maxModelName)
	if params["texts"] == nil {
		f.Fail("texts", "is required")
	}
	if err := f.End(); err != nil {
		return nil, err
	}
	m, err := s.model(name, s.embed)
	if err != nil {
		return nil, err
	}
	if m.embedder == nil {
		return nil, abi.Errorf(abi.InvalidArgument, "model: %s has no vectors, its provider is %s", m.name, m.provider)
	}
	if err := fits(len(texts), m.dimension); err != nil {
		return nil, err // before anything is paid for
	}
	if m.free {
		v, err := m.embedder.Embed(ctx, "", texts)
		if err == nil {
			err = fits(len(texts), v.Dimension)
		}
		if err != nil {
			return nil, err
		}
		zero := 0.0
		usage := command.Usage{CostUSD: &zero}
		c.Budget.Settle(command.Estimate{}, usage, false)
		s.told(Call{Model: m.name, Provider: m.provider, Usage: usage})
		return embedResult(v, usage), nil
	}
	var bytes int64
	for _, t := range texts {
		bytes += int64(len(t))
	}
	estimate := m.estimate(bytes, 0)
	if rehearsed {
		if err := c.Budget.Reserve(estimate); err != nil {
			return nil, err
		}
		return embedResult(&vectors{Model: m.label, Dimension: m.dimension, Vectors: make([][]byte, len(texts))}, command.Usage{}), nil
	}
	if len(texts) == 0 {
		return embedResult(&vectors{Model: m.label, Dimension: m.dimension}, command.Usage{}), nil
	}
	id := identityOf(c, abi.CommandEmbed, m.name, "", params)
	return s.ask(ctx, c, m, id, estimate, func(ctx context.Context, key string) (map[string]any, command.Usage, error) {
		v, err := m.embedder.Embed(ctx, key, texts)
		if err == nil {
			err = fits(len(texts), v.Dimension)
		}
		if err != nil {
			return nil, command.Usage{}, err
		}
		none := int64(0)
		usage := command.Usage{InputTokens: v.Tokens, OutputTokens: &none, CostUSD: m.price.cost(v.Tokens, &none)}
		return embedResult(v, usage), usage, nil
	})
}

// fits refuses vectors that no result could hold, before they are asked for.
func fits(texts, dimension int) error {
	if n := resultHead + int64(texts)*int64(vectorHead+4*dimension); n > command.MaxResult {
		return abi.Errorf(abi.LimitExceeded, "texts: %d vectors of %d dimensions take %d bytes: a result has at most %d, so ask for fewer at a time", texts, dimension, n, command.MaxResult)
	}
	return nil
}

func embedResult(v *vectors, u command.Usage) map[string]any {
	list := make([]any, len(v.Vectors))
	for i, b := range v.Vectors {
		if b != nil {
			list[i] = b
		}
	}
	return map[string]any{
		"model": v.Model, "dimension": int64(v.Dimension), "vectors": list, "recalled": false,
		"usage": map[string]any{"input_tokens": optional(u.InputTokens), "cost_usd": optional(u.CostUSD)},
	}
}
