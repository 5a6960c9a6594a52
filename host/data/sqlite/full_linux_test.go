package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/datatest"
)

func init() { children["disk"] = childDisk }

// TestDiskFull is on a file system of one mebibyte, in a child that may mount
// one: as root, or in a user namespace.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"WAL", "DELETE"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			c := childProcess(t, "disk", t.TempDir(), mode)
			c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
			if os.Geteuid() != 0 {
				c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
				c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
				c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
			}
			out, err := c.CombinedOutput()
			switch {
			case errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || strings.Contains(string(out), "cannot mount"):
				t.Skipf("skipped: a full disk and a read-only one, as this machine does not let us mount one: %v %s", err, out)
			case err != nil:
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}

// childDisk fills a small disk up, makes room, and lets it be read-only.
func childDisk(args ...string) error {
	dir, mode := args[0], args[1]
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot mount: %w", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		return fmt.Errorf("cannot mount: %w", err)
	}
	ctx := context.Background()
	path := filepath.Join(dir, "test.db")
	if err := childSQL(path, "PRAGMA journal_mode="+mode, `CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)`); err != nil {
		return err
	}
	s, err := Open(ctx, Config{Path: path})
	if err != nil {
		return err
	}
	write := func(rows ...[]any) error {
		_, err := s.Write(ctx, []abi.Mutation{{Collection: "t", Verb: abi.Insert}}, datatest.Batch([]string{"id", "body"}, rows...), data.Everything())
		return err
	}
	wantRows := func(want int) error {
		got, err := readAll(s, abi.Query{Collection: "t", Columns: []string{"id"}})
		if err != nil || len(got) != want {
			return fmt.Errorf("%d rows, %w, want %d", len(got), err, want)
		}
		return nil
	}
	if err := write([]any{int64(-1), ""}); err != nil {
		return err
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 500<<10), 0o600); err != nil {
		return err
	}
	for range 3 {
		if err := write(childRows(400)...); abi.CodeOf(err) != abi.Full {
			return fmt.Errorf("on a full disk: %w", err)
		}
		if err := wantRows(1); err != nil {
			return err
		}
	}
	if err := os.Remove(filler); err != nil {
		return err
	}
	if err := write(childRows(50)...); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	if err := wantRows(51); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}

	if err := syscall.Mount("none", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		return err
	}
	if s, err = Open(ctx, Config{Path: path}); err != nil {
		if mode == "WAL" && abi.CodeOf(err) == abi.Unavailable {
			return nil // the log's index cannot be made; SQLite says so
		}
		return err
	}
	if err := wantRows(51); err != nil {
		return err
	}
	if err := write([]any{int64(-2), ""}); abi.CodeOf(err) != abi.ReadOnly {
		return fmt.Errorf("on a read-only disk: %w", err)
	}
	return s.Close()
}
