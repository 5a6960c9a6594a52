package sdk

import (
	"errors"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// outcome is an error with a worker's wish for what becomes of the task.
type outcome struct {
	code  abi.Code
	after time.Duration
	err   error
}

func (o *outcome) Error() string { return o.err.Error() }

// Unwrap has the wish first, so that it goes before a code inside of err.
func (o *outcome) Unwrap() []error { return []error{o.code, o.err} }

// Permanent says that the task failed with err and that trying again will not
// help. It returns nil for nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &outcome{code: abi.Permanent, err: err}
}

// Later asks for the task to be run again after some time, because of err; 0
// leaves the time to the host. It returns nil for nil.
func Later(err error, after time.Duration) error {
	if err == nil {
		return nil
	}
	return &outcome{code: abi.Later, after: max(after, 0), err: err}
}

// outcomeOf returns how a task ends whose worker returned err.
func outcomeOf(err error) (abi.Code, abi.TaskError) {
	code := abi.CodeOf(err)
	if code == abi.OK || code == abi.Internal && !errors.Is(err, abi.Internal) {
		code = abi.Failed
	}
	e := abi.TaskError{Message: abi.MessageOf(err)}
	var o *outcome
	if errors.As(err, &o) {
		e.AfterMS = roundUpMS(o.after)
		if err == error(o) {
			e.Message = abi.MessageOf(o.err)
		}
	}
	return code, e
}

// roundUpMS returns d in milliseconds: a time that was asked for does not
// become none.
func roundUpMS(d time.Duration) int64 {
	ms := d.Milliseconds()
	if d > time.Duration(ms)*time.Millisecond {
		ms++
	}
	return ms
}
