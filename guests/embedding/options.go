package main

import (
	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
)

const (
	maxBatchSize = 5000
	maxK         = 100
	maxColumns   = 64

	configBatchSize = "embedding.batchSize"
)

// place is where texts and their vectors are.
type place struct {
	handle, collection    string
	key, vector, model    string // columns
	text, dimension, hash string
	batchSize             int64
	question              string
	k                     int64
	columns               []string
	vectors, keywords     string // queries of the operator's; empty for none
}

func readTask(t *sdk.Task) (o place, err error) {
	err = t.Payload.Only("collection", "source_handle", "key", "text_column", "vector_column",
		"model_column", "dimension_column", "hash_column", "batch_size")
	if err != nil {
		return o, err
	}
	if err = o.readCommon(t); err != nil {
		return o, err
	}
	err = names(t.Payload, []name{
		{"text_column", &o.text, "content"},
		{"dimension_column", &o.dimension, "embedding_dim"},
		{"hash_column", &o.hash, "embedding_hash"},
	})
	if err != nil {
		return o, err
	}
	seen := map[string]bool{}
	for _, c := range []string{o.key, o.text, o.vector, o.model, o.dimension, o.hash} {
		if seen[c] {
			return o, abi.Errorf(abi.InvalidArgument, "payload: the column %q is named twice", c)
		}
		seen[c] = true
	}
	o.batchSize, err = batchSize(t)
	return o, err
}

func readQuery(t *sdk.Task) (o place, err error) {
	p := t.Payload
	err = p.Only("text", "k", "collection", "source_handle", "key", "vector_column", "model_column", "columns", "vectors", "keywords")
	if err != nil {
		return o, err
	}
	if o.vectors, err = p.StringOr("vectors", ""); err == nil {
		o.keywords, err = p.StringOr("keywords", "")
	}
	if err != nil {
		return o, err
	}
	if o.question, err = p.String("text"); err != nil {
		return o, err
	}
	if o.k, err = p.IntOr("k", 10); err == nil && (o.k < 1 || o.k > maxK) {
		err = abi.Errorf(abi.InvalidArgument, `payload: field "k" is %d, but must be from 1 to %d`, o.k, maxK)
	}
	if err != nil {
		return o, err
	}
	if o.columns, err = list(p, "columns"); err != nil {
		return o, err
	}
	return o, o.readCommon(t)
}

func (o *place) readCommon(t *sdk.Task) error {
	return names(t.Payload, []name{
		{"collection", &o.collection, "documents"},
		{"source_handle", &o.handle, t.Handle("source", "primary")},
		{"key", &o.key, "id"},
		{"vector_column", &o.vector, "embedding"},
		{"model_column", &o.model, "embedding_model"},
	})
}

// name is a field that is a name.
type name struct {
	field     string
	to        *string
	otherwise string
}

func names(p sdk.Payload, list []name) (err error) {
	for _, n := range list {
		if *n.to, err = p.StringOr(n.field, n.otherwise); err != nil {
			return err
		}
		if *n.to == "" {
			return abi.Errorf(abi.InvalidArgument, "payload: field %q is empty", n.field)
		}
	}
	return nil
}

// list returns a field that is a list of names.
func list(p sdk.Payload, field string) ([]string, error) {
	v, ok, err := p.Value(field)
	if err != nil || !ok {
		return nil, err
	}
	values, ok := v.([]any)
	if !ok || len(values) > maxColumns {
		return nil, abi.Errorf(abi.InvalidArgument, "payload: field %q is no list of at most %d names", field, maxColumns)
	}
	names := make([]string, len(values))
	for i, v := range values {
		if names[i], ok = v.(string); !ok || names[i] == "" {
			return nil, abi.Errorf(abi.InvalidArgument, "payload: field %q has something else than names in it", field)
		}
	}
	return names, nil
}

func batchSize(t *sdk.Task) (n int64, err error) {
	from := `payload: field "batch_size"`
	if t.Payload.Has("batch_size") {
		n, err = t.Payload.Int("batch_size")
	} else {
		from = `config: key "` + configBatchSize + `"`
		n, err = t.Commands.ConfigInt(configBatchSize, 100)
	}
	if err == nil && (n < 1 || n > maxBatchSize) {
		err = abi.Errorf(abi.InvalidArgument, "%s is %d, but must be from 1 to %d", from, n, maxBatchSize)
	}
	return n, err
}
