package embed

import (
	"encoding/binary"
	"math"
)

const (
	// Model names the table. Vectors of another model must not be compared with
	// its own, so store it beside them. It changes whenever a text's vector does.
	Model = "static-minilm-1"

	// Dim is the number of dimensions.
	Dim = 256
)

// Text returns the vector of a text, which has the length 1; nil if nothing in
// it is known, such as of an empty text. What is no UTF-8 in it is passed over.
// It takes time in proportion to the text and reads all of it. It is safe for
// concurrent use.
func Text(text string) []float32 {
	sums, norm := embed(text)
	if norm == 0 {
		return nil
	}
	v := make([]float32, Dim)
	for i, s := range sums {
		v[i] = float32(s / norm)
	}
	return v
}

// Append appends the vector of a text to b as databases store it: Dim float32,
// little-endian. It appends nothing where Text returns nil.
func Append(b []byte, text string) []byte {
	sums, norm := embed(text)
	if norm == 0 {
		return b
	}
	for _, s := range sums {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(s/norm)))
	}
	return b
}

// Decode reads a vector that Append wrote, or any of float32 in that form, into
// v, and says whether it has the length of v and only finite numbers.
func Decode(v []float32, b []byte) bool {
	if len(b) != 4*len(v) {
		return false
	}
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		if d := v[i] - v[i]; d != 0 { // infinite or not a number
			return false
		}
	}
	return true
}

// maxExact is how many pieces can be summed in 32 bits: a value has up to 7
// bits and a sign, a scale 12.
const maxExact = 1<<31/(maxScale*128) - 1

// embed returns the sum of the vectors of a text's pieces, and its length. All
// sums are of integers and exact, so the result does not depend on a
// processor's way with floats.
func embed(text string) (sums [Dim]float64, norm float64) {
	t := table()
	var part [Dim]int32
	n := 0
	flush := func() {
		for i, v := range part {
			sums[i] += float64(v)
		}
		part, n = [Dim]int32{}, 0
	}
	tok := tokenizer{table: t, text: text}
	for tok.next() {
		for _, id := range tok.pieces {
			scale := int32(t.scale(id))
			row := t.rows[id*Dim : id*Dim+Dim]
			for i := range part {
				part[i] += scale * int32(int8(row[i]))
			}
			if n++; n == maxExact {
				flush()
			}
		}
	}
	flush()
	for _, s := range sums {
		// The conversion keeps a compiler from fusing the two operations, which
		// rounds otherwise than doing one after the other.
		norm += float64(s * s)
	}
	return sums, math.Sqrt(norm)
}
