package sdk

import (
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// Commands calls what is not rows, by name. Its errors are the host's or the
// provider's, as [abi.Error].
type Commands struct {
	port   *port
	params []byte
}

// Execute calls a command and returns its result: nil, bool, int64, float64,
// string, []byte, []any or map[string]any.
func (c *Commands) Execute(name string, params map[string]any) (any, error) {
	p := c.port
	pw := wire.Writer{B: c.params[:0]}
	if params != nil {
		if err := pw.Value(params); err != nil {
			return nil, abi.Errorf(abi.InvalidArgument, "params of %s: %w", name, err)
		}
	}
	c.params = pw.B
	w := wire.Writer{B: p.req[:0]}
	w.Request(&abi.Request{Name: name, Params: pw.B})
	p.req = w.B
	b, err := p.answeredShared(abi.ImportCommand, p.host.Command(w.B, p.buffer()))
	if err != nil || len(b) == 0 {
		return nil, err
	}
	r := wire.NewReader(b)
	v, err := r.Value()
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return nil, abi.Errorf(abi.Internal, "%s: the host's answer: %w", name, err)
	}
	return v, nil
}

// object is Execute for a command whose result is a map.
func (c *Commands) object(name string, params map[string]any) (map[string]any, error) {
	v, err := c.Execute(name, params)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, abi.Errorf(abi.Internal, "%s: the answer is no map", name)
	}
	return m, nil
}

// Event is something that happened, for whoever listens.
type Event struct {
	Name string
	Data map[string]any

	// Key makes an event of this worker unique: one that is emitted again
	// under the same key, by a task that is run again, is recorded once. Empty
	// for an event that is recorded every time.
	Key string
}

// EmitEvent records an event.
func (c *Commands) EmitEvent(name string, data map[string]any) error {
	_, err := c.Execute(abi.CommandEmitEvent, eventParams(Event{Name: name, Data: data}))
	return err
}

// EmitEvents records events in their order, all of them or none.
func (c *Commands) EmitEvents(events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	list := make([]any, len(events))
	for i, e := range events {
		list[i] = eventParams(e)
	}
	_, err := c.Execute(abi.CommandEmitEvent, map[string]any{"events": list})
	return err
}

func eventParams(e Event) map[string]any {
	m := map[string]any{"event": e.Name}
	if e.Data != nil {
		m["data"] = e.Data
	}
	if e.Key != "" {
		m["key"] = e.Key
	}
	return m
}

// GetConfig returns the value of a key of the host's configuration and whether
// it is set.
func (c *Commands) GetConfig(key string) (value any, found bool, err error) {
	m, err := c.object(abi.CommandGetConfig, map[string]any{"key": key})
	if err != nil {
		return nil, false, err
	}
	found, _ = m["found"].(bool)
	return m["value"], found && m["value"] != nil, nil
}

// ConfigString returns a key that is text, or otherwise if it is not set.
func (c *Commands) ConfigString(key, otherwise string) (string, error) {
	return configured(c, key, otherwise, asString)
}

// ConfigInt returns a key that is a whole number, or otherwise if it is not set.
func (c *Commands) ConfigInt(key string, otherwise int64) (int64, error) {
	return configured(c, key, otherwise, asInt)
}

// ConfigFloat returns a key that is a number, or otherwise if it is not set.
func (c *Commands) ConfigFloat(key string, otherwise float64) (float64, error) {
	return configured(c, key, otherwise, asFloat)
}

// ConfigBool returns a key that is true or false, or otherwise if it is not set.
func (c *Commands) ConfigBool(key string, otherwise bool) (bool, error) {
	return configured(c, key, otherwise, asBool)
}

func configured[T any](c *Commands, key string, otherwise T, as func(any) (T, error)) (T, error) {
	v, found, err := c.GetConfig(key)
	if err != nil || !found {
		return otherwise, err
	}
	got, err := as(v)
	if err != nil {
		return got, abi.Errorf(abi.InvalidArgument, "config: key %q %w", key, err)
	}
	return got, nil
}

// GetSession returns what is stored under an id and whether there is anything;
// the empty id is the host's default session.
func (c *Commands) GetSession(id string) (data map[string]any, found bool, err error) {
	params := map[string]any{}
	if id != "" {
		params["sessionId"] = id
	}
	m, err := c.object(abi.CommandGetSession, params)
	if err != nil {
		return nil, false, err
	}
	if found, _ = m["found"].(bool); !found {
		return nil, false, nil
	}
	data, ok := m["data"].(map[string]any)
	if !ok && m["data"] != nil {
		return nil, false, abi.Errorf(abi.Internal, "%s: the data of session %q is no map", abi.CommandGetSession, id)
	}
	return data, true, nil
}

// SetSession stores data under an id, durably, in place of what was there. It
// is forgotten after ttl; 0 leaves the time to the host.
func (c *Commands) SetSession(id string, data map[string]any, ttl time.Duration) error {
	params := map[string]any{"sessionId": id, "data": data}
	if ttl > 0 {
		params["ttl_ms"] = roundUpMS(ttl)
	}
	_, err := c.Execute(abi.CommandSetSession, params)
	return err
}

// DeleteSession forgets a session that the worker set. One that is not there is
// no error.
func (c *Commands) DeleteSession(id string) error {
	_, err := c.Execute(abi.CommandDeleteSession, map[string]any{"sessionId": id})
	return err
}

// Submission is a task to be submitted. Only Worker must be given.
type Submission struct {
	Worker    string
	Kind      string
	Payload   map[string]any
	UniqueKey string    // a task under this key that is not done yet is not submitted again
	Priority  int       // the host's default for 0
	At        time.Time // not before; zero for now
}

// SubmitTask puts a task into the queue. It returns the task's id and whether
// it is new: false for the one that is there already under the same UniqueKey.
func (c *Commands) SubmitTask(s Submission) (id string, created bool, err error) {
	params := map[string]any{"worker": s.Worker}
	if s.Kind != "" {
		params["kind"] = s.Kind
	}
	if s.Payload != nil {
		params["payload"] = s.Payload
	}
	if s.UniqueKey != "" {
		params["unique_key"] = s.UniqueKey
	}
	if s.Priority != 0 {
		params["priority"] = s.Priority
	}
	if !s.At.IsZero() {
		params["at_ms"] = s.At.UnixMilli()
	}
	m, err := c.object(abi.CommandSubmitTask, params)
	if err != nil {
		return "", false, err
	}
	id, ok := m["taskId"].(string)
	if !ok {
		return "", false, abi.Errorf(abi.Internal, "%s: the answer has no taskId", abi.CommandSubmitTask)
	}
	created, _ = m["created"].(bool)
	return id, created, nil
}
