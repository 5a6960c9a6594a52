package lora

import "math"

// Adam's decay of the two moments, and what keeps a division from being by zero:
// https://arxiv.org/abs/1412.6980
const (
	beta1   = 0.9
	beta2   = 0.999
	epsilon = 1e-8
)

// moments are Adam's averages of one matrix's gradients and of their squares.
type moments struct{ m, v []float32 }

func newMoments(n int) moments { return moments{make([]float32, n), make([]float32, n)} }

// adam moves w against its gradient. b1 and b2 are the powers of beta1 and beta2
// by the number of this step.
func (a *moments) adam(w, grad []float32, rate, b1, b2 float64) {
	const c1, c2 = float32(1 - beta1), float32(1 - beta2)
	const d1, d2 = float32(beta1), float32(beta2)
	step := float32(rate / (1 - b1))
	scale := float32(1 / (1 - b2))
	for i, g := range grad {
		m := float32(d1*a.m[i]) + float32(c1*g)
		v := float32(d2*a.v[i]) + float32(c2*float32(g*g))
		a.m[i], a.v[i] = m, v
		w[i] -= float32(step*m) / (float32(math.Sqrt(float64(float32(v*scale)))) + epsilon)
	}
}
