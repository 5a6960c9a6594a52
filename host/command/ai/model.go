package ai

import (
	"context"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

// The providers.
const (
	Static     = "static"
	Extractive = "extractive"
	OpenAI     = "openai"
)

// ModelConfig is one model. The fields behind Provider are of OpenAI only.
type ModelConfig struct {
	Provider  string
	URL       string                 // to which /embeddings and /chat/completions are added
	Model     string                 // the server's name for it; "" for the one here
	Key       func() (string, error) // asked for each request; "" for none, nil for never one
	Input     *float64               // US dollars for a million tokens; nil: not known
	Output    *float64
	Timeout   time.Duration // of one request
	Attempts  int
	MaxTokens int64 // of an answer
	Stream    bool  // ask for answers piece by piece
	Dimension int   // of vectors; 0 for what comes
}

// embedder turns texts into vectors.
type embedder interface {
	// Embed returns a vector for each text, in their order; nil for one that has
	// nothing to embed. key is the same when the same call comes again.
	Embed(ctx context.Context, key string, texts []string) (*vectors, error)
}

// vectors are float32, little-endian.
type vectors struct {
	Model     string // stored beside them: those of another must not be compared
	Dimension int
	Vectors   [][]byte
	Tokens    *int64 // of the texts; nil: not told
}

// generator writes an answer.
type generator interface {
	Generate(ctx context.Context, key string, p *prompt) (*answer, error)
}

// message is one turn of a conversation.
type message struct {
	Role    string `json:"role"` // system, user or assistant
	Content string `json:"content"`
}

// prompt is what is asked of a generator.
type prompt struct {
	Messages    []message
	Context     []string // what the answer may be taken from
	MaxTokens   int64
	Temperature *float64 // nil leaves it to the model
	Seed        *int64
}

// answer is what a generator wrote.
type answer struct {
	Text         string
	Model        string // as the server calls it
	FinishReason string
	Input        *int64 // tokens; nil: not told
	Output       *int64
}

// model is one that callers can name.
type model struct {
	name, provider string
	label          string // what results call it, as long as no server said otherwise
	free           bool   // asks nobody and costs nothing
	price          price
	maxTokens      int64
	dimension      int
	embedder       embedder  // nil: it cannot
	generator      generator // nil: it cannot
	close          func()
}

func newModel(name string, c ModelConfig) (*model, error) {
	m := &model{name: name, provider: c.Provider, free: true, maxTokens: 1024}
	switch c.Provider {
	case Static:
		m.embedder = static{}
	case Extractive:
		m.generator = extractive{}
	case OpenAI:
		o, err := newOpenAI(name, c)
		if err != nil {
			return nil, err
		}
		m.free, m.price, m.maxTokens, m.dimension = false, price{c.Input, c.Output}, c.MaxTokens, c.Dimension
		m.embedder, m.generator, m.label, m.close = o, o, o.model, o.client.CloseIdleConnections
	default:
		return nil, abi.Errorf(abi.InvalidArgument, "model %s: there is no provider %q", name, c.Provider)
	}
	return m, nil
}

// price is US dollars for a million tokens; nil: not known.
type price struct{ input, output *float64 }

const million = 1e6

// cost is nil unless all that it is made of is known.
func (p price) cost(input, output *int64) *float64 {
	part := func(n *int64, usd *float64) (float64, bool) {
		switch {
		case n != nil && *n == 0:
			return 0, true
		case n == nil || usd == nil:
			return 0, false
		}
		return float64(*n) * *usd / million, true
	}
	in, ok := part(input, p.input)
	out, ok2 := part(output, p.output)
	if !ok || !ok2 {
		return nil
	}
	sum := in + out
	return &sum
}

// bytesOfToken is a guess that is rather too small for English, and so takes
// rather too many tokens from a budget.
const bytesOfToken = 3

// estimate is what a call takes at most, by a guess for what goes in.
func (m *model) estimate(bytes, output int64) command.Estimate {
	input := (bytes + bytesOfToken - 1) / bytesOfToken
	return command.Estimate{Tokens: input + output, CostUSD: m.price.cost(&input, &output)}
}
