package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/embed"
)

const adapters = "lora_adapters" // the collection, behind the handle of the role of this name

// adapted is the table of package embed behind an adapter.
type adapted struct {
	called  string
	adapter *embed.Adapter
	scratch []float32
}

// openAdapter reads an adapter that the training worker wrote, or anybody else:
// nothing in its row is taken for granted.
func openAdapter(t *sdk.Task, id string) (*adapted, error) {
	handle := t.Handle("adapters", "primary")
	rows, err := t.Data.ListRows(abi.Query{
		Handle: handle, Collection: adapters, Columns: []string{"base_model", "dimension", "rank", "a", "b"},
		Where: []abi.Condition{{Column: "id", Op: abi.Equal, Value: id}}, Limit: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("reading the adapter %q from %s.%s: %w", id, handle, adapters, err)
	}
	if len(rows) == 0 {
		return nil, abi.Errorf(abi.InvalidArgument, "%s.%s has no adapter %q", handle, adapters, id)
	}
	m, err := readAdapter(&rows[0])
	if err != nil {
		return nil, abi.Errorf(abi.InvalidArgument, "the adapter %q in %s.%s: %s", id, handle, adapters, abi.MessageOf(err))
	}
	// An id may be given to another adapter later, whose vectors are others: so a
	// part of the digest is in the name.
	sum := sha256.Sum256(m.AppendB(m.AppendA(nil)))
	return &adapted{
		called:  embed.Model + lora + id + "@" + hex.EncodeToString(sum[:4]),
		adapter: m, scratch: make([]float32, embed.Dim),
	}, nil
}

func readAdapter(row *sdk.Row) (*embed.Adapter, error) {
	base, err := row.Text("base_model")
	if err != nil {
		return nil, err
	}
	if base != embed.Model {
		return nil, fmt.Errorf("it was trained for the model %q, but this worker has %q: train another", base, embed.Model)
	}
	dim, err := row.Int("dimension")
	if err != nil {
		return nil, err
	}
	rank, err := row.Int("rank")
	if err != nil {
		return nil, err
	}
	if dim != embed.Dim {
		return nil, fmt.Errorf("it is for %d dimensions, but the model has %d", dim, embed.Dim)
	}
	if rank < 1 || rank > embed.MaxRank {
		return nil, fmt.Errorf("its rank is %d, but only from 1 to %d are possible", rank, embed.MaxRank)
	}
	a, err := row.Bytes("a")
	if err != nil {
		return nil, err
	}
	b, err := row.Bytes("b")
	if err != nil {
		return nil, err
	}
	return embed.DecodeAdapter(int(rank), embed.Dim, a, b)
}

func (m *adapted) name() string   { return m.called }
func (m *adapted) dimension() int { return embed.Dim }

func (m *adapted) embed(texts []string) ([]vector, error) {
	list := make([]vector, len(texts))
	for i, text := range texts {
		e := embed.Text(text)
		if e == nil {
			continue
		}
		if !m.adapter.Apply(m.scratch, e) {
			list[i].err = abi.Errorf(abi.Failed, "the adapter makes no vector of it")
			continue
		}
		list[i].bytes = embed.AppendVector(make([]byte, 0, 4*embed.Dim), m.scratch)
	}
	return list, nil
}
