//go:build !linux

package crash

import (
	"errors"
	"runtime"
)

const filterEnv = "WASMHOST_CRASH_FILTER"

func filtered() error { return errors.ErrUnsupported }

func trace(program, *moment) (*run, error) {
	return nil, errors.New("there is no ptrace as on Linux on " + runtime.GOOS)
}
