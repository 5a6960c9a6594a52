package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"unicode/utf8"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/embed"
	"github.com/wasmhost/wasmhost/sdk/embed/lora"
)

// maxText is how many bytes of a text are embedded at most.
const maxText = 1 << 20

// counts is what became of the rows that were read. Each is in one of the first
// four.
type counts struct {
	Train   int64 `json:"train"`
	HeldOut int64 `json:"held_out"`
	Empty   int64 `json:"empty"`    // a text is NULL, or has nothing that the model knows
	NotText int64 `json:"not_text"` // a number or a blob stands for a text

	Invalid int64 `json:"invalid_utf8"` // of those used: parts that are no UTF-8 were passed over
	Cut     int64 `json:"cut"`          // of those used: only the first maxText bytes were
}

func (c *counts) rows() int64 { return c.Train + c.HeldOut + c.Empty + c.NotText }

// examples is the vectors of a collection's examples.
type examples struct {
	train, held lora.Pairs
	n           counts
	digest      string // of all that the training depends on
}

// readExamples reads and embeds the examples.
func readExamples(t *sdk.Task, o *options) (*examples, error) {
	total, err := t.Data.CountRows(abi.Query{Handle: o.handle, Collection: o.collection})
	if err != nil {
		return nil, fmt.Errorf("counting rows: %w", err)
	}
	if total > maxExamples && !t.Payload.Has("limit") {
		return nil, abi.Errorf(abi.InvalidArgument, `there are %d rows, but only %d fit into memory: give a "limit"`, total, maxExamples)
	}
	x := &examples{train: lora.Pairs{Dim: embed.Dim}, held: lora.Pairs{Dim: embed.Dim}}
	// A slice that grows would be there twice for a moment, so both sides get about
	// what they will need.
	for _, side := range []struct {
		pairs *lora.Pairs
		share float64
	}{{&x.train, 1 - o.held}, {&x.held, o.held}} {
		room := (int(float64(min(total, o.limit))*side.share) + 50) * embed.Dim
		side.pairs.Anchors, side.pairs.Positives = make([]float32, 0, room), make([]float32, 0, room)
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %d %d %d %v %v %v %d\n", embed.Model,
		o.lora.Rank, o.lora.Epochs, o.lora.Batch, o.lora.LearningRate, o.lora.Temperature, o.held, o.seed)
	q := abi.Query{
		Handle: o.handle, Collection: o.collection,
		Columns: []string{o.key, o.anchor, o.positive}, OrderBy: []abi.Order{{Column: o.key}},
	}
	for left := o.limit; left > 0; left -= q.Limit {
		q.Limit = min(int64(o.lora.Batch), left)
		before := x.n.rows()
		last, err := x.page(t, o, q, sum)
		if err != nil {
			return nil, err
		}
		if err := t.Progress(0, int64(o.lora.Epochs)); err != nil {
			return nil, err
		}
		if x.n.rows()-before < q.Limit {
			break
		}
		q.After = []any{last}
	}
	x.digest = hex.EncodeToString(sum.Sum(nil)[:16])
	return x, x.check(o)
}

func (x *examples) page(t *sdk.Task, o *options, q abi.Query, sum hash.Hash) (last any, err error) {
	rows, err := t.Data.Rows(q)
	if err != nil {
		return nil, fmt.Errorf("reading rows: %w", err)
	}
	for rows.Next() {
		row := rows.Row()
		if last, err = row.Field(0).Value(); err == nil {
			err = x.row(row, last, o, sum)
		}
		if err != nil {
			_ = rows.Close() // this error is the one to tell
			return nil, fmt.Errorf("the row with %s %v: %w", o.key, last, err)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading rows: %w", err)
	}
	return last, nil
}

// row embeds both texts of an example and puts it on its side.
func (x *examples) row(row *sdk.Row, key any, o *options, sum hash.Hash) error {
	if key == nil {
		return abi.Errorf(abi.InvalidArgument, "the key is NULL, so the examples have no order")
	}
	var vectors [2][]float32
	var texts [2][]byte
	cut, invalid := false, false
	for i := range texts {
		f := row.Field(1 + i)
		switch f.Kind() {
		case wire.KindString:
		case wire.KindNil:
			x.n.Empty++
			return nil
		default:
			x.n.NotText++
			return nil
		}
		b, err := f.Bytes()
		if err != nil {
			return err
		}
		texts[i] = b
		invalid = invalid || !utf8.Valid(b)
		if len(b) > maxText {
			b, cut = b[:maxText], true
		}
		if vectors[i] = embed.Text(string(b)); vectors[i] == nil {
			x.n.Empty++
			return nil
		}
	}
	var w wire.Writer
	if err := w.Value(key); err != nil {
		return err
	}
	for _, part := range [][]byte{w.B, texts[0], texts[1]} {
		var size [8]byte
		binary.LittleEndian.PutUint64(size[:], uint64(len(part)))
		sum.Write(size[:])
		sum.Write(part)
	}
	if cut {
		x.n.Cut++
	}
	if invalid {
		x.n.Invalid++
	}
	if lora.Held(w.B, o.held) {
		x.n.HeldOut++
		x.held.Add(vectors[0], vectors[1])
		return nil
	}
	x.n.Train++
	x.train.Add(vectors[0], vectors[1])
	return nil
}

// check says whether there are examples enough.
func (x *examples) check(o *options) error {
	if x.n.Train >= int64(o.lora.Batch) && x.n.HeldOut >= 2 {
		return nil
	}
	return abi.Errorf(abi.InvalidArgument,
		`of %d rows %d can be trained on and %d are held out (%d have no text, %d have something else), but a batch of %d and 2 are needed: add examples, or give a smaller "batch_size"`,
		x.n.rows(), x.n.Train, x.n.HeldOut, x.n.Empty, x.n.NotText, o.lora.Batch)
}
