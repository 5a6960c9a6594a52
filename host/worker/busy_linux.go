package worker

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// beingWritten says whether anybody has the file open for writing: the kernel
// grants a lease for reading only where nobody has. It is given back at once. A
// file system without leases, or a file of another's, tells nothing.
// https://man7.org/linux/man-pages/man2/F_SETLEASE.2const.html
func beingWritten(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK) // closing does it too
	}
	return errors.Is(err, unix.EAGAIN)
}
