package engine

import "github.com/tetratelabs/wazero/experimental"

// memory backs a sandbox's linear memory. It exists to hold the limit of one
// worker: the runtime's own limit is one for all modules.
type memory struct {
	limit uint64
	buf   []byte
	peak  uint64
}

var _ experimental.LinearMemory = (*memory)(nil)

func newMemory(limit uint64) *memory { return &memory{limit: limit} }

// Reallocate returns size bytes that begin with the old content, or nil beyond
// the limit: the guest's memory.grow then returns -1.
func (m *memory) Reallocate(size uint64) []byte {
	if size > m.limit {
		return nil
	}
	if size > uint64(cap(m.buf)) {
		// Doubling keeps a guest that grows page by page from copying its
		// memory at each step.
		room := min(max(size, 2*uint64(cap(m.buf))), m.limit)
		grown := make([]byte, len(m.buf), room)
		copy(grown, m.buf)
		m.buf = grown
	}
	m.buf = m.buf[:size]
	m.peak = max(m.peak, size)
	return m.buf
}

// Free drops the memory.
func (m *memory) Free() { m.buf = nil }
