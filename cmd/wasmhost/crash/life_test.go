package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/cmd/wasmhost/fixture"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/queue"
)

// queued is how many tasks wait when a scene begins.
const queued = 3

// life is a folder with a worker that has had one version, which is served when a
// host runs, and whose tasks wait.
type life struct {
	t      *testing.T
	dir    string // of all sites, and of the files of new versions
	binary string
	digest map[string]string // of the versions, by name
}

// newLife makes it. The version 2 asks for no more than was allowed, the version
// 3 does, and each has its manifest in a file of its own.
func newLife(t *testing.T) *life {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l := &life{t: t, dir: dir, binary: fixture.Program(t, dir), digest: map[string]string{}}
	for version, commands := range map[string]string{"1": "'events/emit'", "2": "'events/emit'", "3": "'events/emit', 'ping'"} {
		l.write("versions/"+version+"/w.wasm", fixture.Tiny(t, abi.OK, map[string]any{"is": version}))
		l.write("versions/"+version+"/w.toml", "name = 'w'\nversion = '"+version+"'\n[requests]\nevents = ['test:*']\ncommands = ["+commands+"]\n")
	}
	l.write("base/wasmhost.toml", "state_dir = 'state'\nworkers_dir = 'workers'\n[workers.w]\nconcurrency = 2\n")
	base := filepath.Join(dir, "base")
	for _, args := range [][]string{{"deploy", l.file("1")}, {"allow", "w", "--yes"}} {
		l.must(l.command(base, args...))
	}
	h := l.start(base)
	l.must(h.stop())
	for range queued {
		l.must(l.command(base, "submit", "w"))
	}
	for _, v := range []string{"1", "2", "3"} {
		l.digest[v] = l.digestOf(v)
	}
	return l
}

func (l *life) must(err error) {
	if err != nil {
		l.t.Helper()
		l.t.Fatal(err)
	}
}

func (l *life) write(name, text string) {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	l.must(os.MkdirAll(filepath.Dir(path), 0o755))
	l.must(os.WriteFile(path, []byte(text), 0o600))
}

func (l *life) file(version string) string {
	return filepath.Join(l.dir, "versions", version, "w.wasm")
}

// digestOf asks the program itself.
func (l *life) digestOf(version string) string {
	l.t.Helper()
	dir := l.site()
	defer os.RemoveAll(dir)
	l.must(l.command(dir, "deploy", l.file(version)))
	infos, err := l.workers(dir)
	l.must(err)
	return infos[0]
}

// workers returns the digest of the file, its state and the digest that is served.
func (l *life) workers(dir string) (info [3]string, err error) {
	err = l.state(dir, func(s *host.State) error {
		infos, err := s.Workers(context.Background())
		if err == nil && len(infos) == 1 {
			info = [3]string{infos[0].Digest, string(infos[0].State), infos[0].Serving}
		}
		return err
	})
	return info, err
}

// state opens a site's database.
func (l *life) state(dir string, do func(*host.State) error) error {
	cfg, err := config.Load(config.Options{File: filepath.Join(dir, "wasmhost.toml")})
	if err != nil {
		return err
	}
	s, err := host.OpenState(context.Background(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return errors.Join(do(s), s.Close())
}

// site makes a copy of the base.
func (l *life) site() string {
	l.t.Helper()
	dir, err := os.MkdirTemp(l.dir, "site")
	l.must(err)
	l.must(os.CopyFS(dir, os.DirFS(filepath.Join(l.dir, "base"))))
	return dir
}

// program is a command line on a site.
func (l *life) program(dir string, args ...string) program {
	return program{
		argv: append([]string{l.binary, "--config", filepath.Join(dir, "wasmhost.toml")}, args...),
		env:  []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "WASMHOST_LOG__FORMAT=json"},
		dir:  dir, files: placed,
	}
}

// placed are the files that say which version is served, and what it may do.
func placed(name string) bool {
	if strings.HasPrefix(name, "workers") {
		return true
	}
	below, ok := strings.CutPrefix(name, "state/")
	return ok && !strings.HasPrefix(below, "host.") && !strings.HasPrefix(below, compiled) && !strings.HasSuffix(below, ".lock")
}

func (l *life) exec(ctx context.Context, p program) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...)
	cmd.Env, cmd.Dir = p.env, p.dir
	return cmd
}

// command runs a command line to its end. That it is refused what it asks for is no
// error here: see the verdict.
func (l *life) command(dir string, args ...string) error {
	out, err := l.exec(context.Background(), l.program(dir, args...)).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 && bytes.Contains(out, []byte("the host does not serve it")) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%v: %w\n%s", args, err, out)
	}
	return nil
}

// hosting is a host that runs.
type hosting struct {
	cmd *exec.Cmd
	log *os.File
}

