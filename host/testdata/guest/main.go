// A worker whose commands and tasks do what tests of the host need: see work.
package main

import (
	"strings"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
)

func init() { sdk.Register(sdk.WorkerFunc(work)) }

func main() {} // does not run in a guest

// calls counts the work of one sandbox.
var calls int64

func work(t *sdk.Task) error {
	calls++
	switch t.Kind {
	case "test/echo": // what it was given, who asks, and whether the sandbox is clean
		text, err := t.Payload.StringOr("text", "")
		if err != nil {
			return err
		}
		return t.Return(map[string]any{"text": text, "id": t.ID, "calls": calls})
	case "test/fail":
		return sdk.Permanent(abi.Errorf(abi.Failed, "no luck"))
	case "test/refuse":
		return abi.Errorf(abi.InvalidArgument, "field x is missing")
	case "test/forbidden":
		_, err := t.Data.CountRows(abi.Query{Handle: "secret", Collection: "c"})
		return err
	case "test/trap":
		panic("out of order")
	case "test/spin":
		for {
			calls++
		}
	case "test/nothing":
		return nil
	case "test/write":
		return write(t)
	}
	// Anything else calls the command that the payload names, and returns what
	// comes of it.
	name, err := t.Payload.String("command")
	if err != nil {
		return err
	}
	var params map[string]any
	if next, err := t.Payload.StringOr("next", ""); err != nil {
		return err
	} else if next != "" {
		params = map[string]any{"command": next, "text": next}
	}
	v, err := t.Commands.Execute(name, params)
	if err != nil {
		return err
	}
	return t.Return(map[string]any{"answer": v})
}

// write inserts rows, each a batch with an event, into the collection log, which
// has no key: what is written twice is there twice. It returns how many rows of
// the task it sees in the end, and how a batch failed on another handle; if the
// payload says so it ends in another way.
func write(t *sdk.Task) error {
	rows, err := t.Payload.IntOr("rows", 1)
	if err != nil {
		return err
	}
	handle, err := t.Payload.StringOr("handle", "primary")
	if err != nil {
		return err
	}
	insert := func(handle string, n int64) error {
		b := sdk.NewBatch("task", "n", "body")
		b.Row().Text(t.ID).Int(n).Text(strings.Repeat("x", 500))
		_, err := t.Data.InsertRows(handle, "log", b)
		return err
	}
	for n := range rows {
		if err := insert(handle, n); err != nil {
			return err
		}
		if err := t.Commands.EmitEvent("test:wrote", map[string]any{"n": n, "mark": "<&>"}); err != nil {
			return err
		}
	}
	result := map[string]any{}
	if result["seen"], err = t.Data.CountRows(abi.Query{Handle: handle, Collection: "log"}); err != nil {
		return err
	}
	if second, err := t.Payload.StringOr("second", ""); err != nil {
		return err
	} else if second != "" {
		if err := insert(second, 0); err != nil {
			result["second"] = err.Error()
		}
	}
	switch end, err := t.Payload.StringOr("end", ""); {
	case err != nil:
		return err
	case end == "fail":
		return sdk.Permanent(abi.Errorf(abi.Failed, "no luck"))
	case end == "trap":
		panic("out of order")
	case end == "spin":
		for {
			calls++
		}
	case end == "large": // as JSON only
		result["large"] = make([]byte, 900<<10)
	}
	return t.Return(result)
}
