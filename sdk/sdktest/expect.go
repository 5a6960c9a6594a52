package sdktest

import (
	"fmt"
	"reflect"

	"github.com/wasmhost/wasmhost/abi"
)

// Expectation is what a test wants of the calls of one command. Its methods
// return it, to be chained.
type Expectation struct {
	command string
	params  map[string]any // nil for any
	result  any
	err     error
	times   int
	got     int
}

// ExpectCommand says that the worker will call a command, once unless
// [Expectation.Times] says otherwise, and what it gets:
//
//	h.ExpectCommand("ai/embed").With(map[string]any{"text": "hello"}).Return(vector)
//
// Several of the same command are met in their order. A call that none is left
// for fails the test, and so does the test's end while one is not met. It
// replaces what [Host.Command] and the host itself provide under the name.
func (h *Host) ExpectCommand(name string) *Expectation {
	h.t.Helper()
	if len(h.expected[name]) == 0 {
		h.commands[name] = func(params map[string]any) (any, error) { return h.meet(name, params) }
	}
	e := &Expectation{command: name, times: 1}
	h.expected[name] = append(h.expected[name], e)
	h.t.Cleanup(func() {
		if e.got != e.times {
			h.t.Errorf("sdktest: the command %s was called %d times of %d%s", name, e.got, e.times, e.wants())
		}
	})
	return e
}

// With wants exactly these params. Whole numbers are int64, as the worker's are
// on the wire.
func (e *Expectation) With(params map[string]any) *Expectation { e.params = params; return e }

// Return has the call answered with v.
func (e *Expectation) Return(v any) *Expectation { e.result = v; return e }

// Fail has the call fail, with the code that err has.
func (e *Expectation) Fail(err error) *Expectation { e.err = err; return e }

// Times wants n calls.
func (e *Expectation) Times(n int) *Expectation { e.times = n; return e }

func (e *Expectation) wants() string {
	if e.params == nil {
		return ""
	}
	return fmt.Sprintf(", with %v", e.params)
}

// meet answers a call with the first expectation that is not met yet.
func (h *Host) meet(name string, params map[string]any) (any, error) {
	h.t.Helper()
	for _, e := range h.expected[name] {
		if e.got == e.times {
			continue
		}
		if e.params != nil && !reflect.DeepEqual(e.params, params) && (len(e.params) > 0 || len(params) > 0) {
			h.t.Errorf("sdktest: the command %s was called with %v, want %v", name, params, e.params)
			return nil, abi.Errorf(abi.InvalidArgument, "command %s: not with these params in this test", name)
		}
		e.got++
		return e.result, e.err
	}
	h.t.Errorf("sdktest: the command %s was called once more than expected, with %v", name, params)
	return nil, abi.Errorf(abi.UnknownCommand, "command %s: no more calls are expected", name)
}
