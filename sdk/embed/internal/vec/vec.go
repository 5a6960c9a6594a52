// Package vec is arithmetic on vectors of float32 that comes to the same bits on
// every machine, natively and in a guest: each product is rounded by an explicit
// conversion, so that no compiler fuses it with the sum behind it, sums have one
// order, and [Exp] and [Log] are made of such operations, where package math has
// machine code of its own on some processors.
package vec

import "math"

// Dot returns the sum of a[i]*b[i]. b must be as long as a, here and below.
func Dot(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	for len(a) >= 4 && len(b) >= 4 {
		s0 += float32(a[0] * b[0])
		s1 += float32(a[1] * b[1])
		s2 += float32(a[2] * b[2])
		s3 += float32(a[3] * b[3])
		a, b = a[4:], b[4:]
	}
	for i, x := range a {
		s0 += float32(x * b[i])
	}
	return (s0 + s1) + (s2 + s3)
}

// Dot4 returns the sums of a[i] times each of four vectors, which is faster than
// four calls of Dot, and rounds otherwise.
func Dot4(a, b0, b1, b2, b3 []float32) (s0, s1, s2, s3 float32) {
	n := len(a)
	b0, b1, b2, b3 = b0[:n], b1[:n], b2[:n], b3[:n]
	for i, x := range a {
		s0 += float32(x * b0[i])
		s1 += float32(x * b1[i])
		s2 += float32(x * b2[i])
		s3 += float32(x * b3[i])
	}
	return s0, s1, s2, s3
}

// Add adds c*a to dst.
func Add(dst, a []float32, c float32) {
	a = a[:len(dst)]
	for i := range dst {
		dst[i] += float32(c * a[i])
	}
}

// Add4 adds four vectors to dst, each times its factor, the sum of the four first.
func Add4(dst, a0, a1, a2, a3 []float32, c0, c1, c2, c3 float32) {
	n := len(dst)
	a0, a1, a2, a3 = a0[:n], a1[:n], a2[:n], a3[:n]
	for i := range dst {
		dst[i] += (float32(c0*a0[i]) + float32(c1*a1[i])) + (float32(c2*a2[i]) + float32(c3*a3[i]))
	}
}

// Norm makes v a vector of length 1 and returns the length that it had: 0, and v
// as it was, if that is zero or no number.
func Norm(v []float32) float32 {
	var sum float64
	for _, x := range v {
		sum += float64(float64(x) * float64(x))
	}
	n := float32(math.Sqrt(sum))
	if !(n > 0) || n > math.MaxFloat32 {
		return 0
	}
	for i := range v {
		v[i] /= n
	}
	return n
}

// Exp returns e to the power of x, for x from -700 to 700; below that 0.
func Exp(x float64) float64 {
	const ln2hi, ln2lo = 6.93147180369123816490e-01, 1.90821492927058770002e-10 // their sum is ln 2
	if x < -700 {
		return 0
	}
	k := math.Floor(float64(x*math.Log2E) + 0.5)
	r := x - float64(k*ln2hi) - float64(k*ln2lo)
	sum := 1.0
	for i := 13.0; i > 0; i-- { // the Taylor series, as r is at most ln 2 / 2
		sum = 1 + float64(sum*float64(r/i))
	}
	return math.Ldexp(sum, int(k))
}

// Log returns the natural logarithm of a positive, finite x.
func Log(x float64) float64 {
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, e = 2*m, e-1
	}
	// log m = 2 artanh s
	s := (m - 1) / (m + 1)
	s2 := float64(s * s)
	sum := 0.0
	for i := 23.0; i > 0; i -= 2 {
		sum = 1/i + float64(s2*sum)
	}
	return float64(2*float64(s*sum)) + float64(float64(e)*math.Ln2)
}

// Adapt writes norm(e + b·h) to z, where h, which it writes too, is a·e. a has
// len(h) rows of len(e), b has len(e) rows of len(h). It returns the length
// before the norm, 0 if z is no vector.
func Adapt(z, h, e, a, b []float32) float32 {
	dim, rank := len(e), len(h)
	k := 0
	for ; k+4 <= rank; k += 4 {
		row := a[k*dim:]
		h[k], h[k+1], h[k+2], h[k+3] = Dot4(e, row[:dim], row[dim:2*dim], row[2*dim:3*dim], row[3*dim:4*dim])
	}
	for ; k < rank; k++ {
		h[k] = Dot(e, a[k*dim:k*dim+dim])
	}
	z = z[:dim]
	for i, x := range e {
		z[i] = x + Dot(h, b[i*rank:i*rank+rank])
	}
	return Norm(z)
}
