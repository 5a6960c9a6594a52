package engine

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of a private mapping of a file the kernel knows which pages were written to:
// they are not the file's any more. PAGEMAP_SCAN tells them, since Linux 6.7.
// https://docs.kernel.org/admin-guide/mm/pagemap.html

const (
	pagemapScan = 0xc0606610 // _IOWR('f', 16, struct pm_scan_arg)

	pageIsFile    = 1 << 2
	pageIsPresent = 1 << 3
	pageIsSwapped = 1 << 4
	pageIsZero    = 1 << 5 // one that was read and is the kernel's page of zeros
)

// scanArg is struct pm_scan_arg.
type scanArg struct {
	size, flags, start, end, walkEnd   uint64
	vec, vecLen, maxPages              uint64
	inverted, mask, anyOf, returnedFor uint64
}

// pageRegion is struct page_region.
type pageRegion struct {
	start, end uint64
	_          uint64 // what they have in common
}

const maxOwnPages = 128 // of a sandbox that waits for its next task: half a MiB

// pageScan is one question to the kernel and its answer, which it writes to an
// address: so it must not be on a stack, which moves.
type pageScan struct {
	arg     scanArg
	regions [64]pageRegion
}

// ownPages returns the pages of b that are not the file's that is mapped there.
// It says false if they are too many, or cannot be told.
func (f *imageFile) ownPages(b []byte, scan *pageScan) (own []pageRegion, ok bool) {
	if f.pagemap == nil || len(b) == 0 {
		return nil, false
	}
	conn, err := f.pagemap.SyscallConn()
	if err != nil {
		return nil, false
	}
	start := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
	var pin runtime.Pinner
	pin.Pin(scan)
	defer pin.Unpin()
	arg := &scan.arg
	*arg = scanArg{
		start: start, end: start + uint64(len(b)),
		vec: uint64(uintptr(unsafe.Pointer(&scan.regions))), vecLen: uint64(len(scan.regions)), maxPages: maxOwnPages + 1,
		// In them, and neither the file's nor zeros.
		anyOf: pageIsPresent | pageIsSwapped, mask: pageIsFile | pageIsZero, inverted: pageIsFile | pageIsZero,
	}
	arg.size = uint64(unsafe.Sizeof(*arg))
	var n uintptr
	var errno unix.Errno
	// Control keeps the file from being closed meanwhile.
	err = conn.Control(func(fd uintptr) {
		n, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, pagemapScan, uintptr(unsafe.Pointer(arg)))
	})
	if err != nil || errno != 0 || n > uintptr(len(scan.regions)) || arg.walkEnd != arg.end {
		return nil, false
	}
	own, pages := scan.regions[:n], uint64(0)
	for i := range own {
		own[i].start -= start
		own[i].end -= start
		pages += (own[i].end - own[i].start) / uint64(unix.Getpagesize())
	}
	return own, pages <= maxOwnPages
}

// rewrite writes what the file has over the pages of b that are not the file's.
// It says false if these are too many, or cannot be told.
func (f *imageFile) rewrite(b []byte, scan *pageScan) bool {
	own, ok := f.ownPages(b, scan)
	for _, r := range own {
		if !ok {
			return false
		}
		part := b[r.start:r.end]
		if r.start < f.size {
			n := min(uint64(len(part)), f.size-r.start)
			if _, err := f.ReadAt(part[:n], int64(r.start)); err != nil {
				return false
			}
			part = part[n:]
		}
		clear(part)
	}
	return ok
}
