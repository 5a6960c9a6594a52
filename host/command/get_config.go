package command

import (
	"context"

	"github.com/wasmhost/wasmhost/abi"
)

const maxConfigKey = 256

// config/get {key} -> {found, value}
//
// A key that was not granted is NotGranted, whether it is set or not.
func getConfig(source Config) Handler {
	return func(ctx context.Context, c Caller, params map[string]any) (any, error) {
		f := FieldsOf(params)
		key := f.Required("key", maxConfigKey)
		if err := f.End(); err != nil {
			return nil, err
		}
		if !c.MayRead(key) {
			return nil, abi.Errorf(abi.NotGranted, "config key %q was not granted", clip(key))
		}
		value, found, err := source.Lookup(ctx, key)
		if err != nil {
			return nil, err
		}
		if !found {
			return map[string]any{"found": false, "value": nil}, nil
		}
		return map[string]any{"found": true, "value": value}, nil
	}
}
