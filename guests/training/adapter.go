package main

import (
	"bytes"
	"encoding/json"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/embed"
	"github.com/wasmhost/wasmhost/sdk/embed/lora"
)

// adapters is the collection of what tasks have made:
//
//	id                text, the key; static+lora:ID is the model with it
//	task_id           text
//	base_model        text: the model that it is for
//	dimension, rank   integer
//	a, b              blob: float32, little-endian; a has rank rows, b dimension
//	metrics           text: JSON, see metrics
//	seed              integer
//	examples          integer: those that were trained on
//	held_out          integer: those that were measured by
//	digest            text: of the examples and options
//	created_at        text
const adapters = "lora_adapters"

// metrics is what an adapter does, and how it was made.
type metrics struct {
	Before       lora.Metrics `json:"before"`     // of the held-out examples, without the adapter
	After        lora.Metrics `json:"after"`      // and with it
	TrainLoss    float64      `json:"train_loss"` // of the last epoch
	Epochs       int          `json:"epochs"`
	BatchSize    int          `json:"batch_size"`
	LearningRate float64      `json:"learning_rate"`
	Temperature  float64      `json:"temperature"`
	Rows         counts       `json:"rows"`
}

// stored is an adapter's row.
type stored struct {
	digest  string
	adapter *embed.Adapter
	metrics metrics
}

// readAdapter returns nil if there is no adapter with this id.
func readAdapter(t *sdk.Task, handle, id string) (*stored, error) {
	rows, err := t.Data.ListRows(abi.Query{
		Handle: handle, Collection: adapters, Columns: []string{"digest", "rank", "a", "b", "metrics"},
		Where: []abi.Condition{{Column: "id", Op: abi.Equal, Value: id}}, Limit: 1,
	})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	row := &rows[0]
	s := new(stored)
	if s.digest, err = row.Text("digest"); err != nil {
		return nil, err
	}
	rank, err := row.Int("rank")
	if err != nil {
		return nil, err
	}
	a, err := row.Bytes("a")
	if err != nil {
		return nil, err
	}
	b, err := row.Bytes("b")
	if err != nil {
		return nil, err
	}
	if s.adapter, err = embed.DecodeAdapter(int(min(max(rank, 0), maxRank+1)), embed.Dim, a, b); err != nil {
		return nil, abi.Errorf(abi.InvalidArgument, "the adapter %q: %w", id, err)
	}
	text, err := row.Bytes("metrics")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &s.metrics); err != nil {
		return nil, abi.Errorf(abi.InvalidArgument, "the metrics of the adapter %q: %w", id, err)
	}
	return s, nil
}

// save adds the adapter's row, unless there is one with its id, and returns the
// row that there is then.
func (s *stored) save(t *sdk.Task, o *options) (*stored, error) {
	text, err := json.Marshal(s.metrics)
	if err != nil {
		return nil, err
	}
	b := sdk.NewBatch("id", "task_id", "base_model", "dimension", "rank", "a", "b", "metrics", "seed", "examples", "held_out", "digest", "created_at")
	b.Row().Text(o.id).Text(t.ID).Text(embed.Model).Int(embed.Dim).Int(int64(s.adapter.Rank())).
		Blob(s.adapter.AppendA(nil)).Blob(s.adapter.AppendB(nil)).Text(string(text)).Int(o.seed).
		Int(s.metrics.Rows.Train).Int(s.metrics.Rows.HeldOut).Text(s.digest).Text(now())
	if _, err := t.Data.InsertNewRows(o.adapters, adapters, b, "id"); err != nil {
		return nil, err
	}
	got, err := readAdapter(t, o.adapters, o.id)
	if err != nil {
		return nil, err
	}
	if got == nil || got.digest != s.digest || !bytes.Equal(got.adapter.AppendB(nil), s.adapter.AppendB(nil)) || !bytes.Equal(got.adapter.AppendA(nil), s.adapter.AppendA(nil)) {
		return nil, taken(o)
	}
	return got, nil
}

// taken says that somebody else has an adapter under the task's id.
func taken(o *options) error {
	return sdk.Permanent(abi.Errorf(abi.Conflict,
		`%s.%s has an adapter %q already, of other examples or options: give another "adapter", or delete that one`, o.adapters, adapters, o.id))
}
