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
}

func newSide(batch, rank, dim int) side {
	return side{
		e: make([][]float32, 0, batch), h: make([]float32, batch*rank),
		z: make([]float32, batch*dim), norm: make([]float32, batch), grad: make([]float32, batch*dim),
	}
}

// batch is the room for one step, and the way of its numbers.
type batch struct {
	dim, rank   int
	temperature float64
	anchors     side
	positives   side
	sims        []float32 // n rows: cosines of an anchor with all positives, over the temperature
	grads       []float32 // of the loss by those
	exps        []float64
	dh          []float32
}

func newBatch(n, rank, dim int, temperature float64) *batch {
	return &batch{
		dim: dim, rank: rank, temperature: temperature,
		anchors: newSide(n, rank, dim), positives: newSide(n, rank, dim),
		sims: make([]float32, n*n), grads: make([]float32, n*n), exps: make([]float64, n), dh: make([]float32, rank),
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

// forward adapts the vectors and returns the mean loss of the pairs.
func (b *batch) forward(ma, mb []float32) float64 {
	n := len(b.anchors.e)
	for _, s := range []*side{&b.anchors, &b.positives} {
		for i, e := range s.e {
			s.norm[i] = vec.Adapt(row(s.z, i, b.dim), row(s.h, i, b.rank), e, ma, mb)
		}
	}
	scale := float32(1 / b.temperature)
	products(b.sims[:n*n], b.anchors.z, b.positives.z, n, b.dim)
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

// backward adds the gradients by the matrices to da and db.
func (b *batch) backward(ma, mb, da, db []float32) {
	n := len(b.anchors.e)
	combine(b.anchors.grad, b.grads, n, 1, b.positives.z, n, b.dim)
	combine(b.positives.grad, b.grads, 1, n, b.anchors.z, n, b.dim)
	for _, s := range []*side{&b.anchors, &b.positives} {
		for i, e := range s.e {
			z, du, h := row(s.z, i, b.dim), row(s.grad, i, b.dim), row(s.h, i, b.rank)
			// Through the norm: what is along z has no effect.
			along := vec.Dot(z, du)
			for k := range du {
				du[k] = (du[k] - float32(along*z[k])) / s.norm[i]
			}
			clear(b.dh)
			outer(b.dh, h, du, mb, db)
			for k, g := range b.dh {
				vec.Add(row(da, k, b.dim), e, g)
			}
		}
	}
}

// outer adds du·hᵀ to db and mbᵀ·du to dh.
func outer(dh, h, du, mb, db []float32) {
	rank := len(h)
	dh = dh[:rank]
	for d, g := range du {
		b, grad := mb[d*rank:d*rank+rank], db[d*rank:d*rank+rank]
		for k, x := range h {
			dh[k] += float32(g * b[k])
			grad[k] += float32(g * x)
		}
	}
}

// products writes the products of n vectors with n others to out, row by row.
func products(out, x, y []float32, n, dim int) {
	for i := range n {
		a, o := row(x, i, dim), row(out, i, n)
		j := 0
		for ; j+4 <= n; j += 4 {
			o[j], o[j+1], o[j+2], o[j+3] = vec.Dot4(a, row(y, j, dim), row(y, j+1, dim), row(y, j+2, dim), row(y, j+3, dim))
		}
		for ; j < n; j++ {
			o[j] = vec.Dot(a, row(y, j, dim))
		}
	}
}

// combine writes n sums of n vectors y to out. The factors of sum i are those at
// i*down + j*right.
func combine(out, factors []float32, down, right int, y []float32, n, dim int) {
	clear(out[:n*dim])
	for i := range n {
		o, at := row(out, i, dim), i*down
		j := 0
		for ; j+4 <= n; j += 4 {
			f := at + j*right
			vec.Add4(o, row(y, j, dim), row(y, j+1, dim), row(y, j+2, dim), row(y, j+3, dim),
				factors[f], factors[f+right], factors[f+2*right], factors[f+3*right])
		}
		for ; j < n; j++ {
			vec.Add(o, row(y, j, dim), factors[at+j*right])
		}
	}
}
