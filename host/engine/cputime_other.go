//go:build !linux && !darwin && !freebsd

package engine

import "time"

// threadCPU returns 0: this system tells no thread's time, or only in steps
// longer than most tasks.
func threadCPU() time.Duration { return 0 }
