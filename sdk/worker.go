package sdk

import (
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// Worker works on tasks.
type Worker interface {
	// Work does one task. The package comment says what its error decides.
	Work(t *Task) error
}

// WorkerFunc is a function as a Worker.
type WorkerFunc func(t *Task) error

// Work calls f.
func (f WorkerFunc) Work(t *Task) error { return f(t) }

const (
	maxErrorText  = 16 << 10 // of an error that is handed to the host
	maxStackLines = 16       // of a panic's stack
)

// Serve runs w on one task in its wire form, hands the result or the error's
// text to host, and returns the code that the task ended with. It is what the
// export wasmhost_work does; a test calls it through package sdktest.
func Serve(host Host, w Worker, input []byte) (code abi.Code) {
	p := &port{host: host}
	defer func() {
		if v := recover(); v != nil {
			code = p.fail(abi.Trap, abi.TaskError{Message: fmt.Sprintf("panic: %v\n%s", v, panicStack(debug.Stack()))})
		}
	}()
	if w == nil {
		return p.fail(abi.InvalidModule, abi.TaskError{Message: "the module registered no worker"})
	}
	at, err := wire.ReadTask(input)
	if err != nil {
		return p.fail(abi.CodeOf(err), abi.TaskError{Message: abi.MessageOf(err)})
	}
	t := newTask(p, &at)
	if err := w.Work(t); err != nil {
		code, text := outcomeOf(err)
		return p.fail(code, text)
	}
	if t.result == nil {
		return abi.OK
	}
	if err := p.done(abi.ImportTaskReturn, host.TaskReturn(t.result)); err != nil {
		code, text := outcomeOf(err)
		return p.fail(code, text)
	}
	return abi.OK
}

// fail hands an error's text over. The code says what happened even when the
// host does not take the text.
func (p *port) fail(code abi.Code, e abi.TaskError) abi.Code {
	if len(e.Message) > maxErrorText {
		e.Message = strings.ToValidUTF8(e.Message[:maxErrorText], "") + "…"
	}
	w := wire.Writer{B: p.req[:0]}
	w.TaskError(&e)
	p.host.TaskReturn(w.B)
	return code
}

// panicStack keeps the lines of a stack that say where the panic came from:
// those behind the call of panic.
func panicStack(stack []byte) string {
	lines := strings.Split(strings.TrimSpace(string(stack)), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "panic(") && i+2 < len(lines) {
			lines = lines[i+2:] // the call and its place
			break
		}
	}
	return strings.Join(lines[:min(len(lines), maxStackLines)], "\n")
}
