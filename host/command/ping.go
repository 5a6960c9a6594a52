package command

import (
	"context"
	"time"
)

// ping {} -> {pong: true, time_ms}
func ping(_ context.Context, _ Caller, params map[string]any) (any, error) {
	if err := FieldsOf(params).End(); err != nil {
		return nil, err
	}
	return map[string]any{"pong": true, "time_ms": time.Now().UnixMilli()}, nil
}
