package host

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// payloadToWire turns a task's payload, JSON as it was submitted, into the
// msgpack that the guest gets. Whole numbers that fit stay integers.
func payloadToWire(payload json.RawMessage) ([]byte, error) {
	if len(payload) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, abi.Errorf(abi.InvalidArgument, "payload: %w", err)
	}
	v, err := numbers(v)
	if err != nil {
		return nil, abi.Errorf(abi.InvalidArgument, "payload: %w", err)
	}
	var w wire.Writer
	if err := w.Value(v); err != nil {
		return nil, abi.Errorf(abi.InvalidArgument, "payload: %w", err)
	}
	return w.B, nil
}

// numbers replaces json.Number by int64 where it fits and float64 elsewhere.
func numbers(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		f, err := v.Float64()
		if err != nil {
			return nil, fmt.Errorf("the number %s is too large", clip(v.String()))
		}
		return f, nil
	case []any:
		for i := range v {
			if v[i], err = numbers(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], err = numbers(v[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// resultToJSON turns what a guest returned into JSON. Bytes become base64, and
// a float that JSON does not have becomes null.
func resultToJSON(result []byte) (json.RawMessage, error) {
	if len(result) == 0 {
		return json.RawMessage("null"), nil
	}
	r := wire.NewReader(result)
	v, err := r.Value()
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return nil, abi.Errorf(abi.Permanent, "the worker's result is not one msgpack value: %w", err)
	}
	b, err := json.Marshal(finite(v))
	if err != nil {
		return nil, abi.Errorf(abi.Permanent, "the worker's result: %w", err)
	}
	return b, nil
}

func finite(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = finite(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = finite(v[k])
		}
	}
	return v
}
