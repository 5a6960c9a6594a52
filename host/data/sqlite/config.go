package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// Config says how to serve one database file. Zero values mean the default.
type Config struct {
	Path          string        // of a file that exists
	ReadOnly      bool          // refuse every Write and open the file for reading only
	BusyTimeout   time.Duration // wait for other programs' locks; default 5 s
	Readers       int           // cursors that can be open at once; default 4
	CacheKiB      int           // page cache of the writer, each reader has an eighth; default 65536
	MaxRowBytes   int           // of one encoded row; default 64 MiB
	MaxBatchBytes int           // of the rows of one Write or Lookup; default 256 MiB
}

func (c Config) withDefaults() Config {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	if c.BusyTimeout == 0 {
		c.BusyTimeout = 5 * time.Second
	}
	set(&c.Readers, 4)
	set(&c.CacheKiB, 64<<10)
	set(&c.MaxRowBytes, 64<<20)
	set(&c.MaxBatchBytes, 256<<20)
	return c
}

func (c Config) validate() error {
	const maxRow = 512 << 20 // SQLite's own limit is below 1 GiB
	for _, field := range []struct {
		name       string
		value      int
		low, above int
	}{
		{"Readers", c.Readers, 1, 1 << 10},
		{"CacheKiB", c.CacheKiB, 1, math.MaxInt32},
		{"MaxRowBytes", c.MaxRowBytes, 1, maxRow},
		{"MaxBatchBytes", c.MaxBatchBytes, 1, math.MaxInt32},
	} {
		if field.value < field.low || field.value > field.above {
			return fmt.Errorf("sqlite: %s is %d, not within %d and %d", field.name, field.value, field.low, field.above)
		}
	}
	if c.BusyTimeout < 0 {
		return fmt.Errorf("sqlite: BusyTimeout is negative")
	}
	return nil
}

// find returns the absolute path, without symbolic links, of a database that
// exists, and which file that is. It does not open the file: closing it again would take away all
// POSIX locks that the process has on it, SQLite's among them.
func find(path string) (string, os.FileInfo, error) {
	if path == "" {
		return "", nil, abi.Errorf(abi.InvalidArgument, "sqlite: no path was given")
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err == nil {
		resolved, err = filepath.Abs(resolved)
	}
	var info os.FileInfo
	if err == nil {
		info, err = os.Stat(resolved)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil, abi.Errorf(abi.NotFound, "database %s does not exist; it must be created before it is served: %w", path, err)
	case err != nil:
		return "", nil, abi.Errorf(abi.Unavailable, "database %s: %w", path, err)
	case !info.Mode().IsRegular():
		return "", nil, abi.Errorf(abi.InvalidArgument, "database %s is no regular file but %s", path, info.Mode().Type())
	}
	return resolved, info, nil
}
