package host

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/sqlite"
)

// directCacheKiB is the page cache of a store that one task uses, of which there
// may be many.
const directCacheKiB = 8 << 10

// newStores returns the stores of all handles, not opened yet. One that cannot
// be opened is logged and tried again at each use: a missing or damaged file is
// no reason to refuse the work on all the others.
func newStores(cfg config.Data, files map[string]*file, log *slog.Logger) map[string]*lazyStore {
	stores := make(map[string]*lazyStore, len(cfg.Handles))
	for name, h := range cfg.Handles {
		s := &lazyStore{
			log: log.With("handle", name, "path", h.Path),
			open: func(ctx context.Context) (*sqlite.Store, error) {
				if err := alone(cfg.Handles, name); err != nil {
					return nil, err
				}
				c := sqlite.Config{Path: h.Path, ReadOnly: h.ReadOnly, BusyTimeout: h.BusyTimeout, Readers: h.Readers}
				if cfg.Adapter == config.Direct {
					c.CacheKiB = directCacheKiB
				}
				return files[name].open(ctx, c)
			},
		}
		stores[name] = s
	}
	return stores
}

func handlesOf(cfg config.Data, stores map[string]*lazyStore) *data.Handles {
	all := make(map[string]data.Store, len(stores))
	for name, s := range stores {
		all[name] = s
	}
	return data.NewHandles(all, queriesOf(cfg))
}

// file is what the stores of one handle share: the knowledge of each other.
type file struct {
	mu     sync.Mutex
	stores []*sqlite.Store
	gone   sqlite.Stats // of stores that are closed
}

func newFiles(cfg config.Data) map[string]*file {
	files := make(map[string]*file, len(cfg.Handles))
	for name := range cfg.Handles {
		files[name] = new(file)
	}
	return files
}

// open opens one more store, unless the file was replaced and would be damaged.
func (f *file) open(ctx context.Context, c sqlite.Config) (*sqlite.Store, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.stores {
		if err := s.Leftover(); err != nil {
			return nil, err
		}
	}
	f.stores = slices.DeleteFunc(f.stores, func(s *sqlite.Store) bool {
		moved := s.Moved()
		if moved {
			f.gone = f.gone.Add(s.Stats())
		}
		return moved
	})
	s, err := sqlite.Open(ctx, c)
	if err == nil {
		f.stores = append(f.stores, s)
	}
	return s, err
}

// stats sums up the figures of the stores.
func (f *file) stats() sqlite.Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := f.gone
	for _, s := range f.stores {
		sum = sum.Add(s.Stats())
	}
	return sum
}

// alone refuses a handle whose file another handle can write, whatever the two
// paths look like. A worker that moves rows between two names of one database
// would insert nothing, find every row, and delete the only copy.
func alone(handles map[string]config.Handle, name string) error {
	own, err := os.Stat(handles[name].Path)
	if err != nil {
		return nil // opening it tells more
	}
	for _, other := range slices.Sorted(maps.Keys(handles)) {
		if other == name || (handles[name].ReadOnly && handles[other].ReadOnly) {
			continue
		}
		if info, err := os.Stat(handles[other].Path); err == nil && os.SameFile(own, info) {
			return abi.Errorf(abi.InvalidArgument, "it is the same file as the handle %q", other)
		}
	}
	return nil
}

// lazyStore is a store that is opened when it is first needed, and anew when its
// file was replaced.
type lazyStore struct {
	log  *slog.Logger
	open func(context.Context) (*sqlite.Store, error)

	mu     sync.Mutex
	store  *sqlite.Store // nil until open succeeded
	closed bool
}

var _ interface {
	data.Store
	data.Transactor
} = (*lazyStore)(nil)

func (s *lazyStore) get(ctx context.Context) (*sqlite.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, abi.Errorf(abi.Unavailable, "the database is closed")
	}
	if s.store != nil && s.store.Moved() {
		s.log.Warn("the database file was replaced; the new one is opened")
		if err := s.store.Close(); err != nil {
			s.log.Warn("closing the database file that was replaced", "error", err)
		}
		s.store = nil
	}
	if s.store == nil {
		store, err := s.open(ctx)
		if err != nil {
			// The reason names paths, which are not for guests.
			s.log.Warn("database cannot be opened; the next use tries again", "error", err)
			code := abi.CodeOf(err)
			if code == abi.NotFound {
				code = abi.Unavailable
			}
			return nil, abi.Errorf(code, "the database cannot be opened; the host's log says why")
		}
		s.store = store
	}
	return s.store, nil
}

// Open implements [data.Store].
func (s *lazyStore) Open(ctx context.Context, q *abi.Query, scope *data.Scope) (data.Cursor, error) {
	for {
		store, err := s.get(ctx)
		if err != nil {
			return nil, err
		}
		c, err := store.Open(ctx, q, scope)
		if err == nil || !store.Moved() || ctx.Err() != nil {
			return c, err
		}
	}
}

// Select implements [data.Store].
func (s *lazyStore) Select(ctx context.Context, sql string, params map[string]any, scope *data.Scope) (data.Cursor, error) {
	for {
		store, err := s.get(ctx)
		if err != nil {
			return nil, err
		}
		c, err := store.Select(ctx, sql, params, scope)
		if err == nil || !store.Moved() || ctx.Err() != nil {
			return c, err
		}
	}
}

// Write implements [data.Store]. A batch that was lost with the file it was
// written to goes to the new one.
func (s *lazyStore) Write(ctx context.Context, ms []abi.Mutation, rows []byte, scope *data.Scope) ([]abi.WriteResult, error) {
	for {
		store, err := s.get(ctx)
		if err != nil {
			return nil, err
		}
		results, err := store.Write(ctx, ms, rows, scope)
		if err == nil || !store.Moved() || ctx.Err() != nil {
			return results, err
		}
	}
}

// Begin implements [data.Transactor]. What was written in a transaction is lost
// with its file: it is for the task to do it again.
func (s *lazyStore) Begin(ctx context.Context) (data.Tx, error) {
	for {
		store, err := s.get(ctx)
		if err != nil {
			return nil, err
		}
		tx, err := store.Begin(ctx)
		if err == nil || !store.Moved() || ctx.Err() != nil {
			return tx, err
		}
	}
}

// Effect implements [data.Transactor].
func (s *lazyStore) Effect(ctx context.Context, key string) (*data.Effect, error) {
	for {
		store, err := s.get(ctx)
		if err != nil {
			return nil, err
		}
		e, err := store.Effect(ctx, key)
		if err == nil || !store.Moved() || ctx.Err() != nil {
			return e, err
		}
	}
}

// Close implements [data.Store].
func (s *lazyStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.store == nil {
		return nil
	}
	return s.store.Close()
}
