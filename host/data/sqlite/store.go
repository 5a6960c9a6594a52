package sqlite

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
)

// Store serves one database file. Use [Open].
type Store struct {
	cfg    Config
	path   string // absolute, without symbolic links
	schema atomic.Pointer[schema]
	closed chan struct{} // closed by Close
	once   sync.Once
	counts counts
	file   os.FileInfo // at path, when it was opened
	moved  atomic.Bool
	log    atomic.Pointer[os.FileInfo] // the write-ahead log, nil if there was none
	limits groupLimits

	readers chan struct{} // a token for each read connection in use
	line    *line         // batches that wait to be written
	writer  *conn         // opened by the first Write; of who leads in the line

	mu      sync.Mutex
	idle    []*conn
	cursors map[*cursor]struct{}
	busy    *conn // the writer while it writes, for Close to interrupt
	tx      *tx   // that has the lead
}

var _ interface {
	data.Store
	data.Transactor
} = (*Store)(nil)

// Open starts to serve a database file that exists. It reads the schema, so
// that a file which is damaged or is no database shows now: abi.NotFound,
// Corrupt, or Unavailable when another program has it locked for longer than
// the busy timeout or ctx lasts. These errors name the path and are for the
// operator. The Store must be closed.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, abi.Errorf(abi.InvalidArgument, "%w", err)
	}
	path, file, err := find(cfg.Path)
	if err != nil {
		return nil, err
	}
	s := &Store{
		cfg:     cfg,
		path:    path,
		file:    file,
		closed:  make(chan struct{}),
		readers: make(chan struct{}, cfg.Readers),
		line:    newLine(),
		limits:  defaultLimits,
		cursors: make(map[*cursor]struct{}),
	}
	c, err := s.open(ctx, false)
	if err == nil {
		_, err = s.schemaOf(c)
		s.idle = append(s.idle, c)
	}
	if err != nil {
		_ = s.Close() // the first error is the one that tells
		return nil, prefix(s.failure(ctx, err), "database %s", cfg.Path)
	}
	return s, nil
}

// Close implements [data.Store].
func (s *Store) Close() (err error) {
	s.once.Do(func() { err = s.close() })
	return err
}

func (s *Store) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

func (s *Store) close() error {
	// A cursor, a write or a transaction that does not see closed from here on is seen below,
	// as both enter themselves under mu first.
	close(s.closed)
	s.line.close()
	s.mu.Lock()
	cursors := slices.Collect(maps.Keys(s.cursors))
	if s.busy != nil {
		s.busy.Interrupt()
	}
	tx := s.tx
	s.mu.Unlock()
	if tx != nil {
		tx.abandon(errClosed)
	}
	for _, c := range cursors {
		c.abandon()
	}
	// With all tokens in hand, and nobody in the lead, no connection is used.
	for range cap(s.readers) {
		s.readers <- struct{}{}
	}
	s.line.wait()
	var all []error
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.idle {
		all = append(all, s.shut(c))
	}
	if s.writer != nil {
		all = append(all, s.shut(s.writer))
	}
	s.idle, s.writer = nil, nil
	return errors.Join(all...)
}

// acquire takes a read connection.
func (s *Store) acquire(ctx context.Context) (*conn, error) {
	if s.isClosed() {
		return nil, errClosed
	}
	select {
	case s.readers <- struct{}{}:
	default:
		select {
		case s.readers <- struct{}{}:
		case <-s.closed:
			return nil, errClosed
		case <-ctx.Done():
			return nil, abi.Errorf(abi.CodeOf(ctx.Err()), "no read connection became free: all %d are held by open cursors: %w", cap(s.readers), ctx.Err())
		}
	}
	s.mu.Lock()
	var c *conn
	if n := len(s.idle); n > 0 {
		c, s.idle = s.idle[n-1], s.idle[:n-1]
	}
	s.mu.Unlock()
	if c != nil {
		if err := s.checkMoved(); err != nil {
			s.release(c)
			return nil, err
		}
		return c, nil
	}
	c, err := s.open(ctx, false)
	if err != nil {
		<-s.readers
		return nil, prefix(s.failure(ctx, err), "opening a read connection to %s", filepath.Base(s.path))
	}
	return c, nil
}

// release gives a read connection back, its transaction ended.
func (s *Store) release(c *conn) {
	c.end()
	c.Unstage()
	if c.broken {
		_ = s.shut(c) // what there was to say has been said
	} else {
		s.counts.used(c)
		s.mu.Lock()
		s.idle = append(s.idle, c)
		s.mu.Unlock()
	}
	<-s.readers
}

// shut closes a connection.
func (s *Store) shut(c *conn) error {
	s.counts.closed(c)
	return c.Close()
}
