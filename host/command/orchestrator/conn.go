package orchestrator

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// keepScratch is how much a connection keeps for the next long reply.
const keepScratch = 64 << 10

// conn is one connection, used by one request at a time.
type conn struct {
	net.Conn
	raw      syscall.RawConn
	r        *bufio.Reader
	scratch  []byte
	answered bool // at least once
}

func newConn(c *net.UnixConn, deadline time.Time) (*conn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, raw: raw, r: bufio.NewReader(c)}, c.SetDeadline(deadline)
}

// usable prepares an idle connection for a request that ends at a deadline.
func (c *conn) usable(deadline time.Time) bool {
	return c.r.Buffered() == 0 && c.SetDeadline(deadline) == nil && alive(c.raw)
}

// exchange sends a line and returns the line that answers it, valid until the
// next exchange, before the deadline that was set. After an error the connection is of no more use.
func (c *conn) exchange(ctx context.Context, line []byte, most int) ([]byte, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	reply, err := c.transfer(line, most)
	if !stop() {
		// The deadline in the past may yet come to be set.
		return nil, abi.Errorf(abi.CodeOf(context.Cause(ctx)), "waiting for the orchestrator's reply: %w", context.Cause(ctx))
	}
	switch {
	case err == nil:
		c.answered = true
		return reply, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, abi.Errorf(abi.DeadlineExceeded, "the orchestrator did not reply in time; it may yet do what it was asked")
	case errors.Is(err, errTooLarge):
		return nil, abi.Errorf(abi.LimitExceeded, "the orchestrator's reply is larger than %d bytes", most)
	case errors.Is(err, errMore):
		return nil, abi.Errorf(abi.Failed, "the orchestrator broke the protocol: %w", err)
	}
	return nil, ended(err)
}

func (c *conn) transfer(line []byte, most int) (reply []byte, err error) {
	if _, err := c.Write(line); err != nil {
		return nil, err
	}
	if cap(c.scratch) > keepScratch {
		c.scratch = nil
	}
	reply, c.scratch, err = readFrame(c.r, c.scratch, most)
	return reply, err
}

func ended(err error) error {
	return abi.Errorf(abi.Unavailable, "the connection to the orchestrator ended before the reply (%w); it may have done what it was asked", cause(err))
}

// cause leaves out the socket's path, which is nothing for a guest.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
