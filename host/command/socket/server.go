package socket

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// Config says where a server listens and what it bears. Zero fields mean
// defaults.
type Config struct {
	File   File
	Logger *slog.Logger // default: discards

	Connections int           // at a time; default 256
	InFlight    int           // requests of one connection at a time; default 16
	LineTime    time.Duration // from the first byte of a line to its end; default 10 s
	WriteTime   time.Duration // for a reply to be taken; default 10 s
	TaskTime    time.Duration // that an envelope's reply waits for its task; default 8 s
	HeldBytes   int64         // of lines and replies above 16 KiB each, all together; default 64 MiB
}

// small is what a line or reply may have without counting as held: clients that
// hold much do not keep others from the usual.
const small = 16 << 10

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Connections = cmp.Or(c.Connections, 256)
	c.InFlight = cmp.Or(c.InFlight, 16)
	c.LineTime = cmp.Or(c.LineTime, 10*time.Second)
	c.WriteTime = cmp.Or(c.WriteTime, 10*time.Second)
	c.TaskTime = cmp.Or(c.TaskTime, 8*time.Second)
	c.HeldBytes = cmp.Or(c.HeldBytes, 64<<20)
	return c
}

// dialect is what the lines mean.
type dialect interface {
	// request reads one line. The server then calls do, whose result it replies,
	// before it reads the next line, or beside that if the request is pipelined.
	request(line []byte) (do func(ctx context.Context) any, pipelined bool)

	// failure is the reply to what is no request.
	failure(err error) any
}

// Server serves one socket.
type Server struct {
	cfg     Config
	dialect dialect
	file    *socketFile
	log     *slog.Logger
	held    atomic.Int64

	ctx    context.Context // of the requests
	cancel context.CancelFunc
	wg     sync.WaitGroup // accepting, and each connection

	mu      sync.Mutex
	conns   map[*conn]struct{}
	stopped bool
	full    bool // and it was logged
}

func serve(ctx context.Context, cfg Config, d dialect) (*Server, error) {
	cfg = cfg.withDefaults()
	file, err := listen(ctx, cfg.File)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, dialect: d, file: file, log: cfg.Logger.With("socket", cfg.File.Path), conns: map[*conn]struct{}{}}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.wg.Go(s.accept)
	return s, nil
}

// accept takes connections until the listener is closed.
func (s *Server) accept() {
	const pause = 250 * time.Millisecond
	for {
		nc, err := s.file.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // no file descriptors: those who have one go on
			s.log.Warn("a client was not accepted", "error", err)
			select {
			case <-s.ctx.Done():
			case <-time.After(pause):
			}
			continue
		}
		s.admit(&conn{server: s, nc: nc, slots: make(chan struct{}, s.cfg.InFlight)})
	}
}

func (s *Server) admit(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped:
		_ = c.nc.Close()
	case len(s.conns) >= s.cfg.Connections:
		if !s.full {
			s.full = true
			s.log.Warn("clients are refused until one of those that are connected goes", "connections", len(s.conns))
		}
		c.refuse()
	default:
		s.full = false
		s.conns[c] = struct{}{}
		s.wg.Go(func() {
			c.serve()
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.conns, c)
		})
	}
}

// hold counts what a line or reply that grows from old to size bytes makes the
// host keep in memory.
func (s *Server) hold(old, size int) error {
	n := int64(max(size-small, 0) - max(old-small, 0))
	if s.held.Add(n) > s.cfg.HeldBytes && n > 0 {
		s.held.Add(-n)
		return abi.Errorf(abi.Unavailable, "the requests of all clients together have more than %d bytes; try again later", s.cfg.HeldBytes)
	}
	return nil
}

func (s *Server) release(size int) { s.held.Add(-int64(max(size-small, 0))) }

// Stop removes the socket, reads no more requests, ends the contexts of those
// that are in flight, and waits until their replies are written. When ctx ends
// first, it closes the connections. Stopping twice does nothing.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return nil
	}
	s.stopped = true
	for c := range s.conns {
		_ = c.nc.CloseRead() // its loop sees the end of the client's requests
	}
	s.mu.Unlock()
	err := s.file.Close()
	s.cancel()
	cut := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			_ = c.nc.Close()
		}
	})
	defer cut()
	s.wg.Wait()
	return err
}
