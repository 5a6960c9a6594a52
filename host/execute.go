package host

import (
	"context"
	"encoding/json"

	"github.com/wasmhost/wasmhost/host/command"
)

// Execute calls a command as the operator, who may call all of them. params is a
// JSON object, or nil for none. It is for a host that runs: before that no worker
// provides anything.
func (h *Host) Execute(ctx context.Context, name string, params json.RawMessage) (json.RawMessage, error) {
	var wire []byte
	if params != nil {
		var err error
		if wire, err = payloadToWire(params); err != nil {
			return nil, err
		}
	}
	result, err := h.router.Execute(ctx, command.Operator(), name, wire)
	if err != nil {
		return nil, err
	}
	return resultToJSON(result)
}
