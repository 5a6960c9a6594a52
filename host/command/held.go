package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// maxHeldBytes bounds the events that one caller can have held: they are in
// memory, and are written in one piece.
const maxHeldBytes = 8 << 20

// heldOverhead is what an event takes beside its texts, or more.
const heldOverhead = 256

// Held are events that are to be recorded when something else has happened. Each
// has a key then, so that they can be recorded again and are there once. It is
// for one goroutine at a time.
type Held struct {
	name   string
	events []Event
	size   int
}

// NewHeld returns a Held without events. The name is for the keys of those that
// have none of their own.
func NewHeld(name string) *Held { return &Held{name: name} }

// Add holds events, all of them or none. Codes: InvalidArgument, LimitExceeded.
func (h *Held) Add(events ...Event) error {
	size := h.size
	for i := range events {
		if err := events[i].validate(); err != nil {
			return err
		}
		size += heldOverhead + len(events[i].Name) + len(events[i].Data) + len(events[i].Key)
	}
	if size > maxHeldBytes {
		return abi.Errorf(abi.LimitExceeded, "the events that are held until the task succeeds take %d bytes: %d at most", size, maxHeldBytes)
	}
	h.size = size
	for _, e := range events {
		if e.Time.IsZero() {
			e.Time = time.Now()
		}
		if e.Key == "" {
			e.Key = fmt.Sprintf("%s:%d", h.name, len(h.events))
		}
		h.events = append(h.events, e)
	}
	return nil
}

// Events returns what is held, in the order in which it came.
func (h *Held) Events() []Event { return h.events }

// heldEvent is an event as it is kept until it is recorded.
type heldEvent struct {
	Time   time.Time       `json:"time"`
	Name   string          `json:"name"`
	Worker string          `json:"worker"`
	Task   string          `json:"task"`
	Data   json.RawMessage `json:"data,omitempty"`
	Key    string          `json:"key"`
}

// EncodeEvents returns what [DecodeEvents] takes, nil for no events.
func EncodeEvents(events []Event) ([]byte, error) {
	if len(events) == 0 {
		return nil, nil
	}
	list := make([]heldEvent, len(events))
	for i, e := range events {
		list[i] = heldEvent{e.Time, e.Name, e.Worker, e.Task, e.Data, e.Key}
	}
	var b bytes.Buffer
	w := json.NewEncoder(&b)
	w.SetEscapeHTML(false) // data stays as it is
	if err := w.Encode(list); err != nil {
		return nil, abi.Errorf(abi.Internal, "keeping events: %w", err)
	}
	return b.Bytes(), nil
}

// DecodeEvents returns events that were encoded. What are none is abi.Corrupt.
func DecodeEvents(b []byte) ([]Event, error) {
	if len(b) == 0 {
		return nil, nil
	}
	corrupt := func(err error) error { return abi.Errorf(abi.Corrupt, "events that were kept: %w", err) }
	r := json.NewDecoder(bytes.NewReader(b))
	if start, err := r.Token(); err != nil || start != json.Delim('[') {
		return nil, corrupt(fmt.Errorf("no list: %w", err))
	}
	var events []Event
	for r.More() {
		var h heldEvent
		if err := r.Decode(&h); err != nil {
			return nil, corrupt(err)
		}
		e := Event{Time: h.Time, Name: h.Name, Worker: h.Worker, Task: h.Task, Data: h.Data, Key: h.Key}
		if err := e.validate(); err != nil {
			return nil, corrupt(err)
		}
		if events = append(events, e); e.Key == "" || len(events) > maxHeldBytes/heldOverhead {
			return nil, corrupt(fmt.Errorf("event %d has no key, or is one too many", len(events)))
		}
	}
	if _, err := r.Token(); err != nil { // the list's end
		return nil, corrupt(err)
	}
	if _, err := r.Token(); !errors.Is(err, io.EOF) {
		return nil, corrupt(errors.New("there is more behind them"))
	}
	return events, nil
}