// start starts a host, and waits until it serves.
func (l *life) start(dir string) *hosting {
	l.t.Helper()
	log, err := os.CreateTemp(l.dir, "log")
	l.must(err)
	h := &hosting{cmd: l.exec(context.Background(), l.program(dir, "run")), log: log}
	h.cmd.Stderr = log
	l.must(h.cmd.Start())
	l.t.Cleanup(func() { _ = h.kill() })
	l.must(eventually(func() (bool, error) { return strings.Contains(h.said(), serving), nil }))
	return h
}

func (h *hosting) said() string {
	b, _ := os.ReadFile(h.log.Name())
	return string(b)
}

// stop interrupts the host, which must end well.
func (h *hosting) stop() error {
	if h.cmd.ProcessState != nil {
		return nil
	}
	err := errors.Join(h.cmd.Process.Signal(os.Interrupt), h.cmd.Wait(), h.log.Close())
	if err != nil {
		return fmt.Errorf("the host: %w\n%s", err, h.said())
	}
	return nil
}

func (h *hosting) kill() error {
	if h.cmd.ProcessState != nil {
		return nil
	}
	err := h.cmd.Process.Kill()
	_ = h.cmd.Wait() // it was killed
	return errors.Join(err, h.log.Close())
}

// eventually waits until something is so.
func eventually(so func() (bool, error)) error {
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if ok, err := so(); ok || err != nil {
			return err
		}
		if time.Now().After(end) {
			return errors.New("it does not come to be so")
		}
	}
}

// consistent starts a host on a site where something was killed, and holds it to
// one version: the file in the folder, what the history has, and what is served
// are the same, and one of those wanted, or it is held and the version 1 goes on.
// All tasks end, each once, and nothing is left behind.
func (l *life) consistent(dir string, wanted ...string) error {
	h := l.start(dir)
	defer h.kill() //nolint:errcheck // it has ended by then, or an error is on its way
	var info [3]string
	err := eventually(func() (ok bool, err error) {
		info, err = l.workers(dir)
		return info[1] == "ready" && info[2] == info[0] || info[1] == "held" && info[2] == l.digest["1"] && info[0] == l.digest["3"], err
	})
	if err != nil {
		return fmt.Errorf("workers: %w: %v, with the versions %v\n%s", err, info, l.digest, h.said())
	}
	if !slices.ContainsFunc(wanted, func(v string) bool { return info[0] == l.digest[v] }) {
		return fmt.Errorf("the file's digest is %.12s, of the versions %v one of %v is wanted", info[0], l.digest, wanted)
	}
	if err := l.command(dir, "submit", "w", "--wait"); err != nil {
		return err
	}
	err = l.state(dir, func(s *host.State) error { return l.ended(s) })
	if err := errors.Join(err, h.stop()); err != nil {
		return err
	}
	return l.leftovers(dir)
}

// ended looks at the tasks.
func (l *life) ended(s *host.State) error {
	ctx := context.Background()
	var tasks []queue.Record
	err := eventually(func() (done bool, err error) {
		tasks, err = s.Queue.List(ctx, queue.Filter{Limit: 1000})
		return !slices.ContainsFunc(tasks, func(r queue.Record) bool { return !r.State.Finished() }), err
	})
	if err != nil {
		return fmt.Errorf("tasks: %w: %+v", err, tasks)
	}
	if len(tasks) <= queued {
		return fmt.Errorf("%d tasks of %d are lost", queued+1-len(tasks), queued+1)
	}
	for _, r := range tasks {
		if r.State != queue.Completed || r.Attempt != 1 || !bytes.Contains(r.Result, []byte(`"is"`)) {
			return fmt.Errorf("a task ended as %+v", r)
		}
		for _, e := range r.Errors {
			if e.Code != abi.Interrupted {
				return fmt.Errorf("a task failed: %+v", r)
			}
		}
	}
	ends := map[string]int{}
	events, err := s.Events.Since(ctx, 0, 1000, "task:completed")
	for _, e := range events {
		if ends[e.Task]++; ends[e.Task] > 1 {
			return fmt.Errorf("the task %s ended twice", e.Task)
		}
	}
	if err == nil && len(ends) != len(tasks) {
		err = fmt.Errorf("of %d tasks the end of %d was told", len(tasks), len(ends))
	}
	return err
}

// leftovers finds what nobody needs any more.
func (l *life) leftovers(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch parent := filepath.Base(filepath.Dir(path)); {
		case err != nil:
			return err
		case strings.HasSuffix(path, ".tmp"), d.IsDir() && (parent == "placing" || parent == "candidates"):
			return fmt.Errorf("left behind: %s", path)
		}
		return nil
	})
}

