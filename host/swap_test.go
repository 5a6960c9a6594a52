package host_test

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/command/socket"
	"github.com/wasmhost/wasmhost/host/queue"
	"github.com/wasmhost/wasmhost/host/worker"
)

// swaps is how often TestSwap replaces the file: all of them for make swap, some
// in every run of the tests.
func swaps() int {
	if n, err := strconv.Atoi(os.Getenv("WASMHOST_SWAP")); err == nil {
		return n
	}
	return 20
}

// load gives a worker tasks and calls, one after the other each, until it is
// stopped.
type load struct {
	world *world
	host  *host.Host
	path  string

	calls, failed atomic.Int64
	mu            sync.Mutex
	ids           []string
	took          []time.Duration // of tasks
	wrong         []string
}

func (l *load) run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for range 2 {
		all.Go(func() {
			for ctx.Err() == nil {
				l.task()
			}
		})
		all.Go(func() {
			for ctx.Err() == nil {
				b, err := socket.Call(context.WithoutCancel(ctx), l.path, "test/is", nil)
				l.calls.Add(1)
				if err != nil || !isVersion(b) {
					l.failed.Add(1)
					l.note("a call: %s, %v", b, err)
				}
			}
		})
	}
}

func (l *load) task() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	begin := time.Now()
	id, _, err := l.host.State().Submit(ctx, queue.Submission{Worker: "w"})
	if err != nil {
		l.note("submitting: %v", err)
		return
	}
	r, err := l.host.State().Queue.Wait(ctx, id)
	took := time.Since(begin)
	if err != nil || r.State != queue.Completed || r.Attempt != 1 || len(r.Errors) != 0 || !isVersion(r.Result) {
		l.note("task %s: %+v, %v", id, r, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids, l.took = append(l.ids, id), append(l.took, took)
}

func (l *load) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrong) < 10 {
		l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
	}
}

// isVersion says whether a result is that of a version that was to be served.
func isVersion(b []byte) bool {
	var r struct{ Is string }
	return json.Unmarshal(b, &r) == nil && (r.Is == "a" || r.Is == "b")
}

// during runs the load while f does, and returns the median and the 99th
// percentile of what tasks took.
func (l *load) during(f func()) (p50, p99 time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	l.took = nil
	go func() { defer close(done); l.run(ctx) }()
	f()
	cancel()
	<-done
	slices.Sort(l.took)
	if len(l.took) == 0 {
		return 0, 0
	}
	return l.took[len(l.took)/2], l.took[len(l.took)*99/100]
}

// resident is the process's memory in MiB, the guests' included; 0 where it
// cannot be told.
func resident() float64 {
	runtime.GC()
	runtime.GC() // what finalizers let go of
	b, err := os.ReadFile("/proc/self/statm")
	if f := bytes.Fields(b); err == nil && len(f) > 1 {
		pages, _ := strconv.Atoi(string(f[1]))
		return float64(pages) * float64(os.Getpagesize()) / (1 << 20)
	}
	return 0
}

// What there may be more of after all swaps than after a tenth of them. A version
// that is not closed keeps its snapshot, which is a file: 180 of them would also
// take 30 MiB.
const (
	mostGrowth     = 16 // MiB
	mostGoroutines = 20
	mostFiles      = 10
)

// openFiles is how many the process has; 0 where that cannot be told.
func openFiles() int {
	list, _ := os.ReadDir("/proc/self/fd")
	return len(list)
}

