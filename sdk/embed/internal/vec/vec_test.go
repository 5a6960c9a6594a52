package vec

import (
	"math"
	"math/rand/v2"
	"testing"
)

func random(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

func TestSums(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 40 {
		a := random(rng, n)
		var b [4][]float32
		var want [4]float64
		for k := range b {
			b[k] = random(rng, n)
			for i := range a {
				want[k] += float64(a[i]) * float64(b[k][i])
			}
		}
		var got [4]float32
		got[0], got[1], got[2], got[3] = Dot4(a, b[0], b[1], b[2], b[3])
		for k := range b {
			if one := Dot(a, b[k]); math.Abs(float64(one)-want[k]) > 1e-4 || math.Abs(float64(got[k])-want[k]) > 1e-4 {
				t.Errorf("%d numbers: Dot %v, Dot4 %v, want %v", n, one, got[k], want[k])
			}
		}
		sum, four := append([]float32{}, a...), append([]float32{}, a...)
		for k := range b {
			Add(sum, b[k], float32(k)-1.5)
		}
		Add4(four, b[0], b[1], b[2], b[3], -1.5, -0.5, 0.5, 1.5)
		for i := range sum {
			if d := sum[i] - four[i]; d > 1e-5 || d < -1e-5 {
				t.Errorf("%d numbers: Add4 %v, four times Add %v", n, four, sum)
			}
		}
	}
}

// Products and Combine are a matrix and its transpose, for any number of rows.
func TestMatrices(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for rows := range 11 {
		const n = 13
		x, y, m := random(rng, n), random(rng, rows), random(rng, rows*n)
		var want float64
		for k, c := range y {
			want += float64(c) * float64(Dot(x, m[k*n:k*n+n]))
		}
		mx, my := make([]float32, rows), make([]float32, n)
		Products(mx, x, m)
		Combine(my, y, m)
		if a, b := float64(Dot(y, mx)), float64(Dot(my, x)); math.Abs(a-want) > 1e-4 || math.Abs(b-want) > 1e-4 {
			t.Errorf("%d rows: y·Mx is %v and Mᵀy·x %v, want %v", rows, a, b, want)
		}
	}
}

func TestNorm(t *testing.T) {
	t.Parallel()
	v := []float32{3, 0, -4}
	if n := Norm(v); n != 5 || v[0] != 3.0/5 || v[2] != -4.0/5 {
		t.Errorf("got %v, %v", n, v)
	}
	inf := float32(math.Inf(1))
	for _, v := range [][]float32{nil, {0, 0}, {inf, 1}, {inf - inf}, {math.MaxFloat32, math.MaxFloat32}} {
		if n := Norm(v); n != 0 {
			t.Errorf("%v has the length %v, want 0", v, n)
		}
	}
}

func TestExpAndLog(t *testing.T) {
	t.Parallel()
	near := func(got, want float64) bool {
		return math.Abs(got-want) <= 4e-15*max(math.Abs(want), 1)
	}
	for x := -60.0; x <= 20; x += 0.0137 {
		if got, want := Exp(x), math.Exp(x); math.Abs(got-want) > 4e-15*want {
			t.Errorf("Exp(%v) = %v, want %v", x, got, want)
		}
		if got := Log(math.Exp(x)); !near(got, math.Log(math.Exp(x))) {
			t.Errorf("Log(%v) = %v", math.Exp(x), got)
		}
	}
	for x, want := range map[float64]float64{0: 1, -701: 0, math.Inf(-1): 0} {
		if got := Exp(x); got != want {
			t.Errorf("Exp(%v) = %v, want %v", x, got, want)
		}
	}
	if !math.IsNaN(Exp(math.NaN())) {
		t.Error("Exp of no number is a number")
	}
	if Log(1) != 0 {
		t.Errorf("Log(1) = %v", Log(1))
	}
}
