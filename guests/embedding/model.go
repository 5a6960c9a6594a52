package main

import (
	"strings"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/embed"
)

// model makes vectors of texts.
type model interface {
	// name stands beside the model's vectors, to tell them from those of others,
	// and dimension is their length. A model of the host's has neither before it
	// embedded something.
	name() string
	dimension() int

	// embed returns a vector for each text, in their order. An error is one that
	// other texts would have, too.
	embed(texts []string) ([]vector, error)
}

// vector is what became of a text.
type vector struct {
	bytes []byte // float32, little-endian; nil if the text has nothing that the model knows
	err   error  // why this text has none, and others have
}

const (
	configModel = "embedding.model"

	static = "static" // the model that is built in, whatever its version
	lora   = "+lora:" // between that and the id of an adapter
)

// openModel returns the model of this name: static or static+lora:ID, which are
// computed here, or any that the host's command ai/embed has.
func openModel(t *sdk.Task, name string) (model, error) {
	base, id, adapted := strings.Cut(name, lora)
	switch {
	case base != static && base != embed.Model:
		return &hosted{task: t, asked: name}, nil
	case adapted:
		return openAdapter(t, id)
	}
	return builtIn{}, nil
}

// configuredModel returns the model that the operator chose.
func configuredModel(t *sdk.Task) (model, error) {
	name, err := t.Commands.ConfigString(configModel, static)
	if err != nil {
		return nil, err
	}
	m, err := openModel(t, name)
	if err != nil {
		return nil, configError(name, err)
	}
	return m, nil
}

// configError says that an error is about the model that the operator chose. The
// code is that of the error.
func configError(name string, err error) error {
	return abi.Errorf(abi.CodeOf(err), "config: key %q is %q: %s", configModel, name, abi.MessageOf(err))
}

// ask returns the configured model and its vector of a question, or nil where the
// question has no word that the model knows.
func ask(t *sdk.Task, question string) (model, []float32, error) {
	m, err := configuredModel(t)
	if err != nil {
		return nil, nil, err
	}
	list, err := m.embed([]string{question})
	if err == nil {
		err = list[0].err
	}
	if err != nil {
		return nil, nil, err
	}
	if list[0].bytes == nil {
		return m, nil, nil
	}
	q := make([]float32, m.dimension())
	embed.Decode(q, list[0].bytes)
	return m, q, nil
}

// builtIn is the table of package embed.
type builtIn struct{}

func (builtIn) name() string   { return embed.Model }
func (builtIn) dimension() int { return embed.Dim }

func (builtIn) embed(texts []string) ([]vector, error) {
	list := make([]vector, len(texts))
	for i, text := range texts {
		list[i].bytes = embed.Append(nil, text)
	}
	return list, nil
}