// TestSwap replaces a worker under load, again and again: no task is lost or run
// twice, no call fails, and what is broken serves nobody. It runs alone: see make
// swap, which prints what it measures.
func TestSwap(t *testing.T) {
	w := newWorld(t)
	w.must(os.Remove(w.path("workers/archive.wasm")))
	good := [2][]byte{tiny{manifest: named("a", ""), result: "a"}.module(), tiny{manifest: named("b", ""), result: "b"}.module()}
	broken := [][]byte{
		[]byte("garbage"),
		tiny{manifest: named("traps", ""), result: "broken", start: true}.module(),
		tiny{manifest: asking("asks", "ping"), result: "broken"}.module(),
		tiny{manifest: named("fails", `,"self_test":{"kind":"k"}`), result: "broken", traps: true}.module(),
	}
	w.drop("w", good[0])
	w.toml = "[log]\nlevel = 'error'\n[command]\nsocket = 'c.sock'\n[workers.w]\nconcurrency = 2\n[workers.w.grants]\nprovides = ['test/is']\n"
	h, _ := w.start()
	l := &load{world: w, host: h, path: w.path("c.sock")}

	n := swaps()
	quiet50, quiet99 := l.during(func() { time.Sleep(time.Duration(n) * 15 * time.Millisecond) })
	var early float64
	goroutines, files := 0, 0
	refused, swapped := 0, 0
	digest := func(module []byte) string { return worker.Digest(module, nil) }
	swap50, swap99 := l.during(func() {
		for i := range n {
			if i == n/10 {
				early, goroutines, files = resident(), runtime.NumGoroutine(), openFiles()
			}
			if i%10 == 9 {
				bad := broken[i/10%len(broken)]
				w.drop("w", bad)
				w.until("a refusal", func() bool {
					info := w.info(h, "w")
					return (info.State == worker.Refused || info.State == worker.Held) && (info.Digest == digest(bad) || info.Digest == "")
				})
				refused++
				continue
			}
			next := good[(i+1)%2]
			w.drop("w", next)
			w.until("a swap", func() bool { info := w.info(h, "w"); return info.State == worker.Ready && info.Serving == digest(next) })
			swapped++
		}
	})
	late, left, open := resident(), runtime.NumGoroutine(), openFiles()

	lost, twice, versions := 0, 0, 0
	for _, id := range l.ids {
		task := w.wait(h, id)
		if task.State != queue.Completed {
			lost++
		}
		if task.Attempt != 1 {
			twice++
		}
	}
	ends := map[string]int{}
	for after := int64(0); ; {
		page, err := h.State().Events.Since(t.Context(), after, 1000, "task:completed")
		w.must(err)
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			ends[e.Task]++
			after = e.ID
		}
	}
	for id, n := range ends {
		if n > 1 {
			twice++
			l.note("task %s ended %d times", id, n)
		}
	}
	infos, err := h.State().Workers(t.Context())
	w.must(err)
	versions = len(infos[0].Versions)
	t.Logf("%d swaps, and %d files that were not to be served", swapped, refused)
	t.Logf("%d tasks: %d lost, %d run twice", len(l.ids), lost, twice)
	t.Logf("%d direct calls: %d failed", l.calls.Load(), l.failed.Load())
	t.Logf("a task took p50 %v p99 %v when quiet, p50 %v p99 %v while swapping (p99 %.1fx of the quiet one; the goal is 2x)", quiet50.Round(10*time.Microsecond), quiet99.Round(10*time.Microsecond),
		swap50.Round(10*time.Microsecond), swap99.Round(10*time.Microsecond), float64(swap99)/float64(quiet99))
	t.Logf("memory %.0f MiB after a tenth of the swaps, %.0f MiB at the end (%.0f MiB at most); goroutines %d, %d; open files %d, %d", early, late, early+mostGrowth, goroutines, left, files, open)
	for _, text := range l.wrong {
		t.Error(text)
	}
	if lost+twice > 0 || l.failed.Load() > 0 || len(l.ids) == 0 || l.calls.Load() == 0 || len(ends) != len(l.ids) {
		t.Errorf("%d tasks of which %d ended", len(l.ids), len(ends))
	}
	if versions != 2 {
		t.Errorf("%d versions are kept of two that were served", versions)
	}
	if refused != n/10 || swapped+refused != n {
		t.Errorf("%d swaps and %d refusals of %d files", swapped, refused, n)
	}
	// Memory is not steady after the few swaps of a short run, under the race detector
	// least of all: there, files and goroutines tell what is left behind.
	if early > 0 && n >= 100 && late > early+mostGrowth {
		t.Errorf("memory grew from %.0f to %.0f MiB", early, late)
	}
	if open > files+mostFiles {
		t.Errorf("there were %d open files and are %d", files, open)
	}
	if left > goroutines+mostGoroutines {
		t.Errorf("there were %d goroutines and are %d", goroutines, left)
	}
}

//go:embed testdata/words/words.wasm
var wordsWasm []byte // a worker in Rust, of about 100 KB