// TestLifeCrash kills the program at each change of a file, or at some of them, while
// it deploys, allows, swaps and compares versions, and wants the host that is started
// then to be of one mind.
func TestLifeCrash(t *testing.T) {
	t.Parallel()
	if err := traceable(t); err != nil {
		t.Skipf("skipped: crashes at chosen system calls: %v", err)
	}
	thorough, seed := chosen(t)
	random := rand.New(rand.NewPCG(seed, 1))
	l := newLife(t)
	// alone is a command line that nothing is done beside.
	alone := func(args ...string) func(string) (program, func()) {
		return func(dir string) (program, func()) { return l.program(dir, args...), func() {} }
	}
	// beside is a host that serves, and a command line beside it that has it serve
	// another version, which ends with it.
	beside := func(version string, args ...string) func(string) (program, func()) {
		return func(dir string) (program, func()) {
			p := l.program(dir, "run")
			p.until = l.digest[version][:12] + `","bytes"`
			ctx, cancel := context.WithCancel(context.Background())
			var all sync.WaitGroup
			var given atomic.Bool
			p.heard = func(line string) {
				if strings.Contains(line, serving) && given.CompareAndSwap(false, true) {
					all.Go(func() { _ = l.exec(ctx, l.program(dir, args...)).Run() }) // what comes of it is the verdict's
				}
			}
			return p, func() { cancel(); all.Wait() }
		}
	}
	for _, scene := range []struct {
		name    string
		before  []string // a command that comes first
		beside  bool     // a host runs, and is killed with it
		tasks   bool     // tasks are given meanwhile
		program func(dir string) (program, func())
		wanted  []string
	}{
		{"deploy, without a host", nil, false, false, alone("deploy", l.file("2")), []string{"1", "2"}},
		{"deploy, beside a host", nil, true, false, alone("deploy", l.file("2")), []string{"1", "2"}},
		{"deploy of what is held", nil, true, false, alone("deploy", l.file("3"), "--wait", "0"), []string{"1", "3"}},
		{"rollback", []string{"deploy", l.file("2")}, true, false, alone("rollback", "w", "1"), []string{"1", "2"}},
		{"allow", []string{"deploy", l.file("3")}, false, false, alone("allow", "w", "--yes"), []string{"3"}},
		{"a swap", nil, false, false, beside("2", "deploy", l.file("2"), "--wait", "0"), []string{"1", "2"}},
		{"deploy --canary", nil, true, true, alone("deploy", l.file("2"), "--canary", "1", "--ignore", "is", "--yes"), []string{"1", "2"}},
		{"a canary's host", nil, false, true, beside("2", "deploy", l.file("2"), "--canary", "1", "--ignore", "is", "--yes"), []string{"1", "2"}},
	} {
		try := func(m *moment) (*run, error) {
			dir := l.site()
			defer os.RemoveAll(dir)
			var serving *hosting
			if scene.beside {
				serving = l.start(dir)
			}
			if scene.before != nil {
				if err := l.command(dir, scene.before...); err != nil {
					return nil, err
				}
			}
			enough := make(chan struct{})
			over := make(chan struct{})
			go func() {
				defer close(over)
				for scene.tasks {
					select {
					case <-enough:
						return
					default:
						_ = l.command(dir, "submit", "w")
					}
				}
			}()
			p, end := scene.program(dir)
			r, err := trace(p, m)
			end()
			close(enough)
			<-over
			if err == nil && !r.killed && r.exit > 1 {
				err = fmt.Errorf("exit %d: %s", r.exit, r.log)
			}
			if err != nil {
				return nil, err
			}
			if serving != nil {
				if err := serving.kill(); err != nil {
					return nil, err
				}
			}
			return r, l.consistent(dir, scene.wanted...)
		}
		whole, err := try(nil)
		if err != nil {
			t.Errorf("%s, not disturbed: %v", scene.name, err)
			continue
		}
		var moments []moment
		for _, k := range []kind{syncs, writes} {
			for n := range whole.count(k) {
				moments = append(moments, moment{kind: k, n: n + 1}, moment{kind: k, n: n + 1, after: true})
			}
		}
		all := len(moments)
		if all < 4 {
			t.Errorf("%s: %d moments: is what it changes known?", scene.name, all)
		}
		random.Shuffle(all, func(i, j int) { moments[i], moments[j] = moments[j], moments[i] })
		if !thorough {
			moments = moments[:min(all, 3)]
		}
		killed := 0
		for _, m := range moments {
			r, err := try(&m)
			if err != nil {
				t.Errorf("%s, killed %v: %v; %s=%d", scene.name, m, err, seedEnv, seed)
			}
			if r != nil && r.killed {
				killed++
			}
		}
		if killed == 0 {
			t.Errorf("%s: killed at none of %d moments", scene.name, len(moments))
		}
		fmt.Fprintf(t.Output(), "%-24s %3d moments, killed at %3d\n", scene.name, all, killed)
	}
}
