package socket

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

func open(t testing.TB, f File) (*Server, error) {
	t.Helper()
	r, _ := newRouter(t)
	return ServeCommands(t.Context(), Config{File: f}, r, command.Operator())
}

func TestFileAndMode(t *testing.T) {
	t.Parallel()
	for mode, want := range map[fs.FileMode]fs.FileMode{0: 0o600, 0o600: 0o600, 0o660: 0o660, 0o666: 0o666} {
		path := newPath(t)
		s, err := open(t, File{Path: path, Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != fs.ModeSocket|want {
			t.Errorf("mode %o: got %v, %v", mode, info.Mode(), err)
		}
		if all, _ := os.ReadDir(filepath.Dir(path)); len(all) != 1 {
			t.Errorf("beside the socket there is %v", all)
		}
		stop(t, s)
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after Stop: %v", err)
		}
	}
}

func TestGroup(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("skipped: there are no groups of files here")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	g, err := user.LookupGroupId(me.Gid)
	if err != nil {
		t.Skip("skipped: the group of this user has no name")
	}
	for _, group := range []string{me.Gid, g.Name} {
		s, err := open(t, File{Path: newPath(t), Group: group, Mode: 0o660})
		if err != nil {
			t.Errorf("group %s: %v", group, err)
			continue
		}
		stop(t, s)
	}
	_, err = open(t, File{Path: newPath(t), Group: "no-such-group"})
	if !errors.Is(err, abi.InvalidArgument) || !strings.Contains(err.Error(), "no-such-group") {
		t.Errorf("an unknown group: %v", err)
	}
}

func TestWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	dir := func(t *testing.T) string { return filepath.Dir(newPath(t)) }
	for _, tt := range []struct {
		name string
		make func(t *testing.T) (path string)
		code abi.Code
		says string
		left bool // what was there is there still
	}{
		{"a socket that was left behind", func(t *testing.T) string { return abandon(t) }, abi.OK, "", false},
		{"a socket that is served", func(t *testing.T) string { path, _ := serveCommands(t, Config{}); return path }, abi.Conflict, "another process serves it", true},
		{"a file", func(t *testing.T) string {
			path := abandon(t) + ".file"
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, abi.Conflict, "there is a file, which is left alone", true},
		{"a link to a socket that was left behind", func(t *testing.T) string {
			target := abandon(t)
			if err := os.Symlink(target, target+".link"); err != nil {
				t.Fatal(err)
			}
			return target + ".link"
		}, abi.Conflict, "there is a symbolic link", true},
		{"a link to nothing", func(t *testing.T) string {
			target := abandon(t)
			if err := os.Symlink(target+".none", target+".link"); err != nil {
				t.Fatal(err)
			}
			return target + ".link"
		}, abi.Conflict, "there is a symbolic link", true},
		{"a folder", func(t *testing.T) string {
			path := abandon(t) + ".dir"
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			return path
		}, abi.Conflict, "there is a folder", true},
		{"no folder to be in", func(t *testing.T) string { return filepath.Join(dir(t), "none", "s") }, abi.Unavailable, "no such file", false},
		{"a long path", func(t *testing.T) string { return filepath.Join(dir(t), strings.Repeat("s", MaxPath)) }, abi.InvalidArgument, "1 to 96", false},
		{"no path", func(t *testing.T) string { return "" }, abi.InvalidArgument, "a path of 0 bytes", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := tt.make(t)
			before, _ := os.Lstat(path)
			s, err := open(t, File{Path: path})
			if tt.code == abi.OK {
				if err != nil {
					t.Fatal(err)
				}
				defer stop(t, s)
				contains(t, dial(t, path).ask(echo), "true")
				return
			}
			if !errors.Is(err, tt.code) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
			after, _ := os.Lstat(path)
			if tt.left != (after != nil && os.SameFile(before, after)) {
				t.Errorf("before %v, after %v", before, after)
			}
			if all, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".w*")); path != "" && len(all) > 0 {
				t.Errorf("%v is left behind", all)
			}
		})
	}
}

// The longest path fits also where the private folder's is longer.
func TestLongestPath(t *testing.T) {
	t.Parallel()
	dir := filepath.Dir(newPath(t))
	deep := filepath.Join(dir, strings.Repeat("d", MaxPath-2-len(dir)-1))
	if err := os.Mkdir(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(deep, "s")
	if len(path) != MaxPath {
		t.Fatalf("the path has %d bytes", len(path))
	}
	for range 2 { // the second takes over from the first
		s, err := open(t, File{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		contains(t, dial(t, path).ask(echo), "true")
		s.file.made = nil // as if it had been killed, the file stays
		stop(t, s)
	}
	if err := os.RemoveAll(deep); err != nil {
		t.Error(err)
	}
}

// Of several hosts that start at once on what a killed one left, one serves and
// the others say so.
func TestTakingOverIsExclusive(t *testing.T) {
	t.Parallel()
	path := abandon(t)
	var served, refused atomic.Int32
	var winner atomic.Pointer[Server]
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := open(t, File{Path: path})
			switch {
			case err == nil:
				served.Add(1)
				winner.Store(s)
			case errors.Is(err, abi.Conflict) || errors.Is(err, abi.Unavailable):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if served.Load() != 1 || refused.Load() != 7 {
		t.Fatalf("%d serve and %d were refused", served.Load(), refused.Load())
	}
	contains(t, dial(t, path).ask(echo), "true")
	stop(t, winner.Load())
}

// Somebody else's socket, put where ours was, is not removed.
func TestStopLeavesWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s, err := open(t, File{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the other socket: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// A process that is killed leaves its socket behind, with clients connected; the
// next takes it over.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	if os.Getenv("SOCKET_TEST_PATH") != "" {
		t.Skip("skipped: this is the other process")
	}
	path := newPath(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServeUntilKilled$")
	cmd.Env = append(os.Environ(), "SOCKET_TEST_PATH="+path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other process's socket", func() bool { _, err := os.Lstat(path); return err == nil })
	contains(t, dial(t, path).ask(echo), "true")
	if _, err := open(t, File{Path: path}); !errors.Is(err, abi.Conflict) {
		t.Errorf("while it lives: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("it left nothing behind: %v", err)
	}
	s, err := open(t, File{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	contains(t, dial(t, path).ask(echo), "true")
	stop(t, s)
}

// TestServeUntilKilled is the other process of TestKilledProcess.
func TestServeUntilKilled(t *testing.T) {
	path := os.Getenv("SOCKET_TEST_PATH")
	if path == "" {
		t.Skip("skipped: only TestKilledProcess runs this")
	}
	if _, err := open(t, File{Path: path}); err != nil {
		t.Fatal(err)
	}
	select {}
}
