package main

import (
	"fmt"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/embed"
)

// maxTexts is how many texts one call of embedding/embed embeds at most.
const maxTexts = 1000

// EmbedTexts answers embedding/embed.
func EmbedTexts(t *sdk.Task) error {
	if err := t.Payload.Only("texts", "model"); err != nil {
		return err
	}
	texts, err := textsOf(t.Payload)
	if err != nil {
		return err
	}
	m, err := modelOf(t)
	if err != nil {
		return err
	}
	list, err := m.embed(texts)
	if err != nil {
		return err
	}
	vectors := make([]any, len(list))
	for i, v := range list {
		if v.err != nil {
			return fmt.Errorf("text %d: %w", i, v.err)
		}
		if v.bytes != nil {
			vectors[i] = v.bytes
		}
	}
	return t.Return(map[string]any{"model": m.name(), "dimension": int64(m.dimension()), "vectors": vectors})
}

func textsOf(p sdk.Payload) ([]string, error) {
	v, _, err := p.Value("texts")
	if err != nil {
		return nil, err
	}
	values, ok := v.([]any)
	if !ok || len(values) == 0 || len(values) > maxTexts {
		return nil, abi.Errorf(abi.InvalidArgument, `payload: field "texts" must be a list of 1 to %d texts`, maxTexts)
	}
	texts := make([]string, len(values))
	for i, v := range values {
		if texts[i], ok = v.(string); !ok {
			return nil, abi.Errorf(abi.InvalidArgument, `payload: field "texts" has something else than text at place %d`, i)
		}
		texts[i] = texts[i][:min(len(texts[i]), maxText)]
	}
	return texts, nil
}

// modelOf returns the model that a call names, or the configured one. One of the
// host's that the operator did not choose is refused: it may cost money.
func modelOf(t *sdk.Task) (model, error) {
	name, err := t.Payload.StringOr("model", "")
	if err != nil {
		return nil, err
	}
	if name == "" {
		return configuredModel(t)
	}
	if base, _, _ := strings.Cut(name, lora); base != static && base != embed.Model {
		chosen, err := t.Commands.ConfigString(configModel, static)
		if err != nil {
			return nil, err
		}
		if name != chosen {
			return nil, abi.Errorf(abi.InvalidArgument, `payload: field "model" is %q; it may be %s, %s%sID, or what the config %s names (%s)`,
				name, static, static, lora, configModel, chosen)
		}
	}
	return openModel(t, name)
}
