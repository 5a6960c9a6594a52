// A worker whose commands and tasks do what tests of the host need: see work.
package main

import (
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
