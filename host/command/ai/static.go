package ai

import (
	"context"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk/embed"
)

// static embeds with the built-in table.
type static struct{}

// Embed implements embedder.
func (static) Embed(ctx context.Context, _ string, texts []string) (*vectors, error) {
	v := &vectors{Model: embed.Model, Dimension: embed.Dim, Vectors: make([][]byte, len(texts))}
	for i, t := range texts {
		if err := ctx.Err(); err != nil {
			return nil, abi.Errorf(abi.CodeOf(err), "embedding: %w", err)
		}
		v.Vectors[i] = embed.Append(nil, t)
	}
	return v, nil
}
