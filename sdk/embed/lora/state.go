package lora

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/wasmhost/wasmhost/sdk/embed"
)

// A state is all that an epoch leaves to the next:
//
//	"whlora1\n"
//	u32 × 4            rank, dim, epochs done, batch
//	u64                seed
//	f64                loss of the last epoch
//	f32 × rank·dim × 6 A, its two moments, the transpose of B, its two moments
//
// All numbers are little-endian. Random numbers are made anew for each epoch, from
// the seed and the epoch's number, and so have no state.
const (
	stateMagic = "whlora1\n"
	stateHead  = len(stateMagic) + 4*4 + 8 + 8
)

func (t *Trainer) matrices() [6][]float32 {
	return [6][]float32{t.a, t.ma.m, t.ma.v, t.b, t.mb.m, t.mb.v}
}

// AppendState appends the state after the last epoch to b.
func (t *Trainer) AppendState(b []byte) []byte {
	b = append(b, stateMagic...)
	for _, n := range []int{t.opts.Rank, t.pairs.Dim, t.epoch, t.opts.Batch} {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	b = binary.LittleEndian.AppendUint64(b, t.opts.Seed)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(t.loss))
	for _, m := range t.matrices() {
		b = embed.AppendVector(b, m)
	}
	return b
}

// SetState takes up where the trainer stopped whose state it is, which must have
// had the same pairs and options. After an error the trainer is as it was.
func (t *Trainer) SetState(b []byte) error {
	size := 4 * len(t.a)
	if want := stateHead + 6*size; len(b) != want {
		return fmt.Errorf("the state has %d bytes, want %d", len(b), want)
	}
	if string(b[:len(stateMagic)]) != stateMagic {
		return fmt.Errorf("the state does not begin with %q", stateMagic)
	}
	u32 := func(i int) uint32 { return binary.LittleEndian.Uint32(b[len(stateMagic)+4*i:]) }
	seed := binary.LittleEndian.Uint64(b[len(stateMagic)+16:])
	loss := math.Float64frombits(binary.LittleEndian.Uint64(b[len(stateMagic)+24:]))
	epoch := u32(2)
	if u32(0) != uint32(t.opts.Rank) || u32(1) != uint32(t.pairs.Dim) || u32(3) != uint32(t.opts.Batch) || seed != t.opts.Seed {
		return fmt.Errorf("the state is of rank %d, %d dimensions, batches of %d and the seed %d, want %d, %d, %d and %d",
			u32(0), u32(1), u32(3), seed, t.opts.Rank, t.pairs.Dim, t.opts.Batch, t.opts.Seed)
	}
	if epoch > uint32(t.opts.Epochs) {
		return fmt.Errorf("the state is after %d epochs of %d", epoch, t.opts.Epochs)
	}
	if loss-loss != 0 {
		return fmt.Errorf("the state has the loss %v", loss)
	}
	var read [6][]float32
	for i, part := 0, b[stateHead:]; i < len(read); i, part = i+1, part[size:] {
		read[i] = make([]float32, len(t.a))
		if !embed.Decode(read[i], part[:size]) {
			return fmt.Errorf("the state has something else than finite numbers")
		}
	}
	for i, m := range t.matrices() {
		copy(m, read[i])
	}
	t.epoch, t.loss = int(epoch), loss
	t.b1, t.b2, t.steps = 1, 1, 0
	t.count(int64(epoch) * int64(len(t.order)/t.opts.Batch))
	return nil
}
