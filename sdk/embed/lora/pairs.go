package lora

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// Pairs are vectors that belong together: number i of Anchors, and number i of
// Positives. Each has Dim numbers and the length 1.
type Pairs struct {
	Dim                int
	Anchors, Positives []float32
}

// Len returns the number of pairs.
func (p *Pairs) Len() int {
	if p.Dim == 0 {
		return 0
	}
	return len(p.Anchors) / p.Dim
}

// Add adds a pair.
func (p *Pairs) Add(anchor, positive []float32) {
	p.Anchors = append(p.Anchors, anchor...)
	p.Positives = append(p.Positives, positive...)
}

func row(m []float32, i, n int) []float32 { return m[i*n : i*n+n : i*n+n] }

// Held says whether an example is held out of the training, to measure by it: of
// many keys, share of them are. It depends on nothing but the key, so that an
// example stays on its side whatever others come and go.
func Held(key []byte, share float64) bool {
	sum := sha256.Sum256(key)
	const whole = 1 << 53
	return float64(binary.BigEndian.Uint64(sum[:8])>>11) < share*whole
}

// shuffle puts list into an order that seed and epoch decide.
func shuffle(list []int32, next func() uint64) {
	for i := len(list) - 1; i > 0; i-- {
		// The high half of the product is a number from 0 to i, each as likely as
		// the others but for a part in 2^32.
		j, _ := bits.Mul64(next(), uint64(i)+1)
		list[i], list[j] = list[j], list[i]
	}
}
