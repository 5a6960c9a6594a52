package main

import (
	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
)

const (
	maxBatchSize = 100_000
	maxRows      = 1_000_000_000_000 // more than SQLite can hold, and far from overflow

	configBatchSize = "archive.batchSize"
	configOrderBy   = "archive.orderBy"
)

// options is what a task asks for.
type options struct {
	collection   string
	source, dest string // handles
	orderBy, key string // columns
	batchSize    int64
	keep, limit  int64 // -1 if not given
}

func readOptions(t *sdk.Task) (o options, err error) {
	p := t.Payload
	err = p.Only("collection", "source_handle", "dest_handle", "batch_size", "order_by", "key", "keep", "limit")
	if err != nil {
		return o, err
	}
	if o.collection, err = p.String("collection"); err != nil {
		return o, err
	}
	if o.collection == "" {
		return o, abi.Errorf(abi.InvalidArgument, `payload: field "collection" is empty`)
	}
	if o.source, err = named(p, "source_handle", t.Handle("source", "primary")); err != nil {
		return o, err
	}
	if o.dest, err = named(p, "dest_handle", t.Handle("dest", "archive")); err != nil {
		return o, err
	}
	if o.source == o.dest {
		return o, abi.Errorf(abi.InvalidArgument, "payload: source and destination are both the handle %q", o.source)
	}
	if o.key, err = named(p, "key", "id"); err != nil {
		return o, err
	}
	if !p.Has("keep") && !p.Has("limit") {
		return o, abi.Errorf(abi.InvalidArgument,
			`payload: one of "keep" and "limit" must be given, so that no table is emptied by accident; "keep": 0 archives everything`)
	}
	if o.keep, err = rowCount(p, "keep", 0); err != nil {
		return o, err
	}
	if o.limit, err = rowCount(p, "limit", 1); err != nil {
		return o, err
	}
	if o.orderBy, err = orderColumn(t); err != nil {
		return o, err
	}
	if o.orderBy == o.key {
		return o, abi.Errorf(abi.InvalidArgument, "payload: order_by and key are both the column %q", o.key)
	}
	o.batchSize, err = batchSize(t)
	return o, err
}

// named returns a field that is a name.
func named(p sdk.Payload, field, otherwise string) (string, error) {
	name, err := p.StringOr(field, otherwise)
	if err == nil && name == "" {
		err = abi.Errorf(abi.InvalidArgument, "payload: field %q is empty", field)
	}
	return name, err
}

// rowCount returns a field that is a number of rows, -1 if it is not given.
func rowCount(p sdk.Payload, field string, least int64) (int64, error) {
	if !p.Has(field) {
		return -1, nil
	}
	n, err := p.Int(field)
	if err == nil && (n < least || n > maxRows) {
		err = abi.Errorf(abi.InvalidArgument, "payload: field %q is %d, but must be from %d to %d", field, n, least, int64(maxRows))
	}
	return n, err
}

func orderColumn(t *sdk.Task) (string, error) {
	if t.Payload.Has("order_by") {
		return named(t.Payload, "order_by", "")
	}
	name, err := t.Commands.ConfigString(configOrderBy, "timestamp")
	if err == nil && name == "" {
		err = abi.Errorf(abi.InvalidArgument, "config: key %q is empty", configOrderBy)
	}
	return name, err
}

func batchSize(t *sdk.Task) (n int64, err error) {
	from := `payload: field "batch_size"`
	if t.Payload.Has("batch_size") {
		n, err = t.Payload.Int("batch_size")
	} else {
		from = `config: key "` + configBatchSize + `"`
		n, err = t.Commands.ConfigInt(configBatchSize, 1000)
	}
	if err == nil && (n < 1 || n > maxBatchSize) {
		err = abi.Errorf(abi.InvalidArgument, "%s is %d, but must be from 1 to %d", from, n, maxBatchSize)
	}
	return n, err
}
