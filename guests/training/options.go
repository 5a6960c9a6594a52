package main

import (
	"unicode"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/embed/lora"
)

const (
	// maxExamples is how many examples are read at most. Their vectors are 2 KiB
	// each and all in memory: 20 MiB of the 64 that a sandbox has unless the
	// operator says otherwise.
	maxExamples = 10_000

	maxRank   = 64
	maxEpochs = 200
	maxID     = 200 // bytes of an adapter's id

	configBatchSize = "training.batchSize"
)

// options is what a task asks for.
type options struct {
	collection, handle    string
	key, anchor, positive string // columns
	adapters              string // the handle of adapters and checkpoints
	id                    string // of the adapter
	limit                 int64
	held                  float64
	seed                  int64
	lora                  lora.Options
}

func readOptions(t *sdk.Task) (o options, err error) {
	p := t.Payload
	err = p.Only("collection", "source_handle", "key", "anchor_column", "positive_column", "limit", "adapter",
		"batch_size", "rank", "epochs", "learning_rate", "temperature", "held_out", "seed")
	if err != nil {
		return o, err
	}
	for _, n := range []struct {
		field     string
		to        *string
		otherwise string
	}{
		{"collection", &o.collection, "training_examples"},
		{"source_handle", &o.handle, t.Handle("source", "primary")},
		{"key", &o.key, "id"},
		{"anchor_column", &o.anchor, "anchor"},
		{"positive_column", &o.positive, "positive"},
		{"adapter", &o.id, "task-" + t.ID},
	} {
		if *n.to, err = p.StringOr(n.field, n.otherwise); err != nil {
			return o, err
		}
		if *n.to == "" {
			return o, abi.Errorf(abi.InvalidArgument, "payload: field %q is empty", n.field)
		}
	}
	o.adapters = t.Handle("adapters", "primary")
	if o.key == o.anchor || o.key == o.positive || o.anchor == o.positive {
		return o, abi.Errorf(abi.InvalidArgument, "payload: key, anchor and positive are %q, %q and %q, but must be three columns", o.key, o.anchor, o.positive)
	}
	if err := checkID(o.id); err != nil {
		return o, err
	}
	if o.limit, err = whole(p, "limit", maxExamples, 1, maxExamples); err != nil {
		return o, err
	}
	if o.seed, err = p.IntOr("seed", 1); err != nil {
		return o, err
	}
	if o.held, err = number(p, "held_out", 0.2, 0.01, 0.5); err != nil {
		return o, err
	}
	rank, err := whole(p, "rank", 16, 1, maxRank)
	if err != nil {
		return o, err
	}
	epochs, err := whole(p, "epochs", 10, 1, maxEpochs)
	if err != nil {
		return o, err
	}
	batch, err := batchSize(t)
	if err != nil {
		return o, err
	}
	o.lora = lora.Options{Rank: int(rank), Epochs: int(epochs), Batch: int(batch), Seed: uint64(o.seed)}
	if o.lora.LearningRate, err = number(p, "learning_rate", 0.001, 1e-9, 1); err != nil {
		return o, err
	}
	o.lora.Temperature, err = number(p, "temperature", 0.05, 0.01, 1)
	return o, err
}

// checkID refuses ids that could not be written behind static+lora: in a
// configuration, or would be read as another.
func checkID(id string) error {
	if len(id) > maxID {
		return abi.Errorf(abi.InvalidArgument, `payload: field "adapter" has %d bytes, but may have %d`, len(id), maxID)
	}
	for _, r := range id {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_' && r != '.' || r == unicode.ReplacementChar {
			return abi.Errorf(abi.InvalidArgument, `payload: field "adapter" is %q, but may have only letters, digits, and - _ . in it`, id)
		}
	}
	return nil
}

func whole(p sdk.Payload, field string, otherwise, least, most int64) (int64, error) {
	n, err := p.IntOr(field, otherwise)
	if err == nil && (n < least || n > most) {
		err = abi.Errorf(abi.InvalidArgument, "payload: field %q is %d, but must be from %d to %d", field, n, least, most)
	}
	return n, err
}

func number(p sdk.Payload, field string, otherwise, least, most float64) (float64, error) {
	v, err := p.FloatOr(field, otherwise)
	if err == nil && !(v >= least && v <= most) {
		err = abi.Errorf(abi.InvalidArgument, "payload: field %q is %v, but must be from %v to %v", field, v, least, most)
	}
	return v, err
}

func batchSize(t *sdk.Task) (n int64, err error) {
	from := `payload: field "batch_size"`
	if t.Payload.Has("batch_size") {
		n, err = t.Payload.Int("batch_size")
	} else {
		from = `config: key "` + configBatchSize + `"`
		n, err = t.Commands.ConfigInt(configBatchSize, 64)
	}
	if err == nil && (n < 2 || n > lora.MaxBatch) {
		err = abi.Errorf(abi.InvalidArgument, "%s is %d, but must be from 2 to %d", from, n, lora.MaxBatch)
	}
	return n, err
}
