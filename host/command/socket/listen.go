package socket

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// File is the path of a socket and who may connect.
type File struct {
	Path  string
	Mode  fs.FileMode // zero for 0600
	Group string      // name or number; "" for the process's own
}

// MaxPath is the longest path of a socket, in bytes: the least that a system
// takes (104 with the zero at its end), less what the private folder needs.
const MaxPath = 96

// socketFile is a listener and the file that leads to it.
type socketFile struct {
	*net.UnixListener
	path string
	made fs.FileInfo
}

// listen makes the socket. See the package's comment.
func listen(ctx context.Context, f File) (_ *socketFile, err error) {
	fail := func(code abi.Code, format string, args ...any) error {
		return abi.Errorf(code, "socket %s: %w", f.Path, fmt.Errorf(format, args...))
	}
	if len(f.Path) > MaxPath || f.Path == "" {
		return nil, fail(abi.InvalidArgument, "a path of %d bytes: 1 to %d", len(f.Path), MaxPath)
	}
	dir := filepath.Join(filepath.Dir(f.Path), ".w"+rand.Text()[:4])
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fail(abi.Unavailable, "%w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it holds nothing that anybody looks for
	private := filepath.Join(dir, "s")
	l, err := new(net.ListenConfig).Listen(ctx, "unix", private)
	if err != nil {
		return nil, fail(abi.Unavailable, "%w", err)
	}
	s := &socketFile{UnixListener: l.(*net.UnixListener), path: f.Path}
	s.SetUnlinkOnClose(false)
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if err := permit(private, f); err != nil {
		return nil, fail(abi.InvalidArgument, "%w", err)
	}
	if s.made, err = os.Lstat(private); err != nil {
		return nil, fail(abi.Unavailable, "%w", err)
	}
	const tries = 3 // another host may come and go meanwhile
	for range tries {
		err = os.Link(private, f.Path) // fails if there is anything
		if !errors.Is(err, fs.ErrExist) {
			break
		}
		if err := takeOver(ctx, f.Path, filepath.Join(dir, "o")); err != nil {
			return nil, fail(abi.CodeOf(err), "%s", abi.MessageOf(err))
		}
	}
	if err != nil {
		return nil, fail(abi.Unavailable, "%w", err)
	}
	return s, nil
}

// permit gives a socket its group and mode.
func permit(path string, f File) error {
	if f.Group != "" {
		gid, err := strconv.Atoi(f.Group)
		if err != nil {
			g, err := user.LookupGroup(f.Group)
			if err != nil {
				return err
			}
			if gid, err = strconv.Atoi(g.Gid); err != nil {
				return err
			}
		}
		if err := os.Chown(path, -1, gid); err != nil {
			return err
		}
	}
	mode := f.Mode
	if mode == 0 {
		mode = 0o600
	}
	return os.Chmod(path, mode)
}

// takeOver removes a socket that nobody serves any more. It is moved aside
// first, and looked at again: another host may have put its own there since.
func takeOver(ctx context.Context, path, aside string) error {
	if err := abandoned(ctx, path); err != nil {
		return ignoreMissing(err)
	}
	if err := os.Rename(path, aside); err != nil {
		return ignoreMissing(abi.Errorf(abi.Unavailable, "%w", err))
	}
	if err := abandoned(ctx, aside); err != nil {
		if lerr := os.Link(aside, path); lerr != nil {
			return errors.Join(err, lerr)
		}
		return err
	}
	return os.Remove(aside)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// abandoned returns nil for a socket that nobody serves.
func abandoned(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return abi.Errorf(abi.Unavailable, "%w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return abi.Errorf(abi.Conflict, "there is %s, which is left alone; remove it, or choose another path", kindOf(info))
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = conn.Close()
		return abi.Errorf(abi.Conflict, "another process serves it; stop that, or choose another path")
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return err
	}
	return abi.Errorf(abi.Conflict, "another process may be serving it: %w", err)
}

func kindOf(info fs.FileInfo) string {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return "a symbolic link"
	case info.IsDir():
		return "a folder"
	case info.Mode().IsRegular():
		return "a file"
	}
	return "something that is no socket (" + strings.TrimSpace(info.Mode().String()) + ")"
}

// Close stops listening. The file goes first, so that nobody finds it and is
// refused, and only if it is ours: somebody may have put another one there.
func (s *socketFile) Close() error {
	var err error
	if info, serr := os.Lstat(s.path); serr == nil && os.SameFile(info, s.made) {
		err = os.Remove(s.path)
	}
	return errors.Join(err, s.UnixListener.Close())
}
