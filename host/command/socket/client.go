package socket

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/wasmhost/wasmhost/abi"
)

// maxReply is more than what a command's result can be as JSON.
const maxReply = 16 << 20

// ErrNoHost is in the error of a call that found nobody.
var ErrNoHost = errors.New("no host serves the socket")

// Call calls a command through the command socket at path and returns its
// result as JSON. The params are a JSON object, nil for none. Codes, besides
// those of the command: Unavailable if nobody serves the socket, DeadlineExceeded
// and Cancelled when ctx ends first.
func Call(ctx context.Context, path, name string, params json.RawMessage) (json.RawMessage, error) {
	request := map[string]any{"command": name}
	if params != nil {
		request["params"] = params
	}
	b, err := line(request)
	if err != nil {
		return nil, abi.Errorf(abi.InvalidArgument, "params: %w", err)
	}
	if len(b) > MaxLine+1 {
		return nil, abi.Errorf(abi.LimitExceeded, "a call of %d bytes: %d at most", len(b), MaxLine)
	}
	nc, err := new(net.Dialer).DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED):
		return nil, abi.Errorf(abi.Unavailable, "%w %s", ErrNoHost, path)
	case err != nil:
		return nil, broken(ctx, path, err)
	}
	defer nc.Close() //nolint:errcheck // the reply is all that matters
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	defer stop()
	_, werr := nc.Write(b) // a host that takes no more clients says so, and reads nothing
	text, err := bufio.NewReader(io.LimitReader(nc, maxReply)).ReadBytes('\n')
	if err != nil {
		return nil, broken(ctx, path, cmp.Or(werr, err))
	}
	var o outcome
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, abi.Errorf(abi.Unavailable, "the socket %s does not speak as a host does: %w", path, err)
	}
	if !o.Success {
		code, ok := abi.ParseCode(o.Code)
		if !ok {
			code = abi.Failed
		}
		return nil, &abi.Error{Code: code, Message: strings.TrimPrefix(o.Error, code.String()+": ")}
	}
	return o.Result, nil
}

func broken(ctx context.Context, path string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return abi.Errorf(abi.Unavailable, "the socket %s: %w", path, err)
}
