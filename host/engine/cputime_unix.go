//go:build linux || darwin || freebsd

package engine

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadCPU returns the processor time that the calling thread has used, user
// and system together.
func threadCPU() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
