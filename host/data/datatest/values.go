package datatest

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

// Values at the edges of their encodings.
var (
	integers = []int64{
		0, 1, -1, 31, -32, -33, 127, 128, -128, -129, 255, 256, 32767, 32768, -32768, -32769, 65535, 65536,
		math.MaxInt32, math.MaxInt32 + 1, math.MinInt32, math.MinInt32 - 1, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64, math.MinInt64,
	}
	floats = []float64{
		0, 1, -1, 0.1, 1e-300, -1e300, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1),
		1 << 53, 1<<53 + 2, 9.007199254740993e15, 1e18, 9.3e18, math.Pi,
	}
	texts = []string{
		"", "a", "naïve ☃ 🚀", strings.Repeat("x", 31), strings.Repeat("x", 32), strings.Repeat("x", 255), strings.Repeat("x", 256),
		strings.Repeat("x", 65535), strings.Repeat("x", 65536), `quote ' and " and \`, "5", "1.0",
	}
)

// sameBits is sameRows with floats compared by their bits.
func sameBits(t *testing.T, got, rows []row) {
	t.Helper()
	if len(got) != len(rows) {
		t.Fatalf("got %d rows, want %d", len(got), len(rows))
	}
	for i := range rows {
		for j := range rows[i] {
			g, w := got[i][j], rows[i][j]
			if f, ok := w.(float64); ok {
				if h, ok := g.(float64); !ok || math.Float64bits(h) != math.Float64bits(f) {
					t.Errorf("row %d, value %d: got %#v, want %#v", i, j, g, w)
				}
			} else if !reflect.DeepEqual(g, w) {
				t.Errorf("row %d, value %d: got %#v, want %#v", i, j, g, w)
			}
		}
	}
}
