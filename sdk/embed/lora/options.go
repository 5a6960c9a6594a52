package lora

import (
	"fmt"

	"github.com/wasmhost/wasmhost/sdk/embed"
)

// Options say how to train.
type Options struct {
	Rank         int     // of the matrices, 1 to embed.MaxRank
	Epochs       int     // 1 to MaxEpochs
	Batch        int     // pairs of a step, 2 to MaxBatch
	LearningRate float64 // of Adam, over 0 and up to 1
	Temperature  float64 // 0.01 to 1: the smaller, the more the nearest wrong answers count
	Seed         uint64
}

// Bounds of Options.
const (
	MaxEpochs = 1000
	MaxBatch  = 512
)

// check returns what is wrong with the options for vectors of dim numbers.
func (o *Options) check(dim int) error {
	switch {
	case o.Rank < 1 || o.Rank > min(dim, embed.MaxRank):
		return fmt.Errorf("the rank is %d, but must be from 1 to %d", o.Rank, min(dim, embed.MaxRank))
	case o.Epochs < 1 || o.Epochs > MaxEpochs:
		return fmt.Errorf("%d epochs, but it must be 1 to %d", o.Epochs, MaxEpochs)
	case o.Batch < 2 || o.Batch > MaxBatch:
		return fmt.Errorf("a batch has %d pairs, but must have 2 to %d", o.Batch, MaxBatch)
	case !(o.LearningRate > 0 && o.LearningRate <= 1):
		return fmt.Errorf("the learning rate is %v, but must be over 0 and up to 1", o.LearningRate)
	case !(o.Temperature >= 0.01 && o.Temperature <= 1):
		return fmt.Errorf("the temperature is %v, but must be from 0.01 to 1", o.Temperature)
	}
	return nil
}
