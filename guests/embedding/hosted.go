package main

import (
	"strings"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/embed"
)

const (
	commandEmbed = "ai/embed"

	// What one call of it has at most: texts, and bytes of text, unless one text
	// alone is longer.
	hostedTexts = 64
	hostedBytes = 256 << 10

	maxDimension = 16384
)

// hosted is a model that the host's command ai/embed has. Whatever stands behind
// that, a server in another house for instance, its answers are not taken on trust.
type hosted struct {
	task  *sdk.Task
	asked string // the model's name in the configuration

	called string // as the answers call it
	dim    int
	usage  map[string]any // the sums of what the answers tell
}

func (m *hosted) name() string   { return m.called }
func (m *hosted) dimension() int { return m.dim }

func (m *hosted) embed(texts []string) ([]vector, error) {
	list := make([]vector, len(texts))
	var batch []string
	var places []int // of the batch's texts in list
	size := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		vectors, err := m.call(batch)
		for i, v := range vectors {
			list[places[i]] = v
		}
		batch, places, size = batch[:0], places[:0], 0
		return err
	}
	for i, text := range texts {
		text = strings.ToValidUTF8(text, "")
		if strings.TrimSpace(text) == "" {
			continue // a server has an error for it at best
		}
		if len(batch) == hostedTexts || size+len(text) > hostedBytes {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		batch, places, size = append(batch, text), append(places, i), size+len(text)
	}
	return list, flush()
}

// call embeds a batch. When that is refused, something in one of its texts may
// be why, so the halves are tried: what is wrong with one text is its alone.
func (m *hosted) call(texts []string) ([]vector, error) {
	params := make([]any, len(texts))
	for i, text := range texts {
		params[i] = text
	}
	answer, err := m.task.Commands.Execute(commandEmbed, map[string]any{"texts": params, "model": m.asked})
	if abi.CodeOf(err) == abi.InvalidArgument && m.dim > 0 {
		if len(texts) == 1 {
			return []vector{{err: err}}, nil
		}
		half := len(texts) / 2
		first, err := m.call(texts[:half])
		if err != nil {
			return nil, err
		}
		second, err := m.call(texts[half:])
		return append(first, second...), err
	}
	if err != nil {
		return nil, configError(m.asked, abi.Errorf(abi.CodeOf(err), "%s: %s", commandEmbed, abi.MessageOf(err)))
	}
	list, err := m.read(answer, len(texts))
	if err != nil {
		return nil, configError(m.asked, abi.Errorf(abi.Failed, "the answer of %s %s", commandEmbed, abi.MessageOf(err)))
	}
	return list, nil
}

// read checks an answer. Its errors are to stand behind a subject.
func (m *hosted) read(answer any, texts int) ([]vector, error) {
	fields, ok := answer.(map[string]any)
	if !ok {
		return nil, sentence("is no map")
	}
	called, _ := fields["model"].(string)
	dim, _ := fields["dimension"].(int64)
	vectors, ok := fields["vectors"].([]any)
	switch {
	case !ok:
		return nil, sentence("has no list of vectors")
	case len(vectors) != texts:
		return nil, sentence("has %d vectors for %d texts", len(vectors), texts)
	case called == "":
		return nil, sentence("does not name its model")
	case dim < 1 || dim > maxDimension:
		return nil, sentence("has the dimension %v, but only whole numbers from 1 to %d are possible", fields["dimension"], maxDimension)
	case m.dim == 0:
		m.called, m.dim = called, int(dim)
	case called != m.called || int(dim) != m.dim:
		return nil, sentence("is of %s with %d dimensions, those before were of %s with %d: no vectors of the two can be compared",
			called, dim, m.called, m.dim)
	}
	m.use(fields["usage"])
	list := make([]vector, texts)
	numbers := make([]float32, m.dim)
	for i, v := range vectors {
		switch v := v.(type) {
		case nil:
		case []byte:
			if embed.Decode(numbers, v) {
				list[i].bytes = v
				continue
			}
			list[i].err = abi.Errorf(abi.Failed, "%s: %d bytes that are no vector of %d finite numbers", commandEmbed, len(v), m.dim)
		default:
			list[i].err = abi.Errorf(abi.Failed, "%s: no vector, but something else", commandEmbed)
		}
	}
	return list, nil
}

// use adds up what an answer tells of its cost. What is not known once is not
// known of the sum.
func (m *hosted) use(usage any) {
	fields, _ := usage.(map[string]any)
	if m.usage == nil {
		m.usage = fields
		return
	}
	for name, was := range m.usage {
		m.usage[name] = sum(was, fields[name])
	}
}

func sum(a, b any) any {
	switch a := a.(type) {
	case int64:
		switch b := b.(type) {
		case int64:
			return a + b
		case float64:
			return float64(a) + b
		}
	case float64:
		switch b := b.(type) {
		case int64:
			return a + float64(b)
		case float64:
			return a + b
		}
	}
	return nil
}

func sentence(format string, args ...any) error {
	return abi.Errorf(abi.Failed, format, args...)
}
