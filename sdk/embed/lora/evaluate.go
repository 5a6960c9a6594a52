package lora

import (
	"github.com/wasmhost/wasmhost/sdk/embed"
	"github.com/wasmhost/wasmhost/sdk/embed/internal/vec"
)

// Metrics are what an adapter does for pairs that it was not trained on.
type Metrics struct {
	// MRR is the mean of 1 over the rank that an anchor's own positive has among
	// the positives of all pairs, by cosine, from 0 to 1. Others as near as the
	// own one are ranked before it.
	MRR float64 `json:"mrr"`
	// Top1 is the share of anchors whose own positive is the nearest.
	Top1 float64 `json:"top1"`
	// Loss is that of the training, in batches in the order of the pairs.
	Loss float64 `json:"loss"`
}

// Evaluate measures an adapter, or the model itself if that is nil, by at least
// two pairs. It takes time by the square of their number, and calls each, unless
// it is nil, after every hundred.
func Evaluate(p Pairs, m *embed.Adapter, opts Options, each func() error) (Metrics, error) {
	n, dim := p.Len(), p.Dim
	adapted := p
	if m != nil {
		adapted = Pairs{Dim: dim, Anchors: make([]float32, n*dim), Positives: make([]float32, n*dim)}
		for i := range n {
			if !m.Apply(row(adapted.Anchors, i, dim), row(p.Anchors, i, dim)) || !m.Apply(row(adapted.Positives, i, dim), row(p.Positives, i, dim)) {
				return Metrics{}, ErrDiverged
			}
		}
	}
	var got Metrics
	sims := make([]float32, n)
	for i := range n {
		if each != nil && i%100 == 99 {
			if err := each(); err != nil {
				return Metrics{}, err
			}
		}
		vec.Products(sims, row(adapted.Anchors, i, dim), adapted.Positives)
		rank := 0
		for _, s := range sims {
			if s >= sims[i] {
				rank++
			}
		}
		got.MRR += 1 / float64(rank)
		if rank == 1 {
			got.Top1++
		}
	}
	got.MRR /= float64(n)
	got.Top1 /= float64(n)
	loss, err := meanLoss(adapted, opts)
	got.Loss = loss
	return got, err
}

// meanLoss returns the loss of pairs that have gone through the adapter. A last
// batch of one pair, which has no wrong answer, is left out.
func meanLoss(p Pairs, opts Options) (float64, error) {
	b := newBatch(opts.Batch, 1, p.Dim, opts.Temperature)
	zero := make([]float32, p.Dim) // an adapter that changes nothing
	sum, pairs := 0.0, 0
	which := make([]int32, 0, opts.Batch)
	for at := 0; at+2 <= p.Len(); at += opts.Batch {
		which = which[:0]
		for i := at; i < min(at+opts.Batch, p.Len()); i++ {
			which = append(which, int32(i))
		}
		b.take(&p, which)
		sum += float64(b.forward(zero, zero) * float64(len(which)))
		pairs += len(which)
	}
	loss := sum / float64(pairs)
	if loss-loss != 0 {
		return 0, ErrDiverged
	}
	return loss, nil
}
