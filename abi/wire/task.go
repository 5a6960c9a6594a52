package wire

import (
	"maps"
	"slices"

	"github.com/wasmhost/wasmhost/abi"
)

// Task appends t as the map that a guest finds in its input:
//
//	{id, kind, payload, attempt, deadline_ms, handles: {role: handle}, key?}
//
// A Payload of no bytes is sent as nil, and a Key of none is left out.
func (w *Writer) Task(t *abi.Task) {
	if t.Key == "" {
		w.Map(6)
	} else {
		w.Map(7)
		w.key("key")
		w.String(t.Key)
	}
	w.key("id")
	w.String(t.ID)
	w.key("kind")
	w.String(t.Kind)
	w.key("payload")
	if len(t.Payload) == 0 {
		w.Nil()
	} else {
		w.Raw(t.Payload)
	}
	w.key("attempt")
	w.Int(int64(t.Attempt))
	w.key("deadline_ms")
	w.Int(t.DeadlineMS)
	w.key("handles")
	w.Map(len(t.Handles))
	for _, role := range slices.Sorted(maps.Keys(t.Handles)) { // equal tasks are equal bytes
		w.String(role)
		w.String(t.Handles[role])
	}
}

// ReadTask decodes a guest's input. Payload is part of b.
func ReadTask(b []byte) (abi.Task, error) {
	var t abi.Task
	r := NewReader(b)
	err := eachField(&r, func(key string) error {
		switch key {
		case "id":
			return readString(&r, &t.ID)
		case "key":
			return readString(&r, &t.Key)
		case "kind":
			return readString(&r, &t.Kind)
		case "payload":
			return readRaw(&r, &t.Payload)
		case "attempt":
			n, err := r.Int()
			t.Attempt = int(n)
			return err
		case "deadline_ms":
			return readInt(&r, &t.DeadlineMS)
		case "handles":
			t.Handles = map[string]string{}
			return eachField(&r, func(role string) error {
				handle, err := r.String()
				t.Handles[role] = string(handle)
				return err
			})
		}
		return r.Skip()
	})
	return t, invalid("task", err)
}

// TaskError appends e as {message, after_ms?}.
func (w *Writer) TaskError(e *abi.TaskError) {
	if e.AfterMS == 0 {
		w.Map(1)
	} else {
		w.Map(2)
	}
	w.key("message")
	w.String(e.Message)
	if e.AfterMS != 0 {
		w.key("after_ms")
		w.Int(e.AfterMS)
	}
}

// ReadTaskError decodes what a guest handed to task_return when it failed.
func ReadTaskError(b []byte) (abi.TaskError, error) {
	var e abi.TaskError
	err := request("task error", b, func(r *Reader, key string) (bool, error) {
		switch key {
		case "message":
			return true, readString(r, &e.Message)
		case "after_ms":
			return true, readInt(r, &e.AfterMS)
		}
		return false, nil
	})
	return e, err
}
