package engine

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// imageFile is a file without a name, in memory, that nobody can write to.
type imageFile struct {
	*os.File
	size    uint64   // of the file, whole pages
	pagemap *os.File // nil where it cannot be asked for pages
}

// fill makes the file. It says false where the system does not let it.
func (f *imageFile) fill(b []byte) bool {
	fd, err := unix.MemfdCreate("wasmhost-snapshot", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return false
	}
	file := os.NewFile(uintptr(fd), "wasmhost-snapshot")
	if err := writeSparse(file, b); err != nil {
		_ = file.Close()
		return false
	}
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		_ = file.Close()
		return false
	}
	f.File, f.size = file, roundUp(uint64(len(b)))
	f.pagemap, _ = os.Open("/proc/self/pagemap")
	return true
}

// writeSparse leaves pages of zeros as holes.
func writeSparse(f *os.File, b []byte) error {
	if err := f.Truncate(int64(roundUp(uint64(len(b))))); err != nil {
		return err
	}
	const block = 4096
	zeros := make([]byte, block)
	for at := 0; at < len(b); at += block {
		part := b[at:min(at+block, len(b))]
		if string(part) == string(zeros[:len(part)]) {
			continue
		}
		if _, err := f.WriteAt(part, int64(at)); err != nil {
			return err
		}
	}
	return nil
}

func (f *imageFile) close() {
	if f.File != nil {
		_ = f.Close() // nothing is written to it that could be lost
	}
	if f.pagemap != nil {
		_ = f.pagemap.Close()
	}
}

// roundUp makes n a multiple of the system's pages.
func roundUp(n uint64) uint64 {
	page := uint64(unix.Getpagesize())
	return (n + page - 1) / page * page
}

// mappedMemory is address space for the whole limit, of which the guest's
// memory is the part that can be touched. So it never moves, growing copies
// nothing, and pages that the guest does not use cost nothing. An image is
// mapped at its start, privately: a page is copied when the guest writes to it.
type mappedMemory struct {
	space []byte // nil when released
	from  *image // nil for none
	used  uint64 // can be touched
	now   uint64 // the guest's
	most  uint64
	scan  pageScan
}

// mapMemory returns nil and no error where memory cannot be mapped at all.
func mapMemory(limit, initial uint64, from *image) (memory, error) {
	length := uintptr(roundUp(max(limit, 1)))
	at, err := unix.MmapPtr(-1, 0, nil, length, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		if from == nil {
			return nil, nil
		}
		return nil, fmt.Errorf("reserving %d bytes of memory: %w", limit, err)
	}
	m := &mappedMemory{space: unsafe.Slice((*byte)(at), length), from: from}
	if !m.touchable(initial) {
		m.release()
		return nil, fmt.Errorf("taking %d bytes of memory from the system", initial)
	}
	if from != nil {
		if err := m.mapImage(from); err != nil {
			m.release()
			return nil, fmt.Errorf("mapping a snapshot: %w", err)
		}
	}
	return m, nil
}

func (m *mappedMemory) mapImage(from *image) error {
	if from.file.size == 0 {
		return nil
	}
	conn, err := from.file.SyscallConn()
	if err != nil {
		return err
	}
	// Control keeps the file from being closed, and its number from being given
	// to another, meanwhile.
	cerr := conn.Control(func(fd uintptr) {
		_, err = unix.MmapPtr(int(fd), 0, unsafe.Pointer(unsafe.SliceData(m.space)), uintptr(from.file.size),
			unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED)
	})
	if cerr != nil {
		return cerr
	}
	return err
}

// touchable makes the first size bytes readable and writable.
func (m *mappedMemory) touchable(size uint64) bool {
	if size <= m.used {
		return true
	}
	if size > uint64(len(m.space)) || unix.Mprotect(m.space[m.used:roundUp(size)], unix.PROT_READ|unix.PROT_WRITE) != nil {
		return false
	}
	m.used = roundUp(size)
	return true
}

func (m *mappedMemory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.space)) || !m.touchable(size) {
		return nil
	}
	m.now, m.most = size, max(m.most, size)
	return m.space[:size:size]
}

func (m *mappedMemory) Free()        {}
func (m *mappedMemory) size() uint64 { return m.now }
func (m *mappedMemory) peak() uint64 { return m.most }

// reset writes the image over the pages that are the guest's own, if they are
// few: the guest will want most of them again, and a page that is written over
// costs a tenth of one that has to be copied on a fault. Otherwise it drops them:
// what is there then is the image again, and zeros behind it.
func (m *mappedMemory) reset() error {
	m.most = m.now
	if m.from != nil && m.from.file.rewrite(m.space[:m.used], &m.scan) {
		return nil
	}
	return unix.Madvise(m.space[:m.used], unix.MADV_DONTNEED)
}

func (m *mappedMemory) release() {
	if m.space != nil {
		// It cannot fail for a mapping that is ours.
		_ = unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(m.space)), uintptr(len(m.space)))
		m.space, m.used = nil, 0
	}
}
