// Package vec is arithmetic on vectors of float32 that comes to the same bits on
// every machine, natively and in a guest: each product is rounded by an explicit
// conversion, so that no compiler fuses it with the sum behind it, sums have one
// order, and [Exp] and [Log] are made of such operations, where package math has
// machine code of its own on some processors.
package vec

import "math"

// step is how many numbers a loop takes at a time. Go's code for Wasm pays for each
// turn of a loop and for each check of an index many times what a product costs, so
// the loops below go by arrays of fixed size, in which no index is checked.
const step = 8

type block = [step]float32

// Dot returns the sum of a[i]*b[i]. b must be as long as a, here and below.
func Dot(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	for len(a) >= step {
		x, y := (*block)(a), (*block)(b)
		s0 = s0 + float32(x[0]*y[0]) + float32(x[4]*y[4])
		s1 = s1 + float32(x[1]*y[1]) + float32(x[5]*y[5])
		s2 = s2 + float32(x[2]*y[2]) + float32(x[6]*y[6])
		s3 = s3 + float32(x[3]*y[3]) + float32(x[7]*y[7])
		a, b = a[step:], b[step:]
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
	for len(a) >= step {
		x, y0, y1, y2, y3 := (*block)(a), (*block)(b0), (*block)(b1), (*block)(b2), (*block)(b3)
		s0 = s0 + float32(x[0]*y0[0]) + float32(x[1]*y0[1]) + float32(x[2]*y0[2]) + float32(x[3]*y0[3]) +
			float32(x[4]*y0[4]) + float32(x[5]*y0[5]) + float32(x[6]*y0[6]) + float32(x[7]*y0[7])
		s1 = s1 + float32(x[0]*y1[0]) + float32(x[1]*y1[1]) + float32(x[2]*y1[2]) + float32(x[3]*y1[3]) +
			float32(x[4]*y1[4]) + float32(x[5]*y1[5]) + float32(x[6]*y1[6]) + float32(x[7]*y1[7])
		s2 = s2 + float32(x[0]*y2[0]) + float32(x[1]*y2[1]) + float32(x[2]*y2[2]) + float32(x[3]*y2[3]) +
			float32(x[4]*y2[4]) + float32(x[5]*y2[5]) + float32(x[6]*y2[6]) + float32(x[7]*y2[7])
		s3 = s3 + float32(x[0]*y3[0]) + float32(x[1]*y3[1]) + float32(x[2]*y3[2]) + float32(x[3]*y3[3]) +
			float32(x[4]*y3[4]) + float32(x[5]*y3[5]) + float32(x[6]*y3[6]) + float32(x[7]*y3[7])
		a, b0, b1, b2, b3 = a[step:], b0[step:], b1[step:], b2[step:], b3[step:]
	}
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
	for len(dst) >= step {
		x, y := (*block)(dst), (*block)(a)
		x[0] += float32(c * y[0])
		x[1] += float32(c * y[1])
		x[2] += float32(c * y[2])
		x[3] += float32(c * y[3])
		x[4] += float32(c * y[4])
		x[5] += float32(c * y[5])
		x[6] += float32(c * y[6])
		x[7] += float32(c * y[7])
		dst, a = dst[step:], a[step:]
	}
	for i := range dst {
		dst[i] += float32(c * a[i])
	}
}

// Add4 adds four vectors to dst, each times its factor, the sum of the four first.
func Add4(dst, a0, a1, a2, a3 []float32, c0, c1, c2, c3 float32) {
	n := len(dst)
	a0, a1, a2, a3 = a0[:n], a1[:n], a2[:n], a3[:n]
	for len(dst) >= step {
		x, y0, y1, y2, y3 := (*block)(dst), (*block)(a0), (*block)(a1), (*block)(a2), (*block)(a3)
		x[0] += (float32(c0*y0[0]) + float32(c1*y1[0])) + (float32(c2*y2[0]) + float32(c3*y3[0]))
		x[1] += (float32(c0*y0[1]) + float32(c1*y1[1])) + (float32(c2*y2[1]) + float32(c3*y3[1]))
		x[2] += (float32(c0*y0[2]) + float32(c1*y1[2])) + (float32(c2*y2[2]) + float32(c3*y3[2]))
		x[3] += (float32(c0*y0[3]) + float32(c1*y1[3])) + (float32(c2*y2[3]) + float32(c3*y3[3]))
		x[4] += (float32(c0*y0[4]) + float32(c1*y1[4])) + (float32(c2*y2[4]) + float32(c3*y3[4]))
		x[5] += (float32(c0*y0[5]) + float32(c1*y1[5])) + (float32(c2*y2[5]) + float32(c3*y3[5]))
		x[6] += (float32(c0*y0[6]) + float32(c1*y1[6])) + (float32(c2*y2[6]) + float32(c3*y3[6]))
		x[7] += (float32(c0*y0[7]) + float32(c1*y1[7])) + (float32(c2*y2[7]) + float32(c3*y3[7]))
		dst, a0, a1, a2, a3 = dst[step:], a0[step:], a1[step:], a2[step:], a3[step:]
	}
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
	sum := 1.0 / 6227020800 // the Taylor series, as r is at most ln 2 / 2
	for _, c := range [...]float64{
		1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
		1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 1.0 / 2, 1, 1,
	} {
		sum = c + float64(sum*r)
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

// Adapt writes norm(e + bᵀ·h) to z, where h, which it writes too, is a·e. a and b
// have len(h) rows of len(e). It returns the length before the norm, 0 if z is no
// vector.
func Adapt(z, h, e, a, b []float32) float32 {
	copy(z, e)
	Products(h, e, a)
	Combine(z, h, b)
	return Norm(z)
}

// Products writes the products of x with each row of m, which has len(out) rows, to
// out. Rows that are equal have equal products.
func Products(out, x, m []float32) {
	n := len(x)
	for len(out) >= 4 {
		out[0], out[1], out[2], out[3] = Dot4(x, m[:n], m[n:2*n], m[2*n:3*n], m[3*n:4*n])
		out, m = out[4:], m[4*n:]
	}
	for k := range out {
		row := m[k*n : k*n+n]
		out[k], _, _, _ = Dot4(x, row, row, row, row) // rounds as above
	}
}

// Combine adds the rows of m, each times its factor, to out.
func Combine(out, factors, m []float32) {
	n := len(out)
	for len(factors) >= 4 {
		Add4(out, m[:n], m[n:2*n], m[2*n:3*n], m[3*n:4*n], factors[0], factors[1], factors[2], factors[3])
		factors, m = factors[4:], m[4*n:]
	}
	for k, c := range factors {
		Add(out, m[k*n:k*n+n], c)
	}
}
