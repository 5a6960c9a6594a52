package queue

import (
	"encoding/json"
	"errors"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/wasmhost/wasmhost/abi"
)

// Ended is how an attempt at a task ended.
type Ended struct {
	// State is what the task becomes by it: Completed, Retrying, Dead,
	// Cancelled, or Scheduled when it asked to be run later.
	State   State
	Code    abi.Code
	Message string          // "" with abi.OK
	Bill    json.RawMessage // nil for none
}

// endOf reads a verdict. An attempt that is given back, because the queue
// stops, has not ended.
func endOf(job *rivertype.JobRow, verdict error) (e Ended, ok bool) {
	var snooze *river.JobSnoozeError
	var failed *attemptError
	switch {
	case verdict == nil:
		return Ended{State: Completed}, true
	case errors.Is(verdict, river.ErrJobCancelledRemotely):
		return Ended{State: Cancelled, Code: abi.Cancelled, Message: "the task was cancelled while it ran"}, true
	case errors.As(verdict, &snooze):
		return Ended{State: Scheduled, Code: abi.Later}, true
	case errors.As(verdict, &failed):
		e = Ended{State: Retrying, Code: failed.code, Message: failed.message}
		if job.Attempt >= job.MaxAttempts {
			e.State = Dead
		}
		return e, true
	}
	return e, false
}
