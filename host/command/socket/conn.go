package socket

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// conn is one client's connection.
type conn struct {
	server *Server
	nc     *net.UnixConn
	slots  chan struct{} // one for each pipelined request in flight

	writing sync.Mutex
}

// refuse tells a client that there is no room for it.
func (c *conn) refuse() {
	defer c.nc.Close() //nolint:errcheck // there is nothing left to say
	err := abi.Errorf(abi.Unavailable, "%d clients are connected already; try again later", c.server.cfg.Connections)
	b, eerr := line(c.server.dialect.failure(err))
	if eerr != nil {
		return
	}
	// The buffer of a new connection has room for a line: this does not wait.
	_ = c.nc.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = c.nc.Write(b)
}

// serve reads requests until the client or the server ends, and returns when
// all are answered.
func (c *conn) serve() {
	var inFlight sync.WaitGroup
	defer func() {
		inFlight.Wait()
		_ = c.nc.Close() // what is wrong with a connection concerns nobody any more
	}()
	r := bufio.NewReaderSize(c.nc, 4096)
	for {
		text, err := c.read(r)
		if err != nil {
			if !isGone(err) {
				c.server.log.Debug("a client sent no proper line", "error", err)
				c.reply(c.server.dialect.failure(err))
			}
			return
		}
		trimmed := bytes.TrimSpace(text)
		if len(trimmed) == 0 {
			continue // it is small, and so not held
		}
		do, pipelined := c.server.dialect.request(trimmed)
		if !pipelined {
			c.reply(do(c.server.ctx))
			c.server.release(len(text))
			continue
		}
		c.slots <- struct{}{} // every request and every write ends in time
		inFlight.Go(func() {
			defer func() { <-c.slots }()
			c.reply(do(c.server.ctx))
			c.server.release(len(text))
		})
	}
}

// isGone says whether a client went away between two lines, or its connection
// broke: there is nobody to tell.
func isGone(err error) bool {
	var code abi.Code
	return !errors.As(err, &code)
}

// read returns the next line, which is held until it is released. An error with
// a code is for the client; nothing can be read after any.
func (c *conn) read(r *bufio.Reader) (text []byte, err error) {
	_ = c.nc.SetReadDeadline(time.Time{}) // a client may be idle for as long as it likes
	if _, err := r.Peek(1); err != nil {
		return nil, err
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(c.server.cfg.LineTime))
	defer func() {
		if err != nil {
			c.server.release(len(text))
			text = nil
		}
	}()
	for {
		part, err := r.ReadSlice('\n')
		if len(text)+len(part) > MaxLine+1 {
			return text, abi.Errorf(abi.LimitExceeded, "a line of more than %d bytes", MaxLine)
		}
		if err := c.server.hold(len(text), len(text)+len(part)); err != nil {
			return text, err
		}
		text = append(text, part...)
		switch {
		case err == nil:
			return text, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return text, abi.Errorf(abi.InvalidArgument, "the last line was cut off: it must end with a newline")
		case errors.Is(err, os.ErrDeadlineExceeded):
			return text, abi.Errorf(abi.DeadlineExceeded, "the line was not complete %v after it began", c.server.cfg.LineTime)
		default:
			return text, err
		}
	}
}

// reply writes one reply in one write. A client that does not take it has the
// connection closed, since nothing can follow half a line.
func (c *conn) reply(v any) {
	b, err := line(v)
	if err == nil && len(b) > small {
		if err = c.server.hold(0, len(b)); err == nil {
			defer c.server.release(len(b))
		}
	}
	last := err != nil
	if last {
		if b, err = line(c.server.dialect.failure(err)); err != nil {
			b = nil
		}
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.server.cfg.WriteTime))
	if _, err := c.nc.Write(b); err != nil || last {
		_ = c.nc.Close() // which ends the reading too
	}
}

// line encodes a reply.
func line(v any) ([]byte, error) {
	b, err := encode(v)
	if err != nil {
		return nil, err
	}
	return append(ascii(b), '\n'), nil
}