// TestWorkerInRust, without an SDK, does what it is for.
func TestWorkerInRust(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.drop("words", wordsWasm)
	h, _ := w.start()
	task := w.ask(h, "words", `{"n":[1,{"a":null}],"text":"The cat, the dog and THE Ärger: ärger's a cat."}`)
	const want = `{"distinct":7,"summary":"10 words of 3.40 letters, 7 of them different","top":[["the",3],["cat",2],["a",1],["and",1],["dog",1],["ärger",1],["ärger's",1]],"words":10}`
	if task.State != queue.Completed || string(task.Result) != want {
		t.Errorf("%s %s, %+v", task.State, task.Result, task.Errors)
	}
	if task := w.ask(h, "words", `{"text":5}`); task.State != queue.Dead || task.Errors[0].Code != abi.Permanent || !strings.Contains(task.Errors[0].Message, "text is needed") {
		t.Errorf("%s %+v", task.State, task.Errors)
	}
}

// TestFileToServing prints how long it takes from a file's being in place until
// tasks run on it, the 50 ms included for which a file must look the same: the
// median of several times.
func TestFileToServing(t *testing.T) {
	if os.Getenv("WASMHOST_SWAP") == "" {
		t.Skip("skipped: it asserts nothing, and is for make swap")
	}
	archive, err := os.ReadFile(archiveWasm)
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 5
	for _, guest := range []struct {
		name   string
		module []byte
	}{{"Go guest", archive}, {"Rust guest", wordsWasm}, {"tiny guest", tiny{result: "a"}.module()}} {
		took := map[string][]time.Duration{}
		for range rounds {
			w := newWorld(t)
			w.must(os.RemoveAll(w.path("state/compiled")))
			w.must(os.Remove(w.path("workers/archive.wasm")))
			w.toml = "[log]\nlevel = 'error'\n"
			h, stop := w.start()
			for _, how := range []string{"cold", "cached"} {
				begin := time.Now()
				w.drop("w", guest.module)
				w.until("serving", func() bool { return w.info(h, "w").State == worker.Ready })
				took[how] = append(took[how], time.Since(begin))
				at, _ := w.event(h, 0, "worker:admitted")
				w.must(os.Remove(w.path("workers/w.wasm")))
				w.event(h, at, "worker:removed")
			}
			stop()
		}
		for _, how := range []string{"cold", "cached"} {
			slices.Sort(took[how])
			t.Logf("from file to serving, %s of %d bytes, %s: %v", guest.name, len(guest.module), how, took[how][rounds/2].Round(time.Millisecond))
		}
	}
}

// TestKilledWriters leaves behind what a process leaves that is killed while it
// writes: the next one finds the old content, and works.
func TestKilledWriters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(os.Remove(w.path("workers/archive.wasm")))
	w.drop("w", tiny{manifest: asking("1", "ping"), result: "one"}.module())
	w.toml = "[admission]\n"
	h, stop := w.start()
	r, err := h.State().Review("w")
	w.must(err)
	w.must(h.State().Allow(r))
	first := w.is(h, "w", worker.Ready, "1", "")
	stop()
	for _, half := range []string{"workers/.w.wasm.1.tmp", "state/.grants.toml.1.tmp", "state/versions/w/.record.json.1.tmp", "state/versions/w/." + strings.Repeat("a", 64) + ".wasm.1.tmp"} {
		w.must(os.WriteFile(w.path(half), []byte("hal"), 0o600))
	}
	// A version's files without its record, and a record without the folder's file.
	w.must(os.WriteFile(w.path("state/versions/w/"+strings.Repeat("b", 64)+".wasm"), []byte("half"), 0o600))
	h, _ = w.start()
	if info := w.is(h, "w", worker.Ready, "1", ""); info.Digest != first.Digest {
		t.Errorf("another version is served: %+v", info)
	}
	w.drop("w", tiny{manifest: named("2", ""), result: "two"}.module())
	w.is(h, "w", worker.Ready, "2", "")
	for _, half := range []string{".record.json.1.tmp", "." + strings.Repeat("a", 64) + ".wasm.1.tmp"} {
		if _, err := os.Stat(w.path("state/versions/w/" + half)); err == nil {
			t.Errorf("what a killed host left is still there: %s", half)
		}
	}
	if _, err := h.State().Rollback("w", "1"); err != nil {
		t.Error(err)
	}
	w.is(h, "w", worker.Ready, "1", "")
	if _, err := h.State().Rollback("w", "x"); abi.CodeOf(err) != abi.NotFound {
		t.Errorf("a version that nobody had: %v", err)
	}
}
