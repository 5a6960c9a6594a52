// A guest that does nothing but what is measured: its kinds are calls, read
// and decode.
package main

import (
	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
)

func init() { sdk.Register(sdk.WorkerFunc(work)) }

func main() {} // does not run in a guest

func work(t *sdk.Task) error {
	n, err := t.Payload.IntOr("n", 0)
	if err != nil {
		return err
	}
	switch t.Kind {
	case "calls":
		for i := range n {
			if err := t.Progress(i, n); err != nil {
				return err
			}
		}
	case "commands":
		for range n {
			if _, err := t.Commands.Execute("ping", nil); err != nil {
				return err
			}
		}
	case "read":
		batches, err := t.Data.Batches(all, make([]byte, 512<<10))
		if err != nil {
			return err
		}
		for {
			b, err := batches.NextBatch()
			if err != nil || b == nil {
				return err
			}
		}
	case "decode":
		rows, err := t.Data.Rows(all)
		if err != nil {
			return err
		}
		var size int64
		for rows.Next() {
			id, err := rows.Row().Bytes("id")
			if err != nil {
				return err
			}
			content, err := rows.Row().Bytes("content")
			if err != nil {
				return err
			}
			version, err := rows.Row().Float("version")
			if err != nil {
				return err
			}
			size += int64(len(id)) + int64(len(content)) + int64(version)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		return t.Return(map[string]any{"size": size})
	default:
		return abi.Errorf(abi.InvalidArgument, "unknown kind %q", t.Kind)
	}
	return nil
}

var all = abi.Query{
	Handle: "primary", Collection: "chat_messages",
	OrderBy: []abi.Order{{Column: "timestamp"}, {Column: "id"}},
}
