package embed

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/wasmhost/wasmhost/sdk/embed/internal/vec"
)

const (
	// MaxRank is the largest rank of an adapter.
	MaxRank = 256

	// maxDim is the most dimensions of the vectors that an adapter is for.
	maxDim = 4096
)

// Adapter moves the vectors of a model a little, so that they suit one kind of
// texts better: z = norm(e + B·A·e). The model itself stays as it is. It is safe
// for concurrent use.
type Adapter struct {
	rank, dim int
	a         []float32 // rank rows of dim
	b         []float32 // the transpose of B: rank rows of dim, too
}

// NewAdapter makes an adapter of A and the transpose of B, each of which has rank
// rows of dim numbers. It keeps both.
func NewAdapter(rank, dim int, a, b []float32) (*Adapter, error) {
	if err := checkShape(rank, dim); err != nil {
		return nil, err
	}
	for _, m := range []struct {
		name   string
		values []float32
	}{{"A", a}, {"B", b}} {
		if len(m.values) != rank*dim {
			return nil, fmt.Errorf("%s has %d numbers, but rank %d and %d dimensions need %d", m.name, len(m.values), rank, dim, rank*dim)
		}
		for _, v := range m.values {
			if v-v != 0 { // infinite or not a number
				return nil, fmt.Errorf("%s has %v in it", m.name, v)
			}
		}
	}
	return &Adapter{rank: rank, dim: dim, a: a, b: b}, nil
}

func checkShape(rank, dim int) error {
	if dim < 1 || dim > maxDim {
		return fmt.Errorf("%d dimensions, but only from 1 to %d are possible", dim, maxDim)
	}
	if rank < 1 || rank > min(dim, MaxRank) {
		return fmt.Errorf("rank %d, but only from 1 to %d are possible", rank, min(dim, MaxRank))
	}
	return nil
}

// DecodeAdapter makes an adapter of A, rank rows of dim numbers, and B, dim rows of
// rank, as databases store them: float32, little-endian, row after row. It keeps
// neither.
func DecodeAdapter(rank, dim int, a, b []byte) (*Adapter, error) {
	if err := checkShape(rank, dim); err != nil {
		return nil, err
	}
	var m [2][]float32
	for i, raw := range [][]byte{a, b} {
		if len(raw) != 4*rank*dim {
			return nil, fmt.Errorf("%c has %d bytes, but rank %d and %d dimensions need %d", "AB"[i], len(raw), rank, dim, 4*rank*dim)
		}
		m[i] = make([]float32, rank*dim)
		for k := range m[i] {
			m[i][k] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*k:]))
		}
	}
	return NewAdapter(rank, dim, m[0], transposed(m[1], dim, rank))
}

// Rank returns the rank of the adapter's matrices.
func (m *Adapter) Rank() int { return m.rank }

// Dim returns the dimension of the vectors that the adapter is for.
func (m *Adapter) Dim() int { return m.dim }

// AppendA appends the matrix A as databases store it.
func (m *Adapter) AppendA(b []byte) []byte { return AppendVector(b, m.a) }

// AppendB appends the matrix B as databases store it.
func (m *Adapter) AppendB(b []byte) []byte { return AppendVector(b, transposed(m.b, m.rank, m.dim)) }

// transposed returns the transpose of a matrix of so many rows and columns.
func transposed(m []float32, rows, columns int) []float32 {
	t := make([]float32, len(m))
	for i := range rows {
		for k := range columns {
			t[k*rows+i] = m[i*columns+k]
		}
	}
	return t
}

// Apply writes what becomes of the vector e to z; both have the adapter's
// dimension and are not the same memory. It says whether z is a vector: not if
// the sum is zero or overflows.
func (m *Adapter) Apply(z, e []float32) bool {
	h := make([]float32, m.rank)
	return vec.Adapt(z, h, e, m.a, m.b) != 0
}

// AppendVector appends a vector to b as databases store it: float32,
// little-endian.
func AppendVector(b []byte, v []float32) []byte {
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}
