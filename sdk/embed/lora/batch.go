package lora

import (
	"math"

	"github.com/wasmhost/wasmhost/sdk/embed/internal/vec"
)

// side is one half of a batch: the vectors of its anchors, or of its positives,
// on their way through the adapter and back.
type side struct {
	e    [][]float32 // the model's vectors
	h    []float32   // A·e
	z    []float32   // norm(e + B·h)
	norm []float32   // the lengths before norm
	grad []float32   // of the loss by z, then by e + B·h
	rows [][]float32 // of grad
	dh   []float32   // of the loss by h
}

func newSide(batch, rank, dim int) side {
	s := side{
		e: make([][]float32, 0, batch), h: make([]float32, batch*rank), dh: make([]float32, batch*rank),
		z: make([]float32, batch*dim), norm: make([]float32, batch), grad: make([]float32, batch*dim),
	}
	for i := range batch {
		s.rows = append(s.rows, row(s.grad, i, dim))
	}
	return s
}

// batch is the room for one step, and the way of its numbers.
type batch struct {
	dim, rank   int
	temperature float64
	anchors     side
	positives   side
	sims        []float32 // n rows: cosines of an anchor with all positives, over the temperature
	grads       []float32 // of the loss by those
	column      []float32 // the transpose of grads
	exps        []float64
}

func newBatch(n, rank, dim int, temperature float64) *batch {
	return &batch{
		dim: dim, rank: rank, temperature: temperature,
		anchors: newSide(n, rank, dim), positives: newSide(n, rank, dim),
		sims: make([]float32, n*n), grads: make([]float32, n*n), column: make([]float32, n*n), exps: make([]float64, n),
	}
}

// take puts some of the pairs into the batch.
func (b *batch) take(p *Pairs, which []int32) {
	b.anchors.e, b.positives.e = b.anchors.e[:0], b.positives.e[:0]
	for _, i := range which {
		b.anchors.e = append(b.anchors.e, row(p.Anchors, int(i), p.Dim))
		b.positives.e = append(b.positives.e, row(p.Positives, int(i), p.Dim))
	}
}

// forward adapts the vectors and returns the mean loss of the pairs. mb is the
// transpose of B, here and below.
func (b *batch) forward(ma, mb []float32) float64 {
	n := len(b.anchors.e)
	for _, s := range []*side{&b.anchors, &b.positives} {
		for i, e := range s.e {
			s.norm[i] = vec.Adapt(row(s.z, i, b.dim), row(s.h, i, b.rank), e, ma, mb)
		}
	}
	scale := float32(1 / b.temperature)
	for i := range n {
		vec.Products(row(b.sims, i, n), row(b.anchors.z, i, b.dim), b.positives.z)
	}
	for i := range b.sims[:n*n] {
		b.sims[i] *= scale
	}
	clear(b.grads[:n*n])
	sum := 0.0
	for i := range n {
		sum += b.softmax(i, i*n, 1, n) // from an anchor to the positives
		sum += b.softmax(i, i, n, n)   // from a positive to the anchors
	}
	return sum / float64(2*n)
}

// softmax adds the gradient of one question to grads and returns its loss. Its
// answers are n cosines, from the place first on, step apart; right is the right
// one's number.
func (b *batch) softmax(right, first, step, n int) float64 {
	most := float32(math.Inf(-1))
	for k := range n {
		most = max(most, b.sims[first+k*step])
	}
	sum := 0.0
	for k := range n {
		x := vec.Exp(float64(b.sims[first+k*step] - most))
		b.exps[k] = x
		sum += x
	}
	// The mean of 2n questions, and each cosine was divided by the temperature.
	scale := 1 / float64(float64(2*n)*b.temperature)
	for k := range n {
		p := b.exps[k] / sum
		if k == right {
			p--
		}
		b.grads[first+k*step] += float32(p * scale)
	}
	return vec.Log(sum) - float64(b.sims[first+right*step]-most)
}

// backward writes the gradients by the matrices to da and db.
func (b *batch) backward(mb, da, db []float32) {
	n := len(b.anchors.e)
	clear(da)
	clear(db)
	clear(b.anchors.grad)
	clear(b.positives.grad)
	for i := range n {
		vec.Combine(row(b.anchors.grad, i, b.dim), b.grads[i*n:i*n+n], b.positives.z)
		for j, g := range b.grads[i*n : i*n+n] {
			b.column[j*n+i] = g
		}
	}
	for j := range n {
		vec.Combine(row(b.positives.grad, j, b.dim), b.column[j*n:j*n+n], b.anchors.z)
	}
	for _, s := range []*side{&b.anchors, &b.positives} {
		for i := range n {
			z, du := row(s.z, i, b.dim), row(s.grad, i, b.dim)
			// Through the norm: what is along z has no effect.
			along := vec.Dot(z, du)
			vec.Add(du, z, -along)
			for k := range du {
				du[k] /= s.norm[i]
			}
			vec.Products(row(s.dh, i, b.rank), du, mb)
		}
		for i := 0; i < n; i += 4 {
			accumulate(db, s.h, i, b.rank, s.rows[i:min(i+4, n)])
			accumulate(da, s.dh, i, b.rank, s.e[i:min(i+4, n)])
		}
	}
}

// accumulate adds the outer products of factors and vectors to out, of up to four
// from number i on.
func accumulate(out, factors []float32, i, rank int, vectors [][]float32) {
	if len(vectors) < 4 {
		for k, v := range vectors {
			for r, c := range row(factors, i+k, rank) {
				vec.Add(row(out, r, len(v)), v, c)
			}
		}
		return
	}
	v0, v1, v2, v3 := vectors[0], vectors[1], vectors[2], vectors[3]
	f0, f1, f2, f3 := row(factors, i, rank), row(factors, i+1, rank), row(factors, i+2, rank), row(factors, i+3, rank)
	for r := range rank {
		vec.Add4(row(out, r, len(v0)), v0, v1, v2, v3, f0[r], f1[r], f2[r], f3[r])
	}
}
