package sdk

import (
	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// warmUp does what most tasks do, with a host that does nothing. The Go runtime
// and this package set up much when it is first needed: memory for each size of
// object, tables, caches. A host that begins each sandbox as a copy of an
// initialized one has all of it done once, and not in the first call of every
// task. No code of the worker's runs here.
func warmUp() {
	var w wire.Writer
	w.Task(&abi.Task{ID: "1", Kind: "warm-up", Attempt: 1})
	input(uint32(len(w.B)))
	Serve(idle{}, WorkerFunc(func(t *Task) error {
		q := abi.Query{Handle: "handle", Collection: "collection", Where: []abi.Condition{{Column: "column", Op: abi.Equal, Value: "value"}}}
		_, _ = t.Data.CountRows(q)
		_, _, _ = t.Commands.GetConfig("key")
		_ = t.Commands.EmitEvent("name", map[string]any{"n": int64(1)})
		t.Log.Info("line", "n", 1)
		_, err := t.Payload.String("field")
		return err
	}), w.B)
}

// idle is a [Host] whose answers are all empty.
type idle struct{}

func (idle) RowsOpen([]byte) abi.Result          { return 0 }
func (idle) RowsNext(uint32, []byte) abi.Result  { return 0 }
func (idle) RowsClose(uint32) abi.Result         { return 0 }
func (idle) RowsWrite(_, _, _ []byte) abi.Result { return 0 }
func (idle) Command(_, _ []byte) abi.Result      { return 0 }
func (idle) Progress(int64, int64) abi.Result    { return 0 }
func (idle) Log(abi.Level, []byte)               {}
func (idle) Pending([]byte) abi.Result           { return 0 }
func (idle) TaskReturn([]byte) abi.Result        { return 0 }
