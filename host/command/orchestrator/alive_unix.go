//go:build unix

package orchestrator

import "syscall"

// alive says whether the other side has neither closed an idle connection nor
// sent anything that nobody asked for.
func alive(c syscall.RawConn) bool {
	quiet := false
	err := c.Read(func(fd uintptr) bool {
		var b [1]byte
		_, err := syscall.Read(int(fd), b[:])
		quiet = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true
	})
	return err == nil && quiet
}
