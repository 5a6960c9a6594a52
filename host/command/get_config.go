package command

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

const maxConfigKey = 256

// config/get {key} -> {found, value}
//
// A key that was not granted is NotGranted, whether it is set or not.
func getConfig(source Config) Handler {
	return func(_ context.Context, c Caller, params map[string]any) (any, error) {
		f := fieldsOf(params)
		key := f.required("key", maxConfigKey)
		if err := f.end(); err != nil {
			return nil, err
		}
		if !c.MayRead(key) {
			return nil, abi.Errorf(abi.NotGranted, "config key %q was not granted", clip(key))
		}
		value, found := source.Lookup(key)
		if !found {
			return map[string]any{"found": false, "value": nil}, nil
		}
		value, err := plain(value)
		if err != nil {
			return nil, abi.Errorf(abi.Internal, "config key %q: %w", clip(key), err)
		}
		return map[string]any{"found": true, "value": value}, nil
	}
}

// plain makes a value of the configuration one that can be sent: what the wire
// does not know (a duration, a map of strings) becomes what it is in JSON.
func plain(v any) (any, error) {
	var w wire.Writer
	if w.Value(v) == nil {
		return v, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var out any
	if err := d.Decode(&out); err != nil {
		return nil, err
	}
	return numbers(out), nil
}

// numbers replaces json.Number by int64 where it is one and float64 elsewhere.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		x, _ := v.Float64() // out of range is ±Inf, which says so
		return x
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}
