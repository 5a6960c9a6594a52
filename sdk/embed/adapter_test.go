package embed

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

// oneOf makes an adapter that adds c times the vector's number from to its
// number to.
func oneOf(t *testing.T, rank, dim, from, to int, c float32) *Adapter {
	t.Helper()
	a, b := make([]float32, rank*dim), make([]float32, rank*dim)
	a[(rank-1)*dim+from], b[(rank-1)*dim+to] = 1, c
	m, err := NewAdapter(rank, dim, a, b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAdapterApply(t *testing.T) {
	t.Parallel()
	for _, rank := range []int{1, 3, 4, 6} {
		m := oneOf(t, rank, 6, 1, 4, 2)
		z := make([]float32, 6)
		// (0, 3/5, 0, 4/5, 0, 0) becomes that with 6/5 at place 4, made of length 1.
		if !m.Apply(z, []float32{0, 0.6, 0, 0.8, 0, 0}) {
			t.Fatalf("rank %d: no vector", rank)
		}
		n := math.Sqrt(0.36 + 0.64 + 1.44)
		for i, want := range []float64{0, 0.6 / n, 0, 0.8 / n, 1.2 / n, 0} {
			if math.Abs(float64(z[i])-want) > 1e-6 {
				t.Errorf("rank %d: got %v at %d, want %v", rank, z[i], i, want)
			}
		}
		if m.Apply(z, make([]float32, 6)) {
			t.Errorf("rank %d: the zero vector became %v", rank, z)
		}
	}
	if m := oneOf(t, 1, 2, 0, 0, math.MaxFloat32); m.Apply(make([]float32, 2), []float32{math.MaxFloat32, 0}) {
		t.Error("what overflowed is a vector")
	}
}

func TestAdapterRoundTrip(t *testing.T) {
	t.Parallel()
	m := oneOf(t, 3, 5, 2, 1, -0.5)
	got, err := DecodeAdapter(3, 5, m.AppendA(nil), m.AppendB(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got.Rank() != 3 || got.Dim() != 5 || !bytes.Equal(got.AppendA(nil), m.AppendA(nil)) || !bytes.Equal(got.AppendB(nil), m.AppendB(nil)) {
		t.Errorf("got %+v, want %+v", got, m)
	}
}

func TestBadAdapters(t *testing.T) {
	t.Parallel()
	nan := append(make([]byte, 20), 0, 0, 0xc0, 0x7f)
	for _, test := range []struct {
		rank, dim int
		a, b      []byte
		want      string
	}{
		{2, 3, make([]byte, 24), make([]byte, 24), ""},
		{0, 3, nil, nil, "rank 0"},
		{4, 3, make([]byte, 48), make([]byte, 48), "rank 4, but only from 1 to 3"},
		{MaxRank + 1, 1000, nil, nil, "only from 1 to 256"},
		{1, 0, nil, nil, "0 dimensions"},
		{1, -1, nil, nil, "-1 dimensions"},
		{1, 1 << 62, nil, nil, "dimensions, but only from 1 to 4096"},
		{2, 3, make([]byte, 23), make([]byte, 24), "A has 23 bytes, but rank 2 and 3 dimensions need 24"},
		{2, 3, make([]byte, 24), nil, "B has 0 bytes"},
		{2, 3, nan, make([]byte, 24), "A has NaN in it"},
		{2, 3, make([]byte, 24), nan, "B has NaN in it"},
	} {
		_, err := DecodeAdapter(test.rank, test.dim, test.a, test.b)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("rank %d, %d dimensions: got %v, want %q", test.rank, test.dim, err, test.want)
		}
	}
	if _, err := NewAdapter(2, 3, make([]float32, 5), make([]float32, 6)); err == nil {
		t.Error("an A that is too short was taken")
	}
}

func FuzzDecodeAdapter(f *testing.F) {
	f.Add(1, 2, make([]byte, 8), make([]byte, 8))
	f.Add(2, 2, bytes.Repeat([]byte{0x3f}, 16), make([]byte, 16))
	f.Fuzz(func(t *testing.T, rank, dim int, a, b []byte) {
		m, err := DecodeAdapter(rank, dim, a, b)
		if err != nil {
			return
		}
		if !bytes.Equal(m.AppendA(nil), a) || !bytes.Equal(m.AppendB(nil), b) {
			t.Errorf("rank %d, %d dimensions, %x and %x became another adapter", rank, dim, a, b)
		}
		e, z := make([]float32, dim), make([]float32, dim)
		e[0] = 1
		if m.Apply(z, e) {
			for i, v := range z {
				if v-v != 0 {
					t.Errorf("place %d is %v", i, v)
				}
			}
		}
	})
}
