package wire_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// peerEncode is the encoding of v by the library that serves everything but
// the row path: what it writes is what Writer must write.
func peerEncode(t testing.TB, v any) []byte {
	t.Helper()
	var buf bytes.Buffer
	enc := msgpack.NewEncoder(&buf)
	enc.UseCompactInts(true)
	enc.SetSortMapKeys(true)
	if err := enc.Encode(v); err != nil {
		t.Fatalf("the peer cannot encode %T: %v", v, err)
	}
	return buf.Bytes()
}

// peerDecode returns the first value of b as that library reads it, and how
// many bytes it took.
func peerDecode(b []byte) (v any, used int, err error) {
	r := bytes.NewReader(b)
	dec := msgpack.NewDecoder(r)
	v, err = dec.DecodeInterface()
	return v, len(b) - r.Len(), err
}

// same says whether two values are equal as the contract means it: integers
// by their number, floats by their bits, whatever Go type holds them. NaNs are
// equal, since widening a float32 NaN may quieten it.
func same(a, b any) bool {
	if x, ok := integer(a); ok {
		y, ok := integer(b)
		return ok && x == y
	}
	switch a := a.(type) {
	case float64:
		switch b := b.(type) {
		case float64:
			return math.Float64bits(a) == math.Float64bits(b) || a != a && b != b
		case float32:
			return same(a, float64(b))
		}
		return false
	case []byte:
		b, ok := b.([]byte)
		return ok && bytes.Equal(a, b)
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !same(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k := range a {
			if w, ok := b[k]; !ok || !same(a[k], w) {
				return false
			}
		}
		return true
	}
	return a == b
}

func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int8:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case uint8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case uint64:
		return int64(v), v <= math.MaxInt64
	}
	return 0, false
}

// boundaries returns a value on either side of every change of width, of every
// kind.
func boundaries() []any {
	values := []any{nil, true, false}
	for _, n := range []int64{
		0, 1, 127, 128, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64,
		-1, -32, -33, -128, -129, -32768, -32769, math.MinInt32, math.MinInt32 - 1, math.MinInt64,
		math.MaxInt32, math.MaxInt32 + 1, 1<<53 + 1,
	} {
		values = append(values, n)
	}
	for _, f := range []float64{
		0, math.Copysign(0, -1), 1, 1.5, -0.1, math.MaxFloat64, math.SmallestNonzeroFloat64,
		math.Inf(1), math.Inf(-1), math.NaN(), math.Float64frombits(0x7ff8dead_beef0001), 1 << 53,
	} {
		values = append(values, f)
	}
	for _, n := range []int{0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536} {
		values = append(values, strings.Repeat("x", n), bytes.Repeat([]byte{0xc1}, n))
	}
	values = append(values, "é\x00😀", "\xff\xfe not UTF-8 \xc3")
	for _, n := range []int{0, 1, 15, 16, 65535, 65536} {
		list := make([]any, n)
		m := map[string]any{}
		for i := range list {
			list[i] = int64(i)
			m[string(rune('a'+i%26))+strings.Repeat("k", i%7)+string(rune(0x4e00+i%20000))+string(rune(0x4e00+i/20000))] = nil
		}
		values = append(values, list, m)
	}
	return values
}

// random returns a value of any kind, nested at most depth times.
func random(rng *rand.Rand, depth int) any {
	kinds := 8
	if depth == 0 {
		kinds = 6
	}
	switch rng.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return rng.IntN(2) == 0
	case 2:
		return int64(rng.Uint64()) >> rng.IntN(64) // every width as likely as any
	case 3:
		return math.Float64frombits(rng.Uint64())
	case 4:
		return string(randomBytes(rng))
	case 5:
		return randomBytes(rng)
	case 6:
		list := make([]any, rng.IntN(20))
		for i := range list {
			list[i] = random(rng, depth-1)
		}
		return list
	}
	m := map[string]any{}
	for range rng.IntN(20) {
		m[string(randomBytes(rng))] = random(rng, depth-1)
	}
	return m
}

func randomBytes(rng *rand.Rand) []byte {
	b := make([]byte, rng.IntN(1<<rng.IntN(10)))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// nested returns n arrays, each in the next.
func nested(n int) []byte { return append(bytes.Repeat([]byte{0x91}, n-1), 0x90) }
