package socket

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

// ServeCommands listens and calls commands of r as caller for whoever connects.
// ctx is for starting only. Codes: InvalidArgument if the file cannot be as it
// is configured, Conflict if something is in its place, Unavailable. Stop the
// Server when done.
func ServeCommands(ctx context.Context, cfg Config, r *command.Router, caller command.Caller) (*Server, error) {
	return serve(ctx, cfg, &commands{router: r, caller: caller})
}

// commands is the dialect of a command socket.
type commands struct {
	router *command.Router
	caller command.Caller
}

// outcome is the reply to a call.
type outcome struct {
	ID      json.RawMessage `json:"id,omitempty"`
	Success bool            `json:"success"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   string          `json:"error,omitempty"`
	Code    string          `json:"code,omitempty"`
}

// call is a request: {"command":name,"params":{…}?,"id":text or number?}.
type call struct {
	id     json.RawMessage // nil for none
	name   string
	params []byte // msgpack; nil for none
}

func parseCall(line []byte) (c call, err error) {
	o, err := parseLine(line)
	if err != nil {
		return c, err
	}
	if c.id, err = o.id(); err != nil {
		return c, err
	}
	if c.name, err = o.text("command", command.MaxName); err != nil {
		return c, err
	}
	if c.name == "" {
		return c, abi.Errorf(abi.InvalidArgument, "command: is required")
	}
	if err := o.only("command", "params", "id"); err != nil {
		return c, err
	}
	params, err := o.table("params")
	if err != nil || params == nil {
		return c, err
	}
	c.params, err = toWire(params)
	return c, err
}

// id reads what a reply is to be known by.
func (o object) id() (json.RawMessage, error) {
	if !o.given("id") {
		return nil, nil
	}
	id := o["id"]
	if _, err := strconv.ParseFloat(string(id), 64); err == nil && len(id) <= maxID {
		return id, nil
	}
	if _, err := o.text("id", maxID); err != nil {
		return nil, abi.Errorf(abi.InvalidArgument, "id: a number or a text of at most %d bytes is needed", maxID)
	}
	return id, nil
}

// maxID is the most bytes of what a client names its request by.
const maxID = 128

func (d *commands) request(line []byte) (do func(context.Context) any, pipelined bool) {
	c, err := parseCall(line)
	return func(ctx context.Context) any {
		var result json.RawMessage
		if err == nil {
			var b []byte
			if b, err = d.router.Execute(ctx, d.caller, c.name, c.params); err == nil {
				result, err = fromWire(b)
			}
		}
		if err != nil {
			o := d.failure(err).(outcome)
			o.ID = c.id
			return o
		}
		return outcome{ID: c.id, Success: true, Result: result}
	}, c.id != nil
}

func (d *commands) failure(err error) any {
	code := abi.CodeOf(err)
	return outcome{Error: code.String() + ": " + abi.MessageOf(err), Code: code.String()}
}
