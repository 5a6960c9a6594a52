package engine

import "github.com/tetratelabs/wazero/experimental"

// memory backs a sandbox's linear memory. It holds the limit of one worker: the
// runtime's own limit is one for all modules. It may begin as the image of a
// snapshot, and then goes back to it.
type memory interface {
	// Reallocate returns size bytes that begin with the old content, or nil
	// beyond the limit: the guest's memory.grow then returns -1.
	//
	// Free does nothing. The runtime calls it from inside of proc_exit, with the
	// guest's frames still on the stack, and not at all after it; the sandbox
	// calls release.
	experimental.LinearMemory

	size() uint64
	peak() uint64 // the largest size so far

	// reset brings back the image. The size must still be the image's.
	reset() error

	// release gives the memory back. No guest may run in it any more; it can be
	// called more than once.
	release()
}

// newMemory makes a memory of up to limit bytes, of which initial are sure to
// be there. With an image it begins as that; initial is then the image's size.
func newMemory(limit, initial uint64, from *image) (memory, error) {
	if from == nil || from.bytes == nil {
		if m, err := mapMemory(limit, initial, from); m != nil || err != nil {
			return m, err
		}
	}
	return newHeapMemory(limit, from), nil
}

// image is what a memory held when it was taken: in a file that memories map,
// or in bytes that they copy.
type image struct {
	size  uint64
	bytes []byte    // nil when there is a file
	file  imageFile // where the system has such files
}

// newImage takes the content of b, which it does not keep.
func newImage(b []byte) *image {
	size := uint64(len(b))
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	im := &image{size: size}
	if !im.file.fill(b) {
		im.bytes = append(make([]byte, 0, len(b)), b...)
	}
	return im
}

// close drops the image. Memories made from it stay what they are.
func (im *image) close() { im.file.close() }

// heapMemory is a memory of Go's own.
type heapMemory struct {
	limit, most uint64
	buf         []byte
	from        *image
}

func newHeapMemory(limit uint64, from *image) *heapMemory {
	m := &heapMemory{limit: limit, from: from}
	if from != nil {
		m.buf = make([]byte, from.size)
		copy(m.buf, from.bytes)
	}
	return m
}

func (m *heapMemory) Reallocate(size uint64) []byte {
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
	m.most = max(m.most, size)
	return m.buf
}

func (m *heapMemory) Free()        {}
func (m *heapMemory) size() uint64 { return uint64(len(m.buf)) }
func (m *heapMemory) peak() uint64 { return m.most }
func (m *heapMemory) release()     { m.buf = nil }

func (m *heapMemory) reset() error {
	clear(m.buf[copy(m.buf, m.from.bytes):])
	m.most = uint64(len(m.buf))
	return nil
}
