//go:build wasip1

package sdk

import (
	"unsafe"

	"github.com/wasmhost/wasmhost/abi"
)

//go:wasmimport wasmhost_v1 rows_open
func rowsOpen(req unsafe.Pointer, reqLen uint32) int64

//go:wasmimport wasmhost_v1 rows_next
func rowsNext(cursor uint32, buf unsafe.Pointer, bufCap uint32) int64

//go:wasmimport wasmhost_v1 rows_close
func rowsClose(cursor uint32) int64

//go:wasmimport wasmhost_v1 rows_write
func rowsWrite(head unsafe.Pointer, headLen uint32, rows unsafe.Pointer, rowsLen uint32, buf unsafe.Pointer, bufCap uint32) int64

//go:wasmimport wasmhost_v1 command
func command(req unsafe.Pointer, reqLen uint32, buf unsafe.Pointer, bufCap uint32) int64

//go:wasmimport wasmhost_v1 progress
func progress(done int64, total int64) int64

//go:wasmimport wasmhost_v1 log
func log(level uint32, text unsafe.Pointer, textLen uint32)

//go:wasmimport wasmhost_v1 pending
func pending(buf unsafe.Pointer, bufCap uint32) int64

//go:wasmimport wasmhost_v1 task_return
func taskReturn(value unsafe.Pointer, valueLen uint32) int64

// imports is the Host of a guest. A slice's address stays what it is during a
// call: Go does not move the heap, and the host never calls back.
type imports struct{}

func ptr(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

func size(b []byte) uint32 { return uint32(len(b)) } // memory has 32 bits of addresses

func (imports) RowsOpen(request []byte) abi.Result {
	return abi.Result(rowsOpen(ptr(request), size(request)))
}

func (imports) RowsNext(cursor uint32, buf []byte) abi.Result {
	return abi.Result(rowsNext(cursor, ptr(buf), size(buf)))
}

func (imports) RowsClose(cursor uint32) abi.Result { return abi.Result(rowsClose(cursor)) }

func (imports) RowsWrite(head, rows, buf []byte) abi.Result {
	return abi.Result(rowsWrite(ptr(head), size(head), ptr(rows), size(rows), ptr(buf), size(buf)))
}

func (imports) Command(request, buf []byte) abi.Result {
	return abi.Result(command(ptr(request), size(request), ptr(buf), size(buf)))
}

func (imports) Progress(done, total int64) abi.Result { return abi.Result(progress(done, total)) }

func (imports) Log(level abi.Level, text []byte) { log(uint32(level), ptr(text), size(text)) }

func (imports) Pending(buf []byte) abi.Result { return abi.Result(pending(ptr(buf), size(buf))) }

func (imports) TaskReturn(value []byte) abi.Result {
	return abi.Result(taskReturn(ptr(value), size(value)))
}

// maxInput bounds what a task may bring. A host that asks for more room is
// refused before the guest's memory grows.
const maxInput = 64 << 20

// guest is the one worker of this module and the room for its input.
var guest struct {
	worker Worker
	input  []byte
}

// Register names the module's worker. It is called once, from init, since main
// does not run in a guest. A second call panics.
func Register(w Worker) {
	if w == nil {
		panic("sdk: Register of a nil Worker")
	}
	if guest.worker != nil {
		panic("sdk: Register called twice")
	}
	guest.worker = w
	warmUp()
}

// input gives the host room for n bytes, kept for the next task; 0 refuses.
//
//go:wasmexport wasmhost_input
func input(n uint32) unsafe.Pointer {
	if n > maxInput {
		return nil
	}
	if uint64(n) > uint64(len(guest.input)) || guest.input == nil {
		guest.input = make([]byte, max(n, firstAnswer))
	}
	return ptr(guest.input)
}

// work runs the worker on the first n bytes of the input and returns an
// abi.Code.
//
//go:wasmexport wasmhost_work
func work(n uint32) uint32 {
	if uint64(n) > uint64(len(guest.input)) {
		return uint32(abi.InvalidArgument)
	}
	return uint32(Serve(imports{}, guest.worker, guest.input[:n]))
}
