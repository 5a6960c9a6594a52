package lora

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/wasmhost/wasmhost/sdk/embed"
)

// ErrDiverged says that the loss, or a matrix, is no finite number any more.
var ErrDiverged = errors.New("the loss is no finite number any more: a smaller learning rate or a higher temperature may help")

// Trainer trains one adapter. It is not safe for concurrent use.
type Trainer struct {
	opts  Options
	pairs Pairs
	order []int32
	batch *batch

	a, b   []float32 // the matrices, B as its transpose
	da, db []float32 // their gradients
	ma, mb moments

	epoch  int     // epochs done
	loss   float64 // the mean of the last one
	steps  int64
	b1, b2 float64 // powers of beta1 and beta2 by steps
}

// New returns a trainer before its first epoch. It keeps the pairs, of which
// there must be a batch at least.
func New(opts Options, pairs Pairs) (*Trainer, error) {
	if err := opts.check(pairs.Dim); err != nil {
		return nil, err
	}
	n, dim := pairs.Len(), pairs.Dim
	if len(pairs.Anchors) != n*dim || len(pairs.Positives) != n*dim {
		return nil, fmt.Errorf("%d numbers of anchors and %d of positives do not make pairs of %d dimensions", len(pairs.Anchors), len(pairs.Positives), dim)
	}
	if n < opts.Batch {
		return nil, fmt.Errorf("%d pairs are less than a batch of %d", n, opts.Batch)
	}
	size := opts.Rank * dim
	t := &Trainer{
		opts: opts, pairs: pairs, order: make([]int32, n),
		batch: newBatch(opts.Batch, opts.Rank, dim, opts.Temperature),
		a:     make([]float32, size), b: make([]float32, size),
		da: make([]float32, size), db: make([]float32, size),
		ma: newMoments(size), mb: newMoments(size),
		b1: 1, b2: 1,
	}
	// A is small and random and B zero, so that at first nothing is changed.
	next := t.random(0)
	bound := 1 / float64(dim)
	for i := range t.a {
		t.a[i] = float32(float64(float64(next()>>11)/(1<<52)-1) * bound)
	}
	return t, nil
}

// random returns the numbers of an epoch, which begins at 1.
func (t *Trainer) random(epoch int) func() uint64 {
	return rand.NewPCG(t.opts.Seed, uint64(epoch)).Uint64
}

// Done returns how many epochs are done.
func (t *Trainer) Done() int { return t.epoch }

// Loss returns the mean loss of the last epoch, 0 before the first.
func (t *Trainer) Loss() float64 { return t.loss }

// Epoch goes once through the pairs, in an order of its own, and calls each after
// every batch, unless it is nil; an error of it ends the epoch, and the trainer is
// of no more use. Pairs that do not fill a last batch wait for another epoch.
func (t *Trainer) Epoch(each func() error) error {
	n := len(t.order)
	for i := range t.order {
		t.order[i] = int32(i)
	}
	shuffle(t.order, t.random(t.epoch+1))
	sum, batches := 0.0, 0
	for at := 0; at+t.opts.Batch <= n; at += t.opts.Batch {
		t.batch.take(&t.pairs, t.order[at:at+t.opts.Batch])
		loss := t.batch.forward(t.a, t.b)
		if loss-loss != 0 {
			return fmt.Errorf("epoch %d: %w", t.epoch+1, ErrDiverged)
		}
		t.batch.backward(t.b, t.da, t.db)
		t.count(1)
		t.ma.adam(t.a, t.da, t.opts.LearningRate, t.b1, t.b2)
		t.mb.adam(t.b, t.db, t.opts.LearningRate, t.b1, t.b2)
		sum += loss
		batches++
		if each != nil {
			if err := each(); err != nil {
				return err
			}
		}
	}
	t.loss = sum / float64(batches)
	t.epoch++
	return nil
}

// count counts steps, one by one, so that it rounds in the same way after a
// checkpoint.
func (t *Trainer) count(steps int64) {
	for range steps {
		t.b1, t.b2 = float64(t.b1*beta1), float64(t.b2*beta2)
	}
	t.steps += steps
}

// Adapter returns the adapter as it is now, as a copy.
func (t *Trainer) Adapter() (*embed.Adapter, error) {
	m, err := embed.NewAdapter(t.opts.Rank, t.pairs.Dim, append([]float32{}, t.a...), append([]float32{}, t.b...))
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrDiverged, err)
	}
	return m, nil
}
