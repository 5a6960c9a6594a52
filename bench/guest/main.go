// A guest that does nothing but what is measured: its kinds are calls,
// commands, read, touch and names.
package main

import (
	"slices"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
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
		name, err := t.Payload.StringOr("command", "ping")
		if err != nil {
			return err
		}
		took := make([]time.Duration, n)
		for i := range took {
			start := time.Now()
			if _, err := t.Commands.Execute(name, nil); err != nil {
				return err
			}
			took[i] = time.Since(start)
		}
		slices.Sort(took)
		return t.Return(map[string]any{"p99_ns": took[n*99/100].Nanoseconds()})
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
	case "touch":
		return touch(t)
	case "names":
		return names(t)
	default:
		return abi.Errorf(abi.InvalidArgument, "unknown kind %q", t.Kind)
	}
	return nil
}

// all has the rows in no order, so that as little as can be is SQLite's work.
var all = abi.Query{Handle: "primary", Collection: "chat_messages"}

// touch adds up what is in every field: numbers, and of text the length and the
// last byte.
func touch(t *sdk.Task) error {
	rows, err := t.Data.Rows(all)
	if err != nil {
		return err
	}
	var n, sum int64
	for rows.Next() {
		n++
		row := rows.Row()
		for i := range row.Columns() {
			switch f := row.Field(i); f.Kind() {
			case wire.KindNil:
			case wire.KindString, wire.KindBytes:
				b, err := f.Bytes()
				if err != nil {
					return err
				}
				if len(b) > 0 {
					sum += int64(len(b)) + int64(b[len(b)-1])
				}
			default:
				v, err := f.Float()
				if err != nil {
					return err
				}
				sum += int64(v)
			}
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return t.Return(map[string]any{"rows": n, "sum": sum})
}

// names is what most workers do: it asks for a few columns by their names.
func names(t *sdk.Task) error {
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
		version, err := rows.Row().Float("version")
		if err != nil {
			return err
		}
		content, err := rows.Row().Bytes("content")
		if err != nil {
			return err
		}
		size += int64(len(id)) + int64(len(content)) + int64(version)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return t.Return(map[string]any{"size": size})
}
