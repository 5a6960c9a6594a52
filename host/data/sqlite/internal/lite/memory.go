package lite

import (
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	stageKeep = 1 << 20 // bytes of staging memory that a connection keeps
	stageStep = 4 << 10
)

var errNoMemory = &Error{Code: sqlite3.SQLITE_NOMEM, Text: "out of memory"}

// pointer turns an address of SQLite's memory into a pointer. The detour over
// the variable says to vet what the package promises: that the address is
// never one of Go's heap.
func pointer(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

// view returns n bytes of SQLite's memory.
func view(p uintptr, n int) []byte {
	if n <= 0 || p == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(pointer(p)), n)
}

func malloc(tls *libc.TLS, n int) (uintptr, error) {
	p := sqlite3.Xsqlite3_malloc64(tls, uint64(n))
	if p == 0 {
		return 0, errNoMemory
	}
	return p, nil
}

// cstring copies s, with a NUL behind it, into memory that the caller frees.
func cstring(tls *libc.TLS, s string) (uintptr, error) {
	p, err := malloc(tls, len(s)+1)
	if err != nil {
		return 0, err
	}
	b := view(p, len(s)+1)
	copy(b, s)
	b[len(s)] = 0
	return p, nil
}

// memory is a piece of SQLite's memory that grows.
type memory struct {
	p    uintptr
	size int
}

func (m *memory) load(tls *libc.TLS, b []byte) error {
	if len(b) > m.size || m.p == 0 {
		m.free(tls)
		size := (len(b)/stageStep + 1) * stageStep
		p, err := malloc(tls, size)
		if err != nil {
			return err
		}
		m.p, m.size = p, size
	}
	copy(view(m.p, m.size), b)
	return nil
}

func (m *memory) free(tls *libc.TLS) {
	if m.p != 0 {
		sqlite3.Xsqlite3_free(tls, m.p)
	}
	*m = memory{}
}

// PageCache returns the bytes that the page caches of all connections of the
// process hold, and the most that they have held.
func PageCache() (now, most int64) {
	tls := libc.NewTLS()
	defer tls.Close()
	out, err := malloc(tls, 16)
	if err != nil {
		return 0, 0
	}
	defer sqlite3.Xsqlite3_free(tls, out)
	v := (*[2]int64)(pointer(out))
	*v = [2]int64{}
	// No memory is set aside for page caches, so that all of it "overflows".
	sqlite3.Xsqlite3_status64(tls, sqlite3.SQLITE_STATUS_PAGECACHE_OVERFLOW, out, out+8, 0)
	return v[0], v[1]
}
